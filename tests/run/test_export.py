import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.run.export import export_encoder

SIZE = 16


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    encoder = build_resnet(
        "resnet18", image_size=SIZE, width=4, stem="cifar", norm="batch", name="online_encoder"
    )
    encoder(tf.random.uniform([32, SIZE, SIZE, 3], 0, 255), training=True)  # moves the statistics
    return encoder


@pytest.fixture(scope="module")
def export(encoder, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("export") / "12")
    return export_encoder(encoder, folder, image_size=SIZE, metadata={"step": 12})


def pixels(batch=3, height=SIZE, width=SIZE):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, [batch, height, width, 3], np.uint8)


def test_serving_default_equals_the_keras_model(encoder, export):
    serve = tf.saved_model.load(export).signatures["serving_default"]
    expected = encoder(pixels().astype(np.float32))
    for images in (pixels(), pixels().astype(np.float32)):  # both are accepted
        np.testing.assert_allclose(serve(image=images)["embedding"], expected, atol=1e-6)
    assert serve.structured_outputs["embedding"].dtype == tf.float32


def test_embed_takes_both_dtypes_of_tensor(encoder, export):
    loaded = tf.saved_model.load(export)
    expected = encoder(pixels().astype(np.float32))
    for dtype in (tf.uint8, tf.float32):
        np.testing.assert_allclose(loaded.embed(tf.cast(pixels(), dtype)), expected, atol=1e-6)


def test_serve_bytes_decodes_png_and_jpeg_of_any_size(export):
    loaded = tf.saved_model.load(export)
    images = [pixels(1)[0], pixels(1, 40, 24)[0]]
    encoded = [tf.io.encode_png(images[0]), tf.io.encode_jpeg(images[1], quality=100)]
    embedding = loaded.signatures["serve_bytes"](image_bytes=tf.stack(encoded))["embedding"]
    decoded = [images[0], tf.io.decode_jpeg(encoded[1]).numpy()]
    for row, image in zip(embedding, decoded):
        alone = loaded.signatures["serving_default"](image=image[None])["embedding"][0]
        np.testing.assert_allclose(row, alone, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (17, 90), (8, 8), (16, 31)])
def test_other_sizes_are_resized_and_cropped_to_the_centre(encoder, export, height, width):
    image = pixels(1, height, width).astype(np.float32)
    short = min(height, width)
    target = [max(SIZE, round(side * SIZE / short)) for side in (height, width)]
    resized = tf.image.resize(image, target, antialias=True)
    top, left = ((side - SIZE) // 2 for side in target)
    expected = encoder(resized[:, top : top + SIZE, left : left + SIZE])
    serve = tf.saved_model.load(export).signatures["serving_default"]
    np.testing.assert_allclose(serve(image=image)["embedding"], expected, atol=1e-5)


def test_loads_without_this_package(export, tmp_path):
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "m = tf.saved_model.load(sys.argv[1])\n"
        "image = np.zeros([2, 16, 16, 3], np.uint8)\n"
        "print(m.signatures['serving_default'](image=image)['embedding'].shape)\n"
        "assert not any(name.startswith('msbreg_tf') for name in sys.modules)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", script, export],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "(2, 32)" in result.stdout


def test_keras_file_is_the_encoder_and_can_be_fine_tuned(encoder, export):
    loaded = keras.models.load_model(os.path.join(export, "encoder.keras"))
    images = pixels().astype(np.float32)
    np.testing.assert_allclose(loaded(images), encoder(images), atol=1e-6)
    model = keras.Sequential([loaded, keras.layers.Dense(2)])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images, training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None for gradient in gradients)


def test_metadata_says_how_to_use_it(export):
    with open(os.path.join(export, "metadata.json")) as file:
        metadata = json.load(file)
    assert (metadata["image_size"], metadata["feature_size"], metadata["step"]) == (SIZE, 32, 12)
    assert "0–255" in metadata["preprocessing"]


def test_a_second_export_replaces_the_first_whole(encoder, export):
    export_encoder(encoder, export, image_size=SIZE, metadata={"step": 12})
    siblings = os.listdir(os.path.dirname(export))
    assert siblings == ["12"]


def test_an_encoder_on_two_replicas_exports_alike(mirrored, tmp_path):
    with mirrored.scope():
        encoder = build_resnet(
            "resnet18", image_size=SIZE, width=4, stem="cifar", norm="batch", synchronized=True,
            name="online_encoder",
        )  # fmt: skip
    folder = export_encoder(encoder, str(tmp_path / "1"), image_size=SIZE, metadata={})
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    expected = encoder(pixels().astype(np.float32))
    np.testing.assert_allclose(serve(image=pixels())["embedding"], expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["layer", "group_ws"])
def test_every_norm_and_precision_exports_in_float32(norm, tmp_path):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    encoder = build_resnet("resnet18", image_size=SIZE, width=4, stem="cifar", norm=norm)
    keras.mixed_precision.set_global_policy("float32")
    exact = build_resnet("resnet18", image_size=SIZE, width=4, stem="cifar", norm=norm)
    exact.set_weights(encoder.get_weights())
    expected = exact(pixels().astype(np.float32))
    folder = export_encoder(encoder, str(tmp_path / "1"), image_size=SIZE, metadata={})
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    np.testing.assert_allclose(serve(image=pixels())["embedding"], expected, atol=1e-5)
    loaded = keras.models.load_model(os.path.join(folder, "encoder.keras"))
    np.testing.assert_allclose(loaded(pixels().astype(np.float32)), expected, atol=1e-5)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
