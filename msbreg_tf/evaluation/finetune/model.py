"""An encoder and a classifier that learn with a learning rate each."""

from typing import Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.evaluation.accuracy import rank_of_truth


class FineTuner(keras.Model):
    """Softmax classifier on an encoder; without an encoder's optimizer the encoder is frozen.

    Two plain optimizers, each over its own variables, so that a checkpoint holds the momentum of
    both; tensorflow-addons' MultiOptimizer saves neither.

    A frozen encoder runs in inference mode: batch norm uses its moving statistics and leaves them
    as they are. Else it runs in training mode.
    """

    def __init__(
        self,
        encoder: keras.Model,
        num_classes: int,
        seed: int = 0,
        start: Optional[tuple[np.ndarray, np.ndarray]] = None,
    ):
        """Builds the classifier.

        Args:
          encoder: images in 0–255 [*, S, S, 3] → features [*, F].
          num_classes: C.
          seed: of the classifier's initial weights.
          start: its initial kernel, float32 [F, C], and bias [C], instead of random ones.
        """
        super().__init__()
        self.encoder = encoder
        self.classifier = keras.layers.Dense(
            num_classes, kernel_initializer=keras.initializers.GlorotUniform(seed)
        )
        self.classifier.build([None, encoder.output_shape[-1]])
        if start is not None:
            self.classifier.set_weights(start)
        self.encoder_optimizer: Optional[keras.optimizers.Optimizer] = None
        self._loss_metric = keras.metrics.Mean("loss")
        self._accuracy_metric = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def compile(
        self,
        classifier_optimizer: keras.optimizers.Optimizer,
        encoder_optimizer: Optional[keras.optimizers.Optimizer] = None,
    ) -> None:
        """Takes the optimizers and makes their variables.

        Args:
          classifier_optimizer: of the classifier.
          encoder_optimizer: of the encoder; None freezes it.
        """
        super().compile(optimizer=classifier_optimizer)
        classifier_optimizer.build(self.classifier.trainable_variables)
        self.encoder_optimizer = encoder_optimizer
        if encoder_optimizer is not None:
            encoder_optimizer.build(self.encoder.trainable_variables)

    def call(self, images, training=False):
        """Logits: [b, S, S, 3] in 0–255 → float32 [b, C]."""
        return self.classifier(self.encoder(tf.cast(images, tf.float32), training=training))

    def probabilities(self) -> keras.Model:
        """The trained classifier as a plain model: [*, S, S, 3] in 0–255 → float32 [*, C]."""
        output = keras.layers.Dense(self.classifier.units, "softmax", name="probabilities")
        model = keras.Model(self.encoder.inputs, output(self.encoder.outputs[0]))
        output.set_weights(self.classifier.get_weights())
        return model

    @property
    def metrics(self):
        """Loss and accuracy of the training batches."""
        return [self._loss_metric, self._accuracy_metric]

    def train_step(self, data):
        """One step of both optimizers on (images [b, S, S, 3], labels int64 [b])."""
        images, labels = data
        learns = self.encoder_optimizer is not None
        heads = self.classifier.trainable_variables
        body = self.encoder.trainable_variables if learns else []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(heads + body)
            logits = self(images, training=learns)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, heads + body)
        self.optimizer.apply_gradients(zip(gradients[: len(heads)], heads))
        if learns:
            self.encoder_optimizer.apply_gradients(zip(gradients[len(heads) :], body))
        self._loss_metric.update_state(loss)
        self._accuracy_metric.update_state(labels, logits)
        return {metric.name: metric.result() for metric in self.metrics}

    @tf.function(reduce_retracing=True)
    def ranks(self, images, labels):
        """Ranks of the right classes, int32 [b], in inference mode (see `rank_of_truth`)."""
        return rank_of_truth(self(images, training=False), labels)


def saved_state(model: FineTuner) -> tf.train.Checkpoint:
    """All that a step reads and writes; the order of the data follows from the epoch."""
    parts = {"encoder": model.encoder, "classifier": model.classifier, "heads": model.optimizer}
    if model.encoder_optimizer is not None:
        parts["body"] = model.encoder_optimizer
    return tf.train.Checkpoint(**parts)
