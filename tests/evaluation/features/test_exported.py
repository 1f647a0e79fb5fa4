import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.evaluation.features.exported import load_encoder
from tests.evaluation.exports import FEATURES, save_tiny


def pixels(batch=3, height=6, width=6):
    return np.random.default_rng(0).integers(0, 256, [batch, height, width, 3], np.uint8)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "export" / "12"
    metadata = {"image_size": 6, "feature_size": FEATURES, "step": 12, "recipe": {"seed": 3}}
    return save_tiny(folder, metadata=metadata)


@pytest.fixture
def copied(export, tmp_path):
    return shutil.copytree(export, tmp_path / "copy")


def test_embeds_what_the_signature_gives(export):
    encoder = load_encoder(export)
    expected = tf.saved_model.load(export).signatures["serving_default"](
        image=tf.constant(pixels(), tf.float32)
    )["embedding"]
    for images in (pixels(), pixels().astype(np.float32), tf.constant(pixels())):
        features = encoder.embed(images)
        np.testing.assert_array_equal(features, expected)
        assert (type(features), features.dtype, features.shape) == (np.ndarray, np.float32, (3, 5))


def test_knows_what_metadata_says(export):
    encoder = load_encoder(export)
    assert (encoder.image_size, encoder.feature_size) == (6, FEATURES)
    assert encoder.metadata["recipe"] == {"seed": 3}


@pytest.mark.parametrize(
    ("shape", "image_size"), [((None, None, None, 3), None), ((None, 9, 9, 3), 9)]
)
def test_a_foreign_export_needs_no_metadata(tmp_path, shape, image_size):
    encoder = load_encoder(save_tiny(tmp_path / "foreign", shape=shape))
    assert (encoder.image_size, encoder.feature_size, encoder.metadata) == (image_size, 5, {})
    assert encoder.embed(pixels(2, 9, 9)).shape == (2, FEATURES)


def test_a_feature_size_that_the_signature_hides_is_measured(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "image")

    @tf.function(input_signature=[spec])
    def serve(image):
        size = tf.cast(tf.reduce_max(image) * 0 + 4, tf.int32)
        return {"embedding": tf.zeros(tf.stack([tf.shape(image)[0], size]))}

    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": serve})
    assert load_encoder(str(tmp_path / "1")).feature_size == 4


def test_images_of_a_size_the_export_does_not_take_are_one_line(tmp_path):
    encoder = load_encoder(save_tiny(tmp_path / "1", shape=(None, 9, 9, 3)))
    with pytest.raises(ValueError, match=r"takes images \[None, 9, 9, 3\], not \[3, 6, 6, 3\]"):
        encoder.embed(pixels())


def test_fingerprint_is_of_graph_and_weights_alone(export, copied, tmp_path):
    fingerprint = load_encoder(export).fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0
    (copied / "metadata.json").write_text("{}")
    assert load_encoder(str(copied)).fingerprint == fingerprint  # neither path nor metadata
    other = save_tiny(tmp_path / "other", seed=1)
    assert load_encoder(other).fingerprint != fingerprint
    # The same graph with other weights: only variables/ differs.
    for name in os.listdir(copied / "variables"):
        shutil.copy(os.path.join(other, "variables", name), copied / "variables" / name)
    assert load_encoder(str(copied)).fingerprint != fingerprint


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"--saved_model=.*/none: no such folder"):
        load_encoder(str(tmp_path / "none"))


def test_a_run_instead_of_its_export(export):
    run = os.path.dirname(os.path.dirname(export))
    with pytest.raises(ValueError, match=r"no saved_model.pb in it. Did you mean .*/export/12\?"):
        load_encoder(run)


@pytest.mark.parametrize(
    "damaged",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_a_corrupt_export_is_one_line(copied, damaged):
    content = (copied / damaged).read_bytes()
    (copied / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"--saved_model=.*: cannot be loaded \(") as caught:
        load_encoder(str(copied))
    assert "\n" not in str(caught.value)


def test_missing_variables_are_one_line(copied):
    shutil.rmtree(copied / "variables")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_encoder(str(copied))


def test_corrupt_metadata_is_one_line(copied):
    (copied / "metadata.json").write_text('{"image_size": ')
    with pytest.raises(ValueError, match=r"metadata.json: not valid JSON"):
        load_encoder(str(copied))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"signature": "predict"}, "no signature serving_default .*, only predict"),
        ({"names": ("input_1", "embedding")}, r"is input_1 float32 \(None, None, None, 3\) → "),
        ({"names": ("image", "logits")}, r"→ logits float32 \(None, 5\); expected image float32"),
        ({"dtype": tf.uint8}, "is image uint8"),
        ({"shape": (4, None, None, 3)}, r"is image float32 \(4, None, None, 3\)"),
    ],
)
def test_another_signature_is_named(tmp_path, changes, found):
    folder = save_tiny(tmp_path / "1", **changes)
    with pytest.raises(ValueError, match=found):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("channels", "function", "found"),
    [
        (1, lambda image: tf.reduce_mean(image, [1, 2]), r"is image float32 \(None, None, None, 1"),
        (3, lambda image: image + 1, r"→ embedding float32 \(None, None, None, 3\); expected"),
    ],
    ids=["grey images", "a feature map"],
)
def test_other_shapes_are_named(tmp_path, channels, function, found):
    spec = tf.TensorSpec([None, None, None, channels], tf.float32, "image")
    serve = tf.function(lambda image: {"embedding": function(image)}, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"), signatures={"serving_default": serve})
    with pytest.raises(ValueError, match=found):
        load_encoder(str(tmp_path / "1"))
