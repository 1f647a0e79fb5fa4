"""Disks, folders, open files and the clock."""

import functools
import os
import shutil
import tempfile
import time
from typing import NamedTuple

from msbreg_tf.files.workdir import checked_path
from msbreg_tf.run.config import Config
from msbreg_tf.run.doctor.finding import (
    ATTENTION,
    FAILURE,
    OK,
    Finding,
    Subject,
    existing_folder,
    size,
)

_OPEN_FILES = 1024
_FLOAT = 4  # bytes
_LOGS = 64 * 2**20  # bytes: metrics, TensorBoard and what else a run writes, generously


def workdir(subject: Subject) -> Finding:
    """Whether a run can write into its folder.

    Raises:
      ValueError: the folder that is given can't be that of a run.
    """
    if subject.config.run.workdir is not None:
        checked_path(subject.config.run.workdir)
    folder = existing_folder(subject.workdir)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        found = f"{folder} can't be written ({error.strerror})."
        return Finding("workdir", FAILURE, found, "Name another folder by --workdir.")
    return Finding("workdir", OK, f"{folder} can be written.")


class Sizes(NamedTuple):
    """Bytes that a recipe puts on a disk, estimated from its weights.

    Attributes:
      checkpoint: of one checkpoint.
      export: of the exported encoder.
      features: of one image, as evaluations keep them.
    """

    checkpoint: int
    export: int
    features: int


@functools.lru_cache(maxsize=1)
def sizes(config: Config) -> Sizes:
    """The sizes of a recipe's files."""
    from msbreg_tf.run.build import build_model

    model = build_model(config, total_steps=1)
    state = {id(variable): variable for variable in (*model.variables, *model.optimizer.variables)}
    count = sum(variable.shape.num_elements() for variable in state.values())
    encoder = sum(variable.shape.num_elements() for variable in model.encoder.variables)
    features = model.encoder.output_shape[-1]
    # The export is encoder.keras and a SavedModel, whose graph takes a few MiB besides.
    return Sizes(_FLOAT * count, 2 * _FLOAT * encoder + 2**23, _FLOAT * features)


def disk(subject: Subject) -> Finding:
    """Whether the checkpoints and the export of a new run find room."""
    keep = subject.config.run.keep_checkpoints + 1  # the oldest goes when the newest is there
    of = sizes(subject.config)
    needed = keep * of.checkpoint + of.export + _LOGS
    folder = existing_folder(subject.workdir)
    free = shutil.disk_usage(folder).free
    found = (
        f"{size(free)} are free in {folder}; a new run needs about {size(needed)}: {keep} "
        f"checkpoints of {size(of.checkpoint)}, an export and logs."
    )
    if free < needed:
        return Finding("disk", FAILURE, found, "Make room there, or lower --keep_checkpoints.")
    return Finding("disk", OK, found)


def cache(subject: Subject) -> Finding:
    """Whether the features of a data set of a million images would find room."""
    if not subject.cache_dir:
        return Finding("cache", OK, "Evaluations keep no features (--cache_dir is empty).")
    needed = 10**6 * sizes(subject.config).features
    folder = existing_folder(subject.cache_dir)
    free = shutil.disk_usage(folder).free
    found = (
        f"{size(free)} are free in {folder}, where evaluations keep features; those of a million "
        f"images need {size(needed)}."
    )
    if free < needed:
        remedy = "Make room there, or give evaluations another --cache_dir."
        return Finding("cache", ATTENTION, found, remedy)
    return Finding("cache", OK, found)


def open_files(_: Subject) -> Finding:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return Finding("open files", OK, "This system has no limit that can be read.")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return Finding("open files", OK, "Any number of files may be open at once.")
    found = f"{limit:,} files may be open at once."
    if limit < _OPEN_FILES:
        remedy = f"Readers and data services may run out: ulimit -n {4 * _OPEN_FILES}."
        return Finding("open files", ATTENTION, found, remedy)
    return Finding("open files", OK, found)


def load(_: Subject) -> Finding:
    """Whether other programs keep the processors busy, so that what is measured is too slow."""
    if not hasattr(os, "getloadavg"):  # Windows
        return Finding("load", OK, "This system does not say how busy it is.")
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    found = f"In the last minute, {busy:.1f} programs wanted one of the {cores} cores at a time."
    if busy > cores / 2:
        remedy = "What is measured below is too slow; measure again when they have ended."
        return Finding("load", ATTENTION, found, remedy)
    return Finding("load", OK, found)


def clock(_: Subject) -> Finding:
    """Whether the clocks go, and the wall clock is set."""
    before = time.monotonic()
    time.sleep(0.01)
    if not 0 < time.monotonic() - before < 60:
        found = "The monotonic clock does not go as it should; measured times are wrong."
        return Finding("clock", ATTENTION, found, "Look at the machine's clock source.")
    today = time.strftime("%Y-%m-%d", time.localtime())
    if time.localtime().tm_year < 2024:
        found = f"The wall clock says {today}: certificates and time stamps will be wrong."
        return Finding("clock", ATTENTION, found, "Set it, for example by NTP.")
    return Finding("clock", OK, f"The clocks go; today is {today}.")
