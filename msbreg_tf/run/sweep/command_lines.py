"""The command lines that a point consists of."""

import os
import sys
from collections.abc import Mapping

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.run.sweep.record import Sweep
from msbreg_tf.run.sweep.state import TRAIN, newest_export
from msbreg_tf.settings import flagged, written

NEED_LABELS = ("knn", "linear", "finetune", "svm")


def command_line(sweep: Sweep, name: str, stage: str) -> list[str]:
    """What a stage of a run starts: its training, or an evaluation of its newest export."""
    config, folder = sweep.points[name].config, sweep.folder(name)
    if stage == TRAIN:
        return train_command(config, folder)
    protocol = stage.split()[0]
    flags = evaluation_flags(protocol, config, sweep.evaluations[protocol])
    flags["saved_model"] = newest_export(folder) or os.path.join(folder, "export")
    flags["run_name"] = name
    if protocol == "finetune":
        flags["workdir"] = os.path.join(folder, "finetune")
    given = [f"--{flag}={text}" for flag, text in flags.items()]
    return [sys.executable, "-m", "msbreg_tf.commands.main", protocol, *given]


def train_command(config: Config, workdir: str) -> list[str]:
    """The command line that trains a point: what differs from the defaults."""
    values, defaults = config.settings(), Config().settings()
    flags = [
        f"--{flag}={written(values[field.name])}"
        for part in PARTS
        for flag, field in flagged(part)
        if values[field.name] != defaults[field.name]
    ]
    return [sys.executable, "-m", "msbreg_tf.train", *flags, f"--workdir={workdir}"]


def evaluation_flags(name: str, config: Config, given: Mapping[str, str]) -> dict[str, str]:
    """{flag: text} of an evaluation: the run's images and labelled splits, then what is given."""
    data, run = config.data, config.run
    flags = {"dataset": data.dataset, "test_split": run.knn_test_split}
    if name in NEED_LABELS:
        flags["train_split"] = run.knn_train_split
    if data.data_dir:
        flags["data_dir"] = data.data_dir
    if data.max_megapixels != DataSettings().max_megapixels:
        flags["max_megapixels"] = written(data.max_megapixels)
    return {**flags, **given}
