"""What is done is not done again; what was killed begins anew; two races share the work."""

import json
import os

import pytest

from benchmarks.methods import claim
from benchmarks.race import parts
from benchmarks.race.parts import Part, complete
from msbreg_tf.errors import RunFailedError


def a_part(tmp_path, calls, name="seed=0", **request):
    def work(folder, request):
        assert os.listdir(folder) == ["request.json"]
        calls.append((os.path.basename(folder), request["steps"]))
        return {"scores": {"20-NN": 47.25}, "seconds": 12.0}

    return Part(str(tmp_path / "compute" / name), name, {"steps": 3, **request}, work)


def test_done_parts_are_not_done_again_and_killed_ones_begin_anew(tmp_path):
    calls, said = [], []
    both = [a_part(tmp_path, calls), a_part(tmp_path, calls, "seed=1")]
    killed = tmp_path / "compute" / "seed=1"
    killed.mkdir(parents=True)
    (killed / "half-written").touch()
    results = complete(both, said.append)
    assert calls == [("seed=0", 3), ("seed=1", 3)]
    assert not (killed / "half-written").exists()
    assert said[0] == "seed=0: 20-NN 47.2, 12 s for 3 steps"
    assert complete(both, said.append) == results
    assert len(calls) == len(said) == 2


def test_a_part_of_other_settings_is_refused_in_one_line(tmp_path):
    complete([a_part(tmp_path, [])], print)
    other = a_part(tmp_path, [], settings={"rate": 4.0})
    with pytest.raises(ValueError, match=r"settings\.rate: None there, 4\.0 now.*--name") as error:
        other.attempt()
    assert "\n" not in str(error.value)


def test_a_part_that_another_process_holds_is_left_to_it(tmp_path, monkeypatch):
    calls = []
    part = a_part(tmp_path, calls)
    with claim(part.folder) as is_ours:
        assert is_ours
        assert not part.attempt()
        monkeypatch.setattr(parts.time, "sleep", lambda seconds: finish_it(part.folder))
        assert complete([part], print)[0]["seconds"] == 1.0
    assert not calls


def finish_it(folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "result.json"), "w") as file:
        json.dump({"request": {"steps": 3}, "seconds": 1.0}, file)


def test_a_process_that_fails_is_named_with_its_last_line(tmp_path):
    """The probe only defines a function, so it ends well; there is no module of the other name."""
    parts.run(str(tmp_path), ["probe"], 1)
    for modules in (["nothing"], ["probe", "nothing"], ["nothing", "probe"]):
        with pytest.raises(
            RunFailedError, match=r"race\.nothing failed: .*No module named"
        ) as error:
            parts.run(str(tmp_path), modules, 1)
        assert str(tmp_path / "log.txt") in str(error.value)
