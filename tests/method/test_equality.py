"""Which objectives are equal, against the table of terms that decides what is computed."""

import dataclasses
import itertools

import pytest

from msbreg_tf.method import equality
from msbreg_tf.method.equality import canonical
from msbreg_tf.method.objective import TERMS, Objective
from msbreg_tf.method.settings import METHODS, ObjectiveSettings


def settings(**values):
    return ObjectiveSettings(**values)


def test_msbreg_of_two_views_without_losses_is_byol():
    byol = canonical(settings(method="byol", num_views=2))
    assert canonical(settings(num_views=2, lambda_s=0.0, lambda_b=0.0)) == byol
    assert canonical(settings(method="byol_uniform", num_views=2, lambda_u=0.0)) == byol
    for other in (
        settings(num_views=4, lambda_s=0.0, lambda_b=0.0),
        settings(num_views=2, lambda_s=0.0, lambda_b=0.1),
        settings(num_views=2, lambda_s=0.1, lambda_b=0.0),
        settings(num_views=2, lambda_s=0.0, lambda_b=0.0, centroid="all"),
        settings(method="byol", num_views=2, tau_base=0.5),
        settings(method="batch_repetition", num_views=2),
    ):
        assert canonical(other) != byol


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"lambda_s": 0.0}, {"lambda_s": 0.0, "singular_value_form": "squares"}, True),
        ({"lambda_s": 0.1}, {"lambda_s": 0.1, "singular_value_form": "squares"}, False),
        ({"lambda_s": 0.0, "lambda_b": 0.0},
         {"lambda_s": 0.0, "lambda_b": 0.0, "regularize": "projector"}, True),
        ({"lambda_s": 0.0}, {"lambda_s": 0.0, "regularize": "projector"}, False),
        ({"lambda_u": 1.0}, {"lambda_u": 2.0}, True),
        ({"method": "batch_repetition"}, {"method": "batch_repetition", "centroid": "all"}, True),
        ({"method": "batch_repetition"}, {"method": "batch_repetition", "lambda_b": 9.0}, True),
        ({"method": "byol", "num_views": 2}, {"method": "byol_uniform", "num_views": 2}, False),
    ],
)  # fmt: skip
def test_settings_that_decide_nothing(one, other, equal):
    assert (canonical(settings(**one)) == canonical(settings(**other))) is equal


def test_equal_objectives_have_the_same_terms_and_weights():
    """Whatever the table of terms will be: equal canonical settings compute the same."""
    seen = {}
    zero_or = {t.weight: (0.0, 0.3) for t in TERMS.values() if t.weight}
    for method, *weights in itertools.product(METHODS, *zero_or.values()):
        given = settings(method=method, num_views=2, **dict(zip(zero_or, weights)))
        computed = Objective(given).weights
        assert seen.setdefault(canonical(given), computed) == computed
        assert Objective(canonical(given)).weights == computed
    assert len(seen) < len(METHODS) * 2 ** len(zero_or)


def test_every_setting_that_is_named_exists():
    names = {field.name for field in dataclasses.fields(ObjectiveSettings)}
    assert set(equality._DECIDES) <= names
    assert {t.weight for t in TERMS.values() if t.weight} == set(equality._WEIGHTS)
