import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.networks.resnet import build_resnet

from . import torchvision_twin

NORMS = ["batch", "layer", "group_ws"]


def num_trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("encoder", "count", "size"), [("resnet18", 11_176_512, 512), ("resnet50", 23_508_032, 2048)]
)
def test_has_torchvisions_parameters(encoder, count, size):
    model = build_resnet(encoder)
    assert num_trainable(model) == count  # torchvision's, less its fc
    assert model.output_shape == (None, size)
    assert model.input_shape == (None, None, None, 3)


@pytest.mark.parametrize("encoder", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("side", [(32, 32), (35, 46), (49, 33)])
def test_equals_torchvisions_forward_pass(images, shake, encoder, stem, side):
    if stem == "cifar":
        side = (side[0] // 2, side[1] // 2)
    model = shake(build_resnet(encoder, width=4, stem=stem))
    batch = images(2, *side)
    expected = getattr(torchvision_twin, encoder)(model, stem)(batch)
    features = model(batch, training=False)
    assert features.dtype == tf.float32
    assert expected.std() > 0.1
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("stem", "size", "sides"), [("imagenet", 64, [16, 8, 4, 2]), ("cifar", 32, [32, 16, 8, 4])]
)
def test_map_sizes(images, stem, size, sides):
    model = build_resnet("resnet18", width=4, stem=stem)
    ends = [model.get_layer(f"layer{stage}.1.relu").output for stage in (1, 2, 3, 4)]
    maps = keras.Model(model.input, ends)(images(1, size, size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (side, side, 4 * 2**stage) for stage, side in enumerate(sides)
    ]


@pytest.mark.parametrize("norm", NORMS)
def test_every_weight_gets_a_gradient(images, norm):
    model = build_resnet("resnet18", width=4, stem="cifar", norm=norm)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(3, 16, 16), training=True) ** 2)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables)
    ):
        assert np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_mixes_images(images, norm):
    model = build_resnet("resnet18", width=8, stem="cifar", norm=norm)
    first, other = images(4, 16, 16), images(4, 16, 16, seed=1)
    other[0] = first[0]
    change = np.abs(model(first, training=True)[0] - model(other, training=True)[0]).max()
    assert (change > 1e-3) == (norm == "batch")
    if norm != "batch":
        np.testing.assert_allclose(
            model(first, training=True), model(first, training=False), atol=1e-6
        )


def test_layer_norm_is_over_the_whole_image(images):
    """Zero mean and unit variance over (H, W, C), with a scale and an offset per channel."""
    model = build_resnet("resnet18", width=8, stem="cifar", norm="layer")
    normalized = keras.Model(model.input, model.get_layer("bn1").output)(images(3, 16, 16))
    np.testing.assert_allclose(tf.reduce_mean(normalized, axis=[1, 2, 3]), 0.0, atol=1e-5)
    np.testing.assert_allclose(tf.math.reduce_std(normalized, axis=[1, 2, 3]), 1.0, atol=1e-3)
    assert np.abs(tf.reduce_mean(normalized, axis=[1, 2])).max() > 0.05
    assert [w.shape for w in model.get_layer("bn1").get_weights()] == [(8,), (8,)]


@pytest.mark.parametrize("encoder", ["resnet18", "resnet50"])
def test_no_strided_pointwise_convolution(encoder):
    """oneDNN corrupts memory in the gradient of one with few channels (oneDNN issue 6035)."""
    convs = [x for x in build_resnet(encoder, width=4).layers if "conv" in type(x).__name__.lower()]
    assert {conv.strides for conv in convs if conv.kernel_size == (1, 1)} == {(1, 1)}
    assert sum(conv.strides == (2, 2) for conv in convs) == 4  # the stem, and stages 2 to 4


@pytest.mark.parametrize("norm", NORMS)
def test_sixteen_bits_end_in_float32(images, sixteen_bits, norm):
    model = build_resnet("resnet18", width=8, stem="cifar", norm=norm)
    assert model.get_layer("conv1").compute_dtype == sixteen_bits[len("mixed_") :]
    assert all(w.dtype == tf.float32 for w in model.weights)
    batch = images(4, 16, 16)
    features = model(batch, training=True)
    assert features.dtype == tf.float32
    keras.mixed_precision.set_global_policy("float32")
    exact = build_resnet("resnet18", width=8, stem="cifar", norm=norm)
    exact.set_weights(model.get_weights())
    error = np.abs(features - exact(batch, training=True)).max() / np.abs(features).max()
    assert 0 < error < (0.02 if sixteen_bits == "mixed_float16" else 0.1)


@pytest.mark.parametrize("norm", NORMS)
def test_keras_file_round_trip(tmp_path, images, shake, norm):
    model = shake(build_resnet("resnet18", width=8, norm=norm))
    model.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    batch = images(2, 40, 40)
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_seed_decides_initial_weights():
    def weights(seed):
        tf.keras.utils.set_random_seed(seed)
        return build_resnet("resnet18", width=4).get_weights()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    kernels = [(a, b) for a, b in zip(first, other) if a.ndim == 4]
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_kernels_start_he_normal_over_the_fan_out():
    kernel = build_resnet("resnet18").get_layer("layer2.0.conv1").get_weights()[0]
    assert kernel.shape == (3, 3, 64, 128)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)
    assert np.abs(kernel).max() > 3 * kernel.std()  # not truncated


def test_uint8_images_mean_the_same(images):
    model = build_resnet("resnet18", width=4, stem="cifar")
    batch = images(2, 16, 16).astype(np.uint8)
    np.testing.assert_array_equal(model(batch), model(batch.astype(np.float32)))


def test_user_errors():
    with pytest.raises(ValueError, match="encoder=vgg"):
        build_resnet("vgg")
    with pytest.raises(ValueError, match="stem=patch"):
        build_resnet("resnet18", stem="patch")
    with pytest.raises(ValueError, match="norm=none"):
        build_resnet("resnet18", norm="none")
    with pytest.raises(ValueError, match=r"image_size=31.*stem=cifar"):
        build_resnet("resnet18", image_size=31)
    with pytest.raises(ValueError, match="image_size=7"):
        build_resnet("resnet18", image_size=7, stem="cifar")
