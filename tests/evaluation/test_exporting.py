import errno
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow import keras

from msbreg_tf.data.images.decoding import decode_any
from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation import exporting
from msbreg_tf.evaluation.exporting import export_classifier, export_encoder
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.serving import messages
from msbreg_tf.evaluation.serving.warmup import RECORD, replay_warmup, write_warmup
from msbreg_tf.networks.resnet import build_resnet

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
    for row, contents in zip(embedding, encoded):
        image = resize_and_crop(decode_any(contents), SIZE)
        alone = loaded.signatures["serving_default"](image=tf.cast(image, tf.float32)[None])
        np.testing.assert_allclose(row, alone["embedding"][0], atol=1e-5)


def test_an_image_that_can_not_be_decoded_fails_no_other(export):
    """So that the clients whose images a server merges into one batch do not depend on another."""
    serve = tf.saved_model.load(export).signatures["serve_bytes"]
    good = [tf.io.encode_png(pixels(1)[0]).numpy(), tf.io.encode_jpeg(pixels(1, 40, 24)[0]).numpy()]
    clean = serve(image_bytes=tf.constant(good))
    assert clean["valid"].numpy().tolist() == [True, True]
    bad = [good[0][:60], b"", b"text", good[1][:200], b"GIF89a", b"BM", b"\xff\xd8\xff"]
    found = serve(image_bytes=tf.constant([bad[0], good[0], *bad[1:], good[1]]))
    valid = [False, True, *[False] * 6, True]
    assert found["valid"].numpy().tolist() == valid
    np.testing.assert_allclose(found["embedding"][1::7], clean["embedding"], rtol=1e-4, atol=1e-5)
    assert np.isnan(found["embedding"].numpy()[~np.array(valid)]).all()


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


def test_the_keras_file_refuses_images_of_another_size(export):
    loaded = keras.models.load_model(os.path.join(export, "encoder.keras"))
    with pytest.raises(ValueError, match="expected shape"):
        loaded(pixels(1, 24, 24).astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_gives_nan_and_the_others_their_features(export, value):
    serve = tf.saved_model.load(export).signatures["serving_default"]
    images = pixels(3).astype(np.float32)
    clean = serve(image=images)["embedding"].numpy()
    images[1, 3, 4, 0] = value
    found = serve(image=images)["embedding"].numpy()
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])


def test_no_image_gives_no_row(export):
    loaded = tf.saved_model.load(export)
    for size in (SIZE, 40):
        empty = np.zeros([0, size, size, 3], np.float32)
        assert loaded.signatures["serving_default"](image=empty)["embedding"].shape == (0, 32)
    none = tf.constant([], tf.string)
    assert loaded.signatures["serve_bytes"](image_bytes=none)["embedding"].shape == (0, 32)


def test_the_smallest_image(export):
    serve = tf.saved_model.load(export).signatures["serving_default"]
    assert np.isfinite(serve(image=pixels(2, 1, 1))["embedding"]).all()


@pytest.mark.parametrize("kind", ["turned", "palette BMP", "photograph", "animation"])
def test_bytes_are_read_as_training_and_tools_read_them(export, kind):
    """The very pixels that tools.embed and training have: equal features, to the bit."""
    picture = Image.fromarray(pixels(1, 40, 24)[0])
    options = {}
    if kind == "turned":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    elif kind == "palette BMP":
        picture = picture.quantize(20)
    elif kind == "animation":
        options = {"save_all": True, "append_images": [picture.rotate(90)]}
    buffer = io.BytesIO()
    form = {"palette BMP": "BMP", "animation": "GIF"}.get(kind, "JPEG")
    picture.save(buffer, form, **options)
    loaded = tf.saved_model.load(export)
    served = loaded.signatures["serve_bytes"](image_bytes=tf.constant([buffer.getvalue()]))
    square = resize_and_crop(decode_any(tf.constant(buffer.getvalue())), SIZE)
    expected = loaded.signatures["serving_default"](image=tf.cast(square, tf.float32)[None])
    np.testing.assert_array_equal(served["embedding"], expected["embedding"])


