"""`tools.detect` without its engine: what is refused before, and what the engine is told.

The engine itself is tested in tests/detection/ by `make test-detect`.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from msbreg_tf.commands import cli, detect
from msbreg_tf.errors import RunFailedError
from msbreg_tf.settings import written
from tests.commands import COMMANDS
from tests.evaluation.detection.folders import write_coco, write_voc

# Every setting at a value that is not its default.
ALL = {
    "layout": "voc",
    "train_split": ("VOC2007/trainval",),
    "test_split": "VOC2012/trainval",
    "classes": ("cat", "dog", "horse", "aeroplane"),
    "weights": "random",
    "steps": 7,
    "batch_size": 3,
    "lr": 0.3,
    "warmup_steps": 2,
    "milestones": (4, 5),
    "min_sizes": (64, 96),
    "test_size": 70,
    "max_size": 333,
    "rois": 9,
    "proposals": 11,
    "seed": 5,
    "engine": "torchvision",
    "device": "cpu",
    "workers": 0,
    "checkpoint_every": 6,
    "log_every": 2,
    "results": "there.jsonl",
    "run_name": "mine",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp("layouts") / "voc", train=2, test=1)


@pytest.fixture
def stub(tmp_path):
    """A stand-in for the engine's Python: it writes its arguments to a file, then does as told."""

    def make(then="pass"):
        path = tmp_path / "python"
        code = f"""\
            #!{sys.executable}
            import json, signal, sys, time
            with open({str(tmp_path / "arguments.json")!r}, "w") as file:
                json.dump(sys.argv[1:], file)
            {then}
            """
        path.write_text(textwrap.dedent(code))
        path.chmod(0o755)
        return str(path)

    return make


def test_every_setting_reaches_the_engine(run_command, folder, stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {"data_dir": folder, "workdir": "w", "python": stub()}
    given = {**ALL, **own}
    assert sorted(given) == sorted(cli.flag_names(detect.COMMAND))
    run_command(detect.COMMAND, **given)
    script, argument = json.loads((tmp_path / "arguments.json").read_text())
    assert script.endswith(os.path.join("detection", "run.py"))
    assert os.path.isfile(script)
    job = json.loads(argument)
    assert os.path.isfile(os.path.join(job["package"], "settings.py"))
    told = {name: value for part in job["settings"] for name, value in part.items()}
    assert told == json.loads(json.dumps(given))
    assert not os.path.exists("w")  # the engine makes it


@pytest.mark.parametrize(
    ("then", "error", "said"),
    [
        ("sys.exit(42)", SystemExit, "42"),
        ("sys.exit(1)", SystemExit, "1"),
        ("import os; os.kill(os.getpid(), signal.SIGTERM)", KeyboardInterrupt, ""),
        (
            "import os; os.kill(os.getpid(), signal.SIGKILL)",
            RunFailedError,
            "ended by signal 9; 9 is usually too little memory",
        ),
    ],
)
def test_how_the_engine_ends_is_how_the_command_ends(
    run_command, folder, stub, tmp_path, then, error, said
):
    with pytest.raises(error, match=said or None):
        run_command(
            detect.COMMAND, data_dir=folder, weights="random", workdir=str(tmp_path / "w"),
            python=stub(then),
        )  # fmt: skip


def test_a_signal_is_passed_on_and_waited_for(folder, stub, tmp_path):
    then = """
            def end(number, frame):
                sys.exit(42)
            signal.signal(signal.SIGTERM, end)
            print("ready", flush=True)
            time.sleep(60)"""
    command = [sys.executable, "-m", "tools.detect", f"--data_dir={folder}", "--weights=random"]
    command += [f"--workdir={tmp_path}/w", f"--python={stub(then.strip())}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 42


def test_bad_input_is_one_line_before_the_engine_starts(run_command, folder, stub, tmp_path):
    good = {"data_dir": folder, "weights": "random", "workdir": str(tmp_path / "w")}
    for bad, said in (
        ({"weights": None}, "--weights is missing"),
        ({"data_dir": None}, "--data_dir is missing"),
        ({"workdir": None}, "--workdir is missing"),
        ({"python": "/nowhere/python"}, "--python=/nowhere/python: no such program. `make detect`"),
        ({"test_split": "VOC2007/none"}, "--test_split=VOC2007/none: there is no "),
        ({"classes": ("cat",)}, r"000000.xml, line 3: the class '\w+' is none of cat"),
        ({"milestones": (9,), "steps": 5}, "--milestones=9: expected steps in ascending order"),
        ({"results": str(tmp_path)}, "it is a folder. Name a file"),
    ):
        given = {"python": stub(), **good, **bad}
        with pytest.raises(ValueError, match=said) as caught:
            run_command(detect.COMMAND, **given)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "arguments.json").exists()
    assert not (tmp_path / "w").exists()


def test_without_a_python_the_environment_of_make_detect_is_meant(
    run_command, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--python=\.venv-detect/bin/python: no such program"):
        run_command(detect.COMMAND, data_dir=folder, weights="random", workdir="w")
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: object())
    started = []
    monkeypatch.setattr(detect, "_run_engine", lambda python, parts: started.append(python) or 0)
    run_command(detect.COMMAND, data_dir=folder, weights="random", workdir="w")
    assert started == [sys.executable]


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is here")
def test_a_python_without_what_the_engine_needs(folder, tmp_path):
    command = [sys.executable, "-m", "tools.detect", f"--data_dir={folder}", "--weights=random"]
    command += [f"--workdir={tmp_path}/w", f"--python={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sys.executable} lacks ")
    assert "torch" in done.stderr
    assert done.stderr.count("\n") == 1


def test_cocos_layout_is_checked_too(run_command, stub, tmp_path):
    coco = write_coco(tmp_path / "coco", train=2, test=2)
    (tmp_path / "coco" / "val2017" / "000000000100.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"instances_val2017.json, line \d+, images\[0\]: there is"
    ):
        run_command(detect.COMMAND, data_dir=coco, weights="random", workdir="w", python=stub())
    assert written(COMMANDS["tools.detect"].settings[1]().batch_size) == "16"
