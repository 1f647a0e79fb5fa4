"""The search of a recipe: equal seconds for every row, and a table, best first."""

import dataclasses
import os

import pytest

from benchmarks.race import table, work
from benchmarks.race import tries as module
from benchmarks.race.parts import complete
from benchmarks.race.tries import Tries, TriesSettings, rows
from msbreg_tf.commands import cli, recipes
from msbreg_tf.run.config import Config, config_from_settings

CONFIG = config_from_settings(
    {
        "dataset": "cifar10", "knn_train_split": "train[:100]", "knn_test_split": "train[100:200]",
        "image_size": 32, "batch_size": 64, "epochs": 10, "warmup_epochs": 1.0,
    }
)  # fmt: skip
POINTS = "base:; large: batch_size=128; fast: base_lr=2"


@pytest.fixture
def tries(tmp_path, monkeypatch):
    """A step takes a second in float32 and a hundredth for each image in bfloat16."""

    def trial(folder, request):
        assert request["steps"] * request["batch"] == module._TRIAL_IMAGES
        forms = [
            {"form": {"precision": "float32"}, "seconds": 1.5},
            {"form": {"precision": "bfloat16"}, "seconds": request["batch"] / 100},
        ]
        return {"forms": forms, "fastest": forms[1]["form"], "seconds_per_view": 0.001}

    def train(folder, request):
        rate, seed = request["settings"]["base_lr"], request["seed"]
        if rate > 9:
            return {"diverged": 7}
        scores = {"20-NN": 40 + rate + seed, "linear": 44 + rate + seed}
        return {"scores": scores, "seconds": request["steps"] * request["batch"] / 100}

    monkeypatch.setattr(work, "our_trial", trial)
    monkeypatch.setattr(work, "train", train)
    own = TriesSettings(points=POINTS, seconds=64.0, seeds=(0,))
    return Tries(own, CONFIG, str(tmp_path))


def _done(tries, **own):
    """A search with other settings of its own, all of whose parts are done."""
    tries = dataclasses.replace(tries, own=dataclasses.replace(tries.own, **own))
    for stage in (tries.trial, tries.training):
        complete([stage(point) for point in tries.points()], print)
    return tries


def test_every_point_gets_the_same_seconds_and_the_named_images(tries):
    complete([tries.trial(point) for point in tries.points()], print)
    requests = [tries.training(point).request for point in tries.points()]
    assert [request["steps"] for request in requests] == [100, 50, 100]
    assert [request["settings"]["batch_size"] for request in requests] == [64, 128, 64]
    assert requests[2]["settings"]["base_lr"] == 2.0
    for request in requests:
        assert request["settings"]["split"] == request["images"]["bank"] == "train[:100]"
        assert request["images"]["queries"] == "train[100:200]"
        assert request["settings"]["mixed_precision"] is True


def test_rows_are_the_best_first(tries):
    _done(tries)
    found = rows(tries)
    assert [row["settings"] for row in found] == ["fast", "base", "large"]
    assert (found[0]["20-NN"].mean, found[0]["linear"].mean, found[0]["mean"]) == (42.0, 46.0, 44.0)
    assert [row["seconds"] for row in found] == [64.0, 64.0, 64.0]


def test_a_row_is_the_mean_of_its_seeds(tries):
    tries = _done(tries, seeds=(0, 2))
    points = tries.points()
    requests = [tries.training(point).request for point in points]
    assert [request["seed"] for request in requests] == [0, 0, 0, 2, 2, 2]
    assert [request["settings"]["seed"] for request in requests] == [0, 0, 0, 2, 2, 2]
    fast = rows(tries)[0]
    assert (fast["settings"], fast["seeds"], fast["steps"]) == ("fast", "2", 100)
    assert (fast["linear"].mean, fast["mean"]) == (47.0, 45.0)
    assert fast["linear"].deviation == pytest.approx(2**0.5)


def test_a_row_whose_training_diverged_is_last_and_says_so(tries):
    tries = _done(tries, points="wild: base_lr=20; as given:")
    good, wild = rows(tries)
    assert good["settings"] == "as given"
    assert (wild["settings"], wild["mean"], wild["linear"]) == ("wild", None, None)
    assert wild["seeds"] == "0, diverged at step 7"
    assert "diverged at step 7" in table.as_markdown([good, wild])


def test_a_point_that_was_tried_with_other_seconds_is_refused(tries):
    _done(tries)
    longer = Tries(dataclasses.replace(tries.own, seconds=65.0), CONFIG, tries.workdir)
    with pytest.raises(ValueError, match="other settings"):
        rows(longer)


def _read(path, folder):
    own, *parts = cli.read_flags(
        module.COMMAND, ["tries", f"--flagfile={path}", f"--workdir={folder}"]
    )[0]
    return Tries(own, Config(*parts), str(folder))


def _of_list(name, folder):
    return _read(os.path.join(os.path.dirname(module.__file__), f"{name}.cfg"), folder)


@pytest.mark.parametrize("name", ["tries", "around"])
def test_the_lists_that_were_tried_are_valid(name, tmp_path):
    labels = [point.label for point in _of_list(name, tmp_path).points()]
    assert len(labels) == len(set(labels)) >= 10


def test_around_the_choice_the_first_row_is_the_choice(tmp_path):
    first = _of_list("around", tmp_path).points()[0].config.settings()
    choice = _read(recipes.path_of("short"), tmp_path).config.settings()
    changed = {key for key, value in choice.items() if first[key] != value}
    free = {"knn_train_split", "knn_test_split", "mixed_precision", "seed", "workdir"}
    assert changed <= {"epochs", "warmup_epochs", *free}
    shares = [each["warmup_epochs"] / each["epochs"] for each in (first, choice)]
    assert shares[0] == shares[1]
