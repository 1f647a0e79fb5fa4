"""Every setting has a wiring test, and is said to be one that a resumed run may or may not change.

A new setting turns both tests red: give it a wiring test, and put it into one of the two sets.
"""

from msbreg_tf.run.config import Config, config_from_settings
from tests import test_wiring as model
from tests import test_wiring_run as run

WIRED_BY = {
    # data
    "dataset": [run.test_dataset_and_split],
    "split": [run.test_dataset_and_split],
    "data_dir": [run.test_data_dir_reaches_images_and_knn],
    "image_size": [
        model.test_image_size_is_checked_by_the_encoder,
        run.test_the_first_batch_by_hand,
        run.test_data_dir_reaches_images_and_knn,
    ],
    "view_size": [model.test_view_size_is_that_of_the_views, run.test_views_may_be_smaller],
    "max_megapixels": [run.test_max_megapixels_reaches_images_and_knn],
    "cache_mb": [run.test_cache_mb_and_shuffle_buffer],
    "shuffle_buffer": [run.test_cache_mb_and_shuffle_buffer],
    "data_service": [run.test_data_service_and_its_buffer_reach_the_pipeline],
    "service_buffer_mb": [run.test_data_service_and_its_buffer_reach_the_pipeline],
    # views
    **{
        name: [run.test_every_setting_of_the_views_reaches_the_layer]
        for name in (
            "crop_area_min",
            "crop_area_max",
            "crop_ratio_max",
            "flip_probability",
            "jitter_probability",
            "brightness",
            "contrast",
            "saturation",
            "hue",
            "grey_probability",
            "blur_probability",
            "blur_sigma_min",
            "blur_sigma_max",
            "solarize_probability",
            "solarize_threshold",
        )
    },
    "augment_on": [
        model.test_augment_on_the_device_makes_the_model_augment,
        run.test_the_first_batch_by_hand,
    ],
    # networks
    "encoder": [model.test_encoder_and_width],
    "encoder_width": [model.test_encoder_and_width],
    "stem": [model.test_stem],
    "norm": [
        model.test_batch_norm_in_all_five_networks,
        model.test_layer_norm_in_all_five_networks,
        model.test_group_norm_and_standardised_kernels_in_all_five_networks,
    ],
    "hidden_size": [model.test_hidden_and_projection_size],
    "projection_size": [model.test_hidden_and_projection_size],
    # objective
    "method": [model.test_a_method_has_its_terms_with_their_own_weights],
    "num_views": [run.test_the_first_batch_by_hand],
    "centroid": [model.test_attractions_by_value],
    "lambda_s": [model.test_a_method_has_its_terms_with_their_own_weights],
    "lambda_b": [model.test_a_method_has_its_terms_with_their_own_weights],
    "lambda_u": [model.test_a_method_has_its_terms_with_their_own_weights],
    "singular_value_form": [model.test_singular_value_form],
    "log_det_epsilon2": [model.test_singular_value_form],
    "regularize": [model.test_regularizers_act_on_the_named_unit_norm_output],
    "tau_base": [
        model.test_tau_starts_at_its_base_and_rises_over_the_whole_run,
        run.test_tau_at_every_logged_step,
    ],
    # optimizer
    "base_lr": [run.test_the_learning_rate_in_force_at_every_logged_step],
    "batch_size": [
        run.test_the_learning_rate_in_force_at_every_logged_step,
        run.test_the_first_batch_by_hand,
    ],
    "accumulate_steps": [model.test_accumulate_steps_divides_the_batch],
    "epochs": [run.test_the_learning_rate_in_force_at_every_logged_step],
    "warmup_epochs": [run.test_the_learning_rate_in_force_at_every_logged_step],
    "momentum": [model.test_momentum, run.test_momentum_of_the_run],
    "momentum_form": [model.test_momentum_form],
    "weight_decay": [run.test_trust_coefficient_and_weight_decay_reach_the_gradients],
    "trust_coefficient": [run.test_trust_coefficient_and_weight_decay_reach_the_gradients],
    # run
    "workdir": [run.test_workdir_and_precision_of_a_training],
    "seed": [
        model.test_the_runs_seed_decides_the_brownian_directions_of_every_step,
        run.test_the_first_batch_by_hand,
        run.test_the_runs_seed_decides_the_initial_weights,
        run.test_the_runs_seed_reaches_the_model,
    ],
    "init_from": [run.test_init_from_gives_both_encoders_the_exports_weights],
    "mixed_precision": [
        model.test_mixed_precision_is_the_policy_of_every_convolution,
        run.test_workdir_and_precision_of_a_training,
    ],
    "strategy": [
        model.test_strategy_and_cpu_devices,
        run.test_the_strategy_holds_the_model,
        run.test_strategy_reaches_the_joining_of_workers,
    ],
    "cpu_devices": [
        model.test_strategy_and_cpu_devices,
        model.test_cpu_devices_are_those_asked_for,
    ],
    "checkpoint_every": [run.test_checkpoint_every_and_keep_checkpoints_decide_what_is_kept],
    "keep_checkpoints": [run.test_checkpoint_every_and_keep_checkpoints_decide_what_is_kept],
    "log_every": [run.test_log_every_decides_the_lines],
    "knn_every": [run.test_knn_looks_up_the_train_split_and_classifies_the_test_split],
    "knn_train_split": [run.test_knn_looks_up_the_train_split_and_classifies_the_test_split],
    "knn_images": [
        run.test_knn_looks_up_the_train_split_and_classifies_the_test_split,
        run.test_data_dir_reaches_images_and_knn,
    ],
    "quality_every": [run.test_quality_of_fixed_views_every_epoch],
    "quality_images": [run.test_quality_of_fixed_views_every_epoch],
    "knn_test_split": [run.test_knn_looks_up_the_train_split_and_classifies_the_test_split],
}
MAY_CHANGE_ON_RESUME = {
    "workdir",
    "data_dir",
    "data_service",
    "service_buffer_mb",
    "strategy",
    "cpu_devices",
    "checkpoint_every",
    "keep_checkpoints",
    "init_from",  # a path; the weights themselves must stay
    "log_every",
    "knn_every",
    "knn_train_split",
    "knn_images",
    "knn_test_split",
    "quality_every",
    "quality_images",
}
MUST_STAY_ON_RESUME = {
    *("dataset", "split", "image_size", "view_size", "max_megapixels"),
    *("cache_mb", "shuffle_buffer"),
    *("crop_area_min", "crop_area_max", "crop_ratio_max", "flip_probability"),
    *("jitter_probability", "brightness", "contrast", "saturation", "hue", "grey_probability"),
    *("blur_probability", "blur_sigma_min", "blur_sigma_max"),
    *("solarize_probability", "solarize_threshold", "augment_on"),
    *("encoder", "encoder_width", "stem", "norm", "hidden_size", "projection_size"),
    *("method", "num_views", "centroid", "lambda_s", "lambda_b", "lambda_u"),
    *("singular_value_form", "log_det_epsilon2", "regularize", "tau_base"),
    *("base_lr", "batch_size", "accumulate_steps", "epochs", "warmup_epochs"),
    *("momentum", "momentum_form", "weight_decay", "trust_coefficient"),
    *("seed", "mixed_precision"),
}


def test_every_setting_has_a_wiring_test():
    assert WIRED_BY.keys() == Config().settings().keys()
    for name, tests in WIRED_BY.items():
        assert tests, name
        assert all(test.__name__.startswith("test_") for test in tests), name


def test_what_a_resumed_run_may_change():
    names = Config().settings().keys()
    assert not MAY_CHANGE_ON_RESUME & MUST_STAY_ON_RESUME
    assert names == MAY_CHANGE_ON_RESUME | MUST_STAY_ON_RESUME
    assert Config().result_settings().keys() == MUST_STAY_ON_RESUME


def test_wiring_tests_do_not_use_the_defaults():
    """A run's own settings, of which the tests of `test_wiring_run.py` change more."""
    defaults = Config().settings()
    same = {"dataset"}  # which its own test changes
    for settings in (run.SMALL, run.AUGMENTATION, model.SMALL):
        assert {name for name, value in settings.items() if defaults[name] == value} <= same
    config_from_settings({**run.SMALL, **run.AUGMENTATION})
