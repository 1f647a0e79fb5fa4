"""A few steps of training on some replicas, and all that should not depend on how many they are."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import LARS
from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.objective import TERMS, Objective
from msbreg_tf.method.schedules import WarmupCosine
from msbreg_tf.method.settings import ObjectiveSettings
from msbreg_tf.run.parity.comparing import MOVING_VARIANCES, Record

STEPS = 3
# Larger than in training, so that a step changes a kernel by 2 % and an error in it shows.
_TRUST_COEFFICIENT, _WEIGHT_DECAY, _MAX_LR = 0.1, 0.01, 0.1


# Choices that a term leaves open, each compared as a term of its own: {name: (term, settings)}.
_VARIANTS = {
    "singular_value_squares": ("singular_value", {"singular_value_form": "squares"}),
    "singular_value_log_det": ("singular_value", {"singular_value_form": "log_det"}),
    "centroid_unit": ("centroid", {"centroid": "unit"}),
    "centroid_unit_others": ("centroid", {"centroid": "unit_others"}),
}
# Where a setting's default would drown the other terms, or hide in them.
_WEIGHTS = {
    "singular_value_squares": 0.0002,
    "singular_value_log_det": 0.004,
    "centroid_unit": 0.5,
    "centroid_unit_others": 0.5,
}


@dataclasses.dataclass(frozen=True)
class EveryTerm(Objective):
    """All terms of all methods at once, and their variants."""

    @property
    def weights(self):
        """Weights that give every term a visible part of the gradient."""
        defaults = ObjectiveSettings().values()
        weights = {name: defaults.get(term.weight) or 1.0 for name, term in TERMS.items()}
        return {**weights, **_WEIGHTS}

    def terms(self, embeddings):
        """As `Objective.terms`."""
        values = {name: term.loss(embeddings) for name, term in TERMS.items()}
        for name, (term, changes) in _VARIANTS.items():
            settings = dataclasses.replace(embeddings.settings, **changes)
            values[name] = TERMS[term].loss(dataclasses.replace(embeddings, settings=settings))
        return values


class _Recorder(LARS):
    """LARS that keeps the aggregated gradients which it is given."""

    def __init__(self, record: Record):
        super().__init__(_TRUST_COEFFICIENT, _WEIGHT_DECAY)
        self.record = record

    def on_train_begin(self, logs=None):
        strategy = self.model.distribute_strategy
        with strategy.scope():  # variables that a replica may assign
            self._kept = [
                tf.Variable(
                    tf.zeros(v.shape),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
                for v in self.model.online_variables
            ]
        super().on_train_begin(logs)

    def on_train_batch_end(self, batch, logs=None):
        step = f"step {batch + 1}"
        for name in [*self.model.objective.weights, "loss", "gradient_norm"]:
            self._append(name, step, logs[name])
        for name in ("min", "mean", "max"):
            self._append("trust ratios", f"{name}, {step}", logs[f"trust_ratio_{name}"])
        for variable, kept in zip(self.model.online_variables, self._kept):
            self._append("gradients", f"{variable.name}, {step}", kept.numpy())

    def adapt(self, gradients, weights):
        for kept, gradient in zip(self._kept, gradients):
            kept.assign(gradient)
        return super().adapt(gradients, weights)

    def _append(self, quantity: str, name: str, value) -> None:
        self.record.setdefault(quantity, []).append((name, np.asarray(value, np.float64)))


def record_steps(
    build: Callable[[], MSBReg], strategy: tf.distribute.Strategy, batches: np.ndarray
) -> Record:
    """Trains on `batches` and returns everything that should not depend on the replicas.

    Args:
      build: makes the compiled model, always with the same initial weights; called in the scope of
        `strategy`.
      strategy: the replicas.
      batches: uint8 [steps, N, K, S, S, 3].

    Returns:
      {quantity: [(name, float64 array)]}. Weights, target and statistics are *changes* since the
      start: beside the weights themselves, a wrong step would look like rounding.
    """
    with strategy.scope():
        model = build()
        model.objective = EveryTerm(model.objective.settings)
    _smooth(model)
    start = _state(model)
    record: Record = {
        "initial weights": [(name, v) for name, v in start["weights"] + start["target weights"]]
    }
    schedule = WarmupCosine(_MAX_LR, warmup_steps=1, total_steps=len(batches) + 1)
    views = tf.data.Dataset.from_tensor_slices(batches)
    model.fit(views, verbose=0, callbacks=[_Recorder(record), schedule])
    for quantity, entries in _state(model).items():
        pairs = zip(entries, start[quantity])
        record[quantity] = [(name, after - before) for (name, after), (_, before) in pairs]
    record["replicas' copies"] = _differences_of_copies(model)
    return record


def _smooth(model: MSBReg) -> None:
    """Makes every ReLU a softplus.

    In a ResNet-18, rounding puts some unit on the other side of ReLU's kink in every step. That was
    measured to change an entry of a gradient by 2 %: no tolerance could tell it from a mistake.
    """
    networks = (model.encoder, model.projector, model.predictor)
    for network in (*networks, model.target_encoder, model.target_projector):
        for layer in network.layers:
            if isinstance(layer, keras.layers.ReLU):
                layer.call = tf.nn.softplus


def _variables(model: MSBReg) -> dict[str, list[tf.Variable]]:
    online = (model.encoder, model.projector, model.predictor)
    target = (model.target_encoder, model.target_projector)
    statistics = [v for n in online + target for v in n.non_trainable_variables]
    return {
        "weights": model.online_variables,
        "momenta": [v for v in model.optimizer.variables if v.shape.rank],
        "target weights": [v for n in target for v in n.trainable_variables],
        "moving means": [v for v in statistics if "mean" in v.name],
        MOVING_VARIANCES: [v for v in statistics if "variance" in v.name],
    }


def _state(model: MSBReg) -> Record:
    return {
        quantity: [(v.name, v.numpy().astype(np.float64)) for v in variables]
        for quantity, variables in _variables(model).items()
        if variables  # layer norm has no statistics
    }


def _differences_of_copies(model: MSBReg) -> list[tuple[str, np.ndarray]]:
    """1 + how far the replicas' own variables are apart, as unsynchronised statistics are."""
    differences = []
    for variables in _variables(model).values():
        for variable in variables:
            first, *others = model.distribute_strategy.experimental_local_results(variable)
            copies = [other.numpy() - first.numpy() for other in others] or [np.zeros(())]
            largest = np.max(np.abs(copies)) / max(np.max(np.abs(first.numpy())), 1e-30)
            differences.append((variable.name, np.asarray(1.0 + largest)))
    return differences


def shifted_views(batches: np.ndarray) -> list[np.ndarray]:
    """Two cyclic shifts of the views, [steps, N, K, …]: to the method the same as `batches`."""
    return [np.roll(batches, shift, axis=2) for shift in sorted({1, batches.shape[2] // 2})]
