import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.run.build import build_model
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.determinism import reproducible_sums


@pytest.fixture
def _reproducible():
    with reproducible_sums():
        yield


def sums_of_a_tensor_used_four_times():
    """How many gradients TensorFlow adds at once where the tape has four of them."""

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.tanh(x)
            loss = sum(tf.reduce_sum(f(y)) for f in (tf.sin, tf.exp, tf.square, tf.tanh))
        return tape.gradient(loss, x)

    graph = gradient.get_concrete_function(tf.TensorSpec([3], tf.float32)).graph
    return [len(op.inputs) for op in graph.get_operations() if op.type == "AddN"]


def test_all_is_as_before_afterwards():
    def option():
        return tf.config.optimizer.get_experimental_options().get("arithmetic_optimization", True)

    before, sums = option(), sums_of_a_tensor_used_four_times()
    with reproducible_sums():
        assert (option(), sums_of_a_tensor_used_four_times()) == (False, [2, 2, 2])
    assert (option(), sums_of_a_tensor_used_four_times()) == (before, sums)
    assert sums == [4]


@pytest.mark.usefixtures("_reproducible")
def test_gradients_are_added_in_pairs_and_chains_are_not_merged():
    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.tanh(x)  # used four times, so that four gradients are added
            loss = sum(tf.reduce_sum(f(y)) for f in (tf.sin, tf.exp, tf.square, tf.tanh))
        return tape.gradient(loss, x)

    graph = gradient.get_concrete_function(tf.TensorSpec([3], tf.float32)).graph
    sums = [len(op.inputs) for op in graph.get_operations() if op.type == "AddN"]
    assert sums == [2, 2, 2]
    assert tf.config.optimizer.get_experimental_options()["arithmetic_optimization"] is False
    expected = tf.constant(0.3)
    with tf.GradientTape() as tape:
        tape.watch(expected)
        y = tf.tanh(expected)
        loss = tf.sin(y) + tf.exp(y) + tf.square(y) + tf.tanh(y)
    assert float(gradient(tf.fill([3], 0.3))[0]) == pytest.approx(
        float(tape.gradient(loss, expected)), rel=1e-6
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_reproducible")
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_same_steps_give_the_same_bits_at_a_size_where_threads_race(norm):
    """Without `reproducible_sums` the quickstart's second step differed every time."""
    config = config_from_settings({"encoder_width": 16, "stem": "cifar", "norm": norm})
    pixels = tf.random.stateless_uniform([2, 128, 4, 32, 32, 3], [0, 0], 0, 256, tf.int32)
    batches = tf.data.Dataset.from_tensor_slices(tf.cast(pixels, tf.uint8))
    histories = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = build_model(config, total_steps=10)
        model.optimizer.learning_rate = 0.5
        lines = []
        collect = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda _, logs: lines.append(dict(logs))  # noqa: B023
        )
        model.fit(batches, verbose=0, callbacks=[collect])
        histories.append(lines)
    assert len(histories[0]) == 2
    assert histories[0] == histories[1]
