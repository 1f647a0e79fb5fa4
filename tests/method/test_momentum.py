import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import LARS
from msbreg_tf.method.momentum import OutsideRateSGD, momentum_sgd
from msbreg_tf.method.schedules import WarmupCosine
from tests.tiny import tiny_model, tiny_views

RATES = [0.0, 0.5, 1.0, 0.25]
GRADIENTS = [1.0, -2.0, 0.5, 3.0]


def path_of(form, rates=RATES, momentum=0.9):
    """A weight that starts at 5, after every update."""
    weight, seen = tf.Variable(5.0), []
    optimizer = momentum_sgd(form, 1.0, momentum)
    for rate, gradient in zip(rates, GRADIENTS):
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(tf.constant(gradient), weight)])
        seen.append(float(weight))
    return seen


def slow_path(form, rates=RATES, momentum=0.9):
    weight, velocity, seen = 5.0, 0.0, []
    for rate, gradient in zip(rates, GRADIENTS):
        if form == "keras":
            velocity = momentum * velocity - rate * gradient
            weight += velocity
        else:
            velocity = momentum * velocity + gradient
            weight -= rate * velocity
        seen.append(weight)
    return seen


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_equals_slow_twin(form):
    np.testing.assert_allclose(path_of(form), slow_path(form), rtol=1e-6)


def test_the_forms_differ_while_the_rate_changes_and_only_then():
    assert not np.allclose(path_of("keras"), path_of("torch"))
    constant = [0.3] * 4
    np.testing.assert_allclose(path_of("keras", constant), path_of("torch", constant), rtol=1e-6)
    np.testing.assert_allclose(
        path_of("keras", momentum=0.0), path_of("torch", momentum=0.0), rtol=1e-6
    )


def test_the_rate_outside_meets_pytorch_after_a_warm_up_from_zero():
    """After a step at rate 0 the torch form already has a velocity, Keras's has none."""
    assert path_of("torch", [0.0, 1.0])[1] == pytest.approx(5 - (0.9 * 1 - 2))
    assert path_of("keras", [0.0, 1.0])[1] == pytest.approx(5 + 2)


def trained(steps, model=None, form="torch", begin=0):
    """A tiny model after LARS steps; continues `model` if one is given."""
    if model is None:
        model = tiny_model()
        model.compile(momentum_sgd(form, 0.1, 0.9))
        model.optimizer.build(model.online_variables)
    callbacks = [LARS(0.02, 0.01), WarmupCosine(max_lr=1.0, warmup_steps=2, total_steps=6)]
    views = tiny_views(steps=begin + steps).skip(begin)
    model.fit(views, steps_per_epoch=steps, verbose=0, callbacks=callbacks)
    return model


def test_with_lars_it_is_saved_and_continued_exactly(tmp_path):
    """Four steps in one go, and two, a checkpoint and two: the same weights to the bit."""
    whole = trained(4)
    half = trained(2)
    path = tf.train.Checkpoint(model=half, optimizer=half.optimizer).write(str(tmp_path / "half"))
    fresh = tiny_model()
    fresh.compile(momentum_sgd("torch", 0.1, 0.9))
    fresh.optimizer.build(fresh.online_variables)
    checkpoint = tf.train.Checkpoint(model=fresh, optimizer=fresh.optimizer)
    checkpoint.read(path).assert_existing_objects_matched()
    trained(2, fresh, begin=2)
    assert int(fresh.optimizer.iterations) == 4
    for ours, theirs in zip(fresh.online_variables, whole.online_variables):
        np.testing.assert_array_equal(ours, theirs)
    keras_form = trained(4, form="keras")
    assert not np.allclose(keras_form.online_variables[0], whole.online_variables[0])


def test_it_survives_a_config_and_unknown_forms_are_refused():
    optimizer = momentum_sgd("torch", 0.5, 0.7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, OutsideRateSGD)
    assert (again.momentum, float(again.learning_rate.numpy())) == (0.7, 0.5)
    with pytest.raises(ValueError, match=r"^momentum_form=nesterov: expected keras or torch"):
        momentum_sgd("nesterov", 0.5, 0.7)
