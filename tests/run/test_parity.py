"""Several replicas train as one does, and the comparison sees it when they do not."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import cli
from msbreg_tf.commands import parity as tool
from msbreg_tf.distributed import replicas
from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.parity import comparing, recording
from tests.parity_worker import batches, record
from tests.run.test_train import ROOT

TERMS = {
    "centroid",
    "next_view",
    "singular_value",
    "singular_value_squares",
    "singular_value_log_det",
    "centroid_unit",
    "centroid_unit_others",
    "brownian",
    "uniformity",
}
STATE = {"weights", "momenta", "target weights", "moving means", "moving variances"}
OTHERS = {"initial weights", "loss", "gradient_norm", "gradients", "trust ratios"}


@pytest.fixture(scope="module")
def reference():
    """One replica's record and, for the size of rounding, its record on shifted views."""
    one = tf.distribute.get_strategy()
    return record(one), [record(one, recording.shifted_views(batches())[0])]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("parity") / "four.npz")
    command = [sys.executable, "-m", "tests.parity_worker", "4", path]
    subprocess.run(command, cwd=ROOT, check=True, timeout=500)
    return comparing.load_record(path)


@pytest.fixture(scope="module")
def rows(reference, mirrored, four):
    one = record(tf.distribute.get_strategy(), synchronized=False)
    return comparing.compare(*reference, {1: one, 2: record(mirrored), 4: four})


@pytest.mark.slow
def test_one_two_and_four_replicas_agree_in_everything(rows):
    assert [row for row in rows if row.broken] == []
    assert {row.quantity for row in rows} == TERMS | STATE | OTHERS | {"replicas' copies"}
    for row in rows:
        assert row.deviations.keys() == {1, 2, 4} - ({1} & {row.quantity == "moving variances"})
        assert row.tolerance <= 2e-3, row


def broken(reference, two):
    """{quantity: what broke first} of two replicas with a mistake."""
    return {r.quantity: r.broken for r in comparing.compare(*reference, {2: two}) if r.broken}


def at_first_step(failures):
    return {quantity for quantity, entry in failures.items() if entry.endswith("step 1")}


@pytest.mark.slow
def test_unsynchronised_batch_norm_is_seen(reference, mirrored):
    failures = broken(reference, record(mirrored, synchronized=False))
    assert {"replicas' copies", "moving variances", "gradients"} <= failures.keys()
    assert "initial weights" not in failures


@pytest.mark.slow
def test_singular_values_of_each_replica_alone_are_seen(reference, mirrored, monkeypatch):
    monkeypatch.setattr(replicas, "gather_rows", lambda rows: rows)
    failures = broken(reference, record(mirrored))
    terms = at_first_step(failures) & TERMS
    forms = {"singular_value", "singular_value_squares", "singular_value_log_det"}
    assert terms == {*forms, "uniformity"}


@pytest.mark.slow
def test_the_same_directions_on_every_replica_are_seen(reference, mirrored, monkeypatch):
    monkeypatch.setattr(replicas, "first_image", lambda batch: tf.constant(0))
    failures = broken(reference, record(mirrored))
    assert at_first_step(failures) & TERMS == {"brownian"}


def altered(record, quantity, factor):
    """The record with the last entry of one quantity a little wrong."""
    *others, (name, value) = record[quantity]
    return {**record, quantity: [*others, (name, value * factor)]}


@pytest.mark.slow
@pytest.mark.parametrize("quantity", ["centroid", "gradients", "weights", "momenta"])
def test_an_error_of_one_percent_in_one_entry_is_seen(reference, quantity):
    wrong = altered(reference[0], quantity, 1.01)
    assert broken(reference, wrong).keys() == {quantity}


def test_a_mean_of_cosines_is_compared_on_the_scale_of_a_cosine():
    """Of which chance may leave next to nothing, where rounding stays as large as it was."""
    reference = {"brownian": [("step 1", np.asarray(1e-4))]}
    shifted = [{"brownian": [("step 1", np.asarray(1e-4 + 1e-8))]}]
    rounded = {2: {"brownian": [("step 1", np.asarray(1e-4 + 2e-7))]}}
    wrong = {2: {"brownian": [("step 1", np.asarray(1e-4 + 2e-5))]}}
    assert not comparing.compare(reference, shifted, rounded)[0].broken
    assert comparing.compare(reference, shifted, wrong)[0].broken == "step 1"


def fake(value):
    return {"initial weights": [("w", np.ones(2))], "centroid": [("step 1", np.asarray(value))]}


@pytest.mark.parametrize(("value", "verdict"), [(1.0, "pass"), (1.1, "FAIL"), (np.nan, "FAIL")])
def test_the_tool_prints_a_table_and_fails_with_its_exit_code(
    monkeypatch, capsys, tmp_path, value, verdict
):
    def made(arguments, count, folder):
        names = ["1", "reference", "shifted-0"] if count == 1 else [str(count)]
        for name in names:
            comparing.save_record(f"{folder}/{name}.npz", fake(value if count == 2 else 1.0))

    monkeypatch.setattr(tool, "_record_in_own_process", made)
    argv = ["parity", "--cpu_devices=2", "--batch_size=8"]
    settings, _ = cli.read_flags(tool.COMMAND, argv)
    if verdict == "pass":
        tool.COMMAND.run(*settings)
    else:
        with pytest.raises(RunFailedError, match="FAIL above"):
            tool.COMMAND.run(*settings)
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("centroid")]
    assert verdict in line
    assert ("step 1" in line) == (verdict == "FAIL")
    assert "R = 2" in lines[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["--cpu_devices=1", "--cpu_devices=4"]),
        ({"cpu_devices": 4, "batch_size": 30}, ["--batch_size=30", "4 replicas", "multiple of 4"]),
        ({"cpu_devices": 2, "mixed_precision": True}, ["--mixed_precision"]),
        ({"cpu_devices": 2, "accumulate_steps": 2}, ["--accumulate_steps=2"]),
    ],
)
def test_what_cannot_be_compared_is_one_line(settings, words):
    with pytest.raises(ValueError, match="--") as error:
        tool._counts(config_from_settings(settings))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_counts_double_up_to_the_devices():
    config = config_from_settings({"cpu_devices": 6, "batch_size": 24})
    assert tool._counts(config) == [1, 2, 4, 6]
