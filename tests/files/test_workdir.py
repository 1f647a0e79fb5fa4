import json
import os

import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.files import workdir as module
from msbreg_tf.files.workdir import Claim, Workdir

SETTINGS, FACTS = {"seed": 1}, {"images": "sample"}


def claim(path, settings=SETTINGS, facts=FACTS, kind="pretraining", **others):
    folder = Workdir(str(path))
    try:
        return folder.claim(Claim(kind, settings, facts, **others))
    finally:
        folder.close()


@pytest.fixture(params=["checkpoints/00000050", "export/228"])
def begun(tmp_path, request):
    """A run of which there is something to continue."""
    claim(tmp_path)
    os.makedirs(tmp_path / request.param)
    return tmp_path


def test_a_run_is_recorded_and_recognised(tmp_path):
    claim(tmp_path)
    recorded = json.loads((tmp_path / "run.json").read_text())
    assert recorded == {
        "arithmetic": module.ARITHMETIC,
        "kind": "pretraining",
        "settings": SETTINGS,
        "facts": FACTS,
        "free": {},
    }
    claim(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "run.json"]


def test_other_settings_and_facts_are_refused_with_the_difference(begun):
    before = (begun / "run.json").read_text()
    with pytest.raises(ValueError, match="--seed: 1 there, 2 now; images: sample there, x now"):
        claim(begun, {"seed": 2}, {"images": "x"})
    assert (begun / "run.json").read_text() == before


def test_facts_of_a_run_that_can_be_continued_and_of_no_other(begun, tmp_path_factory):
    def recorded(path, fact="images"):
        folder = Workdir(str(path))
        try:
            return folder.recorded(fact)
        finally:
            folder.close()

    assert recorded(begun) == "sample"
    assert recorded(begun, "precision") is None
    (begun / "run.json").write_text("{")
    assert recorded(begun) is None  # `claim` says what is wrong with it
    nothing_saved = tmp_path_factory.mktemp("fresh")
    assert recorded(nothing_saved) is None
    claim(nothing_saved)
    assert recorded(nothing_saved) is None


def test_many_differences_stay_a_line(begun):
    with pytest.raises(ValueError, match="--k: None there, 1 now; and 7 more") as error:
        claim(begun, SETTINGS | dict.fromkeys("fghijklmnopqr", 1))
    assert len(str(error.value)) < 600


def test_a_run_of_which_nothing_was_saved_makes_room_for_another(tmp_path):
    claim(tmp_path)
    claim(tmp_path, {"seed": 2})
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"seed": 2}


def test_the_reason_stands_beside_the_difference(begun):
    with pytest.raises(ValueError, match=r"1 there, 2 now.*Seeds decide all"):
        claim(begun, {"seed": 2}, why={"seed": "Seeds decide all.", "other": "No."})


def test_a_setting_that_an_older_record_lacks_has_its_default(begun):
    claim(begun, SETTINGS | {"new": 5}, defaults={"new": 5})
    with pytest.raises(ValueError, match="--new: 5 there, 6 now"):
        claim(begun, SETTINGS | {"new": 6}, defaults={"new": 5})


def test_what_is_only_logged_may_change_and_is_told(begun):
    assert claim(begun, free={"log_every": 10}) == {}
    assert claim(begun, free={"log_every": 10}) == {}
    assert claim(begun, free={"log_every": 5}) == {"log_every": (10, 5)}
    assert claim(begun, free={"log_every": 5}) == {}


def test_what_was_a_setting_once_and_is_only_logged_now_may_change(begun):
    record = json.loads((begun / "run.json").read_text())
    record["settings"]["log_every"] = 10
    (begun / "run.json").write_text(json.dumps(record))
    claim(begun, free={"log_every": 5})


def test_a_fine_tuning_is_no_pretraining(begun):
    with pytest.raises(ValueError, match="holds a pretraining, and this is a fine-tuning"):
        claim(begun, kind="fine-tuning")


def test_a_run_of_another_arithmetic_is_not_continued(begun, monkeypatch):
    monkeypatch.setattr(module, "ARITHMETIC", module.ARITHMETIC + 1)
    with pytest.raises(ValueError, match="another version of msbreg_tf began") as error:
        claim(begun)
    before, now = module.ARITHMETIC - 1, module.ARITHMETIC
    assert f"version {before} there, {now} here" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_record_without_a_version_is_of_the_first(begun, monkeypatch):
    record = json.loads((begun / "run.json").read_text())
    del record["arithmetic"], record["kind"], record["free"]
    (begun / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="version 1 there"):
        claim(begun)
    monkeypatch.setattr(module, "ARITHMETIC", 1)
    claim(begun)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": {}}', '{"settings": 1}', None])
def test_a_run_that_nobody_can_tell_is_not_continued(begun, content):
    (begun / "run.json").unlink()
    if content is not None:
        (begun / "run.json").write_text(content)
    what = "is missing" if content is None else "is damaged"
    with pytest.raises(ValueError, match=rf"its run\.json {what}.*choose another --workdir"):
        claim(begun)


def test_a_damaged_record_of_nothing_is_written_anew(tmp_path):
    (tmp_path / "run.json").write_text("{")
    claim(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == SETTINGS


def test_a_folder_with_other_files_is_not_taken(tmp_path):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(ValueError, match=r"holds other files, such as cat\.jpg"):
        Workdir(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["cat.jpg"]
    with pytest.raises(ValueError, match="it is a file"):
        Workdir(str(tmp_path / "cat.jpg"))


@pytest.mark.parametrize(
    "names",
    [
        ["slurm-12.out", "notes.md", "run.sh"],
        [".lock", "run.json.123.writing", "broken_files.1", "error.txt.2"],
        ["checkpoints", "metrics.jsonl.9.writing"],
    ],
)
def test_what_a_kill_or_a_scheduler_leaves_is_no_obstacle(tmp_path, names):
    for name in names:
        (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).touch()
    claim(tmp_path)


def test_a_folder_in_which_nothing_was_begun_is_removed(tmp_path):
    Workdir(str(tmp_path / "new" / "run")).close()
    assert not (tmp_path / "new" / "run").exists()
    Workdir(str(tmp_path / "new")).close()  # it was there
    assert (tmp_path / "new").exists()


def test_one_process_at_a_time(tmp_path):
    first = Workdir(str(tmp_path))
    with pytest.raises(
        RunFailedError, match=rf"--workdir={tmp_path}: process {os.getpid()} on .* is working there"
    ):
        Workdir(str(tmp_path))
    first.close()
    Workdir(str(tmp_path)).close()
