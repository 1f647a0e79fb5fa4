import glob
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from msbreg_tf.commands import cli
from msbreg_tf.run.config import Config, config_from_settings
from tools import _eval_flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPES = sorted(glob.glob(os.path.join(ROOT, "flags", "*.cfg")))
PROTOCOLS = sorted(glob.glob(os.path.join(ROOT, "flags", "eval", "*.cfg")))


def relative(path):
    return os.path.relpath(path, ROOT)


def run(*arguments, module="msbreg_tf.train"):
    """Runs a command line with flags parsed only, as a user would start it."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def parse_recipe(path):
    """A .cfg as {name: text}, by the rules of absl."""
    with open(path) as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    assert all(line.startswith("--") for line in lines), "absl takes anything else as a value"
    return dict(line[2:].split("=", 1) for line in lines)


@pytest.mark.parametrize("path", RECIPES, ids=relative)
def test_every_recipe_is_valid_and_holds_only_known_flags(path):
    defaults = Config().settings()
    settings = {}
    for name, text in parse_recipe(path).items():
        default = defaults[name]  # KeyError: no such flag
        kind = type(default) if default is not None else float
        settings[name] = kind(text) if kind is not bool else text == "true"
    config_from_settings(settings)


@pytest.mark.parametrize("path", RECIPES + PROTOCOLS, ids=relative)
def test_every_recipe_opens_with_its_command_and_its_honest_result(path):
    with open(path) as file:
        header = "".join(line for line in file if line.startswith("#"))
    assert "python -m" in header or "make " in header
    assert "not yet run" in header.lower() or "RESULTS.md" in header


@pytest.mark.parametrize("path", PROTOCOLS, ids=relative)
def test_every_protocol_parses_with_its_tool(path):
    with open(path) as file:
        (tool,) = set(re.findall(r"python -m (tools\.\w+)", file.read()))
    result = run(f"--flagfile={path}", "--only_check_args", module=tool)
    assert result.returncode == 0, result.stderr
    wrong = run(f"--flagfile={path}", "--no_such_flag=1", "--only_check_args", module=tool)
    assert wrong.returncode == 2  # so checking means something


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stl10", {"base_lr": "0.5", "epochs": "320", "lambda_b": "0.05", "encoder": "resnet18"}),
        ("imagenet100", {"base_lr": "0.4", "epochs": "320", "lambda_b": "0.5"}),
        ("imagenet", {"base_lr": "0.15", "epochs": "300", "encoder": "resnet50"}),
        ("cifar10", {"stem": "cifar", "image_size": "32"}),
    ],
)
def test_recipes_follow_the_supplement(name, expected):
    recipe = parse_recipe(os.path.join(ROOT, "flags", f"{name}.cfg"))
    assert expected.items() <= recipe.items()
    assert (recipe["batch_size"], recipe["warmup_epochs"]) == ("512", "10")
    assert (recipe["num_views"], recipe["lambda_s"]) == ("4", "0.004")


def test_help_names_every_flag_with_default_and_purpose():
    result = run("--help")
    assert result.returncode == 0
    for name, default in Config().settings().items():
        assert f"--{name}" in result.stdout
        if default is not None:
            assert f"--{name} (default: {default})" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 110


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--num_views=1"], ["--num_views=1", "at least 2"]),
        (["--num_views=many"], ["num_views", "many"]),
        (["--lamda_s=1"], ["lamda_s", "lambda_s"]),
        (["--flagfile=flags/none.cfg"], ["none.cfg"]),
        (["quickstart"], ["quickstart"]),
        ([], ["--workdir"]),
    ],
)
def test_bad_flags_end_with_one_line(arguments, words):
    result = run(*arguments)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words)
    assert "Traceback" not in result.stderr


def test_flags_after_the_flagfile_override_it():
    result = run("--flagfile=flags/stl10.cfg", "--lambda_b=-1")
    assert "--lambda_b=-1" in result.stderr


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        (lambda: int("x"), "invalid literal"),
        (lambda: json.loads("{"), "Expecting property name"),
        (lambda: np.zeros(3).reshape(2), "cannot reshape"),
    ],
)
def test_a_foreign_value_error_is_a_bug_and_keeps_its_traceback(bug, words):
    with pytest.raises(ValueError, match=words):
        cli.guarded(lambda argv: bug())([])


def test_a_value_error_of_ours_is_bad_input_in_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        cli.guarded(lambda argv: config_from_settings({"num_views": 1}))([])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: --num_views=1: expected at least 2.\n"


def readme_commands():
    with open(os.path.join(ROOT, "README.md")) as file:
        blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", file.read(), re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [
        line
        for line in text.splitlines()
        if re.match(r"(\.venv/bin/)?python -m (msbreg_tf|tools)", line)
    ]


def test_every_readme_command_parses():
    commands = readme_commands()
    assert commands
    for command in commands:
        module = command.split(" -m ")[1].split()[0]
        path = os.path.join(ROOT, *module.split("."))
        assert os.path.exists(path + ".py"), command
        with open(path + ".py") as file:
            source = file.read()
        own = set(re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", source))
        own |= set(_eval_flags.NAMES) if "_eval_flags" in source else set()
        if "training_flags=False" not in source:
            own |= Config().settings().keys()
        for name in re.findall(r"--(\w+)", command):
            assert name in own | {"flagfile", "help"}, f"{name} in: {command}"
        for recipe in re.findall(r"--flagfile=(\S+)", command):
            assert os.path.exists(os.path.join(ROOT, recipe)), command
