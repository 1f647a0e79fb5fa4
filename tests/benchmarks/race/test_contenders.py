"""Compute is counted alike for everyone, and everyone may try as much."""

import pytest

from benchmarks.race.contenders import PEERS, SEARCHED, passes_per_image, point_name, steps_for
from benchmarks.race.request import our_request, passes_of, peer_request
from benchmarks.race.stopwatch import Stopwatch
from msbreg_tf.run.config import config_from_settings

CONFIG = config_from_settings({"dataset": "sample", "batch_size": 128, "num_views": 4})
SPLITS = ("train", "test")


def test_a_pass_forward_is_one_and_backward_two():
    assert passes_per_image(4, 4) == 4 * 3 + 4 == 16  # ours: K = 4 with its target
    found = {name: peer.passes for name, peer in PEERS.items()}
    siamese = dict.fromkeys(("simclr", "vicreg", "barlow"), 2 * 3)
    assert found == {**siamese, "byol": 2 * 3 + 2, "fastsiam": 4 * 3, "wmse": 4 * 3}


@pytest.mark.parametrize(
    ("passes", "batch", "per_image", "steps"),
    [(960_000, 256, 16, 234), (960_000, 256, 6, 625), (960_000, 128, 32, 234), (1, 256, 6, 1)],
)
def test_steps_of_a_budget(passes, batch, per_image, steps):
    assert steps_for(passes, batch, per_image) == steps


def test_what_a_point_changes_is_counted():
    assert passes_of("ours", CONFIG, {}) == (128, 16)
    assert passes_of("ours", CONFIG, {"num_views": 8, "batch_size": 64}) == (64, 32)
    assert passes_of("byol", CONFIG, {"rate": 0.4}) == (256, 8)


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_may_try_the_same_number_of_settings(name):
    points = PEERS[name].points()
    assert len(points) == len({point_name(point) for point in points}) == SEARCHED
    assert PEERS[name].usual_point() in points


def test_requests_have_equal_passes_and_the_form_of_the_trial():
    peer = peer_request(
        "simclr", CONFIG, {"rate": 4.0, "temperature": 0.2}, {"fastest": {"precision": "float32"}},
        625, 0, SPLITS, 1,
    )  # fmt: skip
    form = {"fastest": {"precision": "bfloat16"}, "seconds_per_view": 0.001}
    ours = our_request("ours", CONFIG, {"lambda_s": 0.02}, form, 469, 7, SPLITS, 1)
    assert peer["passes"] == 625 * 256 * 6 == 960_000
    assert ours["passes"] == 469 * 128 * 16
    assert peer["settings"] == {"hidden": 512, "size": 128, "rate": 4.0, "temperature": 0.2}
    chosen = {name: ours["settings"][name] for name in ("lambda_s", "seed", "mixed_precision")}
    assert chosen == {"lambda_s": 0.02, "seed": 7, "mixed_precision": True}


def test_views_of_peers_are_the_default_ones_whatever_ours_are():
    own = config_from_settings({**CONFIG.settings(), "crop_area_min": 0.3, "crop_area_max": 0.4})
    peer = peer_request("simclr", own, {}, {}, 1, 0, SPLITS, 1)
    assert "crop_area_min" not in peer["views"]
    ours = our_request("ours", own, {}, {}, 1, 0, SPLITS, 1)
    assert ours["views"]["crop_area_min"] == 0.3


def test_views_have_the_size_of_our_recipe_and_those_of_peers_their_own():
    own = config_from_settings({**CONFIG.settings(), "image_size": 32, "view_size": 24})
    ours = our_request("ours", own, {}, {}, 1, 0, SPLITS, 1)
    assert config_from_settings(ours["views"]).view_size == 24  # of the trial of what views cost
    tried = our_request("ours", CONFIG, {"view_size": 16}, {}, 1, 0, SPLITS, 1)
    assert config_from_settings(tried["views"]).view_size == 16
    for size, expected in ((None, 32), (20, 20)):
        peer = peer_request("simclr", own, {}, {}, 1, 0, SPLITS, 1, view_size=size)
        assert config_from_settings(peer["views"]).view_size == peer["view_size"] == expected


def test_the_first_step_counts_as_much_as_the_mean_of_the_others(monkeypatch):
    times = iter([0.0, 100.0, 103.0, 105.0])  # start-up and compilation take 100 seconds
    monkeypatch.setattr("benchmarks.race.stopwatch._now", lambda: (2 * (t := next(times)), t))
    watch = Stopwatch()
    for _ in range(3):
        watch.tick()
    assert watch.seconds() == {"cpu": 2 * 7.5, "wall": 7.5}  # 5 seconds for two steps
