"""Tables and picture of results that are made up."""

import csv
import io
import json

import pytest

from benchmarks.race import picture, report, table, work

FORM = {"precision": "float32"}


def write(folder, stage, name, part, accuracy, seconds, point=None, **more):
    request = {"contender": name, "seed": 0, "point": point or {}, "steps": 10, "batch": 256}
    request |= {"passes": 15360 if seconds else 0}
    scores = {} if accuracy is None else {"scores": {"20-NN": accuracy, "linear": accuracy + 2}}
    times = {"seconds": seconds, "training_seconds": seconds - 3, "clock": "CPU"} if seconds else {}
    path = folder / stage / name / part
    path.mkdir(parents=True)
    (path / "result.json").write_text(json.dumps({"request": request, **scores, **times, **more}))


@pytest.fixture
def race(tmp_path):
    for seed, accuracy in enumerate((48.0, 50.0, 52.0)):
        write(tmp_path, "compute", "ours", f"seed={seed}", accuracy, 100.0 + seed)
        write(tmp_path, "seconds", "ours", f"seed={seed}", accuracy + 1, 110.0)
        write(tmp_path, "compute", "simclr", f"seed={seed}", 47.0, 110.0, {"rate": 4.0})
        write(tmp_path, "compute", "untrained", f"seed={seed}", 25.0, None)
    write(tmp_path, "compute", "byol", "seed=0", None, None, diverged=7)
    write(tmp_path, "compute", "ours", "length=0.25,seed=0", 30.0, 25.0)
    write(tmp_path, "search", "simclr", "rate=2", 44.0, 50.0, {"rate": 2.0})
    write(tmp_path, "search", "simclr", "rate=4", 46.0, 50.0, {"rate": 4.0})
    write(tmp_path, "trial", "simclr", "", None, None, fastest=FORM,
          forms=[{"form": FORM, "seconds": 0.5}])  # fmt: skip
    return tmp_path


def test_rows_are_means_over_seeds_in_order(race):
    text, _ = report.write(str(race), "a machine")
    compute, timed = text.split("At equal time")
    lines = [line.split("  ") for line in compute.splitlines()]
    ours, simclr, byol, untrained = ([c.strip() for c in line if c] for line in lines[5:9])
    assert ours == ["ours", "3", "50.0 ± 2.0", "52.0 ± 2.0", "101.0 ± 1.0", "98.0 ± 1.0", "15", "–"]
    assert simclr[0] == "SimCLR"
    assert simclr[-1] == "rate=4"
    assert byol[:2] == ["BYOL", "0, diverged at step 7"]
    assert untrained[2] == "25.0 ± 0.0"
    assert "ours, beside the best peer: +3.0 in 20-NN (SimCLR), +3.0 in linear (SimCLR)" in compute
    assert "+4.0 in 20-NN (SimCLR)" in timed  # the reference's runs stand there, too
    assert "rate=4    46.0   48.0    47.0  chosen" in timed


def test_a_peers_runs_stand_at_equal_time_if_they_took_no_less_and_at_most_a_quarter_more(race):
    for name, seconds in (("vicreg", 137.0), ("barlow", 138.0), ("fastsiam", 109.0)):
        write(race, "compute", name, "seed=0", 48.0, seconds)
    rows = table.rows(table.runs_in(str(race)), "seconds")
    titles = ["ours", "SimCLR", "VICReg", "untrained"]
    assert [row["contender"] for row in rows] == titles


def test_every_run_is_a_line_of_the_csv_and_every_table_in_markdown(race):
    report.write(str(race), "a machine")
    rows = list(csv.DictReader(io.StringIO((race / "race.csv").read_text())))
    assert len(rows) == 3 * 4 + 1 + 1 + 2 + 3  # and the reference's runs at equal time
    first = next(row for row in rows if row["contender"] == "ours" and row["length"] == "0.25")
    assert (first["20-NN"], first["seconds"], first["clock"]) == ("30.0", "25.0", "CPU")
    assert "| SimCLR | 3 | 47.0 ± 0.0 |" in (race / "race.md").read_text()


def test_the_picture_has_a_point_for_every_length_and_is_drawn(race):
    runs = [r for r in table.runs_in(str(race)) if r.stage != "search" and "seconds" in r.result]
    ours = [point for point in picture.points_of(runs, "20-NN") if point[0] == "ours"]
    assert ours == [
        ("ours", 25.0, 30.0, 0.0, False),
        ("ours", 101.0, 50.0, 2.0, False),
        ("ours", 110.0, 51.0, 2.0, True),
    ]
    pytest.importorskip("matplotlib", reason="the extra report is missing here")
    assert picture.draw(table.runs_in(str(race)), str(race / "race.png"))
    assert (race / "race.png").read_bytes().startswith(b"\x89PNG")


def test_views_count_for_everyone_and_stand_apart():
    spent = {"seconds": {"cpu": 90.0, "wall": 50.0}, "device": "CPU"}
    views = {"seconds": {"cpu": 10.0, "wall": 50.0}}
    peer = work.times({"steps": 10}, spent, views)
    assert (peer["seconds"], peer["training_seconds"], peer["clock"]) == (100.0, 90.0, "CPU")
    request = {"steps": 10, "batch": 256, "num_views": 4, "seconds_per_view": 0.001}
    ours = work.times(request, spent, None)
    assert (ours["seconds"], ours["training_seconds"]) == (90.0, pytest.approx(90 - 10.24))
    gpu = work.times(request, {**spent, "device": "a GPU"}, views)
    assert (gpu["seconds"], gpu["clock"]) == (50.0, "wall")
