"""The curves of `benchmarks.costs` as one figure of four panels."""

from benchmarks.costs.step import PARTS

_NAMES = {
    "networks": "networks",
    "losses": "losses",
    "update": "LARS, SGD, target",
    "augmentation": "augmentation",
    "whole": "whole step, without augmentation",
}
_LABELS = {
    "num_views": "K, views of an image",
    "batch_size": "N, images in a batch",
    "projection_size": "D, size of a projection",
    "image_size": "image size in pixels",
}


def draw(curves: dict[str, list[tuple[int, dict[str, float]]]], path: str, title: str) -> None:
    """Writes a PNG.

    Args:
      curves: {name of a setting: [(its value, CPU seconds by part)]}.
      path: of the file.
      title: over all panels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (name, points) in zip(figure.subplots(2, 2).flat, curves.items()):
        values = [value for value, _ in points]
        for part in (*PARTS, "whole"):
            seconds = [found[part] for _, found in points]
            form = {"linestyle": "none", "color": "black", "marker": "x"}
            form = form if part == "whole" else {"marker": "o", "markersize": 3}
            axes.plot(values, seconds, label=_NAMES[part], **form)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.set_xlabel(_LABELS[name])
        axes.set_ylabel("CPU seconds of a step")
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    with open(path, "wb") as file:
        canvas.print_png(file)
