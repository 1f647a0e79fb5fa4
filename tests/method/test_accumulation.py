"""A step in micro-batches against the same step at once, and against what METHOD.md says of it."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method import model as model_module
from msbreg_tf.method.accumulation import average_over_micro_batches
from msbreg_tf.method.lars import LARS
from msbreg_tf.method.schedules import WarmupCosine
from tests.tiny import tiny_model, tiny_views

# What does not look across images: equal to a step at once.
EXACT = {"norm": "layer", "lambda_s": 0.0, "lambda_b": 0.5}
BATCH = 16


def one_batch(**kwargs):
    return next(iter(tiny_views(**kwargs)))


def train(model, steps=4):
    """Some steps with LARS and the schedule; returns the logs of each."""
    lines = []
    model.fit(
        tiny_views(batch=BATCH, steps=steps),
        verbose=0,
        callbacks=[
            LARS(trust_coefficient=0.02, weight_decay=0.01),
            WarmupCosine(max_lr=1.0, warmup_steps=1, total_steps=steps + 1),
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: lines.append(logs)),
        ],
    )
    return lines


def changes(model):
    """What the steps did to weights, momenta and target, each as [(name, change)]."""
    start = tiny_model(**EXACT)
    pairs = []
    for part in ("online_variables", "optimizer", "target_encoder", "target_projector"):
        new, old = (getattr(m, part) for m in (model, start))
        pairs += zip(getattr(new, "variables", new), getattr(old, "variables", old))
    return [(new.name, new.numpy().astype(np.float64) - old.numpy()) for new, old in pairs]


def test_one_micro_batch_is_the_step_itself(monkeypatch):
    """So that runs without --accumulate_steps keep every bit."""
    monkeypatch.setattr(model_module, "average_over_micro_batches", None)  # calling it would raise
    assert train(tiny_model(**EXACT), steps=1)


def test_micro_batches_get_their_rows_seed_and_place():
    views, seen = tf.reshape(tf.range(8.0), [4, 2]), []

    def gradients_of(rows, seed, first_image):
        seen.append((rows.numpy().tolist(), seed, int(first_image)))
        return [tf.zeros([1])], {}

    average_over_micro_batches(gradients_of, views, "seed", tf.constant(10), 2)
    assert seen == [([[0, 1], [2, 3]], "seed", 10), ([[4, 5], [6, 7]], "seed", 12)]


def test_sums_go_in_the_order_of_the_rows():
    """(1e8 + 1) − 1e8 is 0 in float32, and 1 in any other order."""
    views = tf.constant([[1e8], [1.0], [-1e8], [0.0]])
    gradients, values = tf.function(average_over_micro_batches)(
        lambda rows, seed, first: ([rows[0]], {"first": tf.cast(first, tf.float32)}),
        views,
        tf.constant([0, 0]),
        tf.constant(0),
        4,
    )
    assert gradients[0].numpy().tolist() == [0.0]
    assert float(values["first"]) == (0 + 1 + 2 + 3) / 4


@pytest.mark.parametrize(("num_replicas", "parts"), [(1, 4), (2, 2)])
def test_equals_a_step_at_once_where_images_do_not_meet(mirrored, num_replicas, parts):
    """Terms, weights, momenta and target after several steps, also with the Brownian directions."""
    whole = tiny_model(**EXACT)
    strategy = mirrored if num_replicas == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        divided = tiny_model(accumulate_steps=parts, **EXACT)
    for one, other in zip(train(whole), train(divided)):
        assert one.keys() == other.keys()
        for name in one.keys() - {"std_spread"}:
            assert other[name] == pytest.approx(one[name], rel=2e-5, abs=1e-6), name
    expected, ours = changes(whole), changes(divided)
    assert len(expected) == len(ours)
    for (name, change), (_, other) in zip(expected, ours):
        atol = 3e-5 * np.abs(change).max() + 1e-7
        np.testing.assert_allclose(other, change, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_batch_norm_and_singular_values_see_a_micro_batch(mirrored, num_replicas):
    """The m-th parts of all replicas' images at a time; moving statistics move M times."""
    settings = {"lambda_s": 0.01, "lambda_b": 0.0}
    strategy = mirrored if num_replicas == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        model = tiny_model(synchronized=num_replicas == 2, accumulate_steps=2, **settings)
    twin = tiny_model(**settings)
    views = one_batch(batch=BATCH)
    lines = []
    log = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: lines.append(logs))
    model.fit(tiny_views(batch=BATCH), verbose=0, callbacks=[log])

    rows = np.arange(BATCH).reshape(num_replicas, 2, -1)  # [R, M, B/M]
    losses = [_singular_value_twin(twin, views, rows[:, m].ravel()) for m in range(2)]
    assert lines[0]["singular_value"] == pytest.approx(np.mean(losses), rel=1e-5)
    moving, expected = (m.encoder.non_trainable_variables for m in (model, twin))
    for ours, theirs in zip(moving, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    at_once = _singular_value_twin(tiny_model(**settings), views, np.arange(BATCH))
    assert abs(lines[0]["singular_value"] - at_once) > 1e-3


def _singular_value_twin(model, views, rows):
    """Σ_j (√D σ_j − 1)² of the embeddings of these images, by NumPy."""
    prediction, _ = model.embed(tf.gather(views, rows), training=True)
    p = prediction.numpy().reshape(-1, prediction.shape[-1]).astype(np.float64)
    sigma = np.linalg.svd(p / np.sqrt(len(p)), compute_uv=False)
    return np.sum((np.sqrt(p.shape[1]) * sigma - 1) ** 2)


def test_a_micro_batch_waits_for_the_one_before():
    """Or memory would hold the activations of several."""
    model = tiny_model(accumulate_steps=3, **EXACT)
    graph = tf.function(model.train_step).get_concrete_function(one_batch(batch=12)).graph
    forward = [op for op in graph.get_operations() if op.type == "Conv2D"]  # online and target
    backward_before = [
        sum(op.type == "Conv2DBackpropFilter" for op in _ancestors(convolution))
        for convolution in forward
    ]
    assert sorted(backward_before) == [0, 0, 1, 1, 2, 2]


def _ancestors(op):
    found, todo = set(), [op]
    while todo:
        current = todo.pop()
        for other in [*(tensor.op for tensor in current.inputs), *current.control_inputs]:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def test_loss_scaling_is_undone_once():
    keras.mixed_precision.set_global_policy("mixed_float16")
    whole, divided = (tiny_model(accumulate_steps=parts, **EXACT) for parts in (1, 4))
    views = one_batch(batch=BATCH)
    expected, ours = (model.train_step(views) for model in (whole, divided))
    for name in ("loss", "brownian", "gradient_norm"):
        assert float(ours[name]) == pytest.approx(float(expected[name]), rel=0.02), name
    assert {v.dtype for v in divided.online_variables} == {tf.float32}
    divided.optimizer.inner_optimizer  # noqa: B018 - loss scaling was on
    scale = float(divided.optimizer.loss_scale)
    before = [v.numpy() for v in divided.online_variables]
    divided.train_step(tf.fill([BATCH, 4, 8, 8, 3], float("inf")))
    assert float(divided.optimizer.loss_scale) == scale / 2  # an overflow in one skips the step
    for old, variable in zip(before, divided.online_variables):
        np.testing.assert_array_equal(old, variable)


def test_a_batch_that_cannot_be_divided_is_one_line():
    model = tiny_model(accumulate_steps=3, **EXACT)
    with pytest.raises(ValueError, match=r"accumulate_steps=3: .* 16 images") as error:
        model.train_step(one_batch(batch=16))
    assert "\n" not in str(error.value)


def test_a_keras_file_keeps_the_number(tmp_path):
    tiny_model(accumulate_steps=2).save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").accumulate_steps == 2
