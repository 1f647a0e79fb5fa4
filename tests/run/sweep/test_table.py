"""The table and the picture, of results that are made by hand."""

import csv
import io

import numpy as np
import pytest

from msbreg_tf.evaluation.results.published import PUBLISHED
from msbreg_tf.run.config import Config
from msbreg_tf.run.sweep import picture
from msbreg_tf.run.sweep.forms import as_csv, as_markdown, as_text
from msbreg_tf.run.sweep.grid import points_of
from msbreg_tf.run.sweep.table import sweep_table

LINEAR = {"name": "linear", "dataset": "sample", "test_split": "test"}
GEOMETRY = {"name": "geometry", "dataset": "sample", "test_split": "test"}


def line(run, value, metric="top-1 %", protocol=LINEAR):
    return {"run": run, "metric": metric, "value": value, "protocol": protocol}


def test_seeds_become_mean_and_deviation_beside_the_published_value():
    points = points_of(Config(), "num_views=2,4;lambda_s=0.004;lambda_b=0,0.5", "", (0, 1, 2))
    values = {point.name: 40.0 + index for index, point in enumerate(points)}
    del values["num_views=4-lambda_s=0.004-lambda_b=0.5-seed=2"]
    results = {name: [line(name, 1.0), line(name, value)] for name, value in values.items()}
    table = sweep_table(points, results, paper_table=5)
    # Seeds are four points apart: mean 44, deviation 4.
    assert as_text(table).splitlines()[:5] == [
        "num_views  lambda_b  seeds   linear top-1 %  published linear top-1 %",
        "2          0         3       44.00 ± 4.00                       72.80",
        "2          0.5       3       45.00 ± 4.00                       72.40",
        "4          0         3       46.00 ± 4.00                       79.70",
        "4          0.5       2 of 3  45.00 ± 2.83                       80.40",
    ]
    assert "published: printed in the paper's supplement, Table 5" in as_text(table)
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert float(rows[3]["linear top-1 % deviation"]) == pytest.approx(8**0.5)
    assert rows[3]["linear top-1 % n"] == "2"
    assert rows[3]["linear top-1 % published"] == "80.4"
    markdown = as_markdown(table).splitlines()
    assert markdown[0].startswith("| num_views | lambda_b | seeds | linear top-1 % | published")
    assert markdown[2] == "| 2 | 0 | 3 | 44.00 ± 4.00 | 72.8 |"


def test_rows_stand_beside_the_paper_s_rows_of_their_name():
    rows = "BYOL: method=byol,num_views=2; MSBReg K=4: num_views=4; mine: num_views=3"
    points = points_of(Config(), "", rows, (0,))
    results = {
        point.name: [
            line(point.name, -2.0, "uniformity", GEOMETRY),
            line(point.name, 12.5, "extra", GEOMETRY),
            line(point.name, 50.0),
        ]
        for point in points
    }
    table = sweep_table(points, results, paper_table=3)
    assert table.headings == ["geometry uniformity", "linear top-1 %", "geometry extra"]
    assert [row.published["geometry uniformity"] for row in table.rows] == [-1.52, -3.8, None]
    assert [row.published["linear top-1 %"] for row in table.rows] == [71.9, 80.4, None]
    assert sweep_table(points, results).published_headings == []
    first = as_text(table).splitlines()[:2]
    assert first[0].split() == [
        "row",
        "seeds",
        "geometry",
        "uniformity",
        "published",
        "geometry",
        "uniformity",
    ]
    assert first[1].split() == ["BYOL", "1", "-2.00", "-1.52"]
    assert "50.00" in as_text(table)
    row = next(csv.DictReader(io.StringIO(as_csv(table))))
    assert (row["row"], row["method"], row["num_views"]) == ("BYOL", "byol", "2")
    both = points_of(
        Config(), "norm=batch,layer", "BYOL: method=byol,num_views=2; b: num_views=3", (0,)
    )
    table = sweep_table(both, {p.name: [line(p.name, 5.0)] for p in both})
    assert as_text(table).splitlines()[1].split() == ["BYOL", "batch", "1", "5.00"]


def test_a_weight_that_is_not_used_is_shown_as_0():
    points = points_of(Config(), "method=byol,msbreg;lambda_b=0.25,0.5;num_views=2", "", (0,))
    table = sweep_table(points, {p.name: [line(p.name, 5.0)] for p in points})
    assert [row.settings["lambda_b"] for row in table.rows] == [0.0, 0.0, 0.25, 0.5]


def test_a_point_that_two_grids_have_is_one_row():
    base = Config()
    points = points_of(base, "lambda_s=0,0.1", "", (0, 1))
    points += points_of(base, "lambda_s=0.1,0.2;num_views=4", "", (0, 1))
    assert base.objective.num_views == 4
    table = sweep_table(points, {p.name: [line(p.name, 5.0)] for p in points})
    assert [(row.settings["lambda_s"], row.seeds) for row in table.rows] == [
        (0.0, 2), (0.1, 2), (0.2, 2),
    ]  # fmt: skip


def test_nothing_measured_is_said():
    points = points_of(Config(), "lambda_s=0,1", "", (0,))
    assert as_text(sweep_table(points, {})) == "Nothing is measured yet."


def table_5():
    """Ours are λ_s + K at λ_b = 0, and larger by λ_b elsewhere."""
    grid = "num_views=2,4;lambda_s=0,0.002,0.004,0.01;lambda_b=0,0.25,0.5,1,2"
    points = points_of(Config(), grid, "", (0,))
    ours = {
        point.name: [line(point.name, point.config.objective.lambda_b + i)]
        for i, point in enumerate(points)
    }
    return sweep_table(points, ours, paper_table=5)


def test_the_whole_of_table_5_is_a_map_with_the_paper_s_numbers():
    table = table_5()
    printed = {v.settings: v.value for v in PUBLISHED if v.source == "Table 5"}
    assert picture.is_map(table.rows)
    theirs = picture.grid_of(table.rows, 4, "linear top-1 %", published=True)
    assert theirs.shape == (4, 5)
    for down, scale in enumerate((0.0, 0.002, 0.004, 0.01)):
        for across, noise in enumerate((0.0, 0.25, 0.5, 1.0, 2.0)):
            assert theirs[down, across] == printed[4, scale, noise]
    ours = picture.grid_of(table.rows, 2, "linear top-1 %", published=False)
    np.testing.assert_array_equal(ours[1], [5, 6.25, 7.5, 9, 11])
    rows = points_of(Config(), "lambda_s=0,1;lambda_b=0,1;norm=batch,layer", "", (0,))
    assert not picture.is_map(sweep_table(rows, {}).rows)
    assert not picture.is_map(sweep_table(points_of(Config(), "lambda_s=0,1", "", (0,)), {}).rows)
    low, high = np.array([[1.0, 5.0]]), np.array([[4.0, np.nan]])
    assert picture.ranges([[low], [high]]) == [(1.0, 5.0)] * 2  # they overlap: one scale
    assert picture.ranges([[low], [high + 2]]) == [(1.0, 5.0), (6.0, 6.0)]


def test_pictures_are_drawn_or_the_extra_is_named(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "table.png")
    points = points_of(Config(), "", "BYOL: method=byol,num_views=2; b: num_views=3", (0, 1))
    bars = sweep_table(points, {p.name: [line(p.name, 5.0)] for p in points}, paper_table=3)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert not picture.draw(bars, path)
    assert "pip install '.[report]'" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    for table in (bars, table_5()):
        assert picture.draw(table, path)
        with open(path, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"
