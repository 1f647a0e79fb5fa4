import pytest
from tensorflow import keras

from msbreg_tf.networks.norms import NormFamily


def made(norm, channels, shape=(4, 4), synchronized=False):
    """Returns the layer that the family makes for maps of this shape."""
    outputs = NormFamily(norm, synchronized).norm(keras.Input((*shape, channels)), "norm")
    return outputs.node.layer


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (2048, 32), (24, 24), (40, 20), (37, 1), (8, 8)]
)
def test_groups_divide_the_channels(channels, groups):
    assert made("group_ws", channels).groups == groups
    assert made("group_ws", channels, shape=()).groups == groups


def test_layer_norm_of_maps_is_one_group_and_of_heads_keras_own():
    assert made("layer", 24).groups == 1
    assert isinstance(made("layer", 24, shape=()), keras.layers.LayerNormalization)


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_norm_has_torchvisions_constants(synchronized):
    layer = made("batch", 24, synchronized=synchronized)
    assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)
    assert layer.synchronized is synchronized
    # Fused unless synchronised, which costs several times the time.
    assert bool(layer.fused) is not synchronized


@pytest.mark.parametrize(("norm", "shape"), [("layer", (4, 4)), ("layer", ()), ("group_ws", ())])
def test_epsilon_is_the_same_everywhere(norm, shape):
    assert made(norm, 24, shape).epsilon == 1e-5


@pytest.mark.parametrize(
    ("norm", "shape"), [("layer", (4, 4)), ("layer", ()), ("group_ws", (4, 4))]
)
def test_moments_are_never_taken_in_sixteen_bits(sixteen_bits, norm, shape):
    assert made(norm, 24, shape).compute_dtype == "float32"
