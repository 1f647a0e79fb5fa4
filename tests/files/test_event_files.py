"""TensorBoard's record of a run that is killed and continued."""

import os

import tensorflow as tf

from msbreg_tf.files import event_files
from msbreg_tf.files.event_files import drop_after


def points(folder):
    """[(step, tag)] of all points, sorted."""
    found = []
    for name in os.listdir(folder):
        try:
            for record in tf.data.TFRecordDataset(os.path.join(folder, name)):
                event = tf.compat.v1.Event.FromString(record.numpy())
                found += [(event.step, value.tag) for value in event.summary.value]
        except tf.errors.DataLossError:
            pass
    return sorted(found)


def write(folder, steps, tag="loss"):
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=f".{min(steps)}.{tag}")
    with writer.as_default():
        for step in steps:
            tf.summary.scalar(tag, 0.5, step=step)
    writer.close()


def test_steps_that_are_trained_again_are_removed(tmp_path):
    write(tmp_path, range(1, 8))
    write(tmp_path, [4], "rank")
    drop_after(str(tmp_path), 5)
    assert points(tmp_path) == [*((s, "loss") for s in (1, 2, 3, 4)), (4, "rank"), (5, "loss")]
    write(tmp_path, [6, 7, 8])
    drop_after(str(tmp_path), 7)  # killed once more
    write(tmp_path, [8, 9])
    assert [step for step, tag in points(tmp_path) if tag == "loss"] == list(range(1, 10))
    assert len(os.listdir(tmp_path)) == 2


def test_a_file_cut_off_by_a_kill_counts_up_to_the_cut(tmp_path):
    write(tmp_path, range(1, 8))
    [name] = os.listdir(tmp_path)
    os.truncate(tmp_path / name, os.path.getsize(tmp_path / name) - 5)
    drop_after(str(tmp_path), 100)
    assert [step for step, _ in points(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_what_a_kill_in_the_middle_of_it_left_is_put_right(tmp_path):
    write(tmp_path, range(1, 5))
    [name] = os.listdir(tmp_path)
    content = (tmp_path / name).read_bytes()
    drop_after(str(tmp_path), 3)
    (tmp_path / name).write_bytes(content)  # killed before the old file was removed
    (tmp_path / ".kept.123.writing").write_bytes(b"half")
    drop_after(str(tmp_path), 3)
    assert [step for step, _ in points(tmp_path)] == [1, 2, 3]
    assert len(os.listdir(tmp_path)) == 1


def test_without_any_there_is_nothing_to_do(tmp_path):
    drop_after(str(tmp_path / "none"), 3)
    assert not (tmp_path / "none").exists()


def test_points_are_read_while_a_run_goes_on(tmp_path):
    """Two processes wrote; the second began again at step 3, and its last record is cut off."""
    for first in (1, 3):
        writer = tf.summary.create_file_writer(str(tmp_path), filename_suffix=f".{first}")
        with writer.as_default():
            for step in range(first, first + 4):
                tf.summary.scalar("loss", 10 * first + step, step)
            tf.summary.histogram("spectrum", [0.0, 1.0, 1.0], first)
            tf.summary.image("views", tf.zeros([1, 4, 4, 3]), first)
        writer.close()
    files = sorted(tmp_path.iterdir())
    content = files[1].read_bytes()
    files[1].write_bytes(content[:-5])
    (tmp_path / ".kept.1.tfevents.writing").write_bytes(b"another process is at it")
    points = event_files.read_points(str(tmp_path))
    assert points.keys() == {"loss", "spectrum"}
    assert [(p.step, p.value) for p in points["loss"]] == [
        (1, 11), (2, 12), (3, 33), (4, 34), (5, 35), (6, 36),
    ]  # fmt: skip
    assert [point.step for point in points["spectrum"]] == [1, 3]
    bins = points["spectrum"][0].value
    assert bins.shape[1] == 3
    assert bins[:, 2].sum() == 3
    assert (tmp_path / ".kept.1.tfevents.writing").exists()
    assert event_files.read_points(str(tmp_path / "none")) == {}
