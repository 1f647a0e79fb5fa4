import math

import numpy as np
import pytest

from msbreg_tf.report.charts import COLOURS, jsonable, line_style, number, plain
from msbreg_tf.report.curves import curve_charts, spectrum_over_time
from msbreg_tf.report.run_files import read_run
from msbreg_tf.report.series import (
    Series,
    interruptions,
    relative_fall,
    seconds_of_training,
    series_of,
    smoothed,
    spectra_over_time,
    thinned,
)
from tests.report.fakes import fake_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "killed twice"
    fake_run(folder, resumed=(21, 41), gaps=(30, 31), exported=False)
    return read_run(str(folder))


def test_smoothing_by_hand():
    values = np.array([1.0, 3.0, np.nan, 5.0])
    expected = [1, (0.5 + 3) / 1.5, np.nan, (0.25 + 1.5 + 5) / 1.75]
    np.testing.assert_allclose(smoothed(values, 0.5), expected)
    np.testing.assert_array_equal(smoothed(values), values)  # a short series is left as it is
    constant = smoothed(np.full(300, 7.0))
    np.testing.assert_allclose(constant, 7)  # no pull towards 0 at the start
    assert np.std(smoothed(np.tile([0.0, 1.0], 200))[-50:]) < 0.05


def test_thinning_keeps_both_ends():
    places = thinned(1001, 5)
    assert places.tolist() == [0, 250, 500, 750, 1000]
    assert thinned(3).tolist() == [0, 1, 2]


def test_what_was_logged_is_read_back_with_its_gaps(run):
    series = series_of(run)
    assert {"loss", "tau", "same_picture", "images_per_second", "effective_rank"} <= series.keys()
    assert "epoch" not in series
    assert series["loss"].steps.tolist() == list(range(1, 61))
    assert np.flatnonzero(np.isnan(series["loss"].values)).tolist() == [29, 30]
    assert series["same_picture"].steps.tolist() == [20, 40, 60]
    np.testing.assert_allclose(series["effective_rank"].values, [5, 6, 7])


def test_a_run_killed_twice_tells_where_it_was_continued(run):
    assert [pause.step for pause in interruptions(run)] == [21, 41]
    losses = run.points["train/loss"]
    pauses = losses[20].time - losses[19].time + losses[40].time - losses[39].time
    assert seconds_of_training(run) == pytest.approx(losses[-1].time - losses[0].time - pauses)
    marks = curve_charts([run])[0].layout["shapes"]
    assert [mark["x0"] for mark in marks] == [21, 41]


def test_how_much_of_the_fall_came_last():
    steps = np.arange(100)
    linear = Series(steps, 1 - steps / 99)
    assert relative_fall(linear) == pytest.approx(0.2, abs=0.03)
    assert relative_fall(Series(steps, np.exp(-steps))) == pytest.approx(0, abs=1e-3)
    assert relative_fall(Series(steps, steps / 99.0)) == 0
    assert relative_fall(Series(steps[:5], np.ones(5))) == 0


def test_the_spectrum_over_time_comes_from_the_histograms(run):
    steps, spectra = spectra_over_time(run)
    assert steps == [20, 40, 60]
    for step, values in zip(steps, spectra):
        truth = np.geomspace(1, 0.05 + step / 400, 12)
        width = (truth[0] - truth[-1]) / 30  # of a bin
        np.testing.assert_allclose(values, truth, atol=width)
        assert len(np.unique(values)) == 12  # no stairs where several share a bin
    (chart,) = spectrum_over_time(run)
    assert len(chart.traces) == 3
    assert "Effective rank 5 at step 20, 7 at step 60." in chart.summary


def test_curves_say_in_words_and_numbers_what_they_draw(run):
    charts = {chart.title: chart for chart in curve_charts([run])}
    loss = charts["Loss"]
    assert "2 of the logged values are not finite." in loss.summary
    assert loss.table.rows[0][0] == "killed twice"
    assert loss.table.rows[0][-1] == "2"
    shown = {trace["meta"]["show"]: trace for trace in loss.spec["traces"]}
    assert shown["raw"]["y"][29] is None
    assert shown["raw"]["connectgaps"] is False
    assert shown["raw"]["x"] == list(range(1, 61))
    assert "From 16.7 % to 50 %" in charts["Views recognised"].summary


def test_numbers_names_and_colours():
    assert [number(x) for x in (None, math.nan, 0.0, 12345.6, 0.012345)] == [
        "–", "–", "0", "12,346", "0.0123",
    ]  # fmt: skip
    assert [number(x) for x in (-12345.6, -0.00123, -1e-7)] == ["−12,346", "−0.00123", "−1e-07"]
    assert jsonable({"a": np.array([1.0, np.inf]), 1: (np.int64(3), "x")}) == {
        "a": [1.0, None],
        "1": [3, "x"],
    }
    assert plain("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    styles = [tuple(line_style(place).values()) for place in range(48)]
    assert len(set(styles)) == 48
    for colour in COLOURS:  # contrast of 3 to the light and to the dark background
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        light = sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear))
        assert 1.05 / (light + 0.05) >= 3, colour
        assert (light + 0.05) / (0.012 + 0.05) >= 3, colour
