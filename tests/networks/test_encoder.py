"""The table of encoders, and what a new row of it reaches."""

import sys
import types

import pytest
from tensorflow import keras

from msbreg_tf.commands import cli
from msbreg_tf.networks import settings as table
from msbreg_tf.networks.encoder import build_encoder
from msbreg_tf.networks.settings import EncoderKind, NetworkSettings
from msbreg_tf.run.build import build_model
from msbreg_tf.run.config import config_from_settings


def test_settings_reach_the_resnet():
    built = build_encoder(NetworkSettings(encoder_width=4, stem="cifar", norm="layer"), name="mine")
    assert (built.name, built.output_shape) == ("mine", (None, 32))
    assert built.get_layer("conv1").kernel_size == (3, 3)
    assert isinstance(built.get_layer("bn1"), keras.layers.GroupNormalization)
    deep = build_encoder(NetworkSettings(encoder="resnet50", encoder_width=4, stem="cifar"))
    assert deep.output_shape == (None, 128)


def test_too_small_images_are_refused_in_python_words():
    with pytest.raises(ValueError, match=r"^image_size=16: stem=imagenet"):
        build_encoder(NetworkSettings(encoder_width=4), image_size=16)


@pytest.fixture
def toy_encoder(monkeypatch):
    """An encoder that a person has added: one file and one row."""

    def build(settings, *, image_size, synchronized, name):
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(settings.encoder_width, 1)(images)
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x), name=name)

    module = types.ModuleType("msbreg_tf.networks.toy")
    module.build = build
    monkeypatch.setitem(sys.modules, "msbreg_tf.networks.toy", module)
    row = EncoderKind("toy", hidden_size=10, projection_size=6)
    monkeypatch.setitem(table.ENCODERS, "toy", row)


@pytest.mark.usefixtures("toy_encoder")
def test_a_new_encoder_is_known_to_flags_help_heads_and_the_model():
    command = cli.Command((NetworkSettings,), print)
    (settings,), _ = cli.read_flags(command, ["x", "--encoder=toy", "--encoder_width=5"])
    assert settings.heads() == (10, 6)
    assert "One of: resnet18, resnet50, toy." in " ".join(cli.help_text(command, "").split())
    model = build_model(config_from_settings({"encoder": "toy", "encoder_width": 5}), total_steps=1)
    assert model.encoder.output_shape == (None, 5)
    assert model.predictor.output_shape == (None, 6)
    assert model.encoder.name == "online_encoder"


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="--encoder=toy: expected one of resnet18, resnet50"):
        NetworkSettings(encoder="toy")
