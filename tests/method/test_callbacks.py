import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import LARS
from msbreg_tf.method.schedules import WarmupCosine
from tests.tiny import tiny_model, tiny_views


def one_step(model, *callbacks):
    model.fit(tiny_views(), verbose=0, callbacks=list(callbacks))


def test_lars_installs_itself_and_its_arithmetic_reaches_the_weights():
    """One step of SGD from rest moves each kernel by −lr · η‖w‖ in norm, whatever its gradient."""
    model = tiny_model(learning_rate=2.0)
    before = [v.numpy() for v in model.online_variables]
    one_step(model, LARS(trust_coefficient=0.01, weight_decay=0.0))
    kernels = 0
    for old, variable in zip(before, model.online_variables):
        if variable.shape.rank >= 2:
            kernels += 1
            moved = np.linalg.norm(variable.numpy() - old)
            assert moved == pytest.approx(2.0 * 0.01 * np.linalg.norm(old), rel=1e-4)
    assert kernels == 5


def test_lars_takes_effect_in_a_second_fit():
    """Keras keeps the step it traced in the first `fit`, which knew no LARS."""
    plain, scaled = tiny_model(), tiny_model()
    for model in (plain, scaled):
        one_step(model)
    one_step(plain)
    one_step(scaled, LARS())
    assert not np.allclose(
        plain.encoder.trainable_variables[0], scaled.encoder.trainable_variables[0]
    )


def test_trust_ratios_are_reported():
    model = tiny_model()
    logs = {}
    collect = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, new: logs.update(new))
    one_step(model, LARS(trust_coefficient=0.001), collect)
    assert 0 < logs["trust_ratio_min"] <= logs["trust_ratio_mean"] <= logs["trust_ratio_max"]


def test_lars_refuses_what_it_cannot_work_on():
    plain = keras.Sequential([keras.layers.Dense(1)])
    plain.compile(keras.optimizers.SGD(), "mse")
    with pytest.raises(ValueError, match=r"call `model\.lars\.adapt`"):
        plain.fit(tf.ones([1, 1]), tf.ones([1, 1]), verbose=0, callbacks=[LARS()])
    model = tiny_model()
    model.compile(keras.optimizers.Adam())
    with pytest.raises(ValueError, match="not Adam"):
        one_step(model, LARS())


def test_warmup_cosine_sets_the_rate_of_every_step():
    model = tiny_model()
    schedule = WarmupCosine(max_lr=4.0, warmup_steps=2, total_steps=6)
    rates = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: rates.append(float(model.optimizer.learning_rate.numpy()))
    )
    model.fit(tiny_views(steps=6), verbose=0, callbacks=[schedule, record])
    expected = [schedule.learning_rate(step) for step in range(6)]
    assert expected[:3] == [0.0, 2.0, 4.0]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_warmup_cosine_continues_from_the_optimizers_step():
    model = tiny_model()
    model.optimizer.iterations.assign(5)
    schedule = WarmupCosine(max_lr=4.0, warmup_steps=2, total_steps=6)
    one_step(model, schedule)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(schedule.learning_rate(5))


def test_warmup_cosine_refuses_several_steps_per_execution():
    model = tiny_model()
    model.compile(keras.optimizers.SGD(), steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution"):
        one_step(model, WarmupCosine(1.0, 0, 1))


def test_warmup_cosine_refuses_a_second_schedule():
    model = tiny_model()
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ValueError, match="float learning rate"):
        one_step(model, WarmupCosine(1.0, 0, 1))
