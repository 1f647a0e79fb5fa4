"""Deliberate mistakes, each with the test that must turn red: tests of the tests.

    python -m tests.mistakes [--only=N]

copies the tree to a temporary folder, makes one mistake at a time there, runs the named test alone,
and prints who was caught. It exits with 1 if a mistake survives. All of them take some minutes.
Most are wrong wiring: a setting that is dropped, exchanged with its neighbour, or kept constant.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import NamedTuple, Optional

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPIED = (
    *("msbreg_tf", "tests", "tools", "benchmarks", "flags"),
    *("pyproject.toml", "README.md", "METHOD.md"),
)
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


class Mistake(NamedTuple):
    """One wrong edit.

    Attributes:
      what: what is wrong then, in a few words.
      file: path below the root.
      before: snippet that occurs once in the file.
      after: what stands in its place.
      test: pytest id of the test that must fail.
    """

    what: str
    file: str
    before: str
    after: str
    test: str


PRETRAINING = "msbreg_tf/run/pretraining.py"
BUILD = "msbreg_tf/run/build.py"
MODEL = "msbreg_tf/method/model.py"
OBJECTIVE = "msbreg_tf/method/objective.py"
PLAN = "msbreg_tf/run/plan.py"
LENGTH = "msbreg_tf/run/length.py"
MONITORS = "msbreg_tf/run/callbacks/monitors.py"
LOGS = "msbreg_tf/run/callbacks/logs.py"
DECODING = "msbreg_tf/data/images/decoding.py"
EXPORTING = "msbreg_tf/evaluation/exporting.py"
WORKDIR = "msbreg_tf/files/workdir.py"
TFDS = "msbreg_tf/data/sources/tfds.py"
VOC_AP = "msbreg_tf/evaluation/detection/voc_ap.py"
DETECTION_SPLITS = "msbreg_tf/evaluation/detection/opening.py"
DETECTION_SETTINGS = "msbreg_tf/evaluation/detection/settings.py"

WIRING = "tests/test_wiring.py::"
RUN = "tests/test_wiring_run.py::"
RACE = "tests/benchmarks/race/"
COMPLETE = "tests/test_wiring_complete.py::"
OPERATIONS = "tests/augment/test_operations.py::"
TOOLS = "tests/tools/test_wiring.py::"
CONVERSION = "tests/evaluation/conversion/"
READERS = "tests/files/tensors/test_readers.py::"
STARTS = "tests/tools/test_finetune_compare.py::test_the_same_labels_from_several_starts"
DETECTION = "tests/evaluation/detection/"

_RATE = RUN + "test_the_learning_rate_in_force_at_every_logged_step"
_KNN = RUN + "test_knn_looks_up_the_train_split_and_classifies_the_test_split"
_FIRST_BATCH = RUN + "test_the_first_batch_by_hand"
_LARS = RUN + "test_trust_coefficient_and_weight_decay_reach_the_gradients"
_KEPT = RUN + "test_checkpoint_every_and_keep_checkpoints_decide_what_is_kept"
_WEIGHTS = WIRING + "test_a_method_has_its_terms_with_their_own_weights"
_REGULARIZED = WIRING + "test_regularizers_act_on_the_named_unit_norm_output"
_GROUPS = WIRING + "test_group_norm_and_standardised_kernels_in_all_five_networks"

MISTAKES = (
    Mistake(
        "the learning rate is base_lr, without N/256 · K",
        PRETRAINING,
        "WarmupCosine(self.config.max_lr,",
        "WarmupCosine(optimizer.base_lr,",
        _RATE,
    ),
    Mistake(
        "LARS takes β for η and η for β",
        PRETRAINING,
        "LARS(optimizer.trust_coefficient, optimizer.weight_decay)",
        "LARS(optimizer.weight_decay, optimizer.trust_coefficient)",
        _LARS,
    ),
    Mistake(
        "the predictor ignores --norm",
        BUILD,
        'size, **heads, synchronized=synchronized, name="online_predictor"',
        'size, **(heads | {"norm": "batch"}), name="online_predictor"',
        _GROUPS,
    ),
    Mistake(
        "--momentum is ignored",
        BUILD,
        "config.max_lr, optimizer.momentum)",
        "config.max_lr, 0.9)",
        WIRING + "test_momentum",
    ),
    Mistake(
        "--momentum_form=torch has the rate inside the velocity",
        "msbreg_tf/method/momentum.py",
        "return forms[form](learning_rate",
        'return forms["keras"](learning_rate',
        WIRING + "test_momentum_form",
    ),
    Mistake(
        "the run's seed does not reach the Brownian directions",
        BUILD,
        "        seed=config.run.seed,\n",
        "",
        WIRING + "test_the_runs_seed_decides_the_brownian_directions_of_every_step",
    ),
    Mistake(
        "k-NN: neighbours and queries exchanged",
        MONITORS,
        "(train_images, train_labels), (test_images, test_labels) = self.train, self.test",
        "(train_images, train_labels), (test_images, test_labels) = self.test, self.train",
        "tests/run/callbacks/test_monitors.py::"
        "test_periodic_knn_classifies_the_test_images_by_the_train_images",
    ),
    Mistake(
        "the logged std_spread is the constant 1",
        MODEL,
        '"std_spread": _std_spread(p)}',
        '"std_spread": tf.constant(1.0)}',
        WIRING + "test_std_spread_is_that_of_the_prediction",
    ),
    Mistake(
        "tau_base may change when a run is continued",
        "msbreg_tf/method/settings.py",
        '"Target decay τ at step 0; it rises to 1 by cosine.",\n',
        '"Target decay τ at step 0; it rises to 1 by cosine.",\n        changes_result=False,\n',
        COMPLETE + "test_what_a_resumed_run_may_change",
    ),
    Mistake(
        "--regularize=projector acts on projections that are not normalised",
        MODEL,
        "_unit_views(projection, batch, num_views)\n\n    def embed_target",
        "tf.reshape(tf.cast(projection, tf.float32), [batch, num_views, projection.shape[-1]])\n\n"
        "    def embed_target",
        _REGULARIZED + "[projector]",
    ),
    Mistake(
        "the regularizers act on the other output",
        OBJECTIVE,
        '{"predictor": self.p, "projector": self.y}',
        '{"predictor": self.y, "projector": self.p}',
        _REGULARIZED,
    ),
    Mistake(
        "the plan exchanges what is decayed and what is not",
        PLAN,
        "kernels = [v for v in model.online_variables if lars.is_adapted(v)]\n"
        "    others = [v for v in model.online_variables if not lars.is_adapted(v)]",
        "others = [v for v in model.online_variables if lars.is_adapted(v)]\n"
        "    kernels = [v for v in model.online_variables if not lars.is_adapted(v)]",
        "tests/run/test_plan.py::test_kernels_are_decayed_and_nothing_else",
    ),
    Mistake(
        "progress is shown ten times too fast",
        MONITORS,
        "return (self._steps - 2) / max(",
        "return 10 * (self._steps - 2) / max(",
        "tests/run/callbacks/test_monitors.py::test_progress_estimates_from_the_steps_after_the_second",
    ),
    Mistake(
        "every ValueError is taken for bad input",
        "msbreg_tf/commands/cli.py",
        'return ours and is_raise and "\\n" not in str(error)',
        "return True",
        "tests/test_cli.py::test_a_foreign_value_error_is_a_bug_and_keeps_its_traceback",
    ),
    Mistake(
        "--knn_images is ignored",
        LOGS,
        "data.dataset, splits, data.data_dir, run.knn_images,",
        "data.dataset, splits, data.data_dir, None,",
        RUN + "test_data_dir_reaches_images_and_knn",
    ),
    Mistake(
        "the target keeps 1 − τ of itself",
        MODEL,
        "target.assign_sub((1.0 - tau) * (target - online))",
        "target.assign_sub(tau * (target - online))",
        "tests/method/test_model.py::test_the_target_follows_by_ema_alone",
    ),
    Mistake(
        "the warm-up is cut to whole steps, not rounded",
        LENGTH,
        "round(config.optimizer.warmup_epochs * per_epoch)",
        "int(config.optimizer.warmup_epochs * per_epoch)",
        _RATE,
    ),
    Mistake(
        "--warmup_epochs is ignored",
        PRETRAINING,
        "length.warmup_steps, length.total_steps),\n            Stop",
        "0, length.total_steps),\n            Stop",
        _RATE,
    ),
    Mistake(
        "τ rises to 1 in the first epoch",
        PRETRAINING,
        "build_model(config, self.length.total_steps)",
        "build_model(config, self.length.steps_per_epoch)",
        RUN + "test_tau_at_every_logged_step",
    ),
    Mistake(
        "the blur's smallest and largest sigma are exchanged",
        "msbreg_tf/augment/operations/blur.py",
        "uniform_in(settings.blur_sigma_min, settings.blur_sigma_max,",
        "uniform_in(settings.blur_sigma_max, settings.blur_sigma_min,",
        OPERATIONS + "test_sigma_runs_from_the_smallest_to_the_largest",
    ),
    Mistake(
        "brightness is taken for contrast",
        "msbreg_tf/augment/operations/jitter.py",
        'contrast=1 + change("contrast"),',
        'contrast=1 + change("brightness"),',
        OPERATIONS + "test_every_jitter_strength_is_that_of_its_own_name",
    ),
    Mistake(
        "--keep_checkpoints is ignored",
        PRETRAINING,
        "            self.config.run.keep_checkpoints,\n",
        "",
        _KEPT,
    ),
    Mistake(
        "checkpoints are saved every --log_every steps",
        PRETRAINING,
        "SaveCheckpoints(self.checkpoints, run.checkpoint_every,",
        "SaveCheckpoints(self.checkpoints, run.log_every,",
        _KEPT,
    ),
    Mistake(
        "metrics are logged every --checkpoint_every steps",
        LOGS,
        "LogSchedule(run.log_every,",
        "LogSchedule(run.checkpoint_every,",
        RUN + "test_log_every_decides_the_lines",
    ),
    Mistake(
        "hidden_size and projection_size are exchanged",
        BUILD,
        "hidden, size = network.heads()",
        "size, hidden = network.heads()",
        WIRING + "test_hidden_and_projection_size",
    ),
    Mistake(
        "--stem is ignored",
        "msbreg_tf/networks/resnet.py",
        "        settings.stem,\n",
        '        "cifar",\n',
        WIRING + "test_stem",
    ),
    Mistake(
        "batch norm is not synchronised over replicas",
        BUILD,
        "        synchronized = tf.distribute.get_strategy().num_replicas_in_sync > 1\n",
        "        synchronized = False\n",
        WIRING + "test_batch_norm_is_synchronised_for_several_replicas_only",
    ),
    Mistake(
        "--accumulate_steps is ignored",
        BUILD,
        "accumulate_steps=config.optimizer.accumulate_steps,",
        "accumulate_steps=1,",
        WIRING + "test_accumulate_steps_divides_the_batch",
    ),
    Mistake(
        "16-bit precision is used unless asked for",
        "msbreg_tf/run/precision.py",
        "if not mixed:",
        "if mixed:",
        RUN + "test_workdir_and_precision_of_a_training",
    ),
    Mistake(
        "--strategy=one takes all devices",
        BUILD,
        'kind in ("auto", "multi_worker") and several',
        "several",
        WIRING + "test_strategy_and_cpu_devices",
    ),
    Mistake(
        "the singular value loss is weighted by λ_b",
        OBJECTIVE,
        'weight="lambda_s",',
        'weight="lambda_b",',
        _WEIGHTS,
    ),
    Mistake(
        "--centroid is ignored",
        OBJECTIVE,
        "losses.multiview_centroid_loss(e.p, e.z, e.settings.centroid)",
        "losses.multiview_centroid_loss(e.p, e.z)",
        WIRING + "test_attractions_by_value",
    ),
    Mistake(
        "--singular_value_form is ignored",
        OBJECTIVE,
        "e.regularized_rows, e.settings.singular_value_form, e.settings.log_det_epsilon2",
        "e.regularized_rows",
        WIRING + "test_singular_value_form",
    ),
    Mistake(
        "the log-determinant's gradient takes ε for ε²",
        "msbreg_tf/method/losses/singular_value.py",
        "factor = tf.linalg.cholesky(gram + epsilon2 * identity)",
        "factor = tf.linalg.cholesky(gram + epsilon2**0.5 * identity)",
        "tests/method/losses/test_singular_value.py::test_coding_rate_is_the_log_determinant",
    ),
    Mistake(
        "--centroid=unit_others is not on the sphere",
        "msbreg_tf/method/losses/centroid.py",
        'if centroid in ("unit", "unit_others"):',
        'if centroid == "unit":',
        "tests/method/losses/test_centroid.py::test_hand_values",
    ),
    Mistake(
        "order and views share one seed",
        "msbreg_tf/data/pipeline/seeds.py",
        "_ORDER, _VIEWS = 0, 1",
        "_ORDER, _VIEWS = 0, 0",
        RUN + "test_order_and_views_have_seeds_of_their_own",
    ),
    Mistake(
        "the run's seed does not reach order and views",
        PRETRAINING,
        "            seed=self.config.run.seed,\n            batch_size",
        "            batch_size",
        _FIRST_BATCH,
    ),
    Mistake(
        "the run's seed does not reach the initial weights",
        PRETRAINING,
        "keras.utils.set_random_seed(config.run.seed)",
        "keras.utils.set_random_seed(0)",
        RUN + "test_the_runs_seed_decides_the_initial_weights",
    ),
    Mistake(
        "with --augment_on=device the pipeline makes views all the same",
        PRETRAINING,
        'on_device=self.config.augment.augment_on == "device",',
        "on_device=False,",
        _FIRST_BATCH + "[device]",
    ),
    Mistake(
        "crops of a JPEG that is decoded smaller are drawn in its smaller size",
        "msbreg_tf/augment/multiview.py",
        "drawn_in = size if stored_size is None else",
        "drawn_in = size if True else",
        "tests/augment/test_multiview.py::test_views_of_an_image_that_was_decoded_smaller",
    ),
    Mistake(
        "--cache_mb is ignored",
        TFDS,
        "fits = _estimated_bytes(builder, count) < settings.cache_mb * MIB",
        "fits = _estimated_bytes(builder, count) < 4096 * MIB",
        RUN + "test_cache_mb_and_shuffle_buffer",
    ),
    Mistake(
        "--shuffle_buffer is ignored",
        TFDS,
        "StreamSource(name, records, count, settings.shuffle_buffer, shape, decode, reduced)",
        "StreamSource(name, records, count, 16384, shape, decode, reduced)",
        RUN + "test_cache_mb_and_shuffle_buffer",
    ),
    Mistake(
        "--service_buffer_mb is ignored",
        PRETRAINING,
        "            buffer_mb=data.service_buffer_mb,\n",
        "",
        RUN + "test_data_service_and_its_buffer_reach_the_pipeline",
    ),
    Mistake(
        "--data_dir does not reach k-NN",
        LOGS,
        "data.dataset, splits, data.data_dir,",
        "data.dataset, splits, None,",
        RUN + "test_data_dir_reaches_images_and_knn",
    ),
    Mistake(
        "k-NN runs every --knn_every steps, not epochs",
        MONITORS,
        "self.every_steps = every * steps_per_epoch",
        "self.every_steps = every",
        _KNN,
    ),
    Mistake(
        "k-NN's splits are loaded in the other order",
        LOGS,
        'for flag in ("knn_train_split", "knn_test_split")}',
        'for flag in ("knn_test_split", "knn_train_split")}',
        RUN + "test_data_dir_reaches_images_and_knn",
    ),
    Mistake(
        "the run ignores the settings of the views",
        BUILD,
        "        config.augment, num_views",
        "        num_views",
        RUN + "test_every_setting_of_the_views_reaches_the_layer",
    ),
    Mistake(
        "solarisation inverts above the whole of white",
        "msbreg_tf/augment/operations/solarize.py",
        "WHITE * settings.solarize_threshold",
        "WHITE",
        OPERATIONS + "test_probabilities_and_thresholds",
    ),
    Mistake(
        "an operation that is left out by name is applied all the same",
        "msbreg_tf/augment/operations/table.py",
        "if name not in operations and operation.probability",
        "if name in operations and operation.probability",
        OPERATIONS + "test_only_leaves_every_other_operation_out",
    ),
    Mistake(
        "an evaluation learns from the test split",
        "msbreg_tf/evaluation/protocols/protocol.py",
        '{flag: given[flag] for flag in ("train_split", "test_split")}',
        '{flag: given["test_split"] for flag in ("train_split", "test_split")}',
        TOOLS + "test_shared_flags_and_the_vote",
    ),
    Mistake(
        "--temperature is ignored",
        "msbreg_tf/evaluation/protocols/knn.py",
        "            temperature=settings.temperature,\n            on_block",
        "            on_block",
        TOOLS + "test_shared_flags_and_the_vote",
    ),
    Mistake(
        "the linear classifier ignores --momentum",
        "msbreg_tf/evaluation/linear/classifiers.py",
        "            settings.momentum,\n",
        "            0.9,\n",
        "tests/evaluation/linear/test_probe.py::test_every_setting_of_the_training_by_hand",
    ),
    Mistake(
        "fine-tuning exchanges the rates of classifier and encoder",
        "msbreg_tf/evaluation/finetune/training.py",
        "model.compile(sgd(settings.classifier_lr), body)",
        "model.compile(body, sgd(settings.classifier_lr))",
        TOOLS + "test_fine_tuning_settings_arrive",
    ),
    Mistake(
        "fine-tuning ignores --crop_area_min",
        "msbreg_tf/evaluation/finetune/training.py",
        'only("crop", "flip", crop_area_min=settings.crop_area_min)',
        'only("crop", "flip")',
        TOOLS + "test_fine_tuning_settings_arrive",
    ),
    Mistake(
        "fine-tuning reads all labels whatever --fraction is",
        "msbreg_tf/evaluation/finetune/training.py",
        "class_balanced(labels, settings.fraction, settings.seed)",
        "class_balanced(labels, 1.0, settings.seed)",
        TOOLS + "test_fine_tuning_settings_arrive",
    ),
    Mistake(
        "geometry ignores --seed",
        "msbreg_tf/evaluation/protocols/geometry.py",
        "chosen = source.ordered(order_seed(seed, 0))",
        "chosen = source.ordered(order_seed(0, 0))",
        TOOLS + "test_geometry_settings_decide_images_and_views",
    ),
    Mistake(
        "--costs is ignored",
        "msbreg_tf/evaluation/protocols/svm.py",
        "            costs=settings.costs,\n",
        "",
        TOOLS + "test_svm_settings_reach_the_machines",
    ),
    Mistake(
        "a worker of the input engine ignores --port",
        "msbreg_tf/commands/data_service.py",
        "port = given + number if given else 0",
        "port = 0",
        TOOLS + "test_the_input_engine_starts_what_it_is_told",
    ),
    Mistake(
        "a term of a method is silently left out",
        OBJECTIVE,
        "if self.settings.method in term.methods\n        }",
        'if self.settings.method in term.methods and name != "brownian"\n        }',
        "tests/method/test_objective.py::test_weights_by_method_in_the_order_of_the_table",
    ),
    Mistake(
        "a setting's upper limit is not checked",
        "msbreg_tf/settings.py",
        "and (s.high is None or value <= s.high)",
        "",
        "tests/test_settings.py::test_a_value_outside_its_range_is_refused",
    ),
    Mistake(
        "a run of another version is continued",
        "msbreg_tf/files/workdir.py",
        'if recorded["arithmetic"] != ARITHMETIC:',
        "if False:",
        "tests/files/test_workdir.py::test_a_run_of_another_arithmetic_is_not_continued",
    ),
    Mistake(
        "EXIF's orientation is ignored",
        DECODING,
        "return upright(jpeg.pixels(contents), orientation)",
        "return jpeg.pixels(contents)",
        "tests/data/images/test_decoding.py::test_what_a_person_sees_is_decoded",
    ),
    Mistake(
        "EXIF's orientation is ignored where files of a folder are decoded smaller",
        "msbreg_tf/data/images/jpeg.py",
        "upright(at_a_ratio(_pixels_or_none, contents, reduce, size), orientation)",
        "at_a_ratio(_pixels_or_none, contents, reduce, size)",
        "tests/data/sources/test_folder.py::"
        "test_decoding_smaller_is_that_of_the_file_alone_or_of_another",
    ),
    Mistake(
        "an image above --max_megapixels is decoded all the same",
        DECODING,
        "pixels <= limit,",
        "pixels <= 10**15,",
        "tests/data/images/test_decoding.py::test_an_image_above_the_limit_is_not_decoded",
    ),
    Mistake(
        "the whole of an animation is decoded",
        DECODING,
        'tf.strings.join([tf.strings.substr(contents, 0, end), b";"])',
        "contents",
        "tests/data/images/test_decoding.py::"
        "test_of_a_long_animation_only_the_first_frame_is_decoded",
    ),
    Mistake(
        "an image of NaN has plausible features",
        EXPORTING,
        'tf.where(is_finite[:, tf.newaxis], rows, float("nan"))[:batch]',
        "rows[:batch]",
        "tests/evaluation/test_exporting.py::"
        "test_an_image_that_is_not_finite_gives_nan_and_the_others_their_features",
    ),
    Mistake(
        "the image that can't be decoded fails its whole batch",
        "msbreg_tf/data/images/squares.py",
        ".map(look).ignore_errors()",
        ".map(look)",
        "tests/evaluation/test_exporting.py::test_an_image_that_can_not_be_decoded_fails_no_other",
    ),
    Mistake(
        "an export gets its name before its warm-up requests are run",
        EXPORTING,
        "        replay_warmup(partial)\n",
        "        pass\n",
        "tests/evaluation/test_exporting.py::"
        "test_warm_up_requests_are_run_before_an_export_gets_its_name",
    ),
    Mistake(
        "a client of a server changes the version while it embeds",
        "msbreg_tf/evaluation/serving/client.py",
        ".predict(images, self._version)",
        ".predict(images, None)",
        "tests/evaluation/serving/test_client.py::"
        "test_rows_come_in_order_and_without_those_of_broken_images",
    ),
    Mistake(
        "shards overlap by an image",
        "msbreg_tf/evaluation/features/shards.py",
        "            images * self.number // self.count,\n",
        "            images * self.number // self.count + 1,\n",
        "tests/evaluation/features/test_merging.py::test_shards_have_every_image_once_and_in_order",
    ),
    Mistake(
        "shards of another encoder are merged",
        "msbreg_tf/evaluation/features/merging.py",
        "if jobs[shard] != usual:",
        "if jobs[shard] is None:",
        "tests/evaluation/features/test_merging.py::"
        "test_a_shard_that_is_missing_or_foreign_is_named",
    ),
    Mistake(
        "a folder beside the splits is a class",
        "msbreg_tf/data/sources/folder.py",
        "classes = sorted(set().union(*members.values()))",
        "classes = sorted({c for part in _subfolders(root) for c in _subfolders(root / part)})",
        "tests/data/labelled/test_records.py::test_a_class_has_the_same_label_in_every_split",
    ),
    Mistake(
        "a stream begins at the same record in every epoch",
        TFDS,
        "self._records.skip(start).concatenate(self._records.take(start))",
        "self._records",
        "tests/data/sources/test_tfds.py::test_a_stream_leaves_all_parts_of_the_disk_out_alike",
    ),
    Mistake(
        "a run without run.json is taken for a new one",
        WORKDIR,
        "if self._lock is None or self._has_state():",
        "if os.path.exists(path) and self._has_state():",
        "tests/files/test_workdir.py::test_a_run_that_nobody_can_tell_is_not_continued",
    ),
    Mistake(
        "TensorBoard keeps the points of steps that are trained again",
        "msbreg_tf/files/event_files.py",
        'event.WhichOneof("what") == "summary" and event.step <= step',
        'event.WhichOneof("what") == "summary"',
        "tests/files/test_event_files.py::test_steps_that_are_trained_again_are_removed",
    ),
    Mistake(
        "files that can't be read count as trained on",
        "msbreg_tf/evaluation/finetune/training.py",
        "return np.setdiff1d(rows, broken)",
        "return rows",
        "tests/evaluation/finetune/test_training.py::"
        "test_files_that_can_not_be_read_are_named_and_not_counted",
    ),
    Mistake(
        "--init_from gives the target other weights",
        "msbreg_tf/run/initial.py",
        "            target.assign(online)\n",
        "            pass\n",
        RUN + "test_init_from_gives_both_encoders_the_exports_weights",
    ),
    Mistake(
        "--max_megapixels does not reach the images",
        "msbreg_tf/data/sources/folder.py",
        'return FolderSource("folder", folder, paths, settings.max_megapixels)',
        'return FolderSource("folder", folder, paths)',
        RUN + "test_max_megapixels_reaches_images_and_knn",
    ),
    Mistake(
        "--quality_images is ignored",
        LOGS,
        "views = fixed_views(run.quality_images)",
        "views = fixed_views(64)",
        RUN + "test_quality_of_fixed_views_every_epoch",
    ),
    Mistake(
        "LiDAR leaves out what the views of a picture differ in",
        "msbreg_tf/evaluation/quality.py",
        "scatter = within.T @ within / len(within) + delta",
        "scatter = np.eye(size) + delta",
        "tests/evaluation/test_quality.py::test_lidar_against_a_slow_twin",
    ),
    Mistake(
        "RankMe is of centred features",
        "msbreg_tf/evaluation/quality.py",
        "return _entropy_rank(_singular_values(features))",
        "return _entropy_rank(_singular_values(features - features.mean(axis=0)))",
        "tests/evaluation/test_quality.py::test_ranks_against_a_decomposition",
    ),
    Mistake(
        "of α-ReQ more is taken for better",
        "msbreg_tf/evaluation/quality.py",
        "lambda value: -abs(value - 1.0),",
        "lambda value: value,",
        "tests/evaluation/results/test_ranking.py::test_the_best_run_first",
    ),
    Mistake(
        "equal values have no rank in common",
        "msbreg_tf/evaluation/results/ranking.py",
        "return (last - (counts - 1) / 2)[inverse]",
        "return np.argsort(np.argsort(values)).astype(float)",
        "tests/evaluation/results/test_ranking.py::test_spearman_equals_scipy_with_and_without_ties",
    ),
    Mistake(
        "a continued run takes the precision of another machine",
        PRETRAINING,
        'config.run.mixed_precision, workdir.recorded("precision"), config.run.cpu_devices',
        "config.run.mixed_precision, None, config.run.cpu_devices",
        "tests/run/test_precision.py::test_a_run_says_and_records_what_was_chosen_and_keeps_it",
    ),
    Mistake(
        "points that are equal are run each for itself",
        "msbreg_tf/run/sweep/record.py",
        "first.setdefault(identity(point), point.name)",
        "point.name",
        "tests/run/sweep/test_local.py::test_points_that_are_equal_are_one_run",
    ),
    Mistake(
        "a killed sweep leaves its trainings running",
        "msbreg_tf/run/sweep/work.py",
        "libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)",
        "pass",
        "tests/run/sweep/test_local.py::test_a_killed_sweep_leaves_no_process_and_continues",
    ),
    Mistake(
        "the jobs of a sweep share all cores",
        "msbreg_tf/run/sweep/local.py",
        "_share(cores, index, jobs)",
        "cores",
        "tests/run/sweep/test_local.py::test_every_job_has_its_own_cores_and_gpus",
    ),
    Mistake(
        "--evaluate_with is ignored",
        "msbreg_tf/run/sweep/command_lines.py",
        "return {**flags, **given}",
        "return flags",
        "tests/run/sweep/test_local.py::test_points_that_are_equal_are_one_run",
    ),
    Mistake(
        "published values stand beside every K",
        "msbreg_tf/run/sweep/table.py",
        "value.settings == place",
        "value.settings[1:] == place[1:]",
        "tests/run/sweep/test_table.py::test_seeds_become_mean_and_deviation_beside_the_published_value",
    ),
    Mistake(
        "the deviation over seeds is over n",
        "msbreg_tf/run/sweep/table.py",
        "statistics.stdev(known)",
        "statistics.pstdev(known)",
        "tests/run/sweep/test_table.py::test_seeds_become_mean_and_deviation_beside_the_published_value",
    ),
    Mistake(
        "kernels are converted with their rows and columns exchanged",
        "msbreg_tf/networks/torch_names.py",
        "value.transpose(3, 2, 0, 1)",
        "value.transpose(3, 2, 1, 0)",
        CONVERSION + "test_names.py::test_kernels_are_transposed_and_nothing_else_is_changed",
    ),
    Mistake(
        "a converted file beyond the bar is kept",
        "msbreg_tf/evaluation/conversion/convert.py",
        "    if not verdict.keeps(bar):\n",
        "    if False:\n",
        CONVERSION + "test_convert.py::test_a_file_beyond_the_bar_is_not_kept",
    ),
    Mistake(
        "a converted file that gives NaN is kept",
        "msbreg_tf/evaluation/conversion/verify.py",
        "return self.difference <= bar.difference and self.cosine >= bar.cosine",
        "return not (self.difference > bar.difference or self.cosine < bar.cosine)",
        CONVERSION + "test_convert.py::test_a_comparison_by_hand",
    ),
    Mistake(
        "the resizing of an export needs float64, which TFLite has no division for",
        "msbreg_tf/data/images/resizing.py",
        "tf.cast(length % 2, tf.float32) / 2",
        "tf.cast(tf.cast(length % 2, tf.float64) / 2, tf.float32)",
        "tests/data/images/test_resizing.py::"
        "test_an_exports_resizing_has_neither_float64_nor_int64",
    ),
    Mistake(
        "a .pth may name any function",
        "msbreg_tf/files/tensors/torch_file.py",
        '            shown = one_line(ValueError(f"{module}.{name}"), 60)\n',
        "            return super().find_class(module, name)\n",
        READERS + "test_a_pickle_that_runs_code",
    ),
    Mistake(
        "the places of a tensor in a .pth are not checked",
        "msbreg_tf/files/tensors/torch_file.py",
        "if len(numbers) != storage.numel or (count and not fits):",
        "if False:",
        READERS + "test_a_torch_file_whose_tensors_are_elsewhere",
    ),
    Mistake(
        "torch's input and output channels are exchanged",
        "msbreg_tf/networks/torch_names.py",
        "array.transpose(2, 3, 1, 0)",
        "array.transpose(2, 3, 0, 1)",
        "tests/networks/test_weights.py::test_every_format_gives_the_exact_weights_of_the_export",
    ),
    Mistake(
        "a deeper network is taken for ours",
        "msbreg_tf/networks/weights.py",
        "names = sorted(here.keys() | there.keys())",
        "names = sorted(here.keys())",
        "tests/networks/test_weights.py::test_another_network_is_refused_by_name",
    ),
    Mistake(
        "random weights are the same with every seed of a comparison",
        "msbreg_tf/evaluation/finetune/starts.py",
        "untrained_twin(self._export, self._image_size, seed)",
        "untrained_twin(self._export, self._image_size)",
        STARTS,
    ),
    Mistake(
        "all starts of a comparison share a column",
        "msbreg_tf/evaluation/finetune/part.py",
        "settings.protocol(start.network)",
        "settings.protocol()",
        STARTS,
    ),
    Mistake(
        "parts of a comparison that are done are run again",
        "msbreg_tf/evaluation/finetune/comparing.py",
        "if os.path.exists(record):",
        "if not record:",
        STARTS,
    ),
    Mistake(
        "VOC's AP counts difficult objects as to be found",
        VOC_AP,
        "positives = int(np.sum(~ranking.difficult))",
        "positives = len(ranking.difficult)",
        DETECTION + "test_voc_ap.py::test_difficult_objects_count_neither_way",
    ),
    Mistake(
        "VOC's AP lets an object be found twice",
        VOC_AP,
        "    correct[first] = True\n",
        "    correct[:] = True\n",
        DETECTION + "test_voc_ap.py::test_an_object_is_found_once",
    ),
    Mistake(
        "VOC's AP forgets that a box holds its last pixel",
        VOC_AP,
        "common = np.prod(np.maximum(high - low + 1, 0), axis=2)",
        "common = np.prod(np.maximum(high - low, 0), axis=2)",
        DETECTION + "test_voc_ap.py::test_sides_hold_their_last_pixel",
    ),
    Mistake(
        "crowds are learnt as objects",
        DETECTION_SPLITS,
        "        kept = ~picture.ignored\n",
        "        kept = picture.ignored | True\n",
        DETECTION + "test_reading.py::test_the_layout_and_the_splits_are_found",
    ),
    Mistake(
        "detection's rate falls one step late",
        DETECTION_SETTINGS,
        "bisect.bisect_right(self.milestones, step)",
        "bisect.bisect_left(self.milestones, step)",
        DETECTION + "test_settings.py::test_the_rate_of_every_step",
    ),
    Mistake(
        "a report takes what Plotly is given for markup",
        "msbreg_tf/report/maps.py",
        '"name": plain(name),',
        '"name": name,',
        "tests/report/test_page.py::test_hostile_names_stay_text",
    ),
    Mistake(
        "the templates of a report do not escape",
        "msbreg_tf/report/page.py",
        "autoescape=True",
        "autoescape=False",
        "tests/report/test_page.py::test_hostile_names_stay_text",
    ),
    Mistake(
        "a report does not tell where a run was interrupted",
        "msbreg_tf/report/series.py",
        "if point.step not in timed",
        "if point.step in timed and point.step < 0",
        "tests/report/test_series.py::test_a_run_killed_twice_tells_where_it_was_continued",
    ),
    Mistake(
        "an image is its own nearest neighbour",
        "msbreg_tf/evaluation/similar.py",
        "own = rows == np.arange(len(rows))[:, None]",
        "own = np.arange(k + 1)[None] == np.full([len(rows), 1], k)",
        "tests/evaluation/test_similar.py::test_nearest_others_by_a_slow_twin",
    ),
    Mistake(
        "a report's crop boxes exchange top and left",
        "msbreg_tf/report/views.py",
        'zip(("top", "left", "height", "width"), boxes)',
        'zip(("left", "top", "height", "width"), boxes)',
        "tests/report/test_views.py::test_the_box_is_where_the_view_was_cut_out",
    ),
    Mistake(
        "a report of several runs judges them by other evidence than each alone",
        "msbreg_tf/report/page.py",
        "told = [findings(run, series_of(run), its) for run, its in zip(runs, judged)]",
        "told = [findings(run, series_of(run), None) for run, its in zip(runs, judged)]",
        "tests/report/test_page.py::test_the_table_of_several_runs_says_what_the_cards_of_each_say",
    ),
    Mistake(
        "two blue skies are near-duplicates",
        "msbreg_tf/report/gallery.py",
        "rows = unit_rows((colours - colours.mean(axis=1, keepdims=True))",
        "rows = unit_rows(colours",
        "tests/report/test_pictures.py::"
        "test_two_blue_skies_are_no_duplicates_but_two_copies_and_two_plain_sheets_are",
    ),
    Mistake(
        "a run of few steps is told to crop otherwise",
        "msbreg_tf/report/advice.py",
        "if facts.run.last_step < _FEW_STEPS:",
        "if facts.run.last_step < 0:",
        "tests/report/test_advice.py::test_few_steps_are_not_blamed_on_the_crops",
    ),
    Mistake(
        "a race counts a pass backward as one",
        "benchmarks/race/contenders.py",
        "return 3 * num_views + target_views",
        "return 2 * num_views + target_views",
        f"{RACE}test_contenders.py::test_a_pass_forward_is_one_and_backward_two",
    ),
    Mistake(
        "a race's search is scored on images that were trained on",
        "benchmarks/race/stages.py",
        'return f"{split}[:80%]", f"{split}[80%:]"',
        'return f"{split}[:80%]", f"{split}[:80%]"',
        f"{RACE}test_stages.py::test_a_search_is_on_held_out_training_images_with_equal_compute",
    ),
    Mistake(
        "the views of a peer cost nothing in a race",
        "benchmarks/race/work.py",
        'whole = spent["cpu"] + views["seconds"]["cpu"]',
        'whole = spent["cpu"]',
        f"{RACE}test_table.py::test_views_count_for_everyone_and_stand_apart",
    ),
    Mistake(
        "an installed package speaks of tools/ and flags/",
        "msbreg_tf/errors.py",
        "    if not installed:\n",
        "    if not installed or text:\n",
        "tests/test_errors.py::test_commands_are_those_of_a_checkout_or_of_the_installed_package",
    ),
    Mistake(
        "a missing library of NVIDIA's driver is to come by pip",
        "msbreg_tf/run/doctor/gpu.py",
        "    if _OF_DRIVER in facts.missing:\n",
        "    if not facts.missing:\n",
        "tests/run/doctor/test_gpu.py::test_the_drivers_own_library_does_not_come_by_pip",
    ),
)


def occurrences(mistake: Mistake, root: pathlib.Path = ROOT) -> int:
    """How often the snippet to replace occurs in its file."""
    return (root / mistake.file).read_text().count(mistake.before)


def passes(tests: Iterable[str], root: pathlib.Path) -> bool:
    """Runs tests in the tree at `root`, up to the first that fails.

    Raises:
      RuntimeError: pytest found no test, or did not get to an end.
    """
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-x", "-p", "no:cacheprovider"]
    # Without bytecode: two edits within a second may look like one file to Python.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {result.returncode}.\n{result.stdout}")
    return result.returncode == 0


def is_caught(mistake: Mistake, root: pathlib.Path) -> bool:
    """Makes the mistake in the tree at `root`, runs its test, and undoes it.

    Raises:
      RuntimeError: the snippet is not there exactly once; see also `passes`.
    """
    path = root / mistake.file
    right = path.read_text()
    if occurrences(mistake, root) != 1:
        raise RuntimeError(f"{mistake.what}: the snippet is not there exactly once.")
    path.write_text(right.replace(mistake.before, mistake.after))
    try:
        return not passes([mistake.test], root)
    finally:
        path.write_text(right)


def copy_tree(folder: pathlib.Path) -> None:
    """Copies what the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=_NOT_COPIED)
        else:
            shutil.copy2(ROOT / name, folder / name)


def main(only: Optional[int] = None) -> int:
    """Tries the mistakes, all or the one of that number; returns the exit code."""
    tried = [pair for pair in enumerate(MISTAKES, 1) if only in (None, pair[0])]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mistakes_") as folder:
        root = pathlib.Path(folder)
        copy_tree(root)
        if not passes(sorted({mistake.test for _, mistake in tried}), root):
            print("A named test fails without any mistake: mend that first.")
            return 1
        print("|  | mistake | caught by | |\n|--:|---|---|---|", flush=True)
        for number, mistake in tried:
            caught = is_caught(mistake, root)
            survivors += not caught
            verdict = "caught" if caught else "SURVIVED"
            print(f"| {number} | {mistake.what} | {mistake.test} | {verdict} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, metavar="N", help="try this mistake alone, from 1")
    sys.exit(main(parser.parse_args().only))
