import glob

import numpy as np
import tensorflow as tf

from msbreg_tf.callbacks import LogMetrics, TensorBoardLog
from msbreg_tf.metrics_file import MetricsFile
from tests.tiny import SIZE, tiny_model, tiny_views


def test_metrics_are_the_steps_own_not_running_means(tmp_path):
    file = MetricsFile(str(tmp_path / "metrics.jsonl"))
    model = tiny_model()
    model.fit(tiny_views(steps=4), verbose=0, callbacks=[LogMetrics(file, 2, steps_per_epoch=2)])
    lines = file.read()
    assert [(line["step"], line["epoch"]) for line in lines] == [(2, 1.0), (4, 2.0)]

    twin = tiny_model()
    losses = [float(twin.train_step(views)["loss"]) for views in tiny_views(steps=4)]
    np.testing.assert_allclose([line["loss"] for line in lines], losses[1::2], rtol=1e-4)


def test_tensorboard_holds_terms_rate_spectrum_views_and_throughput(tmp_path):
    images = np.zeros([8, SIZE, SIZE, 3], np.uint8)
    views = next(iter(tiny_views(seed=9))).numpy()
    callback = TensorBoardLog(str(tmp_path), 1, 2, batch_size=8, probe=(images, views))
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
