"""From turns to Markdown: medians, spread, ratios within rounds, and the machine they hold for."""

import datetime
import statistics
import subprocess

import psutil

from benchmarks.arena import ROOT, Turn


def table(turns: dict[str, list[Turn]], failed: dict[str, str], unit: str, cpu_unit: str) -> str:
    """A table of all contenders; the first is ours, and ratios say how many times as fast it is.

    Args:
      turns: {name: turns}, one per round, from `compete`.
      failed: {name: why it did not take part}.
      unit: of the rates, "views/s".
      cpu_unit: "CPU ms per view".
    """
    ours = next(iter(turns.values()), [])
    lines = [
        f"| | {unit}, median | least to most | {cpu_unit} | ours is × as fast | least to most |",
        "|---|---|---|---|---|---|",
    ]
    for name, theirs in turns.items():
        rates = [turn.rate for turn in theirs]
        cpu = 1000 * statistics.median(turn.cpu_seconds for turn in theirs)
        cells = [name, number(median_rate(theirs)), spread(rates), number(cpu)]
        if theirs is ours:
            cells += ["", ""]
        else:
            each = ratios(ours, theirs)
            cells += [f"**{statistics.median(each):.2f}**", spread(each)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"| {name} | not measured: {reason} | | | | |" for name, reason in failed.items()]
    return "\n".join(lines)


def median_rate(turns: list[Turn]) -> float:
    return statistics.median(turn.rate for turn in turns)


def ratios(ours: list[Turn], theirs: list[Turn]) -> list[float]:
    """Our rate divided by theirs, round by round: both met the same noise."""
    return [one.rate / other.rate for one, other in zip(ours, theirs)]


def spread(values: list[float]) -> str:
    return f"{number(min(values))} – {number(max(values))}"


def number(value: float) -> str:
    """Three significant digits, and whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """Processor, cores, accelerators and memory, in one line."""
    import msbreg_tf  # noqa: F401 - before TensorFlow

    from msbreg_tf.distributed.devices import hardware  # isort: skip

    memory = psutil.virtual_memory().total / 2**30
    return f"{hardware()}; {memory:.0f} GiB"


def provenance(command: str) -> str:
    """Machine, date, commit and command; to be asked for before the measurement."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    commit = described.stdout.strip() or "unknown"
    today = datetime.date.today()
    return f"{machine()}; {today}, commit {commit}, `python -m benchmarks.{command}`"
