import dataclasses
import shlex

import numpy as np
import pytest

from msbreg_tf.commands import cli
from msbreg_tf.report.advice import RULES, Facts, advise
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.report.series import Series
from msbreg_tf.run.config import Config
from tests.commands import COMMANDS

STEPS = np.arange(1, 101)
FLAT = {"loss": Series(STEPS, np.exp(-STEPS / 3.0))}
RISING = Series(STEPS[::25], np.array([0.2, 0.25, 0.28, 0.35]))
FALLING = {"loss": Series(STEPS, 1 - STEPS / 100)}


def facts(series=None, **changes):
    settings = {**Config().settings(), **changes.pop("settings", {})}
    run = RunFiles(
        path="runs/my run", name="mine", settings=settings, facts={},
        metrics=[{"step": changes.pop("steps", 5000)}],
        points={}, results=changes.pop("results", ()), exports=["runs/my run/export/100"],
        metadata={}, broken=(),
    )  # fmt: skip
    return Facts(**{"run": run, "series": series or FLAT, "finished": True, **changes})


@pytest.mark.parametrize(
    ("given", "title", "flag"),
    [
        ({"collapse": "complete", "rank_share": 0.01}, "lower learning rate", "--base_lr=0.125"),
        ({"rank_share": 0.1, "settings": {"lambda_s": 0.01}}, "λ_s from 0.01 to 0.02",
         "--lambda_s=0.02"),
        ({"rank_share": 0.1, "settings": {"method": "byol", "num_views": 2}}, "singular value loss",
         "--method=msbreg"),
        ({"series": FALLING, "settings": {"epochs": 30}}, "60 epochs instead of 30", "--epochs=60"),
        ({"same_picture": 0.99}, "Crop harder", "--crop_area_min=0.04"),
        ({"same_picture": 0.1}, "Crop less", "--crop_area_min=0.16"),
        ({"duplicates": 0.1, "settings": {"dataset": "folder"}, "data_dir": "my pictures"},
         "near-duplicates", "--duplicates=0.95"),
        ({"series": {"loss": Series(STEPS, np.where(STEPS % 9, 1.0, np.nan))}},
         "Lower the learning rate", "--base_lr=0.25"),
        ({"steps": 100, "settings": {"epochs": 30}}, "120 epochs instead of 30", "--epochs=120"),
        ({"series": {**FLAT, "knn20_top1": RISING}, "settings": {"epochs": 30}},
         "60 epochs instead of 30", "--epochs=60"),
        ({"has_labels": True}, "linear classifier", "--saved_model='runs/my run/export/100'"),
        ({}, "without labels", "tools.geometry"),
        ({"finished": False}, "Let it finish", "--workdir='runs/my run'"),
    ],
)  # fmt: skip
def test_each_fact_leads_to_its_advice(given, title, flag):
    first = advise(facts(**given))[0]
    assert title in first.title
    assert flag in first.command


def test_a_healthy_run_is_not_told_to_change_its_losses():
    healthy = facts(collapse="none", rank_share=0.7, same_picture=0.8, duplicates=0.0)
    assert not any("λ_s" in each.title or "rop" in each.title for each in advise(healthy, 9))


def test_there_are_three_and_every_command_is_read_by_its_tool():
    everything = [
        facts(collapse="complete"),
        facts(rank_share=0.1, series={**FALLING, "images_per_second": FLAT["loss"]}),
        facts(same_picture=0.99, has_labels=True, data_dir="/a b/c"),
        facts(same_picture=0.1, duplicates=0.5, settings={"dataset": "folder"}, data_dir="/a b"),
        facts(finished=False),
        facts(has_labels=True, settings={"dataset": "cifar10"}),
    ]
    for given in everything:
        for rule in RULES:
            if advice := rule(given):
                words = shlex.split(advice.command.replace("\\\n", " "))
                assert words[:2] == ["python", "-m"]
                cli.read_flags(COMMANDS[words[2]], words[2:])
                assert advice.why.endswith(".")
    assert len(advise(everything[2])) == 3


def test_few_steps_are_not_blamed_on_the_crops():
    """An encoder that had no time to learn finds no view again, however it is cropped."""
    young = facts(same_picture=0.03, steps=76, series={**FLAT, "knn20_top1": RISING})
    first, *others = advise(young, 9)
    assert "from 28.0 % to 35.0 % in the last steps. It had 76 steps" in first.why
    assert not any("rop" in each.title for each in others)


def test_a_healthy_run_that_is_evaluated_still_has_three():
    names = ("linear", "geometry", "finetune")
    results = [{"protocol": {"name": name}, "metric": "top-1 %", "value": 5.0} for name in names]
    healthy = facts(collapse="none", rank_share=0.7, has_labels=True, results=results,
                    series={**FLAT, "images_per_second": FLAT["loss"]})  # fmt: skip
    told = advise(healthy)
    assert len(told) == 3
    assert "--seed=1" in told[-1].command


def test_the_doctor_is_given_the_runs_own_settings():
    """Else it would measure the quickstart's network."""
    speed = {**FLAT, "images_per_second": FLAT["loss"]}
    [doctor] = [
        each.command
        for each in advise(facts(series=speed, settings={"encoder": "resnet50"}), 9)
        if "doctor" in each.command
    ]
    assert "--encoder=resnet50" in doctor


def test_the_command_repeats_the_runs_own_settings():
    given = dataclasses.replace(facts(rank_share=0.1, settings={"num_views": 8, "seed": 5}))
    words = shlex.split(advise(given)[0].command.replace("\\\n", " "))
    assert {"--num_views=8", "--seed=5", "--workdir=runs/my run-spread"} <= set(words)
