import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import quickstart, report
from msbreg_tf.data.labelled import arrays
from msbreg_tf.evaluation.exporting import export_encoder
from msbreg_tf.evaluation.linear.probe import linear_probe
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.run.build import build_model
from msbreg_tf.run.config import config_from_settings
from tests.labelled import images_of

ALL = arrays.labelled_images
SETTINGS = {"encoder_width": 4, "stem": "cifar", "hidden_size": 8, "projection_size": 4}


@pytest.fixture
def few_images(monkeypatch):
    """The first 300 and 100 real images, so that the test is quick."""

    def few(data, size):
        count = {"sample train": 300, "sample test": 100}[data.name]
        return tuple(column[:count] for column in ALL(data, size))

    monkeypatch.setattr(arrays, "labelled_images", few)


def test_compares_pixels_untrained_and_exported_encoder(few_images, tmp_path):
    encoder = build_resnet("resnet18", width=4, stem="cifar")
    export = export_encoder(encoder, str(tmp_path / "1"), image_size=32, metadata={})
    rows = quickstart.compare(config_from_settings(SETTINGS), export)
    assert [row["features"] for row in rows] == [
        "raw pixels",
        "untrained encoder",
        "trained encoder",
    ]
    pixels, labels = images_of("sample", "train", None, 32, limit=300)
    queries, truth = images_of("sample", "test", None, 32, limit=100)

    def unit(images):
        rows = images.reshape(len(images), -1).astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    similarity = unit(queries) @ unit(pixels).T
    right = 0
    for row, label in zip(similarity, truth):
        nearest = np.argsort(-row)[:20]
        votes = np.bincount(labels[nearest], np.exp(row[nearest] / 0.07), minlength=10)
        right += votes.argmax() == label
    assert rows[0]["20-NN"] == pytest.approx(right)  # of 100
    assert "linear" not in rows[0]
    exported = tf.saved_model.load(export).signatures["serving_default"]
    tf.keras.utils.set_random_seed(0)
    untrained = build_model(config_from_settings(SETTINGS), total_steps=1)
    for row, encode in (
        (rows[1], untrained),
        (rows[2], lambda images: exported(image=images)["embedding"]),
    ):
        bank, tests = (encode(tf.cast(x, tf.float32)).numpy() for x in (pixels, queries))
        probe = linear_probe(bank, labels, tests, truth, LinearSettings())
        assert row["linear"] == pytest.approx(100 * probe.top1, abs=1.01)  # one of 100 images


def test_the_untrained_encoder_has_the_runs_initial_weights(few_images, tmp_path):
    """Exported at step 0, the run's encoder and the untrained one must be one and the same."""
    config = config_from_settings({**SETTINGS, "seed": 5})
    tf.keras.utils.set_random_seed(5)
    initial = build_model(config, total_steps=100)
    export = export_encoder(initial.encoder, str(tmp_path / "0"), image_size=32, metadata={})
    rows = quickstart.compare(config, export)
    assert rows[1]["20-NN"] == rows[2]["20-NN"]


def test_it_ends_with_the_runs_report(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        report, "write_report", lambda own, runs, output: seen.append((runs, output))
    )
    quickstart._report(config_from_settings({"workdir": str(tmp_path)}))
    assert seen == [([str(tmp_path)], str(tmp_path / "report.html"))]

    def without(*arguments):
        raise ValueError("a report needs plotly, which is not installed.")

    monkeypatch.setattr(report, "write_report", without)
    quickstart._report(config_from_settings({"workdir": str(tmp_path)}))
    assert "note: a report needs plotly" in capsys.readouterr().err