def test_the_same_weights_have_the_same_fingerprint_however_often_they_are_written(
    encoder, export, tmp_path
):
    again = export_encoder(encoder, str(tmp_path / "3"), image_size=SIZE, metadata={"step": 3})
    assert load_encoder(again).fingerprint == load_encoder(export).fingerprint
    other = export_encoder(encoder, str(tmp_path / "4"), image_size=SIZE + 1, metadata={})
    assert load_encoder(other).fingerprint != load_encoder(export).fingerprint
    changed = keras.models.clone_model(encoder)
    weights = encoder.get_weights()
    weights[0] = weights[0] + 1e-3
    changed.set_weights(weights)
    third = export_encoder(changed, str(tmp_path / "5"), image_size=SIZE, metadata={})
    assert load_encoder(third).fingerprint != load_encoder(export).fingerprint


def test_a_full_disk_is_one_line_and_leaves_nothing(encoder, tmp_path, monkeypatch):
    """Keras's own error of a full disk hides the disk's; the line names it."""

    def full(*_, **__):
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "encoder.keras")
        except OSError as error:
            raise RuntimeError("generator raised StopIteration") from error

    monkeypatch.setattr(keras.Model, "save", full)
    with pytest.raises(RunFailedError, match=r"No space left on device.*Make room") as caught:
        export_encoder(encoder, str(tmp_path / "1"), image_size=SIZE, metadata={})
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_an_export_carries_two_small_requests_that_it_answers(export):
    assert os.path.getsize(os.path.join(export, RECORD)) < 2000
    assert replay_warmup(export) == 2


def test_warm_up_requests_are_run_before_an_export_gets_its_name(encoder, tmp_path, monkeypatch):
    def write_another(folder, size):
        log = messages.PredictionLog()
        log.predict_log.request.model_spec.signature_name = "serve_bytes"
        value = tf.make_tensor_proto([b"no image"]).SerializeToString()
        log.predict_log.request.inputs.add(key="image_bytes", value=value)
        write_warmup(folder, size)
        with tf.io.TFRecordWriter(os.path.join(folder, RECORD)) as file:
            file.write(log.SerializeToString())

    monkeypatch.setattr(exporting, "replay_warmup", replay_warmup)
    monkeypatch.setattr(exporting, "write_warmup", write_another)
    expected = r"its own warm-up request \(serve_bytes gives embedding that is not finite\)"
    with pytest.raises(RunFailedError, match=expected):
        export_encoder(encoder, str(tmp_path / "2"), image_size=SIZE, metadata={})
    assert os.listdir(tmp_path) == []


def test_floats_between_0_and_1_are_noticed(export, capsys):
    loaded = load_encoder(export)
    loaded.embed(pixels(1).astype(np.float32))
    assert capsys.readouterr().err == ""
    loaded = load_encoder(export)
    for _ in range(2):
        loaded.embed(pixels(1).astype(np.float32) / 255)
    assert capsys.readouterr().err.count("takes pixels between 0 and 255") == 1


def test_a_classifier_says_label_and_probabilities(encoder, tmp_path):
    keras.utils.set_random_seed(3)
    output = keras.layers.Dense(3, "softmax")(encoder.outputs[0])
    classifier = keras.Model(encoder.inputs, output)
    classes = ["cat", "dog", "hüpfer"]
    folder = export_classifier(
        classifier, str(tmp_path / "1"), classes=classes, image_size=SIZE, metadata={}
    )
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    images = pixels(4).astype(np.float32)
    expected = classifier(images).numpy()
    images[3, 0, 0, 0] = np.nan
    found = serve(image=images)
    np.testing.assert_allclose(found["probabilities"][:3], expected[:3], atol=1e-6)
    assert np.isnan(found["probabilities"][3]).all()
    labels = [label.decode() for label in found["label"].numpy()]
    assert labels == [classes[i] for i in expected[:3].argmax(axis=1)] + [""]
    reloaded = keras.models.load_model(os.path.join(folder, "classifier.keras"))
    np.testing.assert_allclose(reloaded(pixels(4).astype(np.float32)), expected, atol=1e-6)
    with open(os.path.join(folder, "metadata.json")) as file:
        assert json.load(file)["classes"] == classes


def test_metadata_says_how_to_use_it(export):
    with open(os.path.join(export, "metadata.json")) as file:
        metadata = json.load(file)
    assert (metadata["image_size"], metadata["feature_size"], metadata["step"]) == (SIZE, 32, 12)
    assert "0–255" in metadata["preprocessing"]
    assert "tf_keras" in metadata["loads_in"]["encoder.keras"]


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
