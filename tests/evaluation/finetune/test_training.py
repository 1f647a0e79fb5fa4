import dataclasses
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.features.keras_twin import load_keras_encoder
from msbreg_tf.evaluation.finetune.model import FineTuner, saved_state
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.finetune.training import (
    accuracy_on,
    build_fine_tuner,
    fine_tune,
    open_splits,
)
from msbreg_tf.files.checkpoints import Checkpoints
from tests.evaluation.keras_exports import FEATURES, SIZE, save_keras_tiny, tiny_encoder

CLASSES = 6


def coloured(per_class, *, seed=0, labels=range(CLASSES)):
    """Noisy images of a colour per class, as a split."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(labels, np.int64), per_class)
    colours = np.random.default_rng(7).integers(30, 225, [CLASSES, 1, 1, 3])
    noise = rng.integers(-30, 31, [len(labels), SIZE, SIZE, 3])
    images = (colours[np.maximum(labels, 0) % CLASSES] + noise).astype(np.uint8)
    records = tf.data.Dataset.from_tensor_slices((images, labels))
    names = [str(label) for label in range(CLASSES)]
    return LabelledRecords(
        "colours", records, lambda pixels: pixels, len(labels), names, {}, f"pixels {seed}"
    )


def settings_with(**changes):
    return FineTuneSettings(
        **{"epochs": 4, "batch_size": 12, "classifier_lr": 0.05, "encoder_lr": 0.05, **changes}
    )


def run(folder, settings, encoder=None, **others):
    encoder = encoder or tiny_encoder()
    splits = open_splits(coloured(5), coloured(4, seed=1), settings)
    model = fine_tune(encoder, splits, settings, image_size=SIZE, folder=str(folder), **others)
    return accuracy_on(model, splits.test, splits.test_labels, image_size=SIZE), encoder


def test_files_that_can_not_be_read_are_named_and_not_counted(tmp_path, capsys):
    """Of 5 a class, two files of one class are broken; then all of that class."""
    train = coloured(5)
    names = [f"{label}/{number}.png" for label in range(CLASSES) for number in range(5)]
    broken = {12, 13}

    def split():
        rows = tf.range(len(names), dtype=tf.int64)
        records = tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(rows), train.records))
        images = tf.constant(np.stack([image for image, _ in train.records.as_numpy_iterator()]))

        def decode(row):
            good = tf.reduce_all(row != tf.constant(sorted(broken), tf.int64))
            with tf.control_dependencies([tf.debugging.Assert(good, ["broken"])]):
                return tf.gather(images, tf.identity(row))

        pairs = records.map(lambda row, pair: (row, pair[1]))
        return dataclasses.replace(train, records=pairs, decode=decode, files=names)

    settings = settings_with(epochs=1)
    splits = open_splits(split(), coloured(4, seed=1), settings)
    assert np.bincount(splits.train.labels).tolist() == [5, 5, 3, 5, 5, 5]
    said = capsys.readouterr().err
    assert "2 of 30 images can't be read and were left out" in said
    assert "2/2.png" in said
    assert "2/3.png" in said
    broken.update(range(10, 15))
    with pytest.raises(ValueError, match=r"none of the images of 1 of its classes .*\(2\)"):
        open_splits(split(), coloured(4, seed=1), settings)


def batch(seed=0):
    images = tf.random.stateless_uniform([8, SIZE, SIZE, 3], [seed, 2], 0, 255)
    return images, tf.range(8, dtype=tf.int64) % CLASSES


def arrays(variables):
    return [variable.numpy() for variable in variables]


def test_a_frozen_encoder_keeps_its_weights_and_its_statistics(tmp_path):
    untouched = arrays(tiny_encoder().variables)
    losses = []
    settings = settings_with(encoder_lr=0.0, classifier_lr=1.0)
    _, encoder = run(tmp_path, settings, on_epoch=lambda _, logs: losses.append(logs["loss"]))
    assert any("moving_mean" in variable.name for variable in encoder.variables)
    for after, before in zip(arrays(encoder.variables), untouched):
        np.testing.assert_array_equal(after, before)
    assert losses[-1] < losses[0] - 0.1  # the classifier does learn


def test_a_learning_encoder_changes_everything(tmp_path):
    untouched = arrays(tiny_encoder().variables)
    _, encoder = run(tmp_path, settings_with())
    for variable, before in zip(encoder.variables, untouched):
        assert not np.allclose(variable.numpy(), before), variable.name


def test_one_step_by_hand():
    """Nesterov from zero velocity: w ← w − (1 + μ) η ∇, with an η of its own for each part."""
    rates, momentum = {"classifier": 0.5, "encoder": 0.01}, 0.9
    model = FineTuner(tiny_encoder(), CLASSES)
    model.compile(
        *(keras.optimizers.SGD(rate, momentum=momentum, nesterov=True) for rate in rates.values())
    )
    images, labels = batch()
    parts = {
        "classifier": model.classifier.trainable_variables,
        "encoder": model.encoder.trainable_variables,
    }
    with tf.GradientTape() as tape:
        features = model.encoder(images, training=True)
        logits = features @ model.classifier.kernel + model.classifier.bias
        probabilities = tf.nn.softmax(logits)
        loss = -tf.reduce_mean(tf.math.log(tf.gather(probabilities, labels, batch_dims=1)))
    gradients = tape.gradient(loss, parts)
    expected = {
        name: [
            variable - (1 + momentum) * rates[name] * gradient
            for variable, gradient in zip(parts[name], gradients[name])
        ]
        for name in parts
    }
    model.train_step((images, labels))
    for name in parts:
        for variable, value in zip(parts[name], expected[name]):
            np.testing.assert_allclose(variable, value, atol=1e-5)
    assert float(model.metrics[0].result()) == pytest.approx(float(loss), rel=1e-5)


def test_the_recipe_reaches_the_optimizers():
    settings = settings_with(classifier_lr=2.0, encoder_lr=0.25, epochs=10, batch_size=8)
    model = build_fine_tuner(tiny_encoder(), CLASSES, 21, settings)  # two steps an epoch
    for optimizer, rate in ((model.optimizer, 2.0), (model.encoder_optimizer, 0.25)):
        schedule = optimizer._learning_rate
        assert [float(schedule(step)) for step in (0, 10, 20)] == pytest.approx([rate, rate / 2, 0])
        assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    assert (
        build_fine_tuner(tiny_encoder(), 6, 21, settings_with(encoder_lr=0)).encoder_optimizer
        is None
    )


def test_a_killed_run_continues_exactly(tmp_path, monkeypatch):
    settings = settings_with()
    expected, encoder = run(tmp_path / "whole", settings)

    save = Checkpoints.save

    def die_in_the_third_epoch(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return save(self, epoch)

    monkeypatch.setattr(Checkpoints, "save", die_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", settings)
    monkeypatch.undo()
    epochs = []
    resumed, other = run(
        tmp_path / "killed", settings, on_epoch=lambda epoch, logs: epochs.append(epoch)
    )
    assert epochs == [3, 4]
    assert resumed == expected
    for here, there in zip(arrays(other.variables), arrays(encoder.variables)):
        np.testing.assert_array_equal(here, there)
    files = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "killed")]
    assert files[0] == files[1]
    assert [json.loads(line)["step"] for line in files[0].splitlines()] == [1, 2, 3, 4]
    assert run(tmp_path / "killed", settings)[0] == expected  # nothing left to train


def test_checkpoints_hold_the_momentum_of_both_optimizers(tmp_path):
    def model():
        return build_fine_tuner(tiny_encoder(), CLASSES, 8, settings_with())

    trained, fresh = model(), model()
    trained.fit(tf.data.Dataset.from_tensors(batch()).repeat(3), verbose=0)
    Checkpoints(str(tmp_path), saved_state(trained)).save(1)
    assert Checkpoints(str(tmp_path), saved_state(fresh)).restore_newest() == 1
    for name in ("optimizer", "encoder_optimizer"):
        stored, restored = getattr(trained, name), getattr(fresh, name)
        assert len(stored.momentums) == (2 if name == "optimizer" else 4)
        assert all(np.abs(velocity).max() > 0 for velocity in arrays(stored.momentums))
        for here, there in zip(arrays(restored.variables), arrays(stored.variables)):
            np.testing.assert_array_equal(here, there)


def test_seeds_and_fractions_decide(tmp_path):
    settings = settings_with(fraction=0.4, epochs=1)
    splits = open_splits(coloured(5), coloured(4, seed=1), settings)
    assert np.bincount(splits.train.labels).tolist() == [2] * CLASSES
    assert (splits.num_classes, len(splits.test_labels)) == (CLASSES, 4 * CLASSES)
    other = open_splits(coloured(5), coloured(4, seed=1), settings_with(fraction=0.4, seed=1))
    assert splits.train.fingerprint != other.train.fingerprint
    assert splits.test_fingerprint == other.test_fingerprint
    kernels = []
    for number, seed in enumerate((0, 0, 1)):
        _, encoder = run(tmp_path / str(number), settings_with(seed=seed, epochs=1))
        kernels.append(encoder.trainable_variables[0].numpy())
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(RunFailedError, match="not finite in epoch 1") as caught:
        run(tmp_path, settings_with(classifier_lr=1e38, encoder_lr=1e38))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / "checkpoints") == []


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 0], [0], "the training split: all its 4 images are of one class"),
        ([0, -1], [0], "images without labels"),
        ([0, 1], [0, -1], "images without labels"),
        ([0, 1], [0, 5], "the first is label 5"),
    ],
)
def test_labels_that_do_not_do(train, test, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_splits(coloured(2, labels=train), coloured(2, labels=test), settings_with())
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def export_folder(tmp_path_factory):
    return save_keras_tiny(tmp_path_factory.mktemp("runs") / "12")


def test_loads_the_twin_of_the_export(export_folder):
    export = load_encoder(export_folder)
    encoder = load_keras_encoder(export, SIZE)
    images = batch()[0]
    np.testing.assert_allclose(encoder(images), export.embed(images), atol=1e-5)
    assert encoder.output_shape[-1] == FEATURES
    assert len(encoder.trainable_variables) == 4


@pytest.mark.parametrize("damage", ["missing", "cut off", "no archive", "another", "unknown layer"])
def test_an_unusable_twin_is_one_line(export_folder, damage, tmp_path):
    export = load_encoder(export_folder)
    export.path = str(tmp_path)
    path = tmp_path / "encoder.keras"
    content = pathlib.Path(export_folder, "encoder.keras").read_bytes()
    words = "can't be read"
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "no archive":
        path.write_bytes(b"weights")
    elif damage == "another":
        tiny_encoder(seed=1).save(path)
        words = "other features than the SavedModel"
    elif damage == "unknown layer":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", '{"class_name": "Swin", "module": "their.layers"}')
            archive.writestr("metadata.json", "{}")
    else:
        words = "no encoder.keras"
    with pytest.raises(ValueError, match=words) as caught:
        load_keras_encoder(export, SIZE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier_lr": 0.0}, "--classifier_lr=0.0: expected a number, more than 0"),
        ({"encoder_lr": -1.0}, "--encoder_lr=-1.0: expected a number, at least 0"),
        ({"encoder_lr": float("nan")}, "--encoder_lr=nan: "),
        ({"epochs": 0}, "--epochs=0: "),
        ({"batch_size": 0}, "--batch_size=0: "),
        ({"momentum": 1.5}, "--momentum=1.5: expected a number, at least 0 and less than 1"),
        ({"fraction": 0.0}, "--fraction=0.0: expected a number, more than 0 and at most 1"),
        ({"centre_crop": 1.2}, "--centre_crop=1.2: "),
        ({"crop_area_min": 0.0}, "--crop_area_min=0.0: "),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        FineTuneSettings(**changes)
