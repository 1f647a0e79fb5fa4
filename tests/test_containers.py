"""The container files, as far as they can be checked without Docker."""

import fnmatch
import json
import pathlib
import re
import shlex

import pytest

from msbreg_tf.commands import cli, main, recipes
from tests.commands import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ("Dockerfile", "Dockerfile.cpu")


def instructions(name):
    """(instruction, rest) of a Dockerfile, with its continued lines joined."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def values(name, instruction):
    return [rest for found, rest in instructions(name) if found == instruction]


def read(arguments):
    """Lets the project's parser read what follows `msbreg`."""
    name, *flags = arguments
    cli.read_flags(main.command_of(name), [name, *flags])


@pytest.mark.parametrize("name", FILES)
def test_the_base_is_pinned_by_a_tag_and_the_file_says_that_it_was_not_built(name):
    (base,) = values(name, "FROM")
    assert re.fullmatch(r"[a-z]+(/[a-z]+)?:\d+\.\d+[\w.-]*", base)
    assert "Not built here" in (ROOT / name).read_text()


def test_the_gpu_image_has_the_tensorflow_of_the_requirements():
    (base,) = values("Dockerfile", "FROM")
    tag = re.fullmatch(r"tensorflow/tensorflow:(\d+\.\d+)\.\d+-gpu", base)[1]
    assert f"\ntensorflow=={tag}." in "\n" + (ROOT / "requirements.txt").read_text()


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_copied_exists_and_is_not_ignored(name):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = [path for rest in values(name, "COPY") for path in rest.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(fnmatch.fnmatch(path, pattern) for pattern in kept), path
    assert set(copied) == kept


@pytest.mark.parametrize("name", FILES)
def test_everything_that_the_package_is_made_of_is_copied(name):
    copied = {path for rest in values(name, "COPY") for path in rest.split()[:-1]}
    assert {"pyproject.toml", "setup.py", "README.md", "msbreg_tf", "tools", "flags"} <= copied


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_read_by_the_command_line(name):
    (entry,), (command,) = (values(name, key) for key in ("ENTRYPOINT", "CMD"))
    assert json.loads(entry) == ["msbreg"]
    read(json.loads(command))
    ran = [shlex.split(rest) for rest in values(name, "RUN")]
    ran += [shlex.split(rest) for rest in comments(name)]
    ours = [words[1:] for words in ran if words[0] == "msbreg"]
    assert len(ours) == 2
    for arguments in ours:
        read(arguments)
        for recipe in (a.partition("=")[2] for a in arguments if a.startswith("--recipe=")):
            assert pathlib.Path(recipes.path_of(recipe)).exists()


def comments(name):
    """What the comments run in the container, as `msbreg …`."""
    text = (ROOT / name).read_text()
    return [
        f"msbreg {rest}" for rest in re.findall(r"^#   docker run .* msbreg\S* (.*)$", text, re.M)
    ]


def test_the_development_container():
    folder = ROOT / ".devcontainer"
    content = json.loads((folder / "devcontainer.json").read_text())
    build = content["build"]
    assert (folder / build["dockerfile"]).resolve() == ROOT / "Dockerfile.cpu"
    assert (folder / build["context"]).resolve() == ROOT
    python, dash, module, *flags = shlex.split(content["postCreateCommand"])
    assert (python, dash) == ("python3", "-m")
    cli.read_flags(COMMANDS[module], [module, *flags])
