"""Projector and predictor: Dense(H) → norm → ReLU → Dense(D)."""

from tensorflow import keras

from msbreg_tf.networks.norms import NormFamily


def build_projector(
    input_size: int,
    hidden_size: int = 512,
    output_size: int = 128,
    norm: str = "batch",
    synchronized: bool = False,
    name: str = "projector",
) -> keras.Model:
    """Returns the projector: Dense(H) → norm → ReLU → Dense(D) (METHOD.md, "Networks").

    The second Dense has no bias, as in BYOL: a constant output cannot be learnt directly. It works
    in float32 under every dtype policy, since its output goes to the losses. Weights start as
    Keras's: Glorot uniform kernels, zero biases.

    Args:
      input_size: F, size of the features.
      hidden_size: H.
      output_size: D.
      norm: 'batch', 'layer' or 'group_ws'.
      synchronized: take batch norm's statistics over all replicas.
      name: of the model.

    Returns:
      A model from float [*, F] to float32 [*, D], not normalised.

    Raises:
      ValueError: an unknown norm.
    """
    family = NormFamily(norm, synchronized)
    features = keras.Input((input_size,), name="features")
    x = family.dense(hidden_size, name="hidden")(features)
    x = family.norm(x, "norm")
    x = keras.layers.ReLU(name="relu")(x)
    outputs = family.dense(output_size, use_bias=False, dtype="float32", name="output")(x)
    return keras.Model(features, outputs, name=name)


def build_predictor(
    input_size: int,
    hidden_size: int = 512,
    output_size: int = 128,
    norm: str = "batch",
    synchronized: bool = False,
    name: str = "predictor",
) -> keras.Model:
    """Returns the predictor, of the projector's layout, from [*, D] to [*, D]."""
    return build_projector(input_size, hidden_size, output_size, norm, synchronized, name)
