import datetime
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.results.log import (
    append_result,
    default_results_path,
    read_results,
    run_name,
)
from tests.evaluation.exports import save_tiny

PROTOCOL = {"name": "knn", "k": 20, "temperature": 0.07}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first" / "export" / "12"
    return load_encoder(save_tiny(folder, metadata={"step": 12, "recipe": {"num_views": 4}}))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "results.jsonl")


def append(path, value=1.5, encoder=None, **others):
    line = {"metric": "top-1 %", "protocol": PROTOCOL, "run": "raw pixels"} | others
    return append_result(path, value=value, encoder=encoder, **line)


def test_a_line_tells_what_by_which_protocol_of_which_export_and_when(encoder, path):
    started = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    written = append(path, 41.25, encoder, run=None, details={"learning rate": 0.1})
    [line] = read_results(path)
    assert line == written
    assert (line["run"], line["metric"], line["value"]) == ("first@12", "top-1 %", 41.25)
    assert line["protocol"] == PROTOCOL
    assert line["details"] == {"learning rate": 0.1}
    assert line["export"]["fingerprint"] == encoder.fingerprint
    assert (line["export"]["step"], line["export"]["recipe"]) == (12, {"num_views": 4})
    assert line["versions"]["tensorflow"] == tf.__version__
    assert {"msbreg_tf", "python", "numpy"} <= line["versions"].keys()
    assert started <= datetime.datetime.fromisoformat(line["time"])
    assert line["time"].endswith("+00:00")


def test_lines_are_added_in_order(path):
    for value in (1, np.float32(2), 3.0):
        append(path, value)
    assert [line["value"] for line in read_results(path)] == [1, 2, 3]
    assert len(pathlib.Path(path).read_text().splitlines()) == 3


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), np.float32("inf")])
def test_what_is_not_finite_is_null(path, value):
    assert append(path, value)["value"] is None
    assert "NaN" not in pathlib.Path(path).read_text()


def test_a_line_cut_off_by_a_crash_harms_no_other(path):
    append(path, 1)
    append(path, 2)
    file = pathlib.Path(path)
    file.write_bytes(file.read_bytes()[:-30])
    assert [line["value"] for line in read_results(path)] == [1]
    append(path, 3)
    assert [line["value"] for line in read_results(path)] == [1, 3]


def test_a_last_line_without_its_end_of_line_is_kept(path):
    append(path, 1)
    file = pathlib.Path(path)
    file.write_text(file.read_text().rstrip("\n"))
    assert [line["value"] for line in read_results(path)] == [1]
    append(path, 2)
    assert [line["value"] for line in read_results(path)] == [1, 2]


@pytest.mark.parametrize("bad", ["[1]", "{}", '{"run": "a", "metric": "b", "value": 1}', "{", "7"])
def test_a_line_that_is_no_result_is_named(path, bad):
    append(path)
    with open(path, "a") as file:
        file.write(bad + "\n")
    with pytest.raises(ValueError, match=r"results.jsonl, line 2: not a result"):
        read_results(path)


def test_missing_file(path):
    with pytest.raises(ValueError, match="no such file"):
        read_results(path)


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailedError, match=r"--results=.*can't be written"):
        append(str(tmp_path / "file" / "results.jsonl"))


def test_folders_are_made(tmp_path):
    append(str(tmp_path / "new" / "results.jsonl"))
    assert len(read_results(str(tmp_path / "new" / "results.jsonl"))) == 1


def test_a_protocol_needs_a_name(path):
    with pytest.raises(ValueError, match="needs a name; it has only k"):
        append(path, protocol={"k": 20})


def test_without_an_encoder_the_run_needs_a_name(path):
    with pytest.raises(ValueError, match="needs the name of its run"):
        append(path, run=None)


@pytest.mark.parametrize(
    ("export", "name", "results"),
    [
        ("/runs/first/export/240", "first@240", "/runs/first/results.jsonl"),
        ("/models/resnet50", "resnet50", "results.jsonl"),
        ("/runs/first/export/240/", "first@240", "/runs/first/results.jsonl"),
    ],
)
def test_names_and_places_of_runs(export, name, results):
    assert run_name(export) == name
    assert default_results_path(export) == results


def test_lines_are_json_that_other_programs_read(encoder, path):
    append(path, 1.0, encoder, protocol=PROTOCOL | {"network": "Größe λ"})
    with open(path, encoding="utf-8") as file:
        assert json.loads(file.readline())["protocol"]["network"] == "Größe λ"
