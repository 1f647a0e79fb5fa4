import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import LARS
from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.schedules import WarmupCosine
from tests.tiny import tiny_model, tiny_views

EVERY_TERM = {"lambda_s": 0.01, "lambda_b": 0.5}


def one_batch(**kwargs):
    return next(iter(tiny_views(**kwargs)))


def weights(model):
    """Weights and moving statistics of all five networks; `model.weights` holds metrics too."""
    online = (model.encoder, model.projector, model.predictor)
    networks = (*online, model.target_encoder, model.target_projector)
    return [v.numpy().copy() for network in networks for v in network.variables]


class ByHand:
    """BYOL as its paper writes it: two networks, two views, symmetrised loss, momentum SGD, EMA."""

    def __init__(self, model: MSBReg, learning_rate: float):
        self.model = model
        self.learning_rate = learning_rate
        self.momenta = [tf.zeros_like(v) for v in model.online_variables]

    def step(self, views, tau):
        m = self.model
        first_then_second = tf.reshape(tf.cast(views, tf.float32), [-1, *views.shape[2:]])
        z = m.target_projector(m.target_encoder(first_then_second, training=True), training=True)
        with tf.GradientTape() as tape:
            y = m.projector(m.encoder(first_then_second, training=True), training=True)
            p = m.predictor(y, training=True)
            p1, p2, z1, z2 = p[0::2], p[1::2], z[0::2], z[1::2]
            symmetrised = self.error(p1, z2) + self.error(p2, z1)
            loss = tf.reduce_mean(symmetrised) / 2
        gradients = tape.gradient(loss, m.online_variables)
        for i, (variable, gradient) in enumerate(zip(m.online_variables, gradients)):
            self.momenta[i] = 0.9 * self.momenta[i] - self.learning_rate * gradient
            variable.assign_add(self.momenta[i])
        for target, online in m.target_pairs():
            target.assign(tau * target + (1 - tau) * online)
        return loss

    @staticmethod
    def error(p, z):
        cosine = tf.reduce_sum(p * z, 1) / (tf.norm(p, axis=1) * tf.norm(z, axis=1))
        return 2 - 2 * cosine


@pytest.mark.parametrize("settings", [{"method": "byol"}, {"lambda_s": 0.0, "lambda_b": 0.0}])
def test_two_views_without_regularizers_are_byol(settings):
    model = tiny_model(num_views=2, total_steps=10**9, tau_base=0.9, **settings)
    twin = ByHand(tiny_model(num_views=2, total_steps=1), learning_rate=0.05)
    twin.model.set_weights(model.get_weights())
    for step in range(3):
        views = one_batch(num_views=2, seed=step)
        expected = twin.step(views, tau=0.9)
        np.testing.assert_allclose(model.train_step(views)["loss"], expected, rtol=1e-5)
    for ours, theirs in zip(model.get_weights(), twin.model.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_target_follows_by_ema_alone():
    model = tiny_model(tau_base=0.7, **EVERY_TERM)
    model.train_step(one_batch())  # until here both start from the same weights
    before = [target.numpy() for target, _ in model.target_pairs()]
    metrics = model.train_step(one_batch(seed=1))
    tau = float(metrics["tau"])
    assert 0.7 < tau < 1.0
    for old, (target, online) in zip(before, model.target_pairs()):
        np.testing.assert_allclose(target, tau * old + (1 - tau) * online.numpy(), atol=1e-6)


def test_every_online_variable_learns():
    model = tiny_model(**EVERY_TERM)
    before = [v.numpy() for v in model.online_variables]
    model.fit(tiny_views(steps=3), verbose=0)
    unmoved = [
        v.name for old, v in zip(before, model.online_variables) if np.array_equal(old, v.numpy())
    ]
    assert unmoved == []


def test_target_statistics_are_its_own():
    model = tiny_model(**EVERY_TERM)
    model.fit(tiny_views(steps=3), verbose=0)
    moving = [
        [w.numpy() for w in network.non_trainable_variables]
        for network in (model.encoder, model.target_encoder)
    ]
    for online, target in zip(*moving):
        assert not np.allclose(target, 0)
        assert not np.array_equal(online, target)


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({"num_views": 2, "method": "byol"}, ["centroid"]),
        ({"num_views": 2, "method": "byol_uniform"}, ["centroid", "uniformity"]),
        ({"method": "batch_repetition"}, ["next_view"]),
        ({"lambda_b": 0.0}, ["centroid", "singular_value"]),
        ({"num_views": 3}, ["centroid", "singular_value", "brownian"]),
        ({"num_views": 8, "centroid": "all"}, ["centroid", "singular_value", "brownian"]),
        ({"regularize": "projector", "singular_value_form": "squares"},
         ["centroid", "singular_value", "brownian"]),
    ],
)  # fmt: skip
def test_a_method_has_its_terms_and_the_loss_is_their_weighted_sum(settings, terms):
    model = tiny_model(**settings)
    metrics = model.train_step(one_batch(num_views=settings.get("num_views", 4)))
    weighted = model.objective.weights
    assert list(weighted) == terms
    expected = sum(weight * float(metrics[name]) for name, weight in weighted.items())
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-6)


