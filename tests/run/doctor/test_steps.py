"""Measured steps: what is made of them, and what happens when they fail."""

import dataclasses
import os
import signal
import sys

import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.doctor import memory, steps, trial
from msbreg_tf.run.doctor.finding import ATTENTION, FAILURE, OK, Subject
from msbreg_tf.run.doctor.trial import StepTimes, Trial

MIB = 2**20
TRIAL = Trial(
    images_per_second=100.0, base_bytes=1000 * MIB, peak_bytes=1640 * MIB, on_gpu=False,
    batch_size=64, replicas=1, total_steps=900, num_images=5000,
)  # fmt: skip


def config(**settings):
    return config_from_settings({"batch_size": 64, "epochs": 12, **settings})


def at(rate, **changes):
    return dataclasses.replace(TRIAL, images_per_second=rate, **changes)


def clock_of(*ends):
    left = iter(ends)
    times = StepTimes(clock=lambda: next(left))
    for _ in ends:
        times.step_ended()
    return times


def test_the_first_two_steps_do_not_count_where_others_follow():
    assert clock_of(60.0, 90.0, 90.5, 91.0).rate(32) == 64  # two steps in a second
    assert clock_of(60.0, 62.0).rate(32) == 16


@pytest.mark.parametrize(
    ("host", "device", "wanted", "state", "says"),
    [
        (100, 150, "host", ATTENTION, "--augment_on=device is 1.50 times as fast as =host"),
        (150, 100, "host", OK, "--augment_on=host is 1.50 times as fast as =device"),
        (100, 150, "device", OK, "--augment_on=device is 1.50 times"),
        (100, 104, "host", OK, "equally fast"),
    ],
)
def test_the_faster_mode_is_recommended(host, device, wanted, state, says):
    finding = steps.advice(config(augment_on=wanted), {"host": at(host), "device": at(device)})
    assert finding.state == state
    assert says in finding.found
    assert ("Add --augment_on=device" in finding.remedy) == (state == ATTENTION)


def test_the_largest_batch_by_hand():
    """10 MiB an image beside 1000; nine tenths of 2000 MiB leave 800."""
    assert steps.largest_batch(TRIAL, 2000 * MIB) == 80
    assert steps.largest_batch(TRIAL, 500 * MIB) == 0
    two = dataclasses.replace(TRIAL, replicas=2)
    assert steps.largest_batch(two, 2040 * MIB) == 82  # 836 MiB, for whole pairs
    gpus = dataclasses.replace(two, on_gpu=True)  # each had 32 images, of 20 MiB
    assert steps.largest_batch(gpus, 2000 * MIB) == 80


@pytest.mark.parametrize(("total", "state"), [(2000, OK), (1700, ATTENTION)])
def test_a_batch_that_hardly_fits(total, state):
    slow = at(1, peak_bytes=10**15)
    finding = steps.fits({"host": TRIAL, "device": slow}, total * MIB)
    assert finding.state == state
    assert "with --augment_on=host, estimated" in finding.found
    assert "not known" in steps.fits({"host": TRIAL}, None).found


def test_the_duration_of_the_whole_recipe():
    """900 steps of 64 images at 200 a second; a million images 12 times."""
    trials = {"host": at(100), "device": at(200)}
    finding = steps.duration_of(config(), trials, own_images=True)
    assert "900 steps in 12 epochs, would take 5 min with --augment_on=device" in finding.found
    finding = steps.duration_of(config(), trials, own_images=False)
    assert "Every million images" in finding.found
    assert "would take 16 h 40 min" in finding.found


def test_times_in_words():
    assert [steps.in_words(s) for s in (61, 150, 7500, 86400 * 12.34)] == [
        *("61 s", "2 min", "2 h 05 min", "12.3 days"),
    ]


@pytest.fixture
def trials(monkeypatch):
    """Trials that the test makes up: `trials[mode]`, a trial or an error; `trials.asked`."""

    class Trials(dict):
        asked = ()

    made = Trials(host=TRIAL, device=TRIAL)

    def run(config, count):
        made.asked += ((config, count, os.path.isdir(os.path.dirname(config.run.workdir))),)
        result = made[config.augment.augment_on]
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(steps, "run_trial", run)
    monkeypatch.setattr(memory, "available", lambda: 2000 * MIB)
    return made


