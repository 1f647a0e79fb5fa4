import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.labelled.arrays import labelled_images
from msbreg_tf.networks.resnet import build_encoder
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.export import export_encoder
from tools import quickstart

SETTINGS = {"encoder_width": 4, "stem": "cifar", "hidden_size": 8, "projection_size": 4}


@pytest.fixture
def few_images(monkeypatch):
    """The first 300 and 100 real images, so that the test is quick."""

    def few(dataset, split, data_dir, size):
        return labelled_images(dataset, split, data_dir, size, {"train": 300, "test": 100}[split])

    monkeypatch.setattr(quickstart, "labelled_images", few)


def test_compares_pixels_untrained_and_exported_encoder(few_images, tmp_path):
    encoder = build_encoder("resnet18", width=4, stem="cifar")
    export = export_encoder(encoder, str(tmp_path / "1"), image_size=32, metadata={})
    rows = quickstart.compare(config_from_settings(SETTINGS), export)
    assert [row["features"] for row in rows] == [
        "raw pixels",
        "untrained encoder",
        "trained encoder",
    ]
    pixels, labels = labelled_images("sample", "train", None, 32, limit=300)
    queries, truth = labelled_images("sample", "test", None, 32, limit=100)

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
    assert rows[1]["linear"] > 10
    assert rows[2]["linear"] > 10


def test_the_untrained_encoder_has_the_runs_initial_weights(few_images, tmp_path):
    """Exported at step 0, the run's encoder and the untrained one must be one and the same."""
    config = config_from_settings({**SETTINGS, "seed": 5})
    tf.keras.utils.set_random_seed(5)
    initial = quickstart.build_model(config, total_steps=100)
    export = export_encoder(initial.encoder, str(tmp_path / "0"), image_size=32, metadata={})
    rows = quickstart.compare(config, export)
    assert rows[1]["20-NN"] == rows[2]["20-NN"]
