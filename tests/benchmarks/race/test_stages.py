"""From trial to equal time, with results that are made up."""

import dataclasses

import pytest

from benchmarks.race import work
from benchmarks.race.contenders import PEERS
from benchmarks.race.parts import complete
from benchmarks.race.settings import RaceSettings
from benchmarks.race.stages import Race, best, score
from msbreg_tf.run.config import config_from_settings

CONFIG = config_from_settings({"dataset": "sample", "batch_size": 256, "warmup_epochs": 1.0})
FASTEST = {"precision": "bfloat16", "channels_last": True}


@pytest.fixture
def race(tmp_path, monkeypatch):
    """A race whose steps take 2 seconds (BYOL: 4), and whose accuracy grows with the rate."""

    def train(folder, request):
        if request["point"].get("rate") == 8.0:
            return {"diverged": 3}
        accuracy = 40.0 + request["point"].get("rate", request["point"].get("base_lr", 0))
        seconds = request["steps"] * (4.0 if request["contender"] == "byol" else 2.0)
        scores = {"20-NN": accuracy, "linear": accuracy + 1}
        return {"scores": scores, "seconds": seconds, "training_seconds": seconds - 1}

    def trial(folder, request):
        return {"forms": [{"form": FASTEST, "seconds": 2.0}], "fastest": FASTEST}

    def our_trial(folder, request):
        return {**trial(folder, request), "seconds_per_view": 0.001}

    for name, does in (("train", train), ("peer_trial", trial), ("our_trial", our_trial)):
        monkeypatch.setattr(work, name, does)
    own = RaceSettings(only=("ours", "simclr", "byol"), seeds=(0, 1), budget=96.0)
    race = Race(own, CONFIG, str(tmp_path))
    complete([race.trial(name) for name in race.names()], print)
    return race


def test_the_best_score_is_chosen_and_a_run_that_diverged_has_none():
    found = [
        ({"rate": 1}, {"scores": {"20-NN": 40.0, "linear": 50.0}}),
        ({"rate": 2}, {"diverged": 5}),
        ({"rate": 4}, {"scores": {"20-NN": 44.0, "linear": 47.0}}),
    ]
    assert [score(result) for _, result in found] == [45.0, -1.0, 45.5]
    assert best(found) == {"rate": 4}
    assert best(found[:2]) == {"rate": 1}


def test_a_search_is_on_held_out_training_images_with_equal_compute(race):
    parts = [part for name in race.names() for part in race.search(name)]
    assert len(parts) == 3 * 6
    for request in (part.request for part in parts):
        assert request["images"]["bank"] == request["views"]["split"] == "train[:80%]"
        assert request["images"]["queries"] == "train[80%:]"
        assert request["passes"] == pytest.approx(48_000, rel=0.05)  # half the budget, to a step
    assert race.chosen("simclr") == PEERS["simclr"].usual_point()  # nothing is searched yet
    complete(parts, print)
    assert [part.request["point"]["base_lr"] for part in parts[:6]] == [0.25, 0.25, 0.5, 0.5, 1, 1]
    assert race.chosen("simclr") == {"rate": 4.0, "temperature": 0.2}  # 8 diverged
    assert race.chosen("ours") == {"base_lr": 1.0, "lambda_s": 0.002}
    final = race.compute("simclr")[0].request
    assert (final["images"]["bank"], final["images"]["queries"]) == ("train", "test")
    assert final["form"] == FASTEST


def test_peers_may_have_smaller_views_in_trial_search_and_final_runs(race, tmp_path):
    own = dataclasses.replace(race.own, peer_view_size=16)
    other = Race(own, CONFIG, str(tmp_path / "other"))
    complete([other.trial(name) for name in other.names()], print)
    parts = [other.trial("byol"), *other.search("byol"), *other.compute("byol")]
    assert {part.request["view_size"] for part in parts} == {16}
    assert other.trial("ours").request["views"]["view_size"] is None


def test_equal_compute_has_all_seeds_and_shorter_runs_of_the_first(race):
    steps = {part.folder.rpartition("/")[2]: part.request["steps"] for part in race.compute("ours")}
    assert steps == {"seed=0": 23, "seed=1": 23, "length=0.25,seed=0": 6, "length=0.5,seed=0": 12}


def test_equal_time_is_the_references_and_gives_a_slower_one_fewer_steps(race):
    complete(race.compute("ours") + race.compute("byol") + race.compute("simclr")[1:], print)
    assert race.time() is None  # a run of the reference is not there yet
    complete(race.compute("simclr"), print)
    seconds = Race(dataclasses.replace(race.own, only=("ours",)), CONFIG, race.workdir).time()
    assert seconds == race.time() == 2.0 * 62  # 96,000 passes / (256 images · 6)
    assert race.timed("simclr", seconds) == []  # its runs are there
    assert [part.request["steps"] for part in race.timed("byol", seconds)] == [31, 31]
    for other in (151.0, 188.0):  # its runs, 47 steps of 4 seconds, took at most a quarter more
        assert race.timed("byol", other) == []
    for other in (150.0, 189.0):
        assert race.timed("byol", other)
    assert [part.request["steps"] for part in race.timed("ours", seconds)] == [63, 63]


def test_our_grid_may_not_have_more_points_than_the_others(race):
    own = RaceSettings(grid="base_lr=1,2,3,4;lambda_s=0,0.1")
    with pytest.raises(ValueError, match=r"--grid=.*8 combinations, and every contender may try 6"):
        Race(own, CONFIG, race.workdir).points("ours")
