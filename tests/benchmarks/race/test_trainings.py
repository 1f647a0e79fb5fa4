"""Our run by the race; every peer's step; and that both have the same encoder.

What needs PyTorch and lightly runs in `.venv-bench`, and is skipped where that is missing.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import arena
from benchmarks.race import evaluate, feeder, ours
from benchmarks.race.contenders import PEERS
from benchmarks.race.request import our_request, peer_request
from msbreg_tf.run import pretraining
from msbreg_tf.run.config import config_from_settings

needs_peers = pytest.mark.skipif(
    not os.path.exists(arena.PEERS), reason=".venv-bench is missing: make .venv-bench/ready"
)
CONFIG = config_from_settings(
    {
        **{"dataset": "sample", "image_size": 8, "encoder_width": 2, "stem": "cifar"},
        **{"hidden_size": 8, "projection_size": 4, "batch_size": 16, "num_views": 2},
        **{"epochs": 12, "warmup_epochs": 3.0, "log_every": 1},
    }
)
SPLITS = ("train[:40]", "test[:40]")


@pytest.mark.slow
def test_our_run_has_its_steps_its_share_of_warm_up_and_is_what_is_evaluated(tmp_path, monkeypatch):
    for name in ("Length", "Run"):
        monkeypatch.setattr(pretraining, name, getattr(pretraining, name))
    request = our_request("ours", CONFIG, {"base_lr": 0.5}, {}, 4, 0, SPLITS, 1)
    result = ours.train(request, str(tmp_path))
    assert result["steps"] == 4  # two epochs of two batches, whatever --epochs says
    assert result["seconds"]["cpu"] > 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    second = next(line for line in map(json.loads, lines) if line["step"] == 2)
    highest = 0.5 * 16 / 256 * 2
    assert second["learning_rate"] == pytest.approx(highest)  # a quarter of the steps is warm-up
    encoder = evaluate.encoder_of(request, str(tmp_path))
    images = evaluate.probe_images(8)
    trained = evaluate.features_of(encoder, images)
    untrained = evaluate.features_of(evaluate.encoder_of(request, str(tmp_path / "none")), images)
    assert np.abs(trained - untrained).max() > 1e-3
    scores = evaluate.scores(encoder, {**request["images"], "bank": "train[:100]"})
    assert scores.keys() == {"20-NN", "linear"}


def test_the_feeder_streams_the_views_of_a_run(tmp_path, monkeypatch):
    request = peer_request("simclr", CONFIG, {}, {}, 3, 5, ("train[:600]", "test"), 1)
    (tmp_path / "request.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.race.feeder", str(tmp_path)],
        cwd=arena.ROOT, capture_output=True, check=True,
    )  # fmt: skip
    streamed = np.frombuffer(done.stdout, np.uint8).reshape(3, 256, 2, 8, 8, 3)
    config = config_from_settings({**request["views"], "num_views": 2})
    augment = feeder.build_augmentation(config)
    source = feeder.open_source(config.data)
    plan = feeder.ViewPlan(source, augment, seed=5, batch_size=256, num_views=2)
    np.testing.assert_array_equal(list(feeder.view_batches(plan, 0, 3)), streamed)
    assert json.loads((tmp_path / "views.json").read_text())["steps"] == 3


def test_features_that_are_not_the_peers_are_refused():
    features = np.random.default_rng(0).normal(size=(4, 3))
    evaluate.check_equal(features * (1 + 1e-6), features)
    for other in (features * 1.01, features * np.nan):
        with pytest.raises(RuntimeError, match="other features"):
            evaluate.check_equal(other, features)


@pytest.mark.slow
@needs_peers
def test_each_peers_step_changes_its_weights_and_ours_evaluates_them(tmp_path):
    done = subprocess.run(
        [arena.PEERS, "-m", "tests.benchmarks.race.peer_steps", str(tmp_path)],
        cwd=arena.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == PEERS.keys()
    for name, facts in found.items():
        # Of BYOL, a bias that the batch norm after it takes off again.
        assert facts["unmoved"] == (["projector.layers.3.bias"] if name == "byol" else []), name
        assert facts["falls"], name
    request = peer_request("simclr", CONFIG, {}, {}, 3, 0, SPLITS, 1)
    trained = evaluate.features_of(
        evaluate.encoder_of(request, str(tmp_path)), evaluate.probe_images(8)
    )
    theirs = np.load(tmp_path / "probe.npy")
    np.testing.assert_allclose(trained, theirs, atol=1e-5 * np.abs(theirs).max())
    np.save(tmp_path / "probe.npy", theirs[:, ::-1])
    with pytest.raises(RuntimeError, match="other features"):
        evaluate.encoder_of(request, str(tmp_path))
