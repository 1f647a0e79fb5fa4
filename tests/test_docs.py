"""What README and docs show: every command is read by its tool, every Python block is run."""

import glob
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import tensorflow as tf

import msbreg_tf
from benchmarks.race import __main__ as race
from msbreg_tf.commands import cli, main
from msbreg_tf.evaluation.exporting import export_encoder
from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.run import pretraining
from msbreg_tf.settings import flagged
from scripts import run_docs_rules
from scripts.doc_commands import PAGES, ROOT, blocks, shell_commands
from scripts.run_docs import PAGES as READ
from tests.commands import COMMANDS


def commands():
    """(page, module, arguments) of all that starts an entry point, also in loops and scripts."""
    found = []
    for page in PAGES:
        for command in shell_commands(page):
            for line in command.splitlines():
                match = re.search(r"python -m ((?:msbreg_tf|tools)\.\w+)\s?(.*)", line)
                if match:
                    found.append((page.name, match[1], match[2].removesuffix("&").strip()))
                elif match := re.match(r"msbreg (\S+) (.*)", line.strip()):
                    tool = main.SUBCOMMANDS[match[1]].tool
                    module = "msbreg_tf.train" if tool == "train" else f"tools.{tool}"
                    found.append((page.name, module, match[2]))
    return found


def test_there_is_something_to_check():
    pages = {page for page, _, _ in commands()}
    assert {"README.md", "training.md", "evaluation.md", "machines.md", "RESULTS.md"} <= pages
    assert {"settings.md", "watching.md", "faq.md"} <= pages
    assert len(commands()) > 30


@pytest.mark.parametrize(("page", "module", "arguments"), commands())
def test_every_command_is_read_by_its_tool(page, module, arguments, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(arguments, comments=True)
    if "--help" not in arguments:
        cli.read_flags(COMMANDS[module], [module, *arguments])


def test_every_tool_exists_and_every_tool_is_known():
    tools = {os.path.basename(path)[:-3] for path in glob.glob(str(ROOT / "tools" / "*.py"))}
    assert {f"tools.{name}" for name in tools - {"__init__"}} == COMMANDS.keys() - {
        "msbreg_tf.train"
    }


def test_a_command_is_as_many_lines_as_the_shell_needs(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n# a note\nmake it\npython -m tools.x \\\n    --y\nfor i in 0 1; do\n"
        "  A='{\n}' b &\ndone; wait\n```\n```python\nno()\n```\n```sh\n#SBATCH -N 1\nsrun c\n```\n"
    )
    assert shell_commands(page) == [
        "make it",
        "python -m tools.x      --y",
        "for i in 0 1; do\n  A='{\n}' b &\ndone; wait",
        "#SBATCH -N 1\nsrun c",
    ]


def read_by_its_tool(line):
    """Lets the tool that a line starts read its flags; returns whether it starts one."""
    match = re.search(r"python -m ((?:msbreg_tf|tools)\.\w+)\s?(.*)", line)
    if match:
        module, arguments = match[1], re.sub(r" (&|\|\| exit).*$", "", match[2])
        arguments = arguments.replace("$i", "1")  # of a loop
        cli.read_flags(COMMANDS[module], [module, *shlex.split(arguments, comments=True)])
    return bool(match)


def test_what_the_reader_of_the_pages_runs_in_place_of_a_command_is_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    used, known = set(), 0
    shown = [command for page in READ for command in shell_commands(page)]
    for command in [*shown, *(supply.command for supply in run_docs_rules.SUPPLIES)]:
        changed, rules = run_docs_rules.changed(command, "python3")
        used.update(rules)
        known += sum(map(read_by_its_tool, changed.splitlines()))
        assert not re.search(r"\b(HOST|DIR|PATH)\b|=/data|=/shared|=/exports", changed), changed
    assert known > 70
    assert [rule for rule in run_docs_rules.RULES if rule not in used] == []
    for pattern, *_ in (*run_docs_rules.NOT_HERE, *run_docs_rules.NEEDS):
        assert any(re.search(pattern, command) for command in shown), pattern


def test_every_row_belongs_to_a_table_and_has_its_columns():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.M):
            rows = table.splitlines()
            assert len(rows) > 2, f"{page.name}: {rows[0]}"
            assert re.fullmatch(r"\|(:?-+:?\|)+", rows[1]), f"{page.name}: {rows[0]}"
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, rows[0]


def test_every_room_is_described_once():
    (tree,) = re.findall(
        r"^```\n(msbreg_tf/\n.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S
    )
    rooms = [path.parent.name for path in (ROOT / "msbreg_tf").glob("*/__init__.py")]
    assert sorted(re.findall(r"^  (\w+)/ ", tree, re.M)) == sorted(rooms)


