import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.util import event_pb2

from msbreg_tf.files.event_files import read_points
from msbreg_tf.report.features import Features
from msbreg_tf.report.gallery import make_gallery
from msbreg_tf.report.pictures import Pictures
from msbreg_tf.report.run_files import read_run
from msbreg_tf.report.tensorboard import write_hparams, write_projector
from tests.report.fakes import fake_run

RESULT = {"run": "r", "metric": "top-1 %", "value": 71.5, "protocol": {"name": "linear"}}


def test_settings_and_results_are_there_once_however_often_they_are_written(tmp_path):
    from tensorboard.plugins.hparams import plugin_data_pb2

    path = fake_run(tmp_path / "run", steps=20, exported=False, results=[RESULT], knn=True, seed=7,
                    init_from="somewhere")  # fmt: skip
    run, folder = read_run(str(path)), path / "tensorboard"
    before = read_points(str(folder))
    for _ in range(2):
        assert write_hparams(str(folder), run) == {
            "results/knn20_top1": 0.5,
            "results/linear top-1 %": 71.5,
        }
    (file,) = folder.glob("*.hparams")
    points = read_points(str(folder))
    assert points["results/linear top-1 %"][0][::2] == (20, 71.5)
    assert points["train/loss"] == before["train/loss"]
    added = {tag for tag in points.keys() - before.keys() if tag.startswith("results/")}
    assert added == {"results/knn20_top1", "results/linear top-1 %"}
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        for value in event_pb2.Event.FromString(record).summary.value:
            if value.tag == "_hparams_/session_start_info":
                content = value.metadata.plugin_data.content
                found = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert found.hparams["seed"].number_value == 7
    assert found.hparams["encoder"].string_value == "resnet18"
    assert "init_from" not in found.hparams  # a column of folders, each its own, tells nothing


def test_the_projector_finds_features_names_and_thumbnails(tmp_path):
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    rng = np.random.default_rng(0)
    pixels = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None] * 20, [12, 8, 8, 3])
    names = ("tab\there", *(f"{n}.png" for n in range(1, 12)))
    pictures = Pictures(pixels, names, np.arange(12) % 2, ("a", "b\nc"), "class", (), 12)
    rows = rng.normal(size=[12, 6]).astype(np.float32)
    gallery = make_gallery(pictures, Features(rows, None, rows), "pca", 0)
    assert write_projector(str(tmp_path), gallery, rows) == 12
    text = (tmp_path / "projector_config.pbtxt").read_text()
    (shown,) = text_format.Parse(text, projector.ProjectorConfig()).embeddings
    np.testing.assert_allclose(np.loadtxt(tmp_path / shown.tensor_path), rows, rtol=1e-4)
    lines = (tmp_path / shown.metadata_path).read_text().splitlines()
    assert lines[:3] == ["file\tclass", "tab here\ta", "1.png\tb c"]
    assert len(lines) == 13
    with Image.open(tmp_path / shown.sprite.image_path) as sprite:
        assert sprite.size == (4 * 32, 4 * 32)
        assert sprite.getpixel((32 * 1 + 5, 32 * 2 + 5)) == (180, 180, 180)  # image 9
    assert list(shown.sprite.single_image_dim) == [32, 32]
