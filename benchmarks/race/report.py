"""Writes race.txt, race.md, race.csv and race.png into the folder of a race."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.race import picture, table
from benchmarks.race.contenders import PEERS
from msbreg_tf.files.whole import write_text_whole

NAME = "race"
_WIDTH = 100
_NOTES = (
    "Top-1 %, mean ± standard deviation over seeds. Seconds are those of training with its views, "
    "from the first to the last step: CPU seconds, user and system, of all processes, or wall "
    "seconds on a GPU. A pass is one image through one network forward; backward is two.",
)


def write(workdir: str, machine: str) -> tuple[str, list[str]]:
    """Writes what is measured so far.

    Args:
      workdir: of the race.
      machine: what the times hold for.

    Returns:
      The tables as text, and the files.
    """
    runs = table.runs_in(workdir)
    sections = sections_of(workdir, runs)
    texts = {
        "txt": _page(sections, machine, table.as_text, ""),
        "md": _page(sections, machine, table.as_markdown, "## "),
        "csv": table.as_csv(runs),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(os.path.join(workdir, f"{NAME}.{ending}"))
        write_text_whole(paths[-1], text)
    path = os.path.join(workdir, f"{NAME}.png")
    return texts["txt"], [*paths, path] if picture.draw(runs, path) else paths


Section = tuple[str, Sequence[Mapping[str, Any]], Sequence[str]]


def sections_of(workdir: str, runs: Sequence[table.Run]) -> list[Section]:
    """(title, rows, lines below them) of every table that has rows."""
    titles = [peer.title for peer in PEERS.values()]
    found: list[Section] = []
    for stage, title in table.STAGES.items():
        if any(run.stage == stage for run in runs):
            rows = table.rows(runs, stage)
            found.append((title, rows, table.lead(rows, titles)))
    tried, forms = table.search_rows(runs), table.trial_rows(workdir)
    if tried:
        most = max(sum(run.stage == "search" and run.contender == name for run in runs)
                   for name in {run.contender for run in runs})  # fmt: skip
        line = f"At most {most} settings each, all with the same number of passes, one seed."
        found.append(("Search, on held-out training images", tried, [line]))
    if forms:
        found.append(
            ("Trial: seconds of a step, ours with its views and a peer's without", forms, [])
        )
    return found


def _page(sections: Sequence[Section], machine: str, draw, mark: str) -> str:
    parts = [machine]
    for title, rows, lines in sections:
        parts += [f"{mark}{title}", draw(rows), *lines]
    notes = [textwrap.fill(note, _WIDTH) for note in _NOTES]
    return "\n\n".join([*parts, *notes]) + "\n"
