"""Settings of data, views, schedule and run: each at a value that is not its default, in a `Run`.

As in `test_wiring.py`, what is expected is computed in the test. One run is trained to its end
(`trained`); the others are built, and looked at.
"""

import contextlib
import json
import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow import keras

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.pipeline.probe import probe_views
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.sources.imagenet100 import WNIDS
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.source import MemorySource
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.data.sources.tfds import StreamSource
from msbreg_tf.distributed.workers import Workers
from msbreg_tf.evaluation.features.extract import extract_features
from msbreg_tf.evaluation.knn import knn_accuracy
from msbreg_tf.evaluation.neighbours import same_picture
from msbreg_tf.evaluation.quality import measure_quality
from msbreg_tf.files.workdir import Workdir
from msbreg_tf.run import precision, pretraining
from msbreg_tf.run.build import build_augmentation
from msbreg_tf.run.callbacks.monitors import LogSchedule, TensorBoardLog
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.initial import InitialWeights

# The 1,000 images of the sample's 'test': 15 steps an epoch, 30 in all; 6.75 of warm-up, hence 7.
SMALL = {
    "dataset": "sample",
    "split": "test",
    "image_size": 16,
    "encoder_width": 4,
    "stem": "cifar",
    "hidden_size": 16,
    "projection_size": 8,
    "num_views": 3,
    "base_lr": 0.7,
    "batch_size": 64,
    "epochs": 2,
    "warmup_epochs": 0.45,
    "lambda_s": 0.01,
    "lambda_b": 0.1,
    "seed": 5,
    "log_every": 2,
    "checkpoint_every": 8,
    "keep_checkpoints": 2,
}
# Every setting of the views, at another value than its own and than every other's.
AUGMENTATION = {
    "crop_area_min": 0.2,
    "crop_area_max": 0.7,
    "crop_ratio_max": 2.0,
    "flip_probability": 0.11,
    "jitter_probability": 0.12,
    "brightness": 0.13,
    "contrast": 0.14,
    "saturation": 0.15,
    "hue": 0.16,
    "grey_probability": 0.17,
    "blur_probability": 0.18,
    "blur_sigma_min": 0.5,
    "blur_sigma_max": 1.5,
    "solarize_probability": 0.19,
    "solarize_threshold": 0.21,
}


def settings(**changes):
    return config_from_settings({**SMALL, **changes})


