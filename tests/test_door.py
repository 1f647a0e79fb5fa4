"""What `import msbreg_tf` promises."""

import os
import subprocess
import sys

import pytest

import msbreg_tf

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def python(code):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# `train` is below: whoever has imported the command `msbreg_tf.train` sees that module instead.
@pytest.mark.parametrize("name", [name for name in msbreg_tf.__all__ if name != "train"])
def test_every_name_of_the_door_has_a_home_and_a_docstring(name):
    value = getattr(msbreg_tf, name)
    assert value.__name__ == name
    assert value.__doc__


def test_the_door_is_lazy_and_train_is_the_function():
    code = (
        "import sys, msbreg_tf; print('tensorflow' in sys.modules);"
        "from msbreg_tf import Config; print('tensorflow' in sys.modules);"
        "from msbreg_tf import train; print(train.__module__)"
    )
    assert python(code).split() == ["False", "False", "msbreg_tf.run.pretraining"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        _ = msbreg_tf.Trainer


def test_the_top_of_the_package_stays_small():
    entries = [
        name
        for name in os.listdir(os.path.join(ROOT, "msbreg_tf"))
        if not name.startswith("__pycache__") and name != "py.typed"
    ]
    assert len(entries) <= 14, sorted(entries)


def test_imports_point_one_way():
    """Each room imports only rooms that stand before it."""
    order = [
        *("settings", "errors", "files", "distributed", "networks", "augment", "data", "method"),
        *("evaluation", "run", "report", "commands", "train"),
    ]
    package = os.path.join(ROOT, "msbreg_tf")
    for folder, _, names in os.walk(package):
        for name in names:
            if not name.endswith(".py") or os.path.join(folder, name) == msbreg_tf.__file__:
                continue
            path = os.path.join(folder, name)
            room = os.path.relpath(path, package).split(os.sep)[0].removesuffix(".py")
            with open(path) as file:
                imported = {
                    line.split()[1].split(".")[1]
                    for line in map(str.strip, file)
                    if line.startswith(("from msbreg_tf.", "import msbreg_tf."))
                }
            above = imported - set(order[: order.index(room) + 1])
            assert not above, f"{os.path.relpath(path, ROOT)} imports from {sorted(above)}"
