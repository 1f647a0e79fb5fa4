r"""Puts the results of several runs side by side, with what the paper reports beside them.

    python -m tools.compare --runs=runs/byol,runs/msbreg
    python -m tools.compare --runs='runs/*' --metric='top-1 %' --where=name=knn,k=20
    python -m tools.compare --runs='runs/methods/*' --over_seeds

A run is a row; metric and protocol make a column. Values that were measured in unlike ways never
share a column: what is unlike is in the heading, or below the table.
"""

import glob
import os
import textwrap
from typing import Any

from absl import flags

from msbreg_tf.commands import cli

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, as for all tools."""
    flags.DEFINE_list(
        "runs",
        None,
        "Runs' folders or results.jsonl files, joined by commas; * stands for any characters of a "
        "name.",
    )
    flags.DEFINE_string(
        "metric", None, "Only this metric, and only if it was measured by one protocol: 'top-1 %'."
    )
    flags.DEFINE_list(
        "where",
        [],
        "Only protocols with these settings, joined by commas: name=knn,k=20,dataset=cifar10.",
    )
    flags.DEFINE_bool(
        "over_seeds",
        False,
        "One row for all runs that differ in nothing but the seed: mean ± standard deviation.",
    )
    flags.DEFINE_bool("published", True, "Show the paper's values beside ours.")


def main(argv: list[str]) -> None:
    del argv
    conditions = [_condition(text) for text in FLAGS.where]

    from msbreg_tf.evaluation.results.comparison import compare, described, difference  # late
    from msbreg_tf.evaluation.results.log import read_results, table
    from msbreg_tf.evaluation.results.published import PUBLISHED

    results = [result for path in _paths(FLAGS.runs) for result in read_results(path)]
    chosen = [r for r in results if _fits(r, conditions) and FLAGS.metric in (None, r["metric"])]
    if not chosen:
        raise ValueError(f"none of the {len(results)} results fits. {_choices(results)}")
    comparison = compare(chosen, PUBLISHED if FLAGS.published else (), FLAGS.over_seeds)
    columns = comparison.columns
    if FLAGS.metric is not None and len(columns) > 1:
        raise ValueError(
            f"--metric={FLAGS.metric}: measured by {len(columns)} unlike protocols: "
            f"{difference(columns)}. Choose one with --where, such as --where=NAME=VALUE."
        )
    print(table(comparison.rows))
    for column in columns:
        if column.differing:
            print(f"\n{column.heading}\n{_indented(described(column.differing))}")
    title = "All columns" if len(columns) > 1 else "Protocol"
    print(f"\n{title}\n{_indented(described(comparison.common))}")
    for note in comparison.notes:
        print(f"\n{note}")


def _indented(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  ")


def _paths(runs: Any) -> list[str]:
    if not runs:
        raise ValueError("--runs is missing: give runs' folders, --runs=runs/first,runs/second.")
    paths = []
    for run in runs:
        pattern = os.path.expanduser(run.strip())
        # A folder that is only there because of the * may be without results.
        found = [
            os.path.join(path, "results.jsonl") if os.path.isdir(path) else path
            for path in (sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern])
        ]
        if glob.has_magic(pattern):
            found = [path for path in found if os.path.basename(path) == "results.jsonl"]
            found = [path for path in found if os.path.exists(path)]
            if not found:
                raise ValueError(f"--runs={run}: no results.jsonl there. Evaluate a run first.")
        paths += found
    return list(dict.fromkeys(paths))


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals):
        raise ValueError(f"--where={text}: expected NAME=VALUE, such as --where=name=knn,k=20.")
    return name, value


def _fits(result: dict[str, Any], conditions: list[tuple[str, str]]) -> bool:
    protocol = result["protocol"]
    return all(name in protocol and str(protocol[name]) == value for name, value in conditions)


def _choices(results: list[dict[str, Any]]) -> str:
    found = sorted({f"{result['protocol']['name']} {result['metric']}" for result in results})
    return f"There are: {', '.join(found)}." if found else "The files are empty."


if __name__ == "__main__":
    define_flags()
    cli.run(
        main, own_flags=("runs", "metric", "where", "over_seeds", "published"), training_flags=False
    )
