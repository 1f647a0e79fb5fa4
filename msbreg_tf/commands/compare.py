"""`python -m tools.compare`: several runs side by side."""

import dataclasses
import glob
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.run.config import Config
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    from msbreg_tf.evaluation.results.comparison import Comparison

_WIDTH = 100


@dataclasses.dataclass(frozen=True)
class CompareSettings(Settings):
    """Which results, and how they are shown."""

    runs: tuple[str, ...] = setting(
        (),
        "Runs' folders or results.jsonl files, joined by commas; * stands for any characters of a "
        "name.",
    )
    metric: Optional[str] = setting(
        None, "Only this metric, and only if it was measured by one protocol: 'top-1 %'."
    )
    where: tuple[str, ...] = setting(
        (),
        "Only protocols with these settings, joined by commas: name=knn,k=20,dataset=cifar10.",
    )
    over_seeds: bool = setting(
        False,
        "One row for all runs that differ in nothing but the seed: mean ± standard deviation.",
    )
    rank_by: Optional[str] = setting(
        None,
        "The best run first, by this metric: lidar, rankme, clid, 'top-1 %'. Capitals and signs of "
        "its name do not matter.",
    )
    correlations: bool = setting(
        False,
        "Show how alike the label-free metrics of tools.geometry and the accuracies put these runs "
        "in order: Spearman's rank correlation, and of how many runs.",
    )
    published: bool = setting(True, "Show the paper's values beside ours.")
    wide: bool = setting(
        False, "One table however wide; without it, tables of at most 100 characters."
    )


def _run(settings: CompareSettings) -> None:
    conditions = [_condition(text) for text in settings.where]
    if not settings.runs:
        raise ValueError("--runs is missing: give runs' folders, --runs=runs/first,runs/second.")

    from msbreg_tf.evaluation.results.comparison import compare
    from msbreg_tf.evaluation.results.log import read_results
    from msbreg_tf.evaluation.results.published import PUBLISHED
    from msbreg_tf.evaluation.results.ranking import ranked

    results = [result for path in _paths(settings.runs) for result in read_results(path)]
    chosen = [
        result
        for result in results
        if _fits(result, conditions) and settings.metric in (None, result["metric"])
    ]
    if not chosen:
        raise ValueError(f"none of the {len(results)} results fits. {_choices(results)}")
    comparison = compare(
        chosen,
        PUBLISHED if settings.published else (),
        settings.over_seeds,
        deciding=Config().result_settings().keys(),
    )
    if settings.rank_by is not None:
        comparison = ranked(comparison, settings.rank_by)
    _print(comparison, settings)
    if settings.correlations:
        print(f"\n{_correlations(chosen)}")


def _print(comparison: "Comparison", settings: CompareSettings) -> None:
    """The tables, under which protocols their columns were measured, and the notes."""
    from msbreg_tf.evaluation.results.comparison import described, difference
    from msbreg_tf.evaluation.results.text import fitting_tables, table

    columns = comparison.columns
    if settings.metric is not None and len(columns) > 1:
        raise ValueError(
            f"--metric={settings.metric}: measured by {len(columns)} unlike protocols: "
            f"{difference(columns)}. Choose one with --where, such as --where=NAME=VALUE."
        )
    tables = [table(comparison.rows)] if settings.wide else fitting_tables(comparison.rows, _WIDTH)
    print("\n\n".join(tables))
    alike: dict[str, list[str]] = {}
    for column in columns:
        if column.differing:
            alike.setdefault(described(column.differing), []).append(column.heading)
    for text, headings in alike.items():
        heads = textwrap.fill(", ".join(headings), _WIDTH, subsequent_indent="  ")
        print(f"\n{heads}\n{_indented(text)}")
    title = "All columns" if len(columns) > 1 else "Protocol"
    print(f"\n{title}\n{_indented(described(comparison.common))}")
    for note in comparison.notes:
        print(f"\n{note}")


def _correlations(results: Sequence[Mapping[str, Any]]) -> str:
    from msbreg_tf.evaluation.results.ranking import correlation_rows, rank_correlations
    from msbreg_tf.evaluation.results.text import fitting_tables

    rows = correlation_rows(rank_correlations(results))
    if not rows:
        return (
            "No rank correlations: they need runs that tools.geometry and a protocol with labels "
            "have measured."
        )
    return "\n\n".join(fitting_tables(rows, _WIDTH))


def _indented(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _paths(runs: Sequence[str]) -> list[str]:
    """The results files that `--runs` names, each once."""
    paths = []
    for run in runs:
        pattern = os.path.expanduser(run)
        if glob.has_magic(pattern):
            # A folder that is only there because of the * may be without results.
            found = [path for path in map(_results_of, sorted(glob.glob(pattern))) if path]
            if not found:
                raise ValueError(f"--runs={run}: no results.jsonl there. Evaluate a run first.")
            paths += found
        else:
            is_folder = os.path.isdir(pattern)
            paths.append(os.path.join(pattern, "results.jsonl") if is_folder else pattern)
    return list(dict.fromkeys(paths))


def _results_of(path: str) -> Optional[str]:
    """The results file that a path is or holds; None if there is none."""
    path = os.path.join(path, "results.jsonl") if os.path.isdir(path) else path
    is_results = os.path.basename(path) == "results.jsonl" and os.path.exists(path)
    return path if is_results else None


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals):
        raise ValueError(f"--where={text}: expected NAME=VALUE, such as --where=name=knn,k=20.")
    return name, value


def _fits(result: Mapping[str, Any], conditions: Sequence[tuple[str, str]]) -> bool:
    protocol = result["protocol"]
    return all(name in protocol and str(protocol[name]) == value for name, value in conditions)


def _choices(results: Sequence[Mapping[str, Any]]) -> str:
    found = sorted({f"{result['protocol']['name']} {result['metric']}" for result in results})
    return f"There are: {', '.join(found)}." if found else "The files are empty."


COMMAND = Command((CompareSettings,), _run)
