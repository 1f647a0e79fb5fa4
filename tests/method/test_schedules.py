import math

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method.schedules import cosine_tau, warmup_cosine


def lr(step):
    return warmup_cosine(step, max_value=4.0, warmup_steps=10, total_steps=110)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (5, 2.0), (10, 4.0), (60, 2.0), (110, 0.0), (500, 0.0)],
)
def test_warmup_cosine_known_values(step, expected):
    assert lr(step) == pytest.approx(expected, abs=1e-12)


def test_warmup_cosine_rises_then_falls():
    values = [lr(step) for step in range(111)]
    assert np.all(np.diff(values[:11]) > 0)
    assert np.all(np.diff(values[10:]) < 0)


def test_no_warmup_starts_at_the_maximum():
    assert warmup_cosine(0, max_value=3.0, warmup_steps=0, total_steps=10) == 3.0


def test_cosine_tau_against_byols_formula():
    for step in (0, 17, 50, 100, 1000):
        expected = 1 - (1 - 0.9) * (math.cos(math.pi * min(step, 100) / 100) + 1) / 2
        tau = cosine_tau(tf.constant(step, tf.int64), tau_base=0.9, total_steps=100)
        assert float(tau) == pytest.approx(expected, abs=1e-6)