@pytest.fixture
def build_run(tmp_path):
    """Builds runs of `settings(**changes)`, each in a folder of its own."""
    with contextlib.ExitStack() as opened:

        def build(**changes):
            workdir = Workdir(str(tmp_path / f"{len(os.listdir(tmp_path))}"))
            opened.callback(workdir.close)
            return pretraining.Run(settings(**changes), workdir, Workers())

        yield build


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run after its last step, its lines of metrics.jsonl and its folder."""
    folder = str(tmp_path_factory.mktemp("wiring") / "trained")
    workdir = Workdir(folder)
    config = settings(
        tau_base=0.9,
        momentum=0.7,
        trust_coefficient=0.002,
        weight_decay=0.03,
        knn_every=2,
        knn_train_split="test",
        knn_test_split="train",
        knn_images=2000,
        quality_every=1,
        quality_images=40,
    )
    run = pretraining.Run(config, workdir, Workers())
    run.fit()
    workdir.close()
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return run, lines, folder


def of_kind(installed, kind):
    (found,) = [callback for callback in installed if type(callback) is kind]
    return found


# Schedule and optimizer


def test_the_learning_rate_in_force_at_every_logged_step(trained):
    """base_lr × N/256 × K, from 0 in 7 steps, then a cosine that ends at step 30."""
    _, lines, _ = trained
    rates = {line["step"]: line["learning_rate"] for line in lines if "learning_rate" in line}
    highest = 0.7 * 64 / 256 * 3
    for step, expected in {
        2: highest * 1 / 7,  # the second step comes after one step
        6: highest * 5 / 7,
        8: highest,
        20: highest * (1 + np.cos(np.pi * 12 / 23)) / 2,
        30: highest * (1 + np.cos(np.pi * 22 / 23)) / 2,
    }.items():
        assert rates[step] == pytest.approx(expected, rel=1e-5), step


def test_tau_at_every_logged_step(trained):
    _, lines, _ = trained
    for line in lines:
        if "tau" in line:
            expected = 1 - (1 - 0.9) * (np.cos(np.pi * (line["step"] - 1) / 30) + 1) / 2
            assert line["tau"] == pytest.approx(expected, rel=1e-6), line["step"]


def test_trust_coefficient_and_weight_decay_reach_the_gradients(trained):
    run, _, _ = trained
    lars = of_kind(run._callbacks(), pretraining.LARS)
    assert (lars.trust_coefficient, lars.weight_decay) == (0.002, 0.03)
    lars.set_model(run.model)
    lars.on_train_begin()
    weight = tf.Variable([[3.0, 0.0], [0.0, 4.0]])
    (adapted,), _ = run.model.lars.adapt([tf.ones([2, 2])], [weight])
    decayed = np.ones([2, 2]) + 0.03 * weight.numpy()
    expected = 0.002 * 5 / np.linalg.norm(decayed) * decayed
    np.testing.assert_allclose(adapted, expected, rtol=1e-5)


def test_momentum_of_the_run(trained):
    run, _, _ = trained
    assert run.model.optimizer.momentum == 0.7


# Data and views


@pytest.mark.parametrize("augment_on", ["host", "device"])
def test_the_first_batch_by_hand(build_run, augment_on):
    """Order, draws and augmentation of step 0, from the seed and the settings alone."""
    run = build_run(augment_on=augment_on, **AUGMENTATION)
    with run._views() as views:
        batch = next(iter(views))
    images, _ = load_sample("test")

    def folded(*numbers):
        seed = tf.constant([5, 0], tf.int32)
        for number in numbers:
            seed = tf.random.experimental.stateless_fold_in(seed, number, alg="philox")
        return seed

    order = tf.random.experimental.stateless_shuffle(
        tf.range(1000, dtype=tf.int64), folded(0, 0), alg="philox"
    )[:64]
    draws = tf.stack([image_draws(folded(0, 1), index, 3) for index in order])
    inputs = {"images": tf.gather(images, order), "draws": draws}
    chosen = AugmentSettings(**AUGMENTATION, augment_on=augment_on)
    layer = MultiViewAugmentation(chosen, num_views=3, image_size=16)
    expected = layer(inputs)["images"]
    assert expected.shape == (64, 3, 16, 16, 3)
    if augment_on == "host":
        assert run.model.augment is None
        np.testing.assert_array_equal(batch, expected)
    else:
        np.testing.assert_array_equal(batch["images"], inputs["images"])
        np.testing.assert_array_equal(batch["draws"], draws)
        np.testing.assert_array_equal(run.model.augment.finish_views(batch), expected)


def test_order_and_views_have_seeds_of_their_own():
    seeds = [tuple(make(5, epoch).numpy()) for make in (order_seed, views_seed) for epoch in (0, 1)]
    assert len(set(seeds)) == 4


def test_every_setting_of_the_views_reaches_the_layer(build_run):
    """And from there the views: tests/augment/test_operations.py."""
    for augment_on in ("host", "device"):
        run = build_run(augment_on=augment_on, **AUGMENTATION)
        expected = AugmentSettings(**AUGMENTATION, augment_on=augment_on)
        layer = run.augment
        assert (layer.settings, layer.num_views, layer.image_size) == (expected, 3, 16)
    assert run.model.augment.settings == expected
    values = [*AUGMENTATION.values()]
    assert len(set(values)) == len(values)  # so that an exchange is seen


def test_views_may_be_smaller(build_run, tmp_path):
    run = build_run(view_size=12, blur_sigma_max=1.5, batch_size=8)
    with run._views() as views:
        assert next(iter(views)).shape == (8, 3, 12, 12, 3)
    run._write_export(30, str(tmp_path / "export" / "30"))
    metadata = json.loads((tmp_path / "export" / "30" / "metadata.json").read_text())
    assert metadata["image_size"] == 16
    assert "= 24 of 12 px, on R = 1" in run.plan()


def test_blur_follows_the_image_size_unless_it_is_given():
    def blur(**changes):
        return build_augmentation(settings(**changes)).settings.blur_probability

    assert blur(image_size=32) == 0.0
    assert blur(image_size=33) == 1.0
    assert blur(image_size=16, blur_probability=0.3) == 0.3
    assert blur(image_size=64, view_size=32) == 0.0


def test_dataset_and_split(build_run):
    run = build_run(split="test")
    np.testing.assert_array_equal(run.source.records_in_memory(), load_sample("test")[0])
    assert run.source.name == "sample test"
    assert open_source(settings(split="train").data).num_images == 5000
    with tfds.testing.mock_data(num_examples=6):
        source = open_source(settings(dataset="stl10", split="unlabelled").data)
    assert source.name.startswith("stl10 ")
    assert source.name.endswith(" unlabelled")
    assert source.image_shape == (96, 96)


def test_cache_mb_and_shuffle_buffer():
    def order(source):
        return [int(i) for i, _ in source.ordered(tf.constant([5, 6])).as_numpy_iterator()]

    with tfds.testing.mock_data(num_examples=40):
        held = open_source(settings(dataset="cifar10", cache_mb=4096).data)
        unmixed, mixed = (
            open_source(settings(dataset="cifar10", cache_mb=0, shuffle_buffer=buffer).data)
            for buffer in (1, 4)
        )
        assert isinstance(held, MemorySource)
        assert isinstance(unmixed, StreamSource)  # mocked images are in no files
        first, *_ = in_turn = order(unmixed)
        assert in_turn == [
            (first + place) % 40 for place in range(40)
        ]  # a buffer of one mixes none
        places = order(mixed)
    assert places != in_turn
    # None comes 4 too early.
    assert all((image - first) % 40 - place < 4 for place, image in enumerate(places))


@pytest.fixture
def wnid_folders(tmp_path_factory):
    """One image of each of 100 classes in train/ and val/; its colour tells class and split."""
    root = tmp_path_factory.mktemp("imagenet100")
    for split, offset in (("train", 0), ("val", 100)):
        for label, wnid in enumerate(WNIDS):
            (root / split / wnid).mkdir(parents=True)
            image = np.full([20, 24, 3], label + offset, np.uint8)
            path = root / split / wnid / "image.png"
            path.write_bytes(tf.io.encode_png(image).numpy())
    return str(root)


def test_data_dir_reaches_images_and_knn(build_run, wnid_folders):
    run = build_run(
        dataset="imagenet100",
        split="train",
        data_dir=wnid_folders,
        knn_every=1,
        knn_train_split="train",
        knn_test_split="val",
        knn_images=50,
    )
    assert run.source.num_images == 100
    for label in (0, 42, 99):
        image = run.source.decode(run.source.records_in_memory()[label])
        assert int(image[0, 0, 0]) == label
    (neighbours, known), (queries, asked) = run.knn_data
    assert neighbours.shape == queries.shape == (50, 16, 16, 3)
    np.testing.assert_array_equal(neighbours[:, 0, 0, 0], known)
    np.testing.assert_array_equal(queries[:, 0, 0, 0], asked + 100)
    assert known.tolist() == asked.tolist() == list(range(0, 100, 2))


def test_max_megapixels_reaches_images_and_knn(build_run, tmp_path, capsys):
    for split in ("train", "test"):
        for number in range(70):
            path = tmp_path / "pictures" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            side = 30 if number == 4 else 16
            pixels = np.full([side, side, 3], number, np.uint8)
            path.write_bytes(tf.io.encode_png(pixels).numpy())
    run = build_run(
        dataset="folder",
        split="train",
        data_dir=str(tmp_path / "pictures"),
        knn_every=1,
        knn_train_split="train",
        knn_test_split="test",
        knn_images=70,
        max_megapixels=500e-6,
    )
    (neighbours, _), (queries, _) = run.knn_data
    assert len(neighbours) == len(queries) == 69
    assert 4 not in neighbours[:, 0, 0, 0]
    assert capsys.readouterr().err.count("1 of 70 images can't be read") == 2
    names = [name for name in run.source.records_in_memory().numpy() if name.endswith(b"/4.png")]
    for name in names:
        assert int(run.source.decode(tf.constant(name))[0, 0, 0]) != 4
    assert len(run.source.broken_files()) == len(names) == 2


def test_init_from_gives_both_encoders_the_exports_weights(build_run, trained, tmp_path):
    run, _, _ = trained
    folder = str(tmp_path / "run" / "export" / "30")
    run._write_export(30, folder)
    metadata = json.loads((pathlib.Path(folder) / "metadata.json").read_text())
    assert metadata["precision"] == "float32"
    assert re.fullmatch(
        r"\d+ cores? of .+; (no GPU visible to TensorFlow|GPUs: .+)", metadata["hardware"]
    )
    continued = build_run(init_from=folder, seed=11)
    for encoder in (continued.model.encoder, continued.model.target_encoder):
        for ours, theirs in zip(encoder.variables, run.model.encoder.variables):
            np.testing.assert_array_equal(ours, theirs, err_msg=theirs.name)
    fresh = build_run(seed=11)
    for ours, theirs in zip(continued.model.projector.variables, fresh.model.projector.variables):
        np.testing.assert_array_equal(ours, theirs)
    assert f"weights of {folder}" in continued.plan()
    facts = [
        json.loads(pathlib.Path(run.workdir.file("run.json")).read_text())["facts"]
        for run in (continued, fresh)
    ]
    assert len(facts[0]["initial weights"]) == 16
    assert "initial weights" not in facts[1]
    file = InitialWeights(f"{folder}/encoder.keras")
    assert file.fingerprint == continued.initial.fingerprint == facts[0]["initial weights"]
    assert file.facts()["format"] == "Keras"
    continued._write_export(1, str(tmp_path / "again" / "export" / "1"))
    again = InitialWeights(str(tmp_path / "again" / "export" / "1"))
    assert again.fingerprint == file.fingerprint  # the round trip is exact
    described = json.loads((tmp_path / "again" / "export" / "1" / "metadata.json").read_text())
    assert described["initial weights"]["weights"] == file.fingerprint
    with pytest.raises(ValueError, match=r"another encoder: .* Make --encoder, --encoder_width"):
        build_run(init_from=folder, encoder_width=8)


@pytest.mark.parametrize(
    "network", [{"encoder_width": 32}, {"stem": "cifar"}, {"norm": "layer"}, {"norm": "group_ws"}]
)
def test_init_from_of_torchvision_needs_the_standard_network(network):
    fits = {"encoder_width": 64, "stem": "imagenet", "norm": "batch", "encoder": "resnet50"}
    for path in ("r.safetensors", "r.pth", "R.PT"):
        config_from_settings({"init_from": path, **fits})
        ((name, value),) = network.items()
        message = rf"init_from={path}: .* ResNets of --{name}={fits[name]}, .* --{name}={value}\."
        with pytest.raises(ValueError, match=message):
            config_from_settings({"init_from": path, **fits, **network})
    config_from_settings({"init_from": "export/3", **network})
    config_from_settings({"init_from": "export/3/encoder.keras", **network})


def test_data_service_and_its_buffer_reach_the_pipeline(build_run, monkeypatch):
    checked, asked = [], []

    @contextlib.contextmanager
    def serve(service, recipe, start_step, num_steps, *, buffer_mb):
        asked.append((service, recipe.seed, start_step, num_steps, buffer_mb))
        yield tf.data.Dataset.range(1)

    monkeypatch.setattr(pretraining, "check_service", lambda *given: checked.append(given))
    monkeypatch.setattr(pretraining, "service_batches", serve)
    run = build_run(data_service="grpc://there:5050", service_buffer_mb=77)
    with run._views():
        pass
    assert checked == [("grpc://there:5050", run.source)]
    assert asked == [("grpc://there:5050", 5, 0, 30, 77)]


# The run


def test_the_runs_seed_decides_the_initial_weights(build_run):
    built = build_run().model.online_variables
    keras.utils.set_random_seed(5)
    expected = pretraining.build_model(settings(), 30).online_variables
    for ours, theirs in zip(built, expected):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(build_run(seed=6).model.online_variables[0], expected[0])


def test_the_runs_seed_reaches_the_model(trained):
    run, _, _ = trained
    assert run.model.seed == 5


def test_the_strategy_holds_the_model(build_run):
    run = build_run(strategy="mirrored")
    assert run.strategy.num_replicas_in_sync == 2
    assert run.model.distribute_strategy is run.strategy
    assert run.model.projector.get_layer("norm").synchronized


def test_workdir_and_precision_of_a_training(tmp_path, monkeypatch):
    class SeenError(Exception):
        pass

    def look(config, workdir, workers):
        raise SeenError(workdir.path, keras.mixed_precision.global_policy().name)

    monkeypatch.setattr(pretraining, "Run", look)
    half = "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: "")
    auto = "float32" if half == "mixed_bfloat16" else precision.choose_precision("auto").policy
    for mixed, policy in ((True, half), (False, "float32"), ("auto", auto)):
        with pytest.raises(SeenError) as seen:
            pretraining.train(settings(workdir=str(tmp_path / "here"), mixed_precision=mixed))
        assert seen.value.args == (str(tmp_path / "here"), policy)


def test_strategy_reaches_the_joining_of_workers(tmp_path, monkeypatch):
    for name in ("TF_CONFIG", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="--strategy=multi_worker: neither TF_CONFIG nor Slurm"):
        pretraining.train(settings(workdir=str(tmp_path), strategy="multi_worker"))


def test_log_every_decides_the_lines(trained):
    run, lines, _ = trained
    assert [line["step"] for line in lines if "loss" in line] == [1, *range(2, 31, 2)]
    assert lines[1]["epoch"] == pytest.approx(2 / 15)
    board = of_kind(run._callbacks(), TensorBoardLog)
    assert board.schedule == LogSchedule(2, 30)
    assert (board.steps_per_epoch, board.batch_size) == (15, 64)


def test_checkpoint_every_and_keep_checkpoints_decide_what_is_kept(trained):
    _, _, folder = trained
    kept = sorted(os.listdir(os.path.join(folder, "checkpoints")))
    assert kept == ["00000024", "00000030"]  # of 8, 16, 24, and the end


def test_knn_looks_up_the_train_split_and_classifies_the_test_split(trained):
    """After epoch 2: the 1,000 images of 'test' know, the first 2,000 of 'train' are asked."""
    run, lines, _ = trained
    measured = {line["step"]: line["knn20_top1"] for line in lines if "knn20_top1" in line}
    assert list(measured) == [30]

    def features(split):
        images, labels = load_sample(split)
        small = tf.image.resize(images[:2000], [16, 16], antialias=True)
        pixels = tf.saturate_cast(tf.round(small), tf.uint8).numpy()
        return extract_features(lambda x: run.model(x, training=False), pixels), labels[:2000]

    (known, known_labels), (asked, asked_labels) = features("test"), features("train")
    expected = knn_accuracy(known, known_labels, asked, asked_labels, k=[20])[20]
    # But for the votes of pixels that lie at a half, which two ways of resizing round apart.
    assert measured[30] == pytest.approx(expected, abs=3.1 / 2000)


def test_quality_of_fixed_views_every_epoch(trained):
    """The first 40 images of epoch 0 with the views that it makes of them, by the last encoder."""
    run, lines, folder = trained
    measured = {line["step"]: line for line in lines if "lidar" in line}
    assert list(measured) == [15, 30]
    _, views = probe_views(run.source, run.augment, seed=5, num_views=3, count=40)
    pixels = views.reshape(120, 16, 16, 3)
    features = extract_features(lambda x: run.model(x, training=False), pixels)
    features = features.reshape(40, 3, -1)
    expected = {**measure_quality(features), "same_picture": same_picture(features)}
    assert len(expected) == 7
    found = {name: measured[30][name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-4)
    assert measured[15]["rankme"] != measured[30]["rankme"]
    shown = {}
    (path,) = (pathlib.Path(folder) / "tensorboard").glob("events*")
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.tag.startswith("quality/"):
                shown[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert {tag for tag, _ in shown} == {f"quality/{name}" for name in expected}
    for name, value in found.items():
        assert shown[f"quality/{name}", 30] == pytest.approx(value, rel=1e-6)
