"""L = attraction + λ_s L_s + λ_b L_b (+ λ_u L_u): which terms a method has, and their weights."""

import dataclasses

import tensorflow as tf

from msbreg_tf.distributed import replicas
from msbreg_tf.method import losses
from msbreg_tf.run.config import ObjectiveConfig


@dataclasses.dataclass(frozen=True)
class Objective:
    """The weighted terms of one method; a term of weight 0 is never computed."""

    config: ObjectiveConfig

    @property
    def weights(self) -> dict[str, float]:
        """{term name: weight}, attraction first."""
        c = self.config
        regularizers = {
            "msbreg": {"singular_value": c.lambda_s, "brownian": c.lambda_b},
            "byol_uniform": {"uniformity": c.lambda_u},
        }.get(c.method, {})
        attraction = "next_view" if c.method == "batch_repetition" else "centroid"
        return {attraction: 1.0} | {name: w for name, w in regularizers.items() if w > 0}

    def terms(
        self,
        prediction: tf.Tensor,
        projection: tf.Tensor,
        target: tf.Tensor,
        seed: tf.Tensor,
        first_image: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Evaluates every term of the method.

        Args:
          prediction: float32 unit-norm [B, K, D], p = normalize(h_θ(f_θ(x))).
          projection: float32 unit-norm [B, K, D], normalize(f_θ(x)).
          target: float32 unit-norm [B, K, D], z' = normalize(g_ξ(x)); gets no gradient.
          seed: int32 [2], the step's; decides the Brownian directions.
          first_image: int32, place of the first of these images in the global batch.

        Returns:
          {term name: float32 scalar, unweighted}. `centroid`, `next_view` and `brownian` are means
          over these images; `singular_value` and `uniformity` are of all replicas' images.
        """
        c = self.config
        regularized = prediction if c.regularize == "predictor" else projection
        terms = {}
        for name in self.weights:
            if name == "centroid":
                terms[name] = losses.multiview_centroid_loss(prediction, target, c.centroid)
            elif name == "next_view":
                terms[name] = losses.next_view_loss(prediction, target)
            elif name == "brownian":
                terms[name] = losses.brownian_diffusive_loss(regularized, seed, first_image)
            elif name == "singular_value":
                rows = _global_rows(regularized)
                terms[name] = losses.singular_value_loss(rows, c.singular_value_form)
            elif name == "uniformity":
                terms[name] = losses.uniformity_loss(_global_rows(regularized))
        return terms

    def total(self, terms: dict[str, tf.Tensor]) -> tf.Tensor:
        """Σ weight · term, float32 scalar."""
        # Not tf.add_n: of three scalars it may add any two first, and logs would differ in a bit.
        return sum(weight * terms[name] for name, weight in self.weights.items())

    def formula(self) -> str:
        """The loss in words, for the plan: 'centroid + 0.004 singular_value + 0.5 brownian'."""
        return " + ".join(
            name if weight == 1.0 else f"{weight:g} {name}" for name, weight in self.weights.items()
        )


def _global_rows(embeddings: tf.Tensor) -> tf.Tensor:
    rows = tf.reshape(embeddings, [-1, embeddings.shape[-1]])  # [B·K, D]
    return replicas.gather_rows(rows)  # [N·K, D]