def states(found):
    return {finding.name: finding.state for finding in found}


def test_both_modes_are_tried_in_a_folder_that_is_gone_afterwards(trials, tmp_path):
    asked = config(workdir=str(tmp_path / "run"), strategy="multi_worker", num_views=3)
    found = steps.findings(Subject(asked), 7)
    assert set(states(found).values()) == {OK}
    assert [c.augment.augment_on for c, _, _ in trials.asked] == ["host", "device"]
    for tried, count, has_folder in trials.asked:
        assert (count, has_folder) == (7, True)
        assert os.path.dirname(os.path.dirname(tried.run.workdir)) == str(tmp_path)
        assert (tried.run.strategy, tried.objective.num_views) == ("auto", 3)
        assert tried.data == asked.data
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_that_is_not_there_is_not_downloaded(trials, tmp_path):
    asked = config(dataset="stl10", data_dir=str(tmp_path), image_size=96)
    found = steps.findings(Subject(asked), 2)
    assert "Every million images" in found[-1].found  # nobody knows how many there are
    assert {(c.data.dataset, c.data.image_size) for c, _, _ in trials.asked} == {("sample", 96)}


@pytest.mark.parametrize(("wanted", "state"), [("device", FAILURE), ("host", ATTENTION)])
def test_a_mode_that_fails_is_a_failure_if_it_is_the_recipes(trials, wanted, state):
    trials["device"] = RunFailedError("Out of memory.")
    found = steps.findings(Subject(config(augment_on=wanted)), 2)
    assert states(found)["steps, device"] == state
    assert states(found)["--augment_on"] == ATTENTION
    assert next(f for f in found if f.name == "steps, device").found == "Out of memory."


def test_both_fail(trials):
    trials["host"] = trials["device"] = RunFailedError("Out of memory.")
    assert set(states(steps.findings(Subject(config()), 2))) == {"steps, host", "steps, device"}


def in_place_of_the_trial(monkeypatch, code):
    """Lets the trial's process run other code."""
    real = trial.subprocess.run

    def run(command, **arguments):
        return real([sys.executable, "-c", code], **arguments)

    monkeypatch.setattr(trial.subprocess, "run", run)


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", RunFailedError, "of memory"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGABRT)})", RunFailedError, "SIGABRT"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", RunFailedError, "SIGSEGV.*of"),
        ("raise TypeError('odd')", RunFailedError, "code 1: TypeError: odd"),
        ("print('x')", RunFailedError, "code 0: no message"),
        ("""print('trial: {"failed": "a full disk"}')""", RunFailedError, "a full disk"),
        ("""print('trial: {"bad input": "--x=1: no"}')""", ValueError, "--x=1: no"),
    ],
)
def test_how_a_trial_may_end(monkeypatch, code, error, says):
    in_place_of_the_trial(monkeypatch, code)
    with pytest.raises(error, match=says):
        trial.run_trial(config(), 2)


def test_a_trial_does_not_wait_for_other_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    in_place_of_the_trial(monkeypatch, "import os; raise TypeError('TF_CONFIG' in os.environ)")
    with pytest.raises(RunFailedError, match="False"):
        trial.run_trial(config(), 2)


def test_the_peak_of_a_new_process_is_not_that_of_its_parent():
    code = "from msbreg_tf.run.doctor import memory; print(memory.peak(False))"
    done = trial.subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert 0 < int(done.stdout) < memory.now(False) / 2


def test_memory_of_this_process_and_what_is_left(tmp_path, monkeypatch):
    held = bytearray(os.urandom(32 * MIB))
    assert 32 * MIB < memory.now(False) <= memory.peak(False)
    before = memory.peak(False)
    more = b"\1" * max(64 * MIB, before - memory.now(False) + 32 * MIB)
    assert memory.peak(False) - before > 16 * MIB
    assert len(more) > len(held)
    assert memory.available() > MIB
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path / "memory."))
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > MIB
