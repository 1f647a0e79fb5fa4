"""Every value of every setting of every command that can't work is refused in one line.

In a process of its own, which tells too that TensorFlow was not imported for it.
"""

import json
import subprocess
import sys

_SCRIPT = """
import importlib, json, sys
from msbreg_tf.commands import cli, compare, data_service, doctor, embed, evaluate, parity
from msbreg_tf.commands import neighbours, preview_views, quickstart, report
from msbreg_tf.evaluation.protocols.table import PROTOCOLS
from msbreg_tf.settings import declared, flagged, is_bool

COMMANDS = {name: evaluate.command(name) for name in PROTOCOLS}
train = importlib.import_module("msbreg_tf.train")  # the door's `train` is the function
for module in (train, quickstart, preview_views, embed, compare, data_service, parity, doctor,
               report, neighbours):
    COMMANDS[module.__name__.rpartition(".")[2]] = module.COMMAND

def wrong_values(field):
    s, kind = declared(field), str(field.type)
    if s.choices is not None:
        return ["nonsense"]
    if is_bool(field):
        return ["maybe", "2"]
    if "int" not in kind and "float" not in kind:
        return []
    values = ["abc", "nan", "inf", "-inf", "1e999", "0x10", "1_0_"]
    if "float" not in kind:
        values += ["1.5"]
    for limit, beyond in ((s.low, -1), (s.high, 1), (s.above, 0), (s.below, 0)):
        if limit is not None:
            values.append(repr(type(limit)(limit + beyond)))
    if "tuple" in kind:
        values += [f"1,{value}" for value in values]
        values += [] if not field.default else [""]
    return values

tried, failures = {}, []
for name, command in COMMANDS.items():
    for part in command.settings:
        for flag, field in flagged(part):
            for value in wrong_values(field):
                tried[name] = tried.get(name, 0) + 1
                text = f"--{flag}={value}"
                try:
                    cli.read_flags(command, [name, text])
                except ValueError as error:
                    message = str(error)
                    said = flag in message and "expected" in message and "\\n" not in message
                    if not said or len(message) > 400:
                        failures.append([name, text, message])
                else:
                    failures.append([name, text, "accepted"])
print(json.dumps([tried, failures, "tensorflow" in sys.modules]))
"""


def test_no_setting_takes_a_value_that_can_not_work():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tried, failures, has_tensorflow = json.loads(done.stdout.splitlines()[-1])
    assert failures == []
    assert not has_tensorflow
    assert set(tried) == {
        *("knn", "linear", "finetune", "svm", "geometry"),
        *("train", "quickstart", "preview_views", "embed", "compare", "data_service", "parity"),
        *("doctor", "report", "neighbours"),
    }
    assert sum(tried.values()) > 1000
    assert tried["train"] > 250
