"""L = attraction + λ_s L_s + λ_b L_b (+ λ_u L_u): the table of terms, and their sum."""

import dataclasses
from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from msbreg_tf.distributed import replicas
from msbreg_tf.method import losses
from msbreg_tf.method.settings import ObjectiveSettings


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """What the terms of one step are computed from, on one replica.

    Attributes:
      p: prediction normalize(h_θ(f_θ(x))), float32 unit-norm [B, K, D].
      y: projection normalize(f_θ(x)), float32 unit-norm [B, K, D].
      z: target normalize(g_ξ(x)), float32 unit-norm [B, K, D]; it gets no gradient.
      seed: int32 [2], the step's; it decides the Brownian directions.
      first_image: int32, place of the first of these images in the global batch.
      settings: of the objective.
    """

    p: tf.Tensor
    y: tf.Tensor
    z: tf.Tensor
    seed: tf.Tensor
    first_image: tf.Tensor
    settings: ObjectiveSettings

    @property
    def regularized(self) -> tf.Tensor:
        """The output that `--regularize` names, [B, K, D]."""
        return {"predictor": self.p, "projector": self.y}[self.settings.regularize]

    @property
    def regularized_rows(self) -> tf.Tensor:
        """`regularized` of all replicas, [N·K, D]: terms that look at the whole cloud need it."""
        rows = tf.reshape(self.regularized, [-1, self.regularized.shape[-1]])  # [B·K, D]
        return replicas.gather_rows(rows)


@dataclasses.dataclass(frozen=True)
class Term:
    """A row of `TERMS`.

    Attributes:
      loss: of a step's `Embeddings`, float32 scalar.
      methods: the methods that have it.
      weight: name of the setting that is its λ; None for an attraction, whose weight is 1.
    """

    loss: Callable[[Embeddings], tf.Tensor]
    methods: tuple[str, ...]
    weight: Optional[str] = None


# Attractions first: the order in which a method's terms are added up and logged.
TERMS = {
    "centroid": Term(
        lambda e: losses.multiview_centroid_loss(e.p, e.z, e.settings.centroid),
        methods=("msbreg", "byol", "byol_uniform"),
    ),
    "next_view": Term(
        lambda e: losses.next_view_loss(e.p, e.z),
        methods=("batch_repetition",),
    ),
    "singular_value": Term(
        lambda e: losses.singular_value_loss(
            e.regularized_rows, e.settings.singular_value_form, e.settings.log_det_epsilon2
        ),
        methods=("msbreg",),
        weight="lambda_s",
    ),
    "brownian": Term(
        lambda e: losses.brownian_diffusive_loss(e.regularized, e.seed, e.first_image),
        methods=("msbreg",),
        weight="lambda_b",
    ),
    "uniformity": Term(
        lambda e: losses.uniformity_loss(e.regularized_rows),
        methods=("byol_uniform",),
        weight="lambda_u",
    ),
}


@dataclasses.dataclass(frozen=True)
class Objective:
    """The weighted terms of one method; a term of weight 0 is never computed."""

    settings: ObjectiveSettings

    @property
    def weights(self) -> dict[str, float]:
        """{term name: weight}, attraction first."""
        weights = {
            name: getattr(self.settings, term.weight) if term.weight else 1.0
            for name, term in TERMS.items()
            if self.settings.method in term.methods
        }
        return {name: weight for name, weight in weights.items() if weight > 0}

    def terms(self, embeddings: Embeddings) -> dict[str, tf.Tensor]:
        """Evaluates every term of the method.

        Returns:
          {term name: float32 scalar, unweighted}. `centroid`, `next_view` and `brownian` are means
          over this replica's images; `singular_value` and `uniformity` are of all replicas' images.
        """
        return {name: TERMS[name].loss(embeddings) for name in self.weights}

    def total(self, terms: dict[str, tf.Tensor]) -> tf.Tensor:
        """Σ weight · term, float32 scalar."""
        # Not tf.add_n: of three scalars it may add any two first, and logs would differ in a bit.
        return sum(weight * terms[name] for name, weight in self.weights.items())

    def formula(self) -> str:
        """The loss in words, for the plan: 'centroid + 0.004 singular_value + 0.5 brownian'."""
        return " + ".join(
            name if weight == 1.0 else f"{weight:g} {name}" for name, weight in self.weights.items()
        )

    def unused_weights(self) -> list[str]:
        """Settings that are weights of other methods' terms only."""
        used = {term.weight for term in TERMS.values() if self.settings.method in term.methods}
        return list(
            dict.fromkeys(t.weight for t in TERMS.values() if t.weight not in used | {None})
        )
