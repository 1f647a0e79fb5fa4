import pytest

from msbreg_tf.run.config import Config, config_from_settings


def test_max_lr_is_scaled_by_batch_and_views():
    config = config_from_settings({"base_lr": 0.5, "batch_size": 512, "num_views": 4})
    assert config.max_lr == 0.5 * 512 / 256 * 4


@pytest.mark.parametrize(
    ("encoder", "expected"), [("resnet18", (512, 128)), ("resnet50", (2048, 256))]
)
def test_head_sizes_follow_the_encoder(encoder, expected):
    assert config_from_settings({"encoder": encoder}).network.heads() == expected


def test_explicit_head_sizes_win():
    config = config_from_settings({"hidden_size": 32, "projection_size": 16})
    assert config.network.heads() == (32, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_views": 1}, ["--num_views=1", "at least 2"]),
        ({"lambda_s": -0.1}, ["--lambda_s=-0.1", "at least 0"]),
        ({"lambda_b": float("nan")}, ["--lambda_b=nan"]),
        ({"image_size": 4}, ["--image_size=4", "at least 8"]),
        ({"norm": "instance"}, ["--norm=instance", "batch, layer, group_ws"]),
        ({"base_lr": 0.0}, ["--base_lr=0.0", "more than 0"]),
        ({"tau_base": 1.5}, ["--tau_base=1.5", "at most 1"]),
        ({"warmup_epochs": 20.0, "epochs": 10}, ["--warmup_epochs=20", "--epochs=10"]),
        ({"method": "byol", "num_views": 4}, ["--num_views=4", "--num_views=2"]),
        ({"crop_area_min": 0.9, "crop_area_max": 0.5}, ["--crop_area_min", "--crop_area_max"]),
        ({"keep_checkpoints": 1}, ["--keep_checkpoints=1", "at least 2"]),
    ],
)
def test_bad_values_name_flag_value_and_limit(settings, words):
    with pytest.raises(ValueError, match="--") as error:
        config_from_settings(settings)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="lamda_s"):
        config_from_settings({"lamda_s": 1.0})


def test_settings_round_trip():
    config = config_from_settings({"lambda_s": 0.01, "norm": "layer", "seed": 7})
    assert config_from_settings(config.settings()) == config


def test_only_paths_devices_and_checkpoints_leave_the_result_alone():
    names = Config().result_settings()
    assert not names.keys() & {"workdir", "data_dir", "checkpoint_every", "strategy", "cpu_devices"}
    assert {"seed", "lambda_s", "batch_size", "image_size", "epochs"} <= names.keys()
    assert "accumulate_steps" in names
