import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.operations.operation import integer_below
from msbreg_tf.augment.operations.table import OPERATIONS, columns, num_draws
from msbreg_tf.files.workdir import ARITHMETIC

SEED = tf.constant([3, 5])


def draws_of(count, num_views=4, seed=SEED):
    indices = tf.range(count, dtype=tf.int64)
    draw = tf.function(lambda i: image_draws(seed, i, num_views))
    return tf.map_fn(draw, indices, fn_output_signature=tf.float32).numpy()


def test_draws_are_uniform_and_independent():
    draws = draws_of(4000)
    assert draws.shape == (4000, 4, num_draws())
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    columns = draws.reshape(4000, -1)  # every column of every view
    np.testing.assert_allclose(columns.mean(0), 0.5, atol=5 * 0.289 / 4000**0.5)
    np.testing.assert_allclose(columns.std(0), 0.289, atol=0.015)
    # Between columns, between views and between neighbouring images; 5 sigma is 0.079.
    both = np.concatenate([columns[1:], columns[:-1]], axis=1)
    correlation = np.corrcoef(both, rowvar=False) - np.eye(both.shape[1])
    assert np.abs(correlation).max() < 0.09


def test_draws_depend_on_seed_and_index_only():
    draws = draws_of(3)
    np.testing.assert_array_equal(image_draws(SEED, tf.constant(2, tf.int64), 4), draws[2])
    np.testing.assert_array_equal(draws_of(3), draws)
    for seed in ([3, 6], [4, 5], [5, 3]):
        assert not np.any(draws_of(3, seed=tf.constant(seed)) == draws)


def test_a_view_is_the_same_among_few_and_many():
    few, many = draws_of(5, num_views=4), draws_of(5, num_views=8)
    np.testing.assert_array_equal(many[:, :4], few)


@pytest.mark.parametrize("names", [("solarize", "crop"), ("jitter",), tuple(OPERATIONS)[::-1]])
def test_an_operations_draws_depend_on_its_name_alone(names, monkeypatch):
    whole = {name: draws_of(5)[..., part] for name, part in columns().items()}
    chosen = {name: OPERATIONS[name] for name in names}
    for module in ("draws", "operations.table"):
        monkeypatch.setattr(f"msbreg_tf.augment.{module}.OPERATIONS", chosen)
    some = draws_of(5)
    for name, part in columns().items():
        np.testing.assert_array_equal(some[..., part], whole[name], err_msg=name)


def test_draws_are_the_ones_that_were_always_drawn():
    """If this fails, runs can't be continued: count `ARITHMETIC` up."""
    (draws,) = draws_of(1)
    first = {name: draws[[0, 3], part.start].tolist() for name, part in columns().items()}
    expected = {
        "crop": [0.0777903, 0.4842269],
        "flip": [0.4321419, 0.4833943],
        "jitter": [0.4512937, 0.9342782],
        "grey": [0.6464170, 0.5948551],
        "blur": [0.2577449, 0.6370326],
        "solarize": [0.6446400, 0.2872425],
    }
    assert ARITHMETIC == 3  # which changed no draws
    assert first.keys() == expected.keys()
    for name, values in expected.items():
        assert first[name] == pytest.approx(values, abs=1e-6), name


def test_whole_numbers_are_all_reached_and_none_is_too_large():
    draw = np.array([0, 0.24, 0.26, 0.5, 0.75, np.nextafter(np.float32(1), 0)], np.float32)
    np.testing.assert_array_equal(integer_below(4.0, draw), [0, 0, 1, 2, 3, 3])
    assert integer_below(3.0, draw[-1:]).numpy() == 2
