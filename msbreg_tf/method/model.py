"""MSBReg as a Keras model: K views, an online and a target network, one `train_step`."""

from typing import Any, Optional

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.distributed import replicas
from msbreg_tf.method.accumulation import average_over_micro_batches
from msbreg_tf.method.objective import Embeddings, Objective
from msbreg_tf.method.schedules import cosine_tau
from msbreg_tf.method.settings import ObjectiveSettings

MONITORS = ("std_spread", "tau", "gradient_norm")  # what a step reports beside its loss and terms
# Keeps the noise's random stream apart from those of data order and augmentation.
_BROWNIAN_STREAM = 0x62


@keras.saving.register_keras_serializable(package="msbreg_tf")
class StepMean(keras.metrics.Mean):
    """Mean over the replicas of the latest step only, so that logs need no history to resume."""

    def update_state(self, values, sample_weight=None):
        self.reset_state()
        return super().update_state(values, sample_weight)


@keras.saving.register_keras_serializable(package="msbreg_tf")
class MSBReg(keras.Model):
    """Multiview self-supervised pretraining by embedding dynamics (METHOD.md, sections 1 to 3).

    Calling the model on images [*, S, S, 3] in 0–255 returns the representation that every
    evaluation uses: the online encoder's pooled features, float32 [*, F].

    `fit` takes batches of views, uint8 or float [B, K, S, S, 3] in 0–255.

    Attributes:
      lars: None, or what adapts the gradients, summed over replicas, before the optimizer gets
        them; the callback `LARS` puts itself here.
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        predictor: keras.Model,
        *,
        objective: Optional[ObjectiveSettings] = None,
        total_steps: int,
        seed: int = 0,
        accumulate_steps: int = 1,
        augment: Optional[keras.layers.Layer] = None,
        **kwargs,
    ):
        """Injects the online networks; the target's are clones that start at the same weights.

        Args:
          encoder: images [*, S, S, 3] in 0–255 → features [*, F].
          projector: f_θ, [*, F] → [*, D].
          predictor: h_θ, [*, D] → [*, D].
          objective: losses, their weights and τ_base; default `ObjectiveSettings()`.
          total_steps: optimizer steps of the whole run, over which τ rises to 1.
          seed: seed of the Brownian directions.
          accumulate_steps: micro-batches M of a step (METHOD.md, "Small memory").
          augment: `MultiViewAugmentation` that makes the views inside the step, on the device; then
            `fit` takes what its `finish_views` takes.
          **kwargs: `name` and the like, for `keras.Model`.
        """
        super().__init__(**kwargs)
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.target_encoder = keras.models.clone_model(encoder, clone_function=_clone_layer)
        self.target_projector = keras.models.clone_model(projector, clone_function=_clone_layer)
        self.objective = Objective(objective or ObjectiveSettings())
        self.total_steps = total_steps
        self.seed = seed
        self.accumulate_steps = accumulate_steps
        self.augment = augment
        self.lars = None
        self._step_metrics = {}
        # A metric's result is that of all replicas already; with several workers Keras would add it
        # up once more.
        self.distribute_reduction_method = "first"
        for target, online in self.target_pairs(trainable_only=False):
            target.assign(online)

    @property
    def online_variables(self) -> list[tf.Variable]:
        """What the optimizer updates: the weights of encoder, projector and predictor."""
        networks = (self.encoder, self.projector, self.predictor)
        return [v for network in networks for v in network.trainable_variables]

    def target_pairs(self, trainable_only: bool = True) -> list[tuple[tf.Variable, tf.Variable]]:
        """Pairs (ξ, θ) of encoder and projector; moving statistics too if not `trainable_only`."""
        pairs = []
        for target, online in (
            (self.target_encoder, self.encoder),
            (self.target_projector, self.projector),
        ):
            names = "trainable_variables" if trainable_only else "variables"
            ours, theirs = getattr(target, names), getattr(online, names)
            assert [v.shape for v in ours] == [v.shape for v in theirs], "target is not a clone"
            pairs.extend(zip(ours, theirs))
        assert pairs, "the target has no variables: was it frozen with trainable = False?"
        return pairs

    def call(self, images, training=None):
        return self.encoder(images, training=training)

    def embed(self, views: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Online embeddings of views.

        Args:
          views: [B, K, S, S, 3] in 0–255.
          training: whether norm layers use and update batch statistics.

        Returns:
          Prediction p and projection, both float32 unit-norm [B, K, D].
        """
        batch, num_views = tf.shape(views)[0], views.shape[1]
        images = _flatten_views(views)
        projection = self.projector(self.encoder(images, training=training), training=training)
        prediction = self.predictor(projection, training=training)
        return _unit_views(prediction, batch, num_views), _unit_views(projection, batch, num_views)

    def embed_target(self, views: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Target embeddings z' of views [B, K, S, S, 3]: float32 unit-norm [B, K, D]."""
        features = self.target_encoder(_flatten_views(views), training=training)
        projection = self.target_projector(features, training=training)
        return _unit_views(projection, tf.shape(views)[0], views.shape[1])

    @tf.autograph.experimental.do_not_convert  # which takes seconds at every start, for nothing
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step on this replica's views; returns the step's metrics.

        Args:
          data: views, uint8 or float [B, K, S, S, 3] in 0–255, or with `augment` what it takes.
        """
        views = self._views(data)  # [B, K, S, S, 3]
        step = self.optimizer.iterations  # a variable, which the update below counts up
        seed = self._noise_seed(step)
        tau = cosine_tau(
            step, tau_base=self.objective.settings.tau_base, total_steps=self.total_steps
        )
        first_image = replicas.first_image(tf.shape(views)[0])

        if self.accumulate_steps == 1:
            gradients, values = self._gradients(views, seed, first_image)
        else:
            gradients, values = average_over_micro_batches(
                self._gradients, views, seed, first_image, self.accumulate_steps
            )
        gradients = replicas.sum_gradients(self._unscale(gradients))
        gradient_norm = tf.linalg.global_norm(gradients)

        weights, trust_ratios = self.online_variables, {}
        if self.lars is not None:  # g ← η ‖w‖ / ‖g + β w‖ · (g + β w)
            gradients, trust_ratios = self.lars.adapt(gradients, weights)
        self.optimizer.apply_gradients(zip(gradients, weights), skip_gradients_aggregation=True)

        self._update_target(tau)  # ξ ← τ ξ + (1 − τ) θ
        return self._report({**values, "tau": tau, "gradient_norm": gradient_norm, **trust_ratios})

    def _gradients(self, views, seed, first_image):
        """Target, online, terms, gradients: of views [b, K, S, S, 3].

        Args:
          views: all of this replica's, or a micro-batch of them.
          seed: int32 [2], of the step's Brownian directions.
          first_image: place of the first image in the global batch.

        Returns:
          This replica's share of the gradients, scaled if the loss is; and {name: scalar}.
        """
        z = self.embed_target(views, training=True)  # [b, K, D]
        with tf.GradientTape() as tape:
            p, y = self.embed(views, training=True)  # [b, K, D] each
            terms = self.objective.terms(
                Embeddings(p, y, z, seed, first_image, self.objective.settings)
            )
            loss = self.objective.total(terms)
            # Gradients will be summed over replicas, hence 1/R (see `replicas.py`).
            scaled_loss = self._scale_loss(loss / replicas.num_replicas())
        gradients = tape.gradient(scaled_loss, self.online_variables)
        return gradients, {"loss": loss, **terms, "std_spread": _std_spread(p)}

    def _views(self, data: Any) -> tf.Tensor:
        """The views of a step, [B, K, S, S, 3]."""
        views, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return views if self.augment is None else self.augment.finish_views(views)

    def _update_target(self, tau: tf.Tensor) -> None:
        """ξ ← τ ξ + (1 − τ) θ, as a change of ξ: fewer passes over memory."""

        def decay(target, online):
            return target.assign_sub((1.0 - tau) * (target - online))

        targets, onlines = zip(*self.target_pairs())
        replicas.update_variables(decay, targets, onlines)

    def _noise_seed(self, step: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([self.seed, tf.cast(step, tf.int32)])
        return tf.random.experimental.stateless_fold_in(seed, _BROWNIAN_STREAM, alg="philox")

    def _scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        if isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer):
            return self.optimizer.get_scaled_loss(loss)
        return loss

    def _unscale(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        if isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer):
            return self.optimizer.get_unscaled_gradients(gradients)
        return gradients

    def make_train_function(self, force=False):
        # A variable that is made inside the step lets TensorFlow trace the whole step twice.
        with self.distribute_strategy.scope():
            self.declare_metrics("loss", *self.objective.weights, *MONITORS)
        return super().make_train_function(force)

    def declare_metrics(self, *names: str) -> None:
        """Makes the metrics that a step reports; one that is not declared costs a second trace."""
        for name in names:
            if name not in self._step_metrics:
                self._step_metrics[name] = StepMean(name=name)

    def _report(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        self.declare_metrics(*values)
        for name, value in values.items():
            self._step_metrics[name].update_state(value)
        return {name: self._step_metrics[name].result() for name in values}

    def get_config(self) -> dict[str, Any]:
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("encoder", "projector", "predictor")
        }
        objective = self.objective.settings.values()
        own = {
            "objective": objective,
            "total_steps": self.total_steps,
            "seed": self.seed,
            "accumulate_steps": self.accumulate_steps,
            "augment": keras.saving.serialize_keras_object(self.augment),
        }
        return super().get_config() | networks | own

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MSBReg":
        config = dict(config)
        for name in ("encoder", "projector", "predictor", "augment"):
            if config[name] is not None:
                config[name] = keras.saving.deserialize_keras_object(config[name])
        config["objective"] = ObjectiveSettings(**config["objective"])
        return cls(**config)


def _clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    config = layer.get_config()
    if getattr(layer, "synchronized", False):  # which Keras leaves out of the config
        config["synchronized"] = True
    return layer.from_config(config)


def _flatten_views(views: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(views, tf.float32), [-1, *views.shape[2:]])  # [B·K, S, S, 3]


def _unit_views(rows: tf.Tensor, batch: tf.Tensor, num_views: int) -> tf.Tensor:
    rows = tf.math.l2_normalize(tf.cast(rows, tf.float32), axis=-1)
    return tf.reshape(rows, [batch, num_views, rows.shape[-1]])  # [B, K, D]


def _std_spread(p: tf.Tensor) -> tf.Tensor:
    """√D × mean standard deviation of the predictions: 1 when spread evenly, 0 when collapsed."""
    rows = tf.reshape(p, [-1, p.shape[-1]])  # [B·K, D]
    deviation = tf.math.reduce_std(rows, axis=0)  # [D]
    return tf.reduce_mean(deviation) * tf.sqrt(float(p.shape[-1]))
