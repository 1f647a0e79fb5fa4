"""Sweeps on this machine, with stubs for what they start: kills, failures, extensions."""

import os
import re
import shlex
import signal
import subprocess
import time

from msbreg_tf.errors import EXIT_PREEMPTED, EXIT_RUN_FAILED
from msbreg_tf.run.sweep import record
from msbreg_tf.run.sweep.local import places

GRID = ("--grid=lambda_s=0,0.01,0.02", "--evaluate=linear")
ZERO, ONE, TWO = (f"lambda_s={value}-seed=0" for value in ("0", "0.01", "0.02"))


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid):
    for _ in range(500):
        if not is_alive(pid):
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def test_done_is_never_done_again_and_a_grid_may_grow(sweeps):
    code, printed, errors = sweeps.run(*GRID, "--seeds=0,1")
    assert (code, errors) == (0, ""), errors
    assert "to do     6 of 6 runs" in printed
    assert "6 of 6 done" in printed
    assert (sweeps.workdir / "table.txt").read_text().splitlines()[1].split() == [
        "0", "2", "51.00", "±", "1.41",
    ]  # fmt: skip
    log = (sweeps.workdir / ZERO / "sweep.log").read_text()
    assert "-m msbreg_tf.train --lambda_s=0.0 --workdir=" in log
    assert "commands.main linear --dataset=sample" in log
    code, printed, _ = sweeps.run(*GRID, "--seeds=0,1")
    assert (code, "to do     0 of 6 runs" in printed) == (0, True)
    code, printed, _ = sweeps.run("--grid=lambda_s=0,0.01,0.02,0.5", "--evaluate=linear,knn")
    assert (code, "to do     7 of 7 runs" in printed) == (0, True)
    assert "7 of 7 done" in printed
    assert len(sweeps.starts(ZERO)) == 1  # only the new evaluation was run
    assert (sweeps.workdir / ZERO / "results.jsonl").read_text().count("linear") == 1
    assert len(sweeps.starts("lambda_s=0.5-seed=0")) == 1
    code, _, errors = sweeps.run(*GRID, "--epochs=30")
    assert code == 2
    assert errors.count("\n") == 1
    assert f"holds the point '{ZERO}' with other settings (--epochs: 320 there, 30 now)" in errors
    code, _, errors = sweeps.run("--grid=lambda_b=3", "--batch_size=64")
    assert (code, "--batch_size: 512 there, 64 now" in errors) == (2, True)


def test_points_that_are_equal_are_one_run(sweeps):
    grid = "--grid=method=byol,msbreg;lambda_s=0,0.01;lambda_b=0;num_views=2"
    code, printed, _ = sweeps.run(grid, "--evaluate=linear", "--evaluate_with=linear: epochs=3")
    assert code == 0
    assert "points    4, 2 of them the same run as another" in printed
    folders = sorted(path.name for path in sweeps.workdir.iterdir() if path.is_dir())
    first = "method=byol-lambda_s=0-lambda_b=0-num_views=2-seed=0"
    log = (sweeps.workdir / first / "sweep.log").read_text()
    assert re.search(r"linear --dataset=sample .*--epochs=3 ", log)
    assert folders == [first, "method=msbreg-lambda_s=0.01-lambda_b=0-num_views=2-seed=0"]
    rows = (sweeps.workdir / "table.csv").read_text().splitlines()
    assert len(rows) == 5  # the heading, and every point with its result
    assert all(",50.0," in row for row in rows[1:])
    _, printed, _ = sweeps.run("--status")
    assert printed.count(f"the same run as {first}") == 2


def test_one_failed_point_is_named_and_does_not_stop_the_others(sweeps):
    code, printed, errors = sweeps.run(*GRID, STUB_FAIL="lambda_s=0-seed")
    assert code == EXIT_RUN_FAILED
    assert errors.startswith(f"error: 1 of 3 runs failed: {ZERO}. ")
    assert errors.count("\n") == 1
    log = sweeps.workdir / ZERO / "sweep.log"
    why = (
        f"{ZERO} failed: train ended with code 1: step 3: loss = nan. Training stopped. Log: {log}"
    )
    assert why in printed
    assert "2 of 3 done, 0 running, 1 failed" in printed
    assert [len(sweeps.starts(name)) for name in (ZERO, ONE, TWO)] == [1, 1, 1]
    _, printed, _ = sweeps.run("--status")
    assert why in printed
    code, printed, _ = sweeps.run(f"--only={ONE}")
    assert (code, "to do     0 of 1 runs" in printed) == (0, True)
    code, printed, _ = sweeps.run(*GRID)  # tried again, and now it works
    assert (code, "3 of 3 done" in printed) == (0, True)
    assert [len(sweeps.starts(name)) for name in (ZERO, ONE, TWO)] == [2, 1, 1]