def test_regularizers_act_where_they_are_told():
    on_predictor, on_projector = (
        tiny_model(regularize=where, **EVERY_TERM).train_step(one_batch())
        for where in ("predictor", "projector")
    )
    assert float(on_predictor["centroid"]) == float(on_projector["centroid"])
    assert float(on_predictor["singular_value"]) != float(on_projector["singular_value"])


@pytest.mark.parametrize(
    "settings",
    [
        EVERY_TERM,
        {**EVERY_TERM, "singular_value_form": "squares"},
        {**EVERY_TERM, "singular_value_form": "log_det", "centroid": "unit"},
        {"method": "byol_uniform", "num_views": 2},
    ],
)
def test_two_replicas_equal_one(mirrored, settings):
    """Loss terms, weights, momenta and target after three LARS steps on the same global batches."""
    single = tiny_model(synchronized=True, **settings)
    with mirrored.scope():
        double = tiny_model(synchronized=True, **settings)
    double.set_weights(single.get_weights())
    histories = []
    for model in (single, double):
        lines = []
        callbacks = [
            LARS(trust_coefficient=0.02, weight_decay=0.01),
            WarmupCosine(max_lr=1.0, warmup_steps=1, total_steps=4),
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: lines.append(logs)),  # noqa: B023
        ]
        views = tiny_views(num_views=settings.get("num_views", 4), steps=3)
        model.fit(views, verbose=0, callbacks=callbacks)
        histories.append(lines)
    assert [len(lines) for lines in histories] == [3, 3]
    for one, two in zip(*histories):
        assert one.keys() == two.keys()
        # `std_spread` is each replica's own, averaged: a monitor, not a loss.
        for name in one.keys() - {"std_spread"}:
            np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=1e-5, err_msg=name)
    for one, two in zip(weights(single), weights(double)):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=2e-5)
    for one, two in zip(single.optimizer.variables, double.optimizer.variables):
        np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_losses_and_weights_in_float32(policy):
    keras.mixed_precision.set_global_policy(policy)
    model = tiny_model(**EVERY_TERM)
    metrics = model.train_step(one_batch())
    assert {value.dtype for value in metrics.values()} == {tf.float32}
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert {v.dtype for v in model.online_variables} == {tf.float32}
    keras.mixed_precision.set_global_policy("float32")
    exact = tiny_model(**EVERY_TERM)
    exact_metrics = exact.train_step(one_batch())
    assert float(metrics["loss"]) == pytest.approx(float(exact_metrics["loss"]), rel=0.02)
    # Loss scaling must be undone before anyone looks at the gradients.
    assert float(metrics["gradient_norm"]) == pytest.approx(
        float(exact_metrics["gradient_norm"]), rel=0.1
    )


def test_keras_file_round_trip(tmp_path):
    model = tiny_model(**EVERY_TERM)
    model.fit(tiny_views(steps=2), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = tf.reshape(one_batch(seed=5), [-1, 8, 8, 3])
    np.testing.assert_array_equal(model(images), loaded(images))
    assert loaded.objective == model.objective
    for ours, theirs in zip(weights(model), weights(loaded)):
        np.testing.assert_array_equal(ours, theirs)


def test_same_seed_same_step_and_other_seed_other_noise():
    first, again = (tiny_model(**EVERY_TERM).train_step(one_batch()) for _ in range(2))
    assert float(first["brownian"]) == float(again["brownian"])
    model = tiny_model(**EVERY_TERM)
    model.seed = 4
    assert float(model.train_step(one_batch())["brownian"]) != float(first["brownian"])


def test_noise_differs_between_steps():
    model = tiny_model(lambda_b=1.0, lambda_s=0.0, learning_rate=0.0, tau_base=1.0)
    values = [float(model.train_step(one_batch())["brownian"]) for _ in range(2)]
    assert values[0] != values[1]
