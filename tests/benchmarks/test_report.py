"""Ratios are taken within rounds, and the table says who did not take part."""

import pytest

from benchmarks import report
from benchmarks.arena import Turn


def turns(*rates):
    return [Turn(rate, cpu_seconds=0.001) for rate in rates]


def test_ratio_survives_noise_that_hits_a_whole_round():
    ours, theirs = turns(200, 20, 400), turns(100, 10, 200)
    assert report.ratios(ours, theirs) == [2, 2, 2]


def test_table_gives_the_median_of_ratios_and_not_the_ratio_of_medians():
    ours, theirs = turns(100, 300, 200), turns(400, 100, 100)  # ratios ¼, 3, 2
    row = report.table({"ours": ours, "theirs": theirs}, {}, "views/s", "CPU ms").splitlines()[-1]
    assert row == "| theirs | 100 | 100 – 400 | 1 | **2.00** | 0.25 – 3 |"


def test_table_names_who_failed():
    text = report.table({"ours": turns(1)}, {"theirs": "No module named 'x'"}, "views/s", "CPU ms")
    assert "| theirs | not measured: No module named 'x' |" in text


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (0.01234, "0.0123"), (12.34, "12.3")]
)
def test_number(value, text):
    assert report.number(value) == text
