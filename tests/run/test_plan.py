"""The plan's own statements, by value: what it says is decayed, unused and divided."""

import re

from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.length import Length
from msbreg_tf.run.plan import describe
from tests.data.conftest import memory_source
from tests.tiny import tiny_model


def plan_of(**settings):
    """{row: text} of the plan for 100 images and the networks of `tiny_model`."""
    config = config_from_settings({"batch_size": 24, "epochs": 3, "warmup_epochs": 0.4, **settings})
    length = Length.of(config, 100)
    text = describe(config, memory_source(100), length, tiny_model(), replicas=2)
    return dict(re.match(r"  (.*?)  +(.*)", line).groups() for line in text.splitlines())


def test_kernels_are_decayed_and_nothing_else():
    rows = plan_of(weight_decay=0.25)
    # Kernels: 3·3·3·12, 12·10, 10·6, 6·10 and 10·6.
    assert rows["decayed"] == "5 tensors, 624 weights: kernels, weight decay 0.25 and LARS"
    # Biases of 12, 10 and 10, and two parameters for each of the 32 channels that a norm sees.
    assert rows["not decayed"] == "9 tensors, 96 weights: biases and norm layers"


def test_steps_batch_and_learning_rate():
    rows = plan_of(num_views=3, accumulate_steps=2, base_lr=0.5)
    assert rows["data"] == "numbers, 100 images"
    assert rows["steps"] == "4 per epoch × 3 epochs = 12; 2 of warm-up"
    assert "N = 24 images × K = 3 views = 72 of 32 px, on R = 2 replicas of B = 12" in rows["batch"]
    assert rows["batch"].endswith("in M = 2 micro-batches of 6")
    assert rows["learning rate"].startswith("0.140625 = ")


def test_what_a_method_leaves_out_is_named():
    weights = {"lambda_s": 0.1, "lambda_b": 0.2}
    assert plan_of(**weights)["loss"] == "msbreg: centroid + 0.1 singular_value + 0.2 brownian"
    for method, formula in (("byol", "centroid"), ("byol_uniform", "centroid + uniformity")):
        loss = plan_of(method=method, num_views=2, **weights)["loss"]
        assert loss == f"{method}: {formula} (--lambda_s, --lambda_b not used)"


def test_length_rounds_the_warm_up_and_drops_the_rest_of_an_epoch():
    config = config_from_settings({"batch_size": 64, "epochs": 2, "warmup_epochs": 0.45})
    assert Length.of(config, 1000) == Length(steps_per_epoch=15, warmup_steps=7, total_steps=30)
