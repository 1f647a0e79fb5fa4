"""Accuracy against the number of labels, as a picture."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Optional

from msbreg_tf.errors import as_typed
from msbreg_tf.files.whole import write_whole


def draw_accuracies(
    path: str, curves: Mapping[str, Sequence[tuple[int, Sequence[float]]]], title: str
) -> Optional[str]:
    """Draws a line for each start, with bars of one standard deviation over seeds.

    Args:
      path: PNG file to write.
      curves: {start: [(number of labels, top-1 in % of each seed)]}.
      title: above the picture.

    Returns:
      None if it was drawn; without matplotlib, why it was not.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return as_typed("No picture: matplotlib is not installed; pip install 'msbreg-tf[report]'.")
    figure = Figure(figsize=(6, 4), layout="constrained")  # without pyplot: no window, no state
    axes = figure.subplots()
    for name, points in curves.items():
        labels, means, spreads = zip(
            *(
                (count, statistics.mean(values), statistics.stdev(values) if values[1:] else 0)
                for count, values in points
            )
        )
        axes.errorbar(labels, means, yerr=spreads, marker="o", capsize=3, label=name)
    ticks = sorted({count for points in curves.values() for count, _ in points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.minorticks_off()
    axes.set(xlabel="labelled images", ylabel="top-1 %", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))
    return None
