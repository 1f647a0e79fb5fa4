"""Whether R replicas train as one does: a few steps recorded on each count, and their comparison.

The same global batches must give the same loss terms, gradients, trust ratios, weights, statistics,
target and momenta on every number of replicas, up to the rounding of float32. How much that is, is
measured: a cyclic shift of every image's views is a symmetry of the whole method, so what it
changes on one replica is rounding and nothing else.

The reference is one replica with the batch norm that several use. The fused kernel that one replica
trains with is compared too, but for its moving variances: TensorFlow multiplies those by n/(n − 1),
n the number of values that a variance is of.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import LARS
from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.objective import TERMS, Objective
from msbreg_tf.method.schedules import WarmupCosine
from msbreg_tf.method.settings import ObjectiveSettings

STEPS = 3
MOVING_VARIANCES = "moving variances"
# Larger than in training, so that a step changes a kernel by 2 % and an error in it shows.
_TRUST_COEFFICIENT, _WEIGHT_DECAY, _MAX_LR = 0.1, 0.01, 0.1
# Sums over replicas round at other places than shifted views do.
_MARGIN = 16.0
_SMALLEST_TOLERANCE = 2.0**-20  # 16 units in the last place
_LARGEST_TOLERANCE = 2e-3  # beyond, the comparison could not see a mistake
# An entry smaller than this fraction of its quantity's largest may be all rounding: the gradient of
# a bias before a batch norm is.
_NEGLIGIBLE = 1 / 32

Record = dict[str, list[tuple[str, np.ndarray]]]  # {quantity: [(name, value)]}


class Row(NamedTuple):
    """One quantity of the table: what rounding alone does, and each number of replicas."""

    quantity: str
    rounding: float
    tolerance: float
    deviations: dict[int, float]
    broken: str  # the first entry beyond the tolerance: what broke earliest is the cause; or ''


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


def compare(reference: Record, shifted: Sequence[Record], others: dict[int, Record]) -> list[Row]:
    """Compares records with that of one replica.

    Args:
      reference: one replica, with the batch norm of several.
      shifted: the same on shifted views, for the size of rounding.
      others: {R: record of R replicas}; 1 is one replica as it trains.

    Returns:
      A row for every quantity. A deviation is the largest |a − b| of an entry, divided by the
      entry's own largest |b| or 1/32 of the quantity's, whichever is larger.
    """
    rows = []
    for quantity, entries in reference.items():
        rounding = max(max(_deviations(record[quantity], entries)) for record in shifted)
        tolerance = min(max(_MARGIN * rounding, _SMALLEST_TOLERANCE), _LARGEST_TOLERANCE)
        if quantity == "initial weights":
            tolerance = 0.0
        found = {
            r: _deviations(record[quantity], entries)
            for r, record in others.items()
            if r > 1 or quantity != MOVING_VARIANCES
        }
        broken = [
            name
            for (name, _), *values in zip(entries, *found.values())
            if not max(values) <= tolerance
        ]
        deviations = {r: max(values) for r, values in found.items()}
        rows.append(Row(quantity, rounding, tolerance, deviations, broken[0] if broken else ""))
    return rows


def _deviations(entries, expected) -> list[float]:
    """Relative deviations of the entries, each from the expected one of the same name."""
    assert [name for name, _ in entries] == [name for name, _ in expected], "unlike records"
    least = max(_NEGLIGIBLE * max(np.max(np.abs(value)) for _, value in expected), 1e-30)
    deviations = []
    for (_, ours), (_, theirs) in zip(entries, expected):
        deviation = np.max(np.abs(ours - theirs)) / max(np.max(np.abs(theirs)), least)
        deviations.append(float(deviation) if np.isfinite(deviation) else float("inf"))
    return deviations


def save_record(path: str, record: Record) -> None:
    """Writes a record as .npz."""
    flat = {
        f"{quantity}|{index}|{name}": value
        for quantity, entries in record.items()
        for index, (name, value) in enumerate(entries)
    }
    np.savez(path, **{key.replace("/", "\\"): value for key, value in flat.items()})


def load_record(path: str) -> Record:
    """Reads what `save_record` wrote."""
    record: Record = {}
    with np.load(path) as file:
        for key in file.files:
            quantity, _, name = key.replace("\\", "/").split("|")
            record.setdefault(quantity, []).append((name, file[key]))
    return record


def table(rows: Sequence[Row], counts: Sequence[int]) -> str:
    """The rows as text, a column for each number of replicas."""
    head = ["quantity", "rounding", "tolerance", *(f"R = {count}" for count in counts), ""]
    lines = [head]
    for row in rows:
        values = [row.deviations.get(count) for count in counts]
        verdict = f"FAIL (first: {row.broken})" if row.broken else "pass"
        numbers = [f"{row.rounding:.1e}", f"{row.tolerance:.1e}"]
        numbers += ["–" if value is None else f"{value:.1e}" for value in values]
        lines.append([row.quantity, *numbers, verdict])
    first = max(len(line[0]) for line in lines)
    text = "\n".join(
        f"{line[0]:<{first}}  " + "".join(f"{cell:>10}" for cell in line[1:-1]) + f"  {line[-1]}"
        for line in lines
    )
    return f"Largest deviation from one replica, relative\n{text.rstrip()}"
