"""Writes the results of a sweep beside its runs: table.txt, table.csv, table.md and table.png."""

import os

from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.files.whole import write_text_whole
from msbreg_tf.run.sweep import picture
from msbreg_tf.run.sweep.forms import as_csv, as_markdown, as_text
from msbreg_tf.run.sweep.record import Sweep
from msbreg_tf.run.sweep.table import SweepTable, sweep_table

NAME = "table"


def collect(sweep: Sweep) -> SweepTable:
    """The table of what is measured so far; points that are one run have the same results."""
    measured = {name: _results(sweep, name) for name in sweep.runs}
    results = {name: measured[run] for name, run in sweep.run_of.items()}
    return sweep_table(list(sweep.points.values()), results, sweep.paper_table)


def write(sweep: Sweep) -> tuple[SweepTable, list[str]]:
    """Writes the table in every form that there is something for.

    Returns:
      The table, and the files that were written. Without matplotlib there is no picture.

    Raises:
      OSError: a file can't be written.
    """
    found = collect(sweep)
    if not found.headings:
        return found, []
    texts = {"txt": as_text(found), "csv": as_csv(found), "md": as_markdown(found)}
    paths = []
    for ending, text in texts.items():
        paths.append(os.path.join(sweep.workdir, f"{NAME}.{ending}"))
        write_text_whole(paths[-1], text)
    path = os.path.join(sweep.workdir, f"{NAME}.png")
    return found, [*paths, path] if picture.draw(found, path) else paths


def _results(sweep: Sweep, name: str) -> list:
    path = os.path.join(sweep.folder(name), "results.jsonl")
    return read_results(path) if os.path.exists(path) else []
