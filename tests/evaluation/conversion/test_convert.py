"""Whole conversions: what is written, what is refused, and what is kept when something fails."""

import json
import os
import pickle
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import convert
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.conversion import to_tflite, twin, verify
from msbreg_tf.evaluation.conversion.samples import load_samples
from msbreg_tf.evaluation.conversion.target import Bar
from msbreg_tf.evaluation.exporting import export_encoder
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.networks.resnet import build_resnet
from tests.evaluation.exports import save_tiny
from tests.tools.conftest import run_command  # noqa: F401 - a fixture

from .page import python_under

SIZE = 32


def network(**options):
    """A ResNet-18 with batch norms that are not the identity."""
    encoder, rng = build_resnet("resnet18", image_size=SIZE, **options), np.random.default_rng(0)
    for variable in encoder.variables:
        if "moving_mean" in variable.name or "beta" in variable.name:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return encoder


class Standard:
    """A ResNet-18 as torchvision has it, with the face of an export; to write one takes longer."""

    image_size, feature_size, fingerprint = SIZE, 512, "0" * 16
    metadata: ClassVar = {"step": 7}

    def __init__(self, path):
        self.path = path
        self._network = network()

    def weights(self):
        """As `ExportedEncoder.weights`."""
        return {variable.name: variable.numpy() for variable in self._network.variables}

    def embed(self, images):
        """As `ExportedEncoder.embed`."""
        return self._network(images, training=False).numpy()


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    """What torchvision, timm and Detectron2 have a place for."""
    return Standard(str(tmp_path_factory.mktemp("standard")))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A small export, which only whole graphs can hold."""
    encoder, folder = network(width=8, stem="cifar"), tmp_path_factory.mktemp("narrow") / "7"
    return load_encoder(export_encoder(encoder, str(folder), image_size=SIZE, metadata={}))


@pytest.fixture
def converted(run_command, tmp_path, monkeypatch):  # noqa: F811
    """Runs the command on a loaded encoder; returns what it printed, and the file."""

    def run(encoder, to, name, **flags):
        monkeypatch.setattr(convert, "load_export", lambda path: encoder)
        output = str(tmp_path / "out" / name)
        given = {"saved_model": encoder.path, "to": to, "output": output, "images": 3}
        return run_command(convert.COMMAND, **given, **flags), output

    return run


def card_of(output):
    with open(output + ".json") as file:
        return json.load(file)


def test_weights_are_counted_verified_and_described(converted, standard):
    pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    text, output = converted(standard, "torchvision", "a.safetensors")
    assert "It holds resnet18, 100 tensors." in text
    assert sorted(os.listdir(os.path.dirname(output))) == ["a.safetensors", "a.safetensors.json"]
    assert len(load_file(output)) == 100
    card = card_of(output)
    assert card["files"]["a.safetensors"]["bytes"] == os.path.getsize(output)
    assert card["verified"]["largest_relative_difference"] < 3e-6
    assert (card["verified"]["images"], card["verified"]["sizes"]) == (3, [[SIZE, SIZE]])
    assert "0.485" in card["preprocessing"]
    assert card["versions"].keys() == {"msbreg_tf", "tensorflow", "numpy", "safetensors"}
    before = os.stat(output).st_mtime_ns
    assert converted(standard, "torchvision", "a.safetensors")[0].startswith(
        f"{output} is complete already"
    )
    assert os.stat(output).st_mtime_ns == before
    with pytest.raises(ValueError, match=r"--output=.*it exists, with other contents"):
        converted(standard, "timm", "a.safetensors")


def test_detectron2s_pickle_is_arrays_with_its_names(converted, standard):
    text, output = converted(standard, "detectron2", "a.pkl")
    assert "Note: ResNet-18 has no C4 model in Detectron2" in text
    with open(output, "rb") as file:
        content = pickle.load(file)
    assert content["matching_heuristics"] is True
    assert len(content["model"]) == 100
    kernel = standard.weights()["layer3.0.conv2/kernel:0"]
    np.testing.assert_array_equal(
        content["model"]["res4.0.conv2.weight"], kernel.transpose(3, 2, 0, 1)
    )
    config = card_of(output)["config"]
    assert config["MODEL.PIXEL_MEAN"] == [123.675, 116.28, 103.53]
    assert config["MODEL.PIXEL_STD"] == [58.395, 57.12, 57.375]
    assert config["MODEL.RESNETS.RES2_OUT_CHANNELS"] == 64
    assert config["MODEL.RESNETS.STRIDE_IN_1X1"] is False


def test_a_file_beyond_the_bar_is_not_kept(converted, standard, tmp_path, monkeypatch):
    monkeypatch.setattr(twin, "_EPSILON", 1e-3)
    with pytest.raises(RunFailedError, match=r"differs from the export by .*Nothing is kept") as e:
        converted(standard, "detectron2", "b.pkl")
    assert "\n" not in str(e.value)
    assert os.listdir(tmp_path / "out") == []


def test_tflite_takes_images_of_any_size(converted, narrow, monkeypatch):
    _, output = converted(narrow, "tflite", "encoder.tflite")
    card = card_of(output)
    assert card["verified"]["sizes"] == [[32, 32], [203, 261], [40, 150]]
    assert card["verified"]["largest_relative_difference"] < 1e-5
    run = to_tflite.TARGET.load(output)
    for shape in ((1, 33, 32), (3, 300, 20), (2, 1, 1)):
        images = np.random.default_rng(0).uniform(0, 255, (*shape, 3)).astype(np.float32)
        expected = narrow.embed(images)
        assert np.abs(run(images) - expected).max() < 1e-5 * np.abs(expected).max()
    images[0] = np.nan
    assert np.isnan(run(images)).all(axis=1).tolist() == [True, False]
    # Only operations that every TFLite has: an interpreter without others has run it.
    with open(output, "rb") as file:
        assert b"Flex" not in file.read()
    monkeypatch.chdir(os.path.dirname(output))
    scope = {}
    exec(python_under("TFLite"), scope)
    assert scope["features"].shape == (2, narrow.feature_size)


def test_smaller_numbers_have_bars_of_their_own_and_int8_says_what_it_costs(
    converted, narrow, monkeypatch
):
    _, half = converted(narrow, "tflite", "half.tflite", precision="float16")
    difference = card_of(half)["verified"]["largest_relative_difference"]
    assert 1e-5 < difference < 5e-3
    text, small = converted(narrow, "tflite", "small.tflite", precision="int8", knn_images=100)
    card = card_of(small)
    assert os.path.getsize(small) < os.path.getsize(half)
    assert 1e-4 < card["verified"]["largest_relative_difference"] < 0.1
    assert card["calibration"] == "100 images of the shipped sample"
    assert card["input"].startswith("image: float32 [batch, 32, 32, 3]")
    knn = card["knn"]
    assert (knn["train_images"], knn["test_images"]) == (100, 100)
    assert f"{knn['file_top1']:.2f} %, the export {knn['export_top1']:.2f} %" in text
    assert abs(knn["file_top1"] - knn["export_top1"]) < 15


def test_what_can_not_be_converted_is_refused_before_anything_is_written(
    converted, narrow, tmp_path
):
    with pytest.raises(ValueError, match=r"no ResNet with stem=cifar"):
        converted(narrow, "detectron2", "a.pkl")
    foreign = load_encoder(save_tiny(tmp_path / "foreign", metadata={"image_size": 16}))
    with pytest.raises(ValueError, match=r"--precision=int8: .*Use float32 or float16"):
        converted(foreign, "tflite", "a.tflite", precision="int8")
    # Antialiased resizing of another's export is no operation of TFLite's.
    with pytest.raises(RunFailedError, match=r"TFLite interpreter failed .*Nothing is kept"):
        converted(foreign, "tflite", "a.tflite")
    assert os.listdir(tmp_path / "out") == []


def test_a_missing_package_is_named_with_its_remedy(converted, narrow, monkeypatch):
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"tf2onnx is missing. Install it: pip .*msbreg-tf\[onnx\]"
    ):
        converted(narrow, "onnx", "a.onnx")


def test_a_folder_of_images_is_what_is_verified_on(tmp_path):
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(40, 60), (50, 33), (1300, 40)]):
        pixels = rng.integers(0, 256, [height, width, 3], np.uint8)
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    samples = load_samples(str(tmp_path), 2, SIZE)
    assert samples.squares.shape == (2, SIZE, SIZE, 3)
    assert samples.calibration.shape == (1, SIZE, SIZE, 3)
    assert len(samples.others) == 2
    assert {image.shape for image in load_samples(str(tmp_path), 9, SIZE).others} == {
        (1, 40, 60, 3), (1, 50, 33, 3), (1, 1200, 40, 3),
    }  # fmt: skip
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="data_dir"):
        load_samples(str(tmp_path / "none"), 2, SIZE)


def test_a_comparison_by_hand():
    """The largest difference in units of the largest feature, and the lowest cosine."""
    squares = np.zeros([3, 4, 4, 3], np.uint8)
    samples = verify.Samples("", squares, [np.zeros([1, 9, 5, 3], np.float32)], squares)
    rows = np.float32([[3, 4], [0, 10], [1, 0]])
    off = np.float32([[3, 4], [6, 8], [1, 0.5]])
    verdict = verify.compare(
        lambda x: rows[: len(x)], lambda x: off[: len(x)], samples, any_size=True
    )
    assert verdict.difference == pytest.approx(0.6)
    assert verdict.cosine == pytest.approx(0.8)
    assert (verdict.images, verdict.sizes) == (4, [(4, 4), (9, 5)])
    assert verdict.keeps(Bar(0.61, 0.79))
    assert not verdict.keeps(Bar(0.59, 0.79))
    assert not verdict.keeps(Bar(0.61, 0.81))
    lost = verify.compare(lambda x: rows, lambda x: rows * np.nan, samples, any_size=False)
    assert not lost.keeps(Bar(np.inf, -1))
    with pytest.raises(ValueError, match=r"\[3, 2\], not \[3, 1\]"):
        verify.compare(lambda x: rows[:, :1], lambda x: rows, samples, any_size=False)
