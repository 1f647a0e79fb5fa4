"""`python -m tools.report`: runs as one HTML file to look at."""

import dataclasses
import glob
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.commands import recipes
from msbreg_tf.commands.cli import Command, read_flags
from msbreg_tf.commands.paths import check_new_file
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.settings import BatchSettings, CacheSettings
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    from msbreg_tf.report.contents import Contents


@dataclasses.dataclass(frozen=True)
class ReportSettings(Settings):
    """Which runs, and what is shown of them."""

    runs: tuple[str, ...] = setting(
        (),
        "Runs' folders joined by commas; * stands for any characters of a name. Images are shown "
        "of the first.",
    )
    output: Optional[str] = setting(
        None, "HTML file to write (default: report.html in the first run's folder)."
    )
    images: int = setting(
        5000,
        "Training images to look at, at most: for the map, neighbours and odd ones; 0 for none.",
        low=0,
    )
    map: str = setting(
        "tsne",
        "How the map is made beside PCA. UMAP needs `pip install 'msbreg-tf[umap]'`.",
        choices=("tsne", "umap", "pca"),
    )
    seed: int = setting(0, "Seed of the choice of images and of the map.", low=0)
    data_dir: Optional[str] = setting(
        None, "Where the first run's images are now, if they were moved or it has no export yet."
    )
    tensorboard: bool = setting(
        False,
        "Also adds to the runs' tensorboard/ folders what the tabs HParams and Projector show: "
        "settings with results, and the first run's images.",
    )
    watch: int = setting(
        0,
        "Writes the report again this often until all runs have an export; 0 writes it once.",
        unit="seconds",
        low=0,
    )


def _run(own: ReportSettings, batch: BatchSettings, cache: CacheSettings) -> None:
    paths = run_paths(own.runs)
    output = os.path.expanduser(own.output or os.path.join(paths[0], "report.html"))
    if not output.lower().endswith((".html", ".htm")):
        raise ValueError(f"--output={own.output}: expected a name ending in .html.")
    check_new_file("output", output)
    for path in paths:
        if not os.path.isfile(os.path.join(os.path.expanduser(path), "run.json")):
            raise ValueError(f"--runs={path}: no run.json in it. Give the --workdir of a training.")
    while True:
        is_finished = write_report(own, paths, output, batch.batch_size, cache.cache_dir)
        if not own.watch or is_finished:
            return
        time.sleep(own.watch)


def write_report(
    own: ReportSettings,
    paths: Sequence[str],
    output: str,
    batch_size: int = BatchSettings().batch_size,
    cache_dir: Optional[str] = None,
) -> bool:
    """Writes the report of some runs, whole or not at all, and says where.

    Args:
      own: what is shown.
      paths: the runs' folders.
      output: the file.
      batch_size: images embedded at once.
      cache_dir: where features are kept; None for nowhere.

    Returns:
      Whether all runs have an export.

    Raises:
      ValueError: a library is not installed, or a folder holds no run.
      RunFailedError: the file can't be written.
    """
    from msbreg_tf.files.whole import write_text_whole
    from msbreg_tf.report.maps import check_method
    from msbreg_tf.report.page import check_installed, render

    check_installed()
    check_method(own.map)

    from msbreg_tf.report.contents import Looked, gather
    from msbreg_tf.report.run_files import read_runs

    runs = read_runs(paths)
    is_finished = all(run.exports for run in runs)
    looked = Looked(own.images, own.map, own.seed, batch_size, cache_dir)
    contents = dataclasses.replace(
        gather(runs, own.data_dir, looked),
        recipe=nearest_recipe(runs[0].settings),
        refresh=own.watch if own.watch and not is_finished else None,
    )
    if own.tensorboard:
        _write_tensorboard(contents)
    text = render(contents)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
        write_text_whole(output, text)
    except OSError as error:
        raise RunFailedError(f"--output={output}: can't be written ({error.strerror}).") from error
    print(f"Wrote {output}: {len(text.encode()) / 1e6:.1f} MB. Open it in any browser.")
    return is_finished


def _write_tensorboard(contents: "Contents") -> None:
    from msbreg_tf.report.tensorboard import write_hparams, write_projector

    runs = contents.runs
    folders = [os.path.join(os.path.expanduser(run.path), "tensorboard") for run in runs]
    for run, folder in zip(runs, folders):
        write_hparams(folder, run)
    if contents.gallery is not None:
        write_projector(folders[0], contents.gallery, contents.features.trained)
    print(f"Added to {', '.join(folders)}: see them by `tensorboard --logdir`.")


def run_paths(runs: Sequence[str]) -> list[str]:
    """The folders that `--runs` names, each once.

    Raises:
      ValueError: none is named, or a pattern fits none.
    """
    if not runs:
        raise ValueError("--runs is missing: give runs' folders, --runs=runs/first,runs/second.")
    paths = []
    for run in runs:
        pattern = os.path.expanduser(run)
        if not glob.has_magic(pattern):
            paths.append(pattern)
            continue
        found = [p for p in sorted(glob.glob(pattern)) if os.path.exists(f"{p}/run.json")]
        if not found:
            raise ValueError(
                f"--runs={run}: no run's folder fits. Give the --workdir of trainings."
            )
        paths += found
    return list(dict.fromkeys(paths))


def nearest_recipe(settings: Mapping[str, Any]) -> Optional[tuple[str, Mapping[str, Any]]]:
    """The shipped recipe for the same images that differs least, and all of its settings.

    Args:
      settings: {flag: value} of a run.

    Returns:
      (name, settings), or None if there is no recipe for such images.
    """
    best = None
    for name in recipes.names():
        if "/" in name:
            continue
        parts, _ = read_flags(Command(PARTS, print), [name, f"--flagfile={recipes.path_of(name)}"])
        given = Config(*parts).settings()
        if given["dataset"] != settings.get("dataset"):
            continue
        unlike = sum(given[flag] != value for flag, value in settings.items() if flag in given)
        if best is None or unlike < best[0]:
            best = (unlike, name, given)
    return best and (best[1], best[2])


COMMAND = Command((ReportSettings, BatchSettings, CacheSettings), _run)
