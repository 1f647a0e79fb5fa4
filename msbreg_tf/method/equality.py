"""Which objectives are one and the same, whatever their settings say. Nothing imports TensorFlow.

A term of weight 0 is never computed, so the settings of its form decide nothing; and MSBReg of two
views without its two losses is BYOL (supplement, section 5).
"""

import dataclasses
from collections.abc import Callable

from msbreg_tf.method.settings import ObjectiveSettings

# {setting: whether it decides anything, given the others}; one that is not listed always does.
_DECIDES: dict[str, Callable[[ObjectiveSettings], bool]] = {
    "lambda_s": lambda o: o.method == "msbreg",
    "lambda_b": lambda o: o.method == "msbreg",
    "lambda_u": lambda o: o.method == "byol_uniform",
    "singular_value_form": lambda o: o.method == "msbreg" and o.lambda_s > 0,
    "log_det_epsilon2": lambda o: (
        o.method == "msbreg" and o.lambda_s > 0 and o.singular_value_form == "log_det"
    ),
    "regularize": lambda o: o.method in ("msbreg", "byol_uniform") and _weights(o) > 0,
    "centroid": lambda o: o.method != "batch_repetition",
}
_WEIGHTS = ("lambda_s", "lambda_b", "lambda_u")


def canonical(objective: ObjectiveSettings) -> ObjectiveSettings:
    """The same objective with every setting that decides nothing at one fixed value.

    Two objectives compute the same, to the bit, if their canonical settings are equal.
    """
    idle = {
        field.name: 0.0 if field.name in _WEIGHTS else field.default
        for field in dataclasses.fields(objective)
        if field.name in _DECIDES and not _DECIDES[field.name](objective)
    }
    plain = dataclasses.replace(objective, **idle)
    if plain.num_views == 2 and plain.method in ("msbreg", "byol_uniform") and not _weights(plain):
        return dataclasses.replace(plain, method="byol")
    return plain


def weights_in_force(objective: ObjectiveSettings) -> dict[str, float]:
    """{setting: λ}, which is 0 where the method does not use it."""
    plain = canonical(objective)
    return {name: getattr(plain, name) for name in _WEIGHTS}


def _weights(objective: ObjectiveSettings) -> float:
    """Sum of the weights that the method uses."""
    own = {"msbreg": ("lambda_s", "lambda_b"), "byol_uniform": ("lambda_u",)}
    return sum(getattr(objective, name) for name in own.get(objective.method, ()))
