"""Which precision `--mixed_precision=auto` takes, on machines that are made up."""

import json
import types

import pytest
import tensorflow as tf

from msbreg_tf.distributed.devices import bfloat16_instructions
from msbreg_tf.files import checkpoints
from msbreg_tf.run import precision, pretraining
from msbreg_tf.run.precision import choose_precision, of_cpu, of_gpus
from tests.run.test_train import small
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    ("capabilities", "policy", "words"),
    [
        ([(9, 0)], "mixed_bfloat16", "9.0, from 8 on"),
        ([(8, 0), (12, 0)], "mixed_bfloat16", "8.0, from 8 on"),
        ([(8, 6), (7, 5)], "mixed_float16", "7.5, with float16"),
        ([(7, 0)], "mixed_float16", "7.0, with float16"),
        ([(6, 1)], "float32", "6.1, below 7"),
        ([(8, 0), None], "float32", "does not tell"),
    ],
)
def test_the_weakest_gpu_decides(capabilities, policy, words):
    chosen = of_gpus(capabilities)
    assert chosen.policy == policy
    assert words in chosen.reason


@pytest.mark.parametrize(
    ("text", "found", "policy"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse\n", "AVX512_BF16", "mixed_bfloat16"),
        ("model : x\nflags : amx_bf16 avx512_bf16\nflags : none\n", "AMX_BF16", "mixed_bfloat16"),
        ("flags : fpu avx512f avx512_bf16x\n", "", "float32"),
        ("Features : fp asimd bf16\n", "", "float32"),
        (None, "", "float32"),  # macOS has no such file
    ],
)
def test_instructions_of_the_cpu(tmp_path, text, found, policy):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    assert bfloat16_instructions(str(path)) == found
    assert of_cpu(found).policy == policy
    assert of_cpu(found).reason.endswith(found or "known here")


@pytest.fixture
def machine(monkeypatch):
    """Makes one up: machine(instructions of its CPU, compute capabilities of its GPUs)."""

    def make(instructions="", capabilities=()):
        fake = types.SimpleNamespace(
            list_physical_devices=lambda kind: list(capabilities) if kind == "GPU" else ["CPU"],
            experimental=types.SimpleNamespace(
                get_device_details=lambda gpu: {"compute_capability": gpu}
            ),
        )
        monkeypatch.setattr(precision, "tf", types.SimpleNamespace(config=fake))
        monkeypatch.setattr(precision, "bfloat16_instructions", lambda: instructions)

    return make


def test_auto_follows_gpus_before_the_cpu_and_what_the_run_began_with(machine):
    machine("AMX_BF16", [(7, 5)])
    assert choose_precision("auto").policy == "mixed_float16"
    assert choose_precision("auto", cpu_devices=2).policy == "mixed_bfloat16"  # it hides GPUs
    assert choose_precision("auto", "float32").policy == "float32"
    assert choose_precision("auto", "mixed_bfloat16").policy == "mixed_bfloat16"
    assert "began with it" in choose_precision("auto", "float32").reason
    machine("")
    assert choose_precision("auto").policy == "float32"
    assert choose_precision("auto", "mixed_bfloat16").policy == "mixed_bfloat16"
    # A CPU can't train in float16; `Workdir.claim` then says what is not equal.
    assert choose_precision("auto", "mixed_float16").policy == "float32"


def test_true_and_false_are_what_they_were(machine):
    machine("")
    assert choose_precision(True) == ("mixed_bfloat16", "")
    assert choose_precision(True, "float32").policy == "mixed_bfloat16"
    assert choose_precision(False, "mixed_bfloat16") == ("float32", "")
    machine("AMX_BF16", [(9, 0)])
    assert choose_precision(True) == ("mixed_float16", "")
    assert choose_precision(False) == ("float32", "")


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="of CPUs")
def test_a_run_says_and_records_what_was_chosen_and_keeps_it(tmp_path, monkeypatch, capsys):
    """Begun on a CPU with bfloat16, continued on one without it, and never as another run."""
    monkeypatch.setattr(pretraining, "build_model", lambda config, steps: tiny_model())
    monkeypatch.setattr(pretraining.Run, "fit", lambda self: None)
    monkeypatch.setattr(pretraining.Run, "export", lambda self: "")
    monkeypatch.setattr(pretraining.Run, "summary", lambda self, export: "")

    def start(**changes):
        pretraining.train(small(tmp_path / "run", mixed_precision="auto", **changes))
        facts = json.loads((tmp_path / "run" / "run.json").read_text())["facts"]
        (line,) = [text for text in capsys.readouterr().out.splitlines() if "  precision " in text]
        return facts["precision"], line.split(maxsplit=1)[1]

    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: "")
    assert start() == (
        "float32",
        "float32, by --mixed_precision=auto: the CPU has no instructions for bfloat16 that are "
        "known here",
    )
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: "AMX_BF16")
    chosen = ("mixed_bfloat16", "mixed_bfloat16, by --mixed_precision=auto: the CPU has AMX_BF16")
    assert start() == chosen  # nothing was saved before
    (tmp_path / "run" / "checkpoints" / "00000003").mkdir(parents=True)
    monkeypatch.setattr(checkpoints.Checkpoints, "restore_newest", lambda self: 3)
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: "")
    policy, line = start()
    assert (policy, line.rpartition(": ")[2]) == ("mixed_bfloat16", "the run began with it")
    with pytest.raises(ValueError, match="--mixed_precision: auto there, False now"):
        pretraining.train(small(tmp_path / "run"))
