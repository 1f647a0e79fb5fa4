"""Command lines that a report tells: trainings like a run's, and evaluations of its export."""

import os
import shlex
from typing import Optional

from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.run.config import Config

_PATHS = ("workdir", "data_dir", "init_from")


def training(run: RunFiles, data_dir: Optional[str], name: Optional[str], **changes) -> str:
    """The command that trains like a run, but for some settings, into a folder of its own.

    Args:
      run: its files.
      data_dir: where its images are, if it is known.
      name: what the new folder's name gets at its end; None for the same folder.
      **changes: {flag: value}.
    """
    folder = run.path.rstrip("/")
    workdir = f"{folder}-{name}" if name else folder
    package = __name__.partition(".")[0]
    return of_settings(f"{package}.train", run, data_dir, **changes, workdir=workdir)


def of_settings(module: str, run: RunFiles, data_dir: Optional[str], **changes) -> str:
    """The command that gives a module a run's settings, but for some; arguments as above."""
    known, defaults = run.config.settings(), Config().settings()
    own = {n: v for n, v in known.items() if v != defaults[n] and n not in _PATHS}
    flags = [
        f"--{flag}={shlex.quote(_text(value))}"
        for flag, value in {**own, "data_dir": data_dir, **changes}.items()
        if value is not None
    ]
    return " \\\n  ".join([f"python -m {module}", *flags])


def evaluation(tool: str, run: RunFiles, data_dir: Optional[str]) -> str:
    """The command that evaluates a run's newest export on the images that it trained on."""
    flags = [f"--saved_model={export_of(run)}", *_images(run, data_dir)]
    return " \\\n  ".join([f"python -m tools.{tool}", *flags])


def fine_tuning(run: RunFiles, data_dir: Optional[str]) -> str:
    """The command that fine-tunes a run's newest export with a tenth of the labels."""
    workdir = shlex.quote(os.path.join(run.path.rstrip("/"), "finetune"))
    command = evaluation("finetune", run, data_dir)
    return f"{command} \\\n  --fraction=0.1 --workdir={workdir}"


def embedding(run: RunFiles) -> str:
    """The command that embeds a folder of images, which a reader puts in."""
    flags = [f"--saved_model={export_of(run)}", "--data_dir=FOLDER", "--output=embeddings.npz"]
    return " \\\n  ".join(["python -m tools.embed", *flags])


def duplicates(run: RunFiles, data_dir: str) -> str:
    """The command that lists the near-duplicates of a folder."""
    flags = [f"--saved_model={export_of(run)}", f"--data_dir={shlex.quote(data_dir)}"]
    flags.append("--duplicates=0.95 --output=duplicates.csv")
    return " \\\n  ".join(["python -m tools.neighbours", *flags])


def export_of(run: RunFiles) -> str:
    """The newest export as a shell takes it, from here if it lies below; EXPORT without one."""
    if not run.exports:
        return "EXPORT"
    export = os.path.relpath(run.exports[-1])
    return shlex.quote(run.exports[-1] if export.startswith("..") else export)


def _images(run: RunFiles, data_dir: Optional[str]) -> list[str]:
    dataset = run.config.data.dataset
    flags = [] if dataset == "sample" else [f"--dataset={shlex.quote(dataset)}"]
    return flags + ([f"--data_dir={shlex.quote(data_dir)}"] if data_dir else [])


def _text(value) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
