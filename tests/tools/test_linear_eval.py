import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.commands import evaluate
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.linear import classifiers
from msbreg_tf.evaluation.linear.probe import linear_probe
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.protocols import linear as linear_protocol
from msbreg_tf.evaluation.results.log import read_results
from tests.evaluation.exports import FEATURES

from .conftest import flags_of

QUICK = {"learning_rates": "0.1", "weight_decays": "1e-3", "epochs": 2}


@pytest.fixture
def run_main(run_command, export, cache, tmp_path):
    """Runs the command with a quick recipe and what is given; what it printed, and its results."""
    results = str(tmp_path / "results.jsonl")
    defaults = {"saved_model": export, "results": results, "cache_dir": cache, **QUICK}

    def main(**others):
        printed = run_command(evaluate.command("linear"), **(defaults | others))
        return printed, read_results(results)

    return main


def test_the_command_is_the_probe_of_the_default_recipe(export, cache):
    command = [sys.executable, "-m", "tools.linear_eval", f"--saved_model={export}"]
    done = subprocess.run(
        [*command, f"--cache_dir={cache}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    top1, top5 = read_results(str(pathlib.Path(export).parents[1] / "results.jsonl"))
    encoder = load_encoder(export)
    (train, train_labels), (test, test_labels) = (load_sample(split) for split in ("train", "test"))
    expected = linear_probe(
        encoder.embed(train), train_labels, encoder.embed(test), test_labels, LinearSettings()
    )
    assert (top1["metric"], top5["metric"]) == ("top-1 %", "top-5 %")
    assert top1["value"] == pytest.approx(100 * expected.top1, abs=0.2)
    assert top5["value"] == pytest.approx(100 * expected.top5, abs=0.2)
    assert LinearSettings().protocol().items() <= top1["protocol"].items()
    assert top1["details"]["learning_rate"] == expected.choice.learning_rate
    assert len(top1["details"]["validation_top1"]) == len(LinearSettings().points())
    assert f"{top1['value']:.2f}" in done.stdout
    assert "Linear classifier on sample test: 1,000 images, trained on 5,000" in done.stdout


def test_the_grid_is_shown_and_one_point_is_not(run_main):
    printed, _ = run_main(learning_rates="0.1, 0.3,0.1", weight_decays="0,1e-3")
    lines = printed.splitlines()
    start = next(row for row, line in enumerate(lines) if "validation part" in line)
    assert lines[start + 1].split() == ["learning", "rate", "0", "0.001"]
    assert [lines[start + row].split()[0] for row in (2, 3)] == ["0.1", "0.3"]
    assert "lies at an end of --learning_rates" in printed
    printed, lines = run_main()
    assert "validation" not in printed
    assert lines[-1]["protocol"]["chosen_on"] == "nothing chosen: one point"
    assert lines[-1]["details"]["validation_top1"] == []


def test_an_interrupted_training_continues(run_main, cache, monkeypatch):
    monkeypatch.setattr(classifiers, "_SAVE_SECONDS", -1)
    shown = []

    class Stops:
        def __init__(self, epochs):
            pass

        def show(self, stage, done):
            shown.append((stage, done))
            if shown == [("training", 1), ("training", 2)]:
                raise KeyboardInterrupt

    monkeypatch.setattr(linear_protocol, "_Bars", Stops)
    with pytest.raises(KeyboardInterrupt):
        run_main(epochs=3)
    assert list(pathlib.Path(cache).glob("linear-*"))
    run_main(epochs=3)
    assert shown[2:] == [("training", 2), ("training", 3)]
    assert not list(pathlib.Path(cache).glob("linear-*"))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"learning_rates": "0.1,x"}, "--learning_rates=0.1,x: expected numbers joined by commas"),
        (
            {"weight_decays": "-1"},
            "--weight_decays=-1.0: expected numbers joined by commas",
        ),
        ({"schedule": "poly"}, "--schedule=poly: "),
        ({"saved_model": None}, "--saved_model is missing"),
        ({"test_split": "val"}, "--dataset=sample has the splits train and test"),
    ],
)
def test_bad_input_is_one_line(run_main, others, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_main(**others)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "epochs"), [("places205", 28), ("inaturalist2018", 84)])
def test_transfer_recipes_are_the_supplements(name, epochs):
    flags = flags_of(name)
    assert (flags["learning_rates"], flags["weight_decays"]) == ("0.2", "1e-4")
    assert (flags["momentum"], flags["sgd_batch_size"]) == ("0.9", "256")
    assert (flags["schedule"], flags["epochs"]) == ("steps", str(epochs))


def test_places205_from_folders(run_main, tmp_path):
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    for split, per_class in (("train", 5), ("val", 3)):
        for name, colour in zip(("abbey", "airport", "alley", "arch", "attic", "bar"), corners):
            folder = tmp_path / "places" / split / name
            folder.mkdir(parents=True)
            for number in range(per_class):
                image = (200 * colour + rng.integers(0, 9, [40, 50, 3])).astype(np.uint8)
                (folder / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(image).numpy())
    _, lines = run_main(**flags_of("places205"), data_dir=str(tmp_path / "places"))
    assert [line["metric"] for line in lines] == ["top-1 %", "top-5 %"]
    protocol = lines[0]["protocol"]
    assert (protocol["train_images"], protocol["test_images"]) == (30, 18)
    assert (protocol["schedule"], protocol["epochs"], protocol["test_split"]) == (
        "steps",
        28,
        "val",
    )
    assert lines[0]["value"] > 90  # the classes are colours


@pytest.mark.parametrize(
    "name", ["inaturalist2018", "linear_stl10", "linear_imagenet", "linear_imagenet100"]
)
def test_other_data_sets_run_end_to_end_on_mock_data(run_main, name, monkeypatch):
    """The value is the probe's own, of the features that it was given."""
    probed = []

    def spy(*arguments, **others):
        probed.append((arguments, linear_probe(*arguments, **others)))
        return probed[-1][1]

    monkeypatch.setattr("msbreg_tf.evaluation.linear.probe.linear_probe", spy)
    flags = {**flags_of(name), "cache_dir": "", "epochs": 2}
    with tfds.testing.mock_data(num_examples=80):  # all splits are equal
        _, lines = run_main(**flags)
    assert lines[0]["protocol"]["dataset"] == flags["dataset"]
    (train_features, train_labels, _, test_labels, _), result = probed[0]
    assert train_features.shape == (len(train_labels), FEATURES)
    assert lines[0]["protocol"]["train_images"] == len(train_labels) > 0
    assert lines[0]["protocol"]["test_images"] == len(test_labels) > 0
    assert lines[0]["value"] == 100 * result.top1