def test_every_link_to_a_file_leads_somewhere():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", prose):
            target = "".join(target)
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tables_of_settings_are_those_of_the_declarations():
    path = ROOT / "scripts" / "settings_table.py"
    spec = importlib.util.spec_from_file_location("settings_table", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text()
    assert script.page(text) == text, "run python -m scripts.settings_table"
    for part in script.PARTS:
        for name, _ in flagged(part):
            assert text.count(f"| `--{name}` |") == 1


def test_every_setting_in_backquotes_exists():
    commands = (*COMMANDS.values(), race.COMMAND)
    known = {f"--{name}" for command in commands for name in cli.flag_names(command)}
    known |= {"--flagfile", "--help", "--model_base_path", "--logdir", "--only"}
    for page in PAGES:
        for name in re.findall(r"`(--\w+)", page.read_text()):
            assert name in known, f"{page.name}: {name}"


@pytest.fixture
def in_a_run(tmp_path, monkeypatch):
    """A folder in which runs/quickstart/export/1560 is an encoder with 128 features."""
    monkeypatch.chdir(tmp_path)
    encoder = build_resnet("resnet18", width=16, stem="cifar")
    folder = "runs/quickstart/export/1560"
    os.makedirs(os.path.dirname(folder))
    export_encoder(encoder, folder, image_size=32, metadata={})


@pytest.mark.slow
@pytest.mark.usefixtures("in_a_run")
def test_readmes_python_runs():
    use, fine_tune = blocks(ROOT / "README.md", "python")
    names = {}
    exec(use, names)
    assert names["features"].shape == (2, 128)
    exec(fine_tune, names)
    classifier = names["classifier"]
    classifier.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = classifier.layers[0].get_weights()[0].copy()
    images = np.random.default_rng(0).integers(0, 256, [8, 32, 32, 3]).astype(np.float32)
    classifier.fit(images, np.arange(8), verbose=0)
    assert classifier(images).shape == (8, 10)
    assert np.any(classifier.layers[0].get_weights()[0] != before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "keras_2",
    [
        "from tensorflow import keras",
        pytest.param(
            "import tf_keras as keras",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("tf_keras") is None,
                reason="tf_keras belongs to the current stack",
            ),
        ),
    ],
)
@pytest.mark.usefixtures("in_a_run")
def test_fine_tuning_in_keras_as_the_page_says(keras_2):
    """Frozen, the encoder stays; unfrozen it learns; and what is saved comes back."""
    (code,) = blocks(ROOT / "docs" / "encoder.md", "python")
    code = code.replace("from tensorflow import keras", keras_2).replace("epochs=2", "verbose=0")
    frozen, unfrozen = code.split("encoder.trainable = True")
    names = {}
    exec(frozen, names)
    loaded = names["keras"].models.load_model("runs/quickstart/export/1560/encoder.keras")
    before, encoder = loaded.get_weights(), names["encoder"]
    assert all(map(np.array_equal, before, encoder.get_weights()))
    assert len(names["classifier"].trainable_variables) == 2
    exec("encoder.trainable = True" + unfrozen, names)
    changed = {
        variable.name
        for variable, old in zip(encoder.weights, before)
        if np.any(variable.numpy() != old)
    }
    assert changed == {variable.name for variable in encoder.trainable_variables}
    assert not any("moving" in name for name in changed)
    images = names["images"][:4]
    expected = names["classifier"](images, training=False)
    np.testing.assert_allclose(names["reloaded"](images, training=False), expected, atol=1e-5)


@pytest.mark.slow
def test_the_librarys_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Other tests import the command of this name, which then hides the function; users need not.
    monkeypatch.setattr(msbreg_tf, "train", pretraining.train)
    parts, whole_run, quality = blocks(ROOT / "docs" / "library.md", "python")
    shape = [2, 8, 2, 32, 32, 3]  # steps, B, K, then an image's
    views = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    names = {"views": tf.data.Dataset.from_tensor_slices(views)}
    exec(parts, names)
    assert int(names["model"].optimizer.iterations) == 2
    small = '"split": "test", "batch_size": 250, "encoder_width": 4, "stem": "cifar", "epochs": 1,'
    small += ' "warmup_epochs": 0, "workdir"'
    code = whole_run.replace('"epochs": 12, "warmup_epochs": 1, "workdir"', small)
    assert code != whole_run
    exec(code, names)
    assert os.path.exists(os.path.join(names["export"], "saved_model.pb"))
    exec(quality, names)
    assert 30 < names["measure_quality"](names["features"])["lidar"] <= 64


@pytest.mark.slow
@pytest.mark.skipif(
    metadata.version("keras") < "3", reason="needs Keras 3, as the current stack has"
)
@pytest.mark.usefixtures("in_a_run")
def test_the_python_for_keras_3_runs():
    (code,) = blocks(ROOT / "docs" / "faq.md", "python")
    code += """
import numpy as np
classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
before = [w.numpy() for w in encoder.weights]
classifier.fit(np.full([8, 40, 48, 3], 100.0), np.arange(8), verbose=0)
assert classifier(np.zeros([2, 32, 32, 3], np.float32)).shape == (2, 10)
assert len(classifier.trainable_variables) == 2
assert all(np.all(a == b.numpy()) for a, b in zip(before, encoder.weights))
"""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
