"""The table of protocols, and what a new row of it reaches."""

import dataclasses
import json

import numpy as np
import pytest

from msbreg_tf.commands import cli, evaluate
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.protocols import table
from msbreg_tf.evaluation.protocols.protocol import Measurement, Protocol, Report
from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.evaluation.settings import FROZEN_FEATURES, ExportSettings, RecordSettings
from msbreg_tf.settings import Settings, setting
from tests.evaluation.exports import save_tiny


@dataclasses.dataclass(frozen=True)
class NormSettings(Settings):
    """How long features are."""

    power: float = setting(2.0, "Of the norm.", above=0, source="a test")
    quiet: bool = setting(False, "Whether little is said.", changes_result=False)


def measure(settings, subject):
    train, test = subject.train_and_test_features()
    norms = np.linalg.norm(test.features, ord=settings.power, axis=1)
    stamp = subject.frozen_stamp("norm", train, test) | settings.stamp()
    text = "short" if settings.quiet else f"{len(norms)} norms"
    return Report(text, [Measurement({"mean norm": float(norms.mean())}, stamp, {"n": len(norms)})])


@pytest.fixture
def toy_protocol(monkeypatch):
    """A protocol that a person has added: settings, a function, and one row."""
    row = Protocol(NormSettings, FROZEN_FEATURES, measure, {"test_split": "train"})
    monkeypatch.setitem(table.PROTOCOLS, "norm", row)


@pytest.mark.usefixtures("toy_protocol")
def test_a_new_protocol_is_known_to_flags_help_stamp_and_record(tmp_path, capsys):
    command = evaluate.command("norm")
    text = cli.help_text(command, "")
    assert "--power (default: 2.0)\n      Of the norm. More than 0. (A test.)" in text
    assert "--test_split (default: train)" in text
    with pytest.raises(ValueError, match=r"--power=0\.0: expected a number, more than 0"):
        cli.read_flags(command, ["norm", "--power=0"])
    export = save_tiny(tmp_path / "first" / "export" / "7", metadata={"image_size": 32})
    argv = ["norm", f"--saved_model={export}", "--power=1", "--test_split=test", "--cache_dir="]
    settings, _ = cli.read_flags(command, argv)
    command.run(*settings)
    results = tmp_path / "first" / "results.jsonl"
    assert capsys.readouterr().out == f"1000 norms\nAppended to {results}\n"
    (line,) = read_results(str(results))
    assert (line["run"], line["metric"], line["details"]) == ("first@7", "mean norm", {"n": 1000})
    assert (line["protocol"]["name"], line["protocol"]["power"]) == ("norm", 1.0)
    assert "quiet" not in line["protocol"]
    assert json.dumps(line["protocol"])


def test_the_result_is_shown_before_it_is_recorded(tmp_path, capsys, monkeypatch):
    """So that a results file that can't be written costs the record and not the value."""
    folder = tmp_path / "results"

    def measure_while_somebody_takes_the_place(settings, subject):
        folder.write_text("")
        return Report("the value", [Measurement({"x": 1.0}, {"name": "norm"})])

    row = Protocol(
        NormSettings, (ExportSettings, RecordSettings), measure_while_somebody_takes_the_place
    )
    monkeypatch.setitem(table.PROTOCOLS, "norm", row)
    export = save_tiny(tmp_path / "first", metadata={"image_size": 32})
    command = evaluate.command("norm")
    argv = ["norm", f"--saved_model={export}", f"--results={folder}/results.jsonl"]
    settings, _ = cli.read_flags(command, argv)
    with pytest.raises(RunFailedError, match=r"--results=.*results\.jsonl: can't be written"):
        command.run(*settings)
    assert capsys.readouterr().out == "the value\n"
