"""What a finished run tells its user: how good it is, as far as that is known, and what to do."""

import os
import shlex

from msbreg_tf.errors import as_typed
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.run.config import Config


def last_measured(metrics: str) -> list[str]:
    """The last k-NN accuracy in the file `metrics`, or what was measured without labels."""
    if not os.path.exists(metrics):
        return []
    accuracies, pictures = [], []
    for line in MetricsFile(metrics).read():
        for name, value in line.items():
            if name.startswith("knn"):
                k = name.removeprefix("knn").partition("_")[0]
                accuracies = [f"{k}-NN top-1 at step {line['step']:,}: {100 * value:.1f} %."]
            if name == "same_picture":
                pictures = [
                    f"At step {line['step']:,}, {100 * value:.1f} % of the views had another view "
                    "of the same picture as nearest neighbour."
                ]
    return accuracies or pictures


def next_commands(config: Config, export: str) -> list[str]:
    """How to find out how good the encoder is, and how to use it."""
    where = os.path.relpath(export)
    saved_model = f"--saved_model={shlex.quote(where if not where.startswith('..') else export)}"
    data = config.data
    dataset = "" if data.dataset == "sample" else f" --dataset={shlex.quote(data.dataset)}"
    if data.data_dir:
        dataset += f" --data_dir={shlex.quote(data.data_dir)}"
    folder = shlex.quote(data.data_dir) if data.dataset == "folder" else "FOLDER"
    lines = [
        "Next:",
        f"  python -m tools.geometry {saved_model}{dataset}   # did it learn? without labels",
        f"  python -m tools.embed {saved_model} --data_dir={folder} --output=embeddings.npz",
    ]
    return [as_typed(line) for line in lines]
