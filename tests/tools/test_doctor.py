"""The command: what it prints, its exit codes, and real steps of a tiny recipe."""

import re
import subprocess
import sys

import pytest

from msbreg_tf.commands import cli, doctor
from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.doctor import gpu, software, steps, table
from msbreg_tf.run.doctor.finding import ATTENTION, FAILURE, OK, Finding

TINY = ("--encoder_width=4", "--stem=cifar", "--batch_size=16", "--split=test", "--epochs=2")
TINY += ("--warmup_epochs=0",)


def run_tool(*flags, **arguments):
    command = [sys.executable, "-m", "tools.doctor", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, **arguments)


@pytest.fixture
def checks(monkeypatch):
    """Puts checks that say what the test wants in place of all."""

    def put(*said):
        def check(finding):
            return table.Check(lambda subject: finding, needs_tensorflow=False)

        monkeypatch.setattr(table, "CHECKS", tuple(map(check, said)))

    return put


@pytest.mark.slow
def test_two_steps_of_a_tiny_recipe(tmp_path):
    done = run_tool("--steps=2", *TINY, f"--workdir={tmp_path}/runs/first", "--cache_dir=")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "Training can run here."
    assert all(re.match(r"(ok|attention)\s+[^:]+: [A-Z0-9/-].*\.$", line) for line in lines[:-1])
    rates = re.findall(
        r"2 steps with --augment_on=(host|device): ([\d,.]+) images per second", done.stdout
    )
    assert [mode for mode, _ in rates] == ["host", "device"]
    assert all(float(rate.replace(",", "")) > 0 for _, rate in rates)
    assert "About --batch_size=" in done.stdout
    assert "124 steps in 2 epochs" in done.stdout  # 1,000 images in batches of 16
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_steps_every_check_has_its_line():
    done = run_tool("--steps=0", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(table.CHECKS) + 1
    assert "images per second" not in done.stdout


def test_a_failure_is_exit_code_1_and_no_steps_follow(run_command, checks, monkeypatch, capsys):
    monkeypatch.setattr(steps, "findings", lambda *_: pytest.fail("steps after a failure"))
    checks(Finding("disk", FAILURE, "It is full.", "Make room."), Finding("clock", OK, "It goes."))
    with pytest.raises(RunFailedError, match="see disk above"):
        run_command(doctor.COMMAND)
    assert capsys.readouterr().out == "failure    disk: It is full. Make room.\n" + (
        "ok         clock: It goes.\n"
    )


def test_settings_reach_the_checks_and_the_steps(run_command, checks, monkeypatch):
    asked = []

    def find(subject, count):
        asked.append((subject, count))
        return [Finding("steps", ATTENTION, "Slow.")]

    monkeypatch.setattr(steps, "findings", find)
    checks(Finding("clock", OK, "It goes."))
    out = run_command(doctor.COMMAND, steps=7, cache_dir="there", num_views=3)
    ((subject, count),) = asked
    assert (count, subject.cache_dir, subject.config.objective.num_views) == (7, "there", 3)
    assert out.splitlines()[1:] == ["attention  steps: Slow.", "Training can run here."]
    run_command(doctor.COMMAND, steps=0)
    assert len(asked) == 1


def test_without_a_recipe_it_is_the_quickstarts(run_command, checks, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(steps, "findings", lambda subject, _: asked.append(subject.config) or [])
    checks(Finding("clock", OK, "It goes."))
    run_command(doctor.COMMAND, workdir=str(tmp_path / "run"), keep_checkpoints=9)
    run_command(doctor.COMMAND, image_size=64)
    quick, own = asked
    assert (quick.network.encoder_width, quick.optimizer.epochs) == (16, 20)
    assert (quick.run.workdir, quick.run.keep_checkpoints) == (str(tmp_path / "run"), 9)
    assert (own.network.encoder_width, own.data.image_size) == (64, 64)


def test_a_check_that_breaks_is_a_finding(run_command, monkeypatch, capsys):
    def broken(subject):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(table, "CHECKS", (table.Check(broken, needs_tensorflow=False),))
    with pytest.raises(RunFailedError):
        run_command(doctor.COMMAND)
    assert "failure    broken: The check ended with PermissionError" in capsys.readouterr().out


def test_without_tensorflow_the_others_still_say_what_they_find(run_command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    kept = [c for c in table.CHECKS if c.find in (software.tensorflow, gpu.devices)]
    last = table.Check(lambda _: Finding("clock", OK, "It goes."), needs_tensorflow=False)
    monkeypatch.setattr(table, "CHECKS", (*kept, last))
    with pytest.raises(RunFailedError, match="see TensorFlow above"):
        run_command(doctor.COMMAND)
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["failure", "ok"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps=1"], "--steps=1: expected 0, or at least 2."),
        (["--steps=-1"], "--steps=-1: expected a whole number, at least 0."),
        (["--dataset=folder"], "--data_dir is missing"),
        (["--init_from=nowhere"], "--init_from=nowhere: no such folder."),
        ([f"--workdir={__file__}"], "it is a file. Name a folder."),
    ],
)
def test_bad_input_is_one_line_and_code_2(flags, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run(doctor.COMMAND, "", ["doctor", *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
