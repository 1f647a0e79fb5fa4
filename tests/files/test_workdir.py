import json

import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.files import workdir as module
from msbreg_tf.files.workdir import Workdir

SETTINGS, FACTS = {"seed": 1}, {"images": "sample"}


def claim(path, settings=SETTINGS, facts=FACTS, defaults=None):
    folder = Workdir(str(path))
    try:
        folder.claim(settings, facts, defaults or {})
    finally:
        folder.close()


def test_a_run_is_recorded_and_recognised(tmp_path):
    claim(tmp_path)
    recorded = json.loads((tmp_path / "run.json").read_text())
    assert recorded == {
        "arithmetic": module.ARITHMETIC,
        "settings": SETTINGS,
        "facts": FACTS,
    }
    claim(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "run.json"]


def test_other_settings_and_facts_are_refused_with_the_difference(tmp_path):
    claim(tmp_path)
    with pytest.raises(ValueError, match="--seed: 1 there, 2 now; images: sample there, x now"):
        claim(tmp_path, {"seed": 2}, {"images": "x"})


def test_a_setting_that_an_older_record_lacks_has_its_default(tmp_path):
    claim(tmp_path)
    claim(tmp_path, SETTINGS | {"new": 5}, defaults={"new": 5})
    with pytest.raises(ValueError, match="--new: 5 there, 6 now"):
        claim(tmp_path, SETTINGS | {"new": 6}, defaults={"new": 5})


def test_a_run_of_another_arithmetic_is_not_continued(tmp_path, monkeypatch):
    claim(tmp_path)
    monkeypatch.setattr(module, "ARITHMETIC", module.ARITHMETIC + 1)
    with pytest.raises(ValueError, match="another version of msbreg_tf began") as error:
        claim(tmp_path)
    before, now = module.ARITHMETIC - 1, module.ARITHMETIC
    assert f"version {before} there, {now} here" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_record_without_a_version_is_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ARITHMETIC", 1)
    claim(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    del record["arithmetic"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    claim(tmp_path)
    monkeypatch.setattr(module, "ARITHMETIC", 2)
    with pytest.raises(ValueError, match="version 1 there, 2 here"):
        claim(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": {}}', '{"settings": 1}'])
def test_a_damaged_record_is_one_line(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        claim(tmp_path)


def test_one_process_at_a_time(tmp_path):
    first = Workdir(str(tmp_path))
    with pytest.raises(RunFailedError, match="another process is training there"):
        Workdir(str(tmp_path))
    first.close()
    Workdir(str(tmp_path)).close()
