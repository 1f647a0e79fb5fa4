"""The wheel, in an empty environment outside the checkout: it brings what it needs, and works."""

import os
import pathlib
import re
import subprocess
import sys
import venv

import pytest

import msbreg_tf
from msbreg_tf.commands import cli, main, recipes
from tests.commands import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs a command of an environment that has the wheel and what its metadata ask for."""
    root = tmp_path_factory.mktemp("package")
    source = root / "source"
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in names:
        if name.split("/")[0] in ("msbreg_tf", "tools", "flags", "detection") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", root, source], check=True, capture_output=True)
    venv.create(root / "env", with_pip=True)
    python = root / "env" / "bin" / "python"
    (wheel,) = root.glob("*.whl")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel],
        check=True, capture_output=True,
    )  # fmt: skip
    work = root / "somewhere else"
    work.mkdir()

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [root / "env" / "bin" / arguments[0], *arguments[1:]],
            cwd=work, env=environment, capture_output=True, text=True,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_it_trains_and_evaluates_on_the_shipped_sample(installed):
    where = installed("python", "-c", "import msbreg_tf; print(msbreg_tf.__file__)").stdout
    assert "somewhere else" not in where
    assert str(ROOT) not in where
    quick = ("--split=test", "--encoder_width=4", "--epochs=1", "--warmup_epochs=0")
    quick += ("--workdir=runs/first",)
    done = installed("msbreg", "train", "--recipe=quickstart", *quick)
    assert done.returncode == 0, done.stderr
    (export,) = re.findall(r"msbreg geometry --saved_model=(runs/first/export/\d+)", done.stdout)
    assert "python -m" not in done.stdout
    done = installed("msbreg", "knn", f"--saved_model={export}", "--k=5")
    assert done.returncode == 0, done.stderr
    assert "k-NN on sample test: 1,000 images" in done.stdout
    done = installed("python", "-m", "msbreg_tf.train", "--recipe=quickstart", "--epochs=x")
    assert done.returncode == 2
    assert "--epochs=x: expected a whole number" in done.stderr


@pytest.mark.slow
def test_recipes_and_help_come_with_it(installed):
    done = installed("msbreg")
    assert done.returncode == 0
    assert [
        line.split()[1] for line in done.stdout.splitlines() if line.startswith("  msbreg")
    ] == [*main.SUBCOMMANDS]
    done = installed("msbreg", "knn", "--help")
    assert "msbreg knn --saved_model=" in done.stdout
    done = installed("msbreg", "linear", "--recipe=linear_stl10", "--only_check_args")
    assert done.returncode == 0, done.stderr
    flags = ("--recipe=table5_small", "--workdir=sweep", "--engine=print")
    done = installed("msbreg", "sweep", *flags)
    assert (done.returncode, done.stdout.count("\n")) == (0, 40), done.stderr
    done = installed("msbreg", "--version")
    assert done.stdout == f"msbreg_tf {msbreg_tf.__version__}\n"


def test_every_tool_is_a_subcommand():
    theirs = {"msbreg_tf.train" if s.tool == "train" else f"tools.{s.tool}" for s in
              main.SUBCOMMANDS.values()}  # fmt: skip
    assert theirs == COMMANDS.keys()
    for name, sub in main.SUBCOMMANDS.items():
        module = "msbreg_tf.train" if sub.tool == "train" else f"tools.{sub.tool}"
        assert main.command_of(name).settings == COMMANDS[module].settings


@pytest.mark.parametrize("name", main.SUBCOMMANDS)
def test_help_speaks_of_the_command_that_was_typed(name):
    text = main.doc_of(name)
    assert f"msbreg {name}" in text
    assert "python -m" not in text
    assert "flags/" not in text.replace("(flags/eval)", "")


@pytest.mark.parametrize(("name", "close"), [("trian", "train"), ("nearest", "quickstart")])
def test_an_unknown_subcommand_is_one_line(name, close, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([name])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: msbreg {name}: expected one of ")


def test_recipes_are_found_by_name_and_by_path(tmp_path):
    assert recipes.path_of("stl10") == str(ROOT / "flags" / "stl10.cfg")
    assert recipes.path_of("eval/knn_stl10") == recipes.path_of("knn_stl10")
    own = tmp_path / "mine.cfg"
    own.write_text("--epochs=17\n")
    assert recipes.path_of(str(own)) == str(own)
    parts, _ = cli.read_flags(COMMANDS["msbreg_tf.train"], ["train", f"--recipe={own}"])
    assert any(getattr(part, "epochs", None) == 17 for part in parts)
    parts, _ = cli.read_flags(
        COMMANDS["msbreg_tf.train"], ["train", "--recipe=stl10", "--epochs=30"]
    )
    assert any(getattr(part, "epochs", None) == 30 for part in parts)
    with pytest.raises(ValueError, match=r"--recipe=stl: no such recipe or file.*stl10"):
        recipes.path_of("stl")
