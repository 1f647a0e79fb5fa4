"""Command lines: flags, help, one-line errors, and the recipes that are shipped."""

import errno
import glob
import os
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from msbreg_tf.commands import cli, evaluate
from msbreg_tf.errors import PreemptedError, RunFailedError
from msbreg_tf.evaluation.protocols.table import PROTOCOLS
from msbreg_tf.run.config import Config
from msbreg_tf.train import COMMAND as TRAIN
from tests.commands import COMMANDS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPES = sorted(glob.glob(os.path.join(ROOT, "flags", "*.cfg")))
EVALUATIONS = sorted(glob.glob(os.path.join(ROOT, "flags", "eval", "*.cfg")))


def relative(path):
    return os.path.relpath(path, ROOT)


def run(*arguments, module="msbreg_tf.train"):
    """Runs a command line in a process of its own, as a user would start it."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def config_of(path):
    """The `Config` of a recipe."""
    parts, _ = cli.read_flags(TRAIN, ["train", f"--flagfile={path}"])
    return Config(*parts)


def header_of(path):
    with open(path) as file:
        return "".join(line for line in file if line.startswith("#"))


@pytest.mark.parametrize("path", RECIPES + EVALUATIONS, ids=relative)
def test_every_recipe_opens_with_its_command_and_its_honest_result(path):
    header = header_of(path)
    assert "python -m" in header or "make " in header
    assert "not yet run" in header.lower() or "RESULTS.md" in header


@pytest.mark.parametrize("path", EVALUATIONS, ids=relative)
def test_every_protocols_recipe_is_read_by_its_tool(path):
    (tool,) = set(re.findall(r"python -m (tools\.\w+)", header_of(path)))
    argv = ["tool", f"--flagfile={path}"]
    cli.read_flags(COMMANDS[tool], argv)
    with pytest.raises(ValueError, match="no_such_flag"):
        cli.read_flags(COMMANDS[tool], [*argv, "--no_such_flag=1"])


_SHORT = {
    "view_size": 24, "encoder_width": 16, "stem": "cifar", "lambda_b": 0.05, "base_lr": 8.0,
    "batch_size": 64, "tau_base": 0.9, "mixed_precision": "auto",
}  # fmt: skip

# What the supplement says of each run, and what it leaves to us; everything else is the default.
PAPER = {
    # Section 1.1, Table 4 (λ_b, batch norm).
    "stl10": {"dataset": "stl10", "split": "train+unlabelled", "image_size": 96, "lambda_b": 0.05},
    # Section 1.1 (base_lr 0.4), Table 5 (K = 4, λ_s, λ_b).
    "imagenet100": {
        "dataset": "imagenet100", "image_size": 224, "base_lr": 0.4,
        "knn_test_split": "validation",
    },
    # Section 1.1: ResNet-50, base_lr 0.15, 300 epochs.
    "imagenet": {
        "dataset": "imagenet2012", "image_size": 224, "encoder": "resnet50", "base_lr": 0.15,
        "epochs": 300, "knn_test_split": "validation",
    },
    # Ours, after STL-10's.
    "cifar10": {"dataset": "cifar10", "stem": "cifar", "lambda_b": 0.05},
    "folder": {"dataset": "folder", "image_size": 96, "lambda_b": 0.05},
    # Ours, with EMP-SSL's views and weights.
    "many_views": {
        "dataset": "cifar10", "stem": "cifar", "num_views": 20, "crop_area_min": 0.25,
        "crop_area_max": 0.25, "crop_ratio_max": 1.0, "singular_value_form": "log_det",
        "lambda_s": 0.01, "lambda_b": 0.05, "batch_size": 100, "epochs": 30, "warmup_epochs": 1.0,
    },
    # Ours, measured (RESULTS.md).
    "short": {**_SHORT, "dataset": "cifar10", "epochs": 4, "warmup_epochs": 0.25},
    "quickstart": {**_SHORT, "epochs": 20, "warmup_epochs": 1.0, "checkpoint_every": 200},
}  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=relative)
def test_a_recipe_differs_from_the_defaults_where_its_source_says_so_and_nowhere_else(path):
    defaults = Config().settings()
    name = os.path.basename(path).removesuffix(".cfg")
    differing = {k: v for k, v in config_of(path).settings().items() if v != defaults[k]}
    assert differing == PAPER[name]


def test_the_defaults_are_those_of_the_supplement():
    """Section 1.1 (optimisation), Table 1 (views), Table 5 at K = 4 (λ_s, λ_b)."""
    expected = {
        "base_lr": 0.5, "batch_size": 512, "epochs": 320, "warmup_epochs": 10.0,
        "weight_decay": 1e-5, "momentum": 0.9, "trust_coefficient": 0.001, "num_views": 4,
        "lambda_s": 0.004, "lambda_b": 0.5, "tau_base": 0.99, "flip_probability": 0.5,
        "jitter_probability": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2,
        "hue": 0.1, "grey_probability": 0.2, "solarize_probability": 0.2,
    }  # fmt: skip
    assert expected.items() <= Config().settings().items()


@pytest.mark.parametrize("tool", COMMANDS)
def test_help_names_every_flag_with_default_and_purpose(tool):
    text = cli.help_text(COMMANDS[tool], "What it does.")
    assert text.startswith("What it does.")
    parts, _ = cli.read_flags(COMMANDS[tool], ["tool"])
    values = [value for part in parts for value in part.values().values()]
    names = cli.flag_names(COMMANDS[tool])
    assert len(values) == len(names) == len(set(names))
    for name in names:
        (found,) = re.findall(rf"^  --{name}(?: \(default: .*\))?\n      (\S.*)$", text, re.M)
        assert found
    assert max(len(line) for line in text.splitlines()) <= 110


def test_help_needs_no_tensorflow_and_no_valid_flags():
    result = run("--help", "--num_views=1")
    assert result.returncode == 0
    assert "--lambda_s (default: 0.004)" in result.stdout
    code = "import sys, tools.{0}, msbreg_tf.commands.{0}; print('tensorflow' in sys.modules)"
    for tool in (
        "compare",
        "embed",
        "parity",
        "quickstart",
        "preview_views",
        "data_service",
        "doctor",
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(tool)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "False\n", tool


def test_help_that_is_not_read_to_its_end_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tools.knn_eval", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_importing_the_entry_points_defines_no_flags():
    code = (
        "from absl import flags, logging, app; before = set(flags.FLAGS);"
        f"import {', '.join(COMMANDS)};"
        "import msbreg_tf.commands.cli; print(sorted(set(flags.FLAGS) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_views=1"], "--num_views=1: expected a whole number, at least 2."),
        (["--num_views=many"], "--num_views=many: expected a whole number, at least 2."),
        (["--lambda_b=inf"], "--lambda_b=inf: expected a number, at least 0."),
        (["--lambda_s=nan"], "--lambda_s=nan: expected a number, at least 0."),
        (["--momentum=1"], "--momentum=1.0: expected a number, at least 0 and less than 1."),
        (
            ["--mixed_precision=maybe"],
            "--mixed_precision=maybe: expected one of true, false, auto.",
        ),
        (["--norm=instance"], "--norm=instance: expected one of batch, layer, group_ws."),
        (["--lamda_s=1"], "Unknown command line flag 'lamda_s'. Did you mean: lambda_"),
        (["--flagfile=none.cfg"], "--flagfile=none.cfg: it can't be read. Correct the path."),
        (["quickstart"], "unexpected argument 'quickstart': flags look like --name=value."),
        (["--method=byol"], "--num_views=4: --method=byol compares two views."),
    ],
)
def test_bad_flags_say_flag_value_and_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        cli.read_flags(TRAIN, ["train", *arguments])
    assert "\n" not in str(error.value)


def test_bad_flags_end_with_one_line_and_no_traceback():
    for arguments, words in ((["--num_views=1"], "--num_views=1"), ([], "--workdir is missing")):
        result = run(*arguments)
        assert result.returncode == 2
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert words in line
        assert "Traceback" not in result.stderr


def test_switches_and_flags_after_the_flagfile():
    argv = ["train", "--flagfile=flags/stl10.cfg", "--lambda_b=0.25", "--mixed_precision"]
    config = Config(*cli.read_flags(TRAIN, argv)[0])
    assert (config.objective.lambda_b, config.run.mixed_precision) == (0.25, True)
    parts, only_check = cli.read_flags(TRAIN, ["train", "--nomixed_precision", "--only_check_args"])
    assert (Config(*parts).run.mixed_precision, only_check) == (False, True)
    for text, value in (("auto", "auto"), ("true", True), ("False", False)):
        parts, _ = cli.read_flags(TRAIN, ["train", f"--mixed_precision={text}"])
        assert Config(*parts).run.mixed_precision == value


def test_only_checking_runs_nothing():
    done = []
    command = cli.Command((Config().run.__class__,), done.append)
    cli.run(command, "", ["x", "--only_check_args"])
    assert done == []
    cli.run(command, "", ["x", "--seed=3"])
    assert [settings.seed for settings in done] == [3]


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="protocol=clustering: expected one of knn, linear"):
        evaluate.command("clustering")
    assert set(PROTOCOLS) == {"knn", "linear", "finetune", "svm", "geometry"}


def ours():
    """Raises what our own code raises for bad input."""
    from msbreg_tf.networks.resnet import build_resnet

    build_resnet("resnet18", image_size=8)


def test_a_value_error_of_ours_is_bad_input_in_one_line_with_dashes(capsys):
    with pytest.raises(SystemExit) as end:
        cli.guarded(ours, ["image_size", "stem"])()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: --image_size=8: --stem=imagenet shrinks images 32 times; expected at least 32, or "
        "--stem=cifar.\n"
    )


def test_a_foreign_value_error_is_a_bug_and_keeps_its_traceback():
    with pytest.raises(ValueError, match="invalid literal"):
        cli.guarded(lambda: int("x"))()


@pytest.mark.parametrize(
    "line", ["int('x')", "import numpy; numpy.concatenate([])", "float.fromhex('x')"]
)
def test_a_library_that_our_code_calls_wrongly_is_a_bug_too(line):
    """The last frame is ours, as C code has none; but no `raise` of ours raised it."""
    path = os.path.join(ROOT, "msbreg_tf", "made_up.py")
    names = {}
    exec(compile(f"def call():\n    {line}\n", path, "exec"), names)
    with pytest.raises(ValueError, match=r"."):
        cli.guarded(names["call"])()
    exec(compile("def call():\n    raise ValueError('bad input')\n", path, "exec"), names)
    with pytest.raises(SystemExit):
        cli.guarded(names["call"])()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a/b.png"),
         "error: /a/b.png: No such file or directory. Mend that, and start the same command "
         "again.\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x.npz"),
         "error: x.npz: No space left on device. Make room there, and start the same command "
         "again.\n"),
        (tf.errors.DataLossError(None, None, "corrupted record at 12"),
         "error: corrupted record at 12. Mend that, and start the same command again.\n"),
    ],
)  # fmt: skip
def test_what_a_disk_does_is_one_line(error, said, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        cli.guarded(main)()
    assert (end.value.code, capsys.readouterr().err) == (1, said)


def test_a_full_disk_is_found_behind_what_it_led_to(capsys):
    def main():
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "model.keras")
        except OSError as error:
            raise RuntimeError("generator raised StopIteration") from error

    with pytest.raises(SystemExit) as end:
        cli.guarded(main)()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Make room there" in said
    assert said.count("\n") == 1


def test_other_errors_are_bugs():
    for error in (KeyError("x"), tf.errors.InvalidArgumentError(None, None, "shapes")):

        def main(error=error):
            raise error

        with pytest.raises(type(error)):
            cli.guarded(main)()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RunFailedError("the disk is full."), 1, "error: the disk is full.\n"),
        (PreemptedError("saved."), 42, "saved.\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; start the same command again.\n"),
    ],
)
def test_exit_codes(error, code, said, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        cli.guarded(main)()
    assert (end.value.code, capsys.readouterr().err) == (code, said)
