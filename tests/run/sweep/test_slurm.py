"""Points as jobs of submitit's local executor, with stubs for trainings and evaluations."""

import os
import signal

import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import Config
from msbreg_tf.run.sweep import record, slurm, state
from msbreg_tf.run.sweep.grid import points_of
from tests.run.sweep.conftest import ROOT

ZERO, ONE = "lambda_s=0-seed=0", "lambda_s=0.01-seed=0"


@pytest.fixture
def sweep(sweeps, monkeypatch):
    pytest.importorskip("submitit")
    for name, value in sweeps.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    points = points_of(Config(), "lambda_s=0,0.01", "", (0,))
    return record.extend(str(sweeps.workdir), Config(), points, {"linear": {}}, None)


def submit(sweep, options=()):
    said = []
    jobs = slurm.submit(
        sweep, sweep.runs, at_once=2, options=options, say=said.append, cluster="local"
    )
    return jobs, said


def test_jobs_run_their_points_and_a_failure_stays_alone(sweep, sweeps, monkeypatch):
    monkeypatch.setenv("STUB_FAIL", "lambda_s=0-seed")
    (first, second), said = submit(sweep, ["timeout_min=3", "partition=gpu"])
    assert said == [f"Submitted 2 jobs, {first.job_id} to {second.job_id}."]
    assert second.result() == ONE
    assert "step 3: loss = nan" in str(first.exception())
    assert state.missing(sweep, ONE) == []
    assert state.read_state(sweep.folder(ZERO))["failed"]["why"].startswith("train ended with")
    monkeypatch.delenv("STUB_FAIL")
    (again,), _ = submit(sweep)  # only what is not done
    assert again.result() == ZERO
    assert (sweeps.workdir / "table.csv").exists()  # the last one wrote it
    assert submit(sweep) == ([], [])


def test_a_preempted_job_saves_and_continues(sweep, sweeps, monkeypatch):
    monkeypatch.setenv("STUB_SECONDS", "1")
    job = slurm.submit(sweep, [ZERO], at_once=1, options=(), say=str, cluster="local")[0]
    with open(f"/proc/{sweeps.wait_for(ZERO)}/stat") as file:
        parent = int(file.read().split(") ")[1].split()[1])
    os.kill(parent, signal.SIGUSR2)  # as Slurm does before it takes a machine away
    assert job.result() == ZERO
    first, saved, second = sweeps.starts(ZERO)
    assert saved == "saved"
    assert first != second
    assert state.missing(sweep, ZERO) == []


def test_options_go_to_submitit_or_are_refused(sweep):
    assert slurm.parsed(["timeout_min=60", "partition=gpu", "slurm_qos=low"]) == {
        "timeout_min": 60, "slurm_partition": "gpu", "slurm_qos": "low",
    }  # fmt: skip
    with pytest.raises(ValueError, match="--slurm=gpu: expected name=value"):
        slurm.parsed(["gpu"])
    with pytest.raises(ValueError, match=r"--slurm: .*Unknown argument 'colour'"):
        submit(sweep, ["colour=red"])


def test_without_slurm_or_submitit_it_is_said_in_one_line(sweep, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunFailedError, match=r"--engine=slurm: .*Use --engine=print"):
        slurm.submit(sweep, sweep.runs, at_once=1, options=(), say=str)
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(RunFailedError, match=r"pip install 'msbreg-tf\[slurm\]'"):
        slurm.submit(sweep, sweep.runs, at_once=1, options=(), say=str)
