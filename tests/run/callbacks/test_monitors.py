import glob
import types

import numpy as np
import tensorflow as tf

from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.run.callbacks import monitors
from msbreg_tf.run.callbacks.monitors import (
    LogMetrics,
    LogSchedule,
    PeriodicKNN,
    Progress,
    TensorBoardLog,
)
from tests.tiny import SIZE, tiny_model, tiny_views


def test_metrics_are_the_steps_own_not_running_means(tmp_path):
    file = MetricsFile(str(tmp_path / "metrics.jsonl"))
    model = tiny_model()
    log = LogMetrics(file, LogSchedule(2, 4), 2)
    model.fit(tiny_views(steps=4), verbose=0, callbacks=[log])
    lines = file.read()
    assert [(line["step"], line["epoch"]) for line in lines] == [(1, 0.5), (2, 1.0), (4, 2.0)]

    twin = tiny_model()
    losses = [float(twin.train_step(views)["loss"]) for views in tiny_views(steps=4)]
    np.testing.assert_allclose(
        [line["loss"] for line in lines], [losses[0], *losses[1::2]], rtol=1e-4
    )


def test_tensorboard_holds_terms_rate_spectrum_views_and_throughput(tmp_path):
    images = np.zeros([8, SIZE, SIZE, 3], np.uint8)
    views = next(iter(tiny_views(seed=9))).numpy()
    callback = TensorBoardLog(
        str(tmp_path), LogSchedule(1, 4), 2, batch_size=8, probe=(images, views)
    )
    tiny_model().fit(tiny_views(steps=4), verbose=0, callbacks=[callback])
    steps = {}
    (path,) = glob.glob(str(tmp_path / "events*"))
    for record in tf.data.TFRecordDataset(path):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            steps.setdefault(value.tag, []).append(event.step)
    assert steps["views"] == [0]
    assert steps["train/loss"] == steps["train/learning_rate"] == [1, 2, 3, 4]
    assert steps["train/singular_value"] == steps["train/tau"] == [1, 2, 3, 4]
    assert steps["spectrum/singular_values"] == steps["spectrum/effective_rank"] == [2, 4]
    assert steps["throughput/images_per_second"] == [2, 3, 4]


def test_progress_estimates_from_the_steps_after_the_second(capsys, monkeypatch):
    """Two steps a second, of 32 images, once the first two are over; those last a minute each."""
    now = [0.0]
    monkeypatch.setattr(monitors, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress(total_steps=2000, batch_size=32)
    progress.set_model(tiny_model())
    progress.on_train_begin()
    for step in range(22):
        now[0] += 60.0 if step < 2 else 0.5
        progress.on_train_batch_end(step, {"loss": 1.5, "tau": 0.9})
    assert progress._describe({"loss": 1.5, "tau": 0.9}) == "loss 1.5, lr 0.05, 64 images/s"
    progress.close()
    printed = capsys.readouterr().out
    # 989 s
    assert "Estimated time left: 16 min 29 s for 1,978 steps at 64 images/s." in printed


def test_durations_in_words():
    assert monitors.duration(59.6) == "1 min 00 s"
    assert monitors.duration(989) == "16 min 29 s"
    assert monitors.duration(3 * 3600 + 5 * 60 + 40) == "3 h 05 min"


def test_periodic_knn_classifies_the_test_images_by_the_train_images(tmp_path):
    """Of three known pictures the last is asked for, three times; exchanged, a third is right.

    Twenty neighbours are too many for three images, so all three vote, and the same picture wins.
    """
    pictures = next(iter(tiny_views(num_views=1, batch=3))).numpy()[:, 0]
    train = (pictures, np.array([0, 1, 2]))
    test = (pictures[[2, 2, 2]], np.array([2, 2, 2]))
    file = MetricsFile(str(tmp_path / "metrics.jsonl"))
    knn = PeriodicKNN(file, every=2, steps_per_epoch=2, train=train, test=test)
    tiny_model().fit(tiny_views(steps=5), verbose=0, callbacks=[knn])
    assert file.read() == [{"step": 4, "knn3_top1": 1.0}]