def test_a_killed_child_is_a_failed_point(sweeps):
    sweep = sweeps.start(*GRID, STUB_SECONDS="1")
    os.kill(sweeps.wait_for(ZERO), signal.SIGKILL)
    printed, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == EXIT_RUN_FAILED
    assert f"{ZERO} failed: train was killed by SIGKILL; was there enough memory?" in printed
    assert "2 of 3 done, 0 running, 1 failed" in printed


def test_a_killed_sweep_leaves_no_process_and_continues(sweeps):
    sweep = sweeps.start(*GRID, "--jobs=2", STUB_SECONDS="30")
    children = [sweeps.wait_for(name) for name in (ZERO, ONE)]
    sweep.kill()
    sweep.communicate()
    for child in children:
        wait_until_gone(child)
    assert sweeps.starts(ZERO)[1:] == ["saved"]  # it was told, and saved
    code, printed, _ = sweeps.run(*GRID)
    assert (code, "3 of 3 done" in printed) == (0, True)
    assert [len(sweeps.starts(name)) for name in (ZERO, ONE, TWO)] == [3, 3, 1]


def test_a_signal_lets_the_points_save(sweeps):
    sweep = sweeps.start(*GRID, STUB_SECONDS="30")
    sweeps.wait_for(ZERO)
    sweep.send_signal(signal.SIGINT)
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == EXIT_PREEMPTED
    assert errors == "SIGINT received. Start the same command again to continue.\n"
    assert sweeps.starts(ZERO)[1:] == ["saved"]
    _, printed, _ = sweeps.run("--status")
    assert "0 of 3 done, 0 running; time left not known" in printed


def test_two_sweeps_share_the_work(sweeps):
    sweeps.run(*GRID, "--engine=print")
    both = [sweeps.start(*GRID, STUB_SECONDS="1") for _ in range(2)]
    sweeps.wait_for(ZERO)
    sweeps.wait_for(ONE)
    _, status, _ = sweeps.run("--status")
    assert "2 running" in status
    printed = [sweep.communicate(timeout=60)[0] for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0]
    assert all("3 of 3 done" in text or "Waiting for" in text for text in printed)
    assert [len(sweeps.starts(name)) for name in (ZERO, ONE, TWO)] == [1, 1, 1]


def test_the_lines_of_the_print_engine_run(sweeps, tmp_path):
    code, printed, _ = sweeps.run(*GRID, "--engine=print")
    lines = printed.splitlines()
    assert (code, len(lines)) == (0, 3)
    for line in lines[:2]:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env=sweeps.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert [len(sweeps.starts(name)) for name in (ZERO, ONE, TWO)] == [1, 1, 0]
    code, printed, _ = sweeps.run("--engine=print")
    assert printed.splitlines() == lines[2:]
    assert shlex.split(printed)[-1] == f"--only={TWO}"


def test_every_job_has_its_own_cores_and_gpus(sweeps):
    cores = sorted(os.sched_getaffinity(0))
    grid = GRID[0].replace("0,0.01,0.02", "0,0.01")
    code, *_ = sweeps.run(
        grid, "--evaluate=linear", "--jobs=2", STUB_SECONDS="1", CUDA_VISIBLE_DEVICES="4,6,7"
    )
    assert code == 0
    shares = [sweeps.starts(name)[0].split()[1:] for name in (ZERO, ONE)]
    half = len(cores) // 2
    expected = [cores[:half], cores[half:]] if half else [cores, cores]
    assert [share[0] for share in shares] == [",".join(map(str, each)) for each in expected]
    assert [share[1] for share in shares] == [str(len(each)) for each in expected]
    assert [share[2] for share in shares] == ["4", "6,7"]


def test_more_jobs_than_gpus_share_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert [place.gpus for place in places(4)] == ["0", "1", "0", "1"]
    assert all(place.environment()["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for place in places(4))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert [place.gpus for place in places(2)] == [None, None]
    assert places(1)[0] == (places(1)[0].__class__)()


def test_what_is_left_is_estimated_from_views(sweeps):
    """K = 4 costs twice K = 2, and an evaluation the same for both."""
    from msbreg_tf.run.sweep import state, status

    sweeps.run("--grid=num_views=2,4", "--evaluate=linear", "--engine=print")
    sweep = record.read(str(sweeps.workdir))
    train, linear = state.stages(sweep)
    assert status.seconds_left(sweep, status.standings(sweep), 1) is None
    folder = sweep.folder("num_views=2-seed=0")
    os.makedirs(os.path.join(folder, "export", "7"))
    state.write_state(folder, done={train: 100.0, linear: 8.0})
    found = status.standings(sweep)
    assert status.seconds_left(sweep, found, 1) == 208.0
    assert status.seconds_left(sweep, found, 2) == 104.0
    assert status.counts(found) == "1 of 2 done, 0 running"
    os.makedirs(sweep.folder("num_views=4-seed=0"))
    with open(os.path.join(sweep.folder("num_views=4-seed=0"), "metrics.jsonl"), "w") as file:
        file.write('{"step": 8, "epoch": 240.0}\n{"step": 9, "epoch": 24')
    assert status.seconds_left(sweep, status.standings(sweep), 1) == 58.0
