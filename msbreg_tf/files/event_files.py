"""TensorBoard's event files of a run that is continued: each point once, and none of lost steps."""

import contextlib
import os
from typing import NamedTuple, Union

import numpy as np
import tensorflow as tf
from tensorflow.core.util import event_pb2

from msbreg_tf.files.whole import WRITING, sync

_MARK = "tfevents"
_KEPT = f"events.out.{_MARK}.0.kept"  # sorts before the files that name a time


class Point(NamedTuple):
    """A value that was logged at a step; `time` is in seconds since 1970."""

    step: int
    time: float
    value: Union[float, np.ndarray]


def read_points(folder: str) -> dict[str, list[Point]]:
    """What a run has logged for TensorBoard, also while it goes on; changes nothing there.

    Returns:
      {tag: its points by step}, scalars as floats and histograms as float64 [bins, 3], each bin
      with its left edge, right edge and count. Of a step that was written twice the later point.
      Pictures and texts are left out. Empty without the folder.
    """
    found: dict[str, dict[int, Point]] = {}
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if _MARK not in name or name.endswith(WRITING):
            continue
        for event in _events(os.path.join(folder, name)):
            for value in event.summary.value:
                if value.WhichOneof("value") != "tensor":
                    continue
                array = tf.make_ndarray(value.tensor)
                if array.dtype.kind not in "fiu":
                    continue
                number = float(array) if array.ndim == 0 else array.astype(np.float64)
                point = Point(event.step, event.wall_time, number)
                found.setdefault(value.tag, {})[event.step] = point
    return {tag: [points[step] for step in sorted(points)] for tag, points in found.items()}


def drop_after(folder: str, step: int) -> None:
    """Puts what `folder` has of the steps up to `step` into one file, and removes the rest.

    A file that a kill has cut off counts up to the cut; of points that were written twice, the
    later one.

    Raises:
      OSError or tf.errors.OpError: the folder can't be written; what was there is still there.
    """
    paths = _event_files(folder)
    if not paths:
        return
    kept = {}
    for path in paths:
        for event in _events(path):
            if event.WhichOneof("what") == "summary" and event.step <= step:
                tags = tuple(value.tag for value in event.summary.value)
                kept[(event.step, tags)] = event
    partial = os.path.join(folder, f".kept.{os.getpid()}{WRITING}")
    try:
        with tf.io.TFRecordWriter(partial) as writer:
            writer.write(event_pb2.Event(file_version="brain.Event:2").SerializeToString())
            for event in kept.values():
                writer.write(event.SerializeToString())
        sync(partial)
        os.replace(partial, os.path.join(folder, _KEPT))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    for path in paths:
        if os.path.basename(path) != _KEPT:
            os.unlink(path)


def _event_files(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    for name in os.listdir(folder):
        if name.endswith(WRITING):  # a kill left it behind
            os.unlink(os.path.join(folder, name))
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if _MARK in name)


def _events(path: str):
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield event_pb2.Event.FromString(record)
