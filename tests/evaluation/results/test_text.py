import numpy as np

from msbreg_tf.evaluation.results.text import spectrum_bars, table


def test_a_table_is_aligned():
    rows = [
        {"run": "raw pixels", "k": 20, "top-1 %": 7.5},
        {"run": "first", "top-1 %": None, "note": "collapsed"},
    ]
    assert table(rows).splitlines() == [
        "run          k  top-1 %  note",
        "raw pixels  20     7.50  –",
        "first        –        –  collapsed",
    ]


def test_a_table_of_nothing_is_empty():
    assert table([]) == ""


def test_bars_show_largest_and_smallest():
    lines = spectrum_bars(np.array([0.8, 0.4, 0.2, 0.1]), rows=4, width=8).splitlines()
    assert lines[0].split() == ["1", "0.8000", "█" * 8]
    assert lines[1].split() == ["2", "0.4000", "█" * 4]
    assert lines[-1].split() == ["4", "0.1000", "█"]
