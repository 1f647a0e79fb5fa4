import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.networks.heads import build_predictor, build_projector

NORMS = ["batch", "layer", "group_ws"]


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 24)).astype(np.float32)


def standardized(kernel):
    centred = kernel - kernel.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def slow_head(model, x, norm):
    """Dense → norm → ReLU → Dense in NumPy, in training mode."""
    hidden, bias = model.get_layer("hidden").get_weights()
    (last,) = model.get_layer("output").get_weights()
    gamma, beta = model.get_layer("norm").get_weights()[:2]
    if norm == "group_ws":
        hidden, last = standardized(hidden), standardized(last)
    y = x @ hidden + bias
    grouped = y.reshape(len(y), 32, -1) if norm == "group_ws" else y
    axis = 0 if norm == "batch" else -1
    grouped = (grouped - grouped.mean(axis, keepdims=True)) / np.sqrt(
        grouped.var(axis, keepdims=True) + 1e-5
    )
    return np.maximum(grouped.reshape(y.shape) * gamma + beta, 0) @ last


@pytest.mark.parametrize("norm", NORMS)
def test_equals_slow_twin(features, shake, norm):
    model = shake(build_projector(24, 64, 10, norm=norm))
    expected = slow_head(model, features.astype(np.float64), norm)
    outputs = model(features, training=True)
    assert outputs.shape == (6, 10)
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_mixes_images(features, shake, norm):
    model = shake(build_projector(24, 64, 10, norm=norm))
    alone = model(features[:2], training=True)
    change = np.abs(alone - model(features, training=True)[:2]).max()
    assert (change > 1e-2) == (norm == "batch")


def test_sizes_and_names():
    projector = build_projector(512, 512, 128, name="online_projector")
    predictor = build_predictor(128, 512, 128, name="online_predictor")
    assert projector.name == "online_projector"
    assert predictor.name == "online_predictor"
    assert predictor.output_shape == (None, 128)
    # Kernel, bias, scale and offset of the hidden layer; the last layer is a kernel only.
    count = sum(int(np.prod(v.shape)) for v in predictor.trainable_variables)
    assert count == 128 * 512 + 3 * 512 + 512 * 128


@pytest.mark.parametrize("norm", NORMS)
def test_every_weight_that_matters_gets_a_gradient(features, shake, norm):
    model = shake(build_projector(24, 64, 10, norm=norm))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(features, training=True) ** 3)
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert np.isfinite(gradient).all()
        if not (norm == "batch" and "hidden/bias" in variable.name):  # batch norm removes it
            assert np.abs(gradient).max() > 1e-3, variable.name


@pytest.mark.parametrize("norm", NORMS)
def test_sixteen_bits_end_in_float32(features, shake, sixteen_bits, norm):
    model = shake(build_projector(24, 256, 10, norm=norm))
    assert model.get_layer("hidden").compute_dtype == sixteen_bits[len("mixed_") :]
    outputs = model(features, training=True)
    assert outputs.dtype == tf.float32
    exact = slow_head(model, features, norm)
    np.testing.assert_allclose(outputs, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize("norm", NORMS)
def test_keras_file_round_trip(tmp_path, features, shake, norm):
    model = shake(build_predictor(24, 64, 24, norm=norm))
    model.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(loaded(features), model(features))


def test_synchronized_on_two_replicas_is_one_device(features, shake, mirrored):
    strategy = mirrored
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = shake(build_projector(24, 16, 10, synchronized=True))
    alone = shake(build_projector(24, 16, 10))
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(features.reshape(2, 3, 24)[context.replica_id_in_sync_group])
    )

    @tf.function
    def forward(x):
        return strategy.run(lambda rows: model(rows, training=True), args=(x,))

    outputs = tf.concat(strategy.experimental_local_results(forward(halves)), axis=0)
    np.testing.assert_allclose(outputs, alone(features, training=True), atol=1e-5)
    for shared, own in zip(model.get_weights(), alone.get_weights()):
        np.testing.assert_allclose(shared, own, atol=1e-5)


def test_user_errors():
    with pytest.raises(ValueError, match="norm=instance"):
        build_projector(24, 64, 10, norm="instance")
