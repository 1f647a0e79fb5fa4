"""Every published value against the supplement's tables, typed here a second time."""

import pytest

from msbreg_tf.evaluation.results.published import PUBLISHED

# The tables as they are printed, row by row.
TABLE_2 = {  # AP^bb, AP^mk
    "SimCLR": "39.7 35.8",
    "MoCo": "40.4 36.4",
    "BYOL": "41.6 37.2",
    "VICReg": "39.4 36.4",
    "SwAV": "41.6 37.8",
    "Barlow Twins": "40.0 36.7",
    "OBoW": "40.8 36.4",
    "MSBReg K=4": "41.8 37.8",
}
TABLE_3 = {  # accuracy, alignment, uniformity
    "BYOL": "71.9 0.25 -1.52",
    "BYOL + uniformity loss": "72.1 0.27 -2.95",
    "BYOL + L_b + L_s": "72.8 0.26 -2.92",
    "MSBReg K=4": "80.4 0.36 -3.8",
}
TABLE_4 = {  # top-1
    "BYOL, batch norm, batch 256": "89.5",
    "MSBReg, batch norm, batch 256, λ_b=0.05": "91.4",
    "BYOL, layer norm, batch 256": "10.6",
    "BYOL + L_b, layer norm, batch 256, λ_b=0.005": "75.3",
    "BYOL, layer norm, batch 1024": "10.6",
    "MSBReg, layer norm, batch 256, λ_b=0.0005": "80.7",
    "MSBReg, layer norm, batch 256, λ_b=0.005": "82.3",
    "MSBReg, layer norm, batch 256, λ_b=0.05": "78.7",
}
TABLE_5 = """
    2  0  0  71.9  4  0  0  78.2  8  0  0  79.5
    2  0  0.25  72.3  4  0  0.25  79.1  8  0  0.25  80.1
    2  0  0.5  72.8  4  0  0.5  79.7  8  0  0.5  80.3
    2  0  1.0  72.3  4  0  1.0  79.2  8  0  1.0  80.3
    2  0  2.0  71.9  4  0  2.0  79.0  8  0  2.0  80.2
    2  0.002  0  72.2  4  0.002  0  78.9  8  0.002  0  79.8
    2  0.002  0.25  72.4  4  0.002  0.25  78.8  8  0.002  0.25  80.2
    2  0.002  0.5  72.4  4  0.002  0.5  79.1  8  0.002  0.5  80.9
    2  0.002  1.0  72.1  4  0.002  1.0  79.2  8  0.002  1.0  81.1
    2  0.002  2.0  71.9  4  0.002  2.0  79.2  8  0.002  2.0  80.8
    2  0.004  0  72.8  4  0.004  0  79.7  8  0.004  0  80.0
    2  0.004  0.25  72.8  4  0.004  0.25  80.2  8  0.004  0.25  80.9
    2  0.004  0.5  72.4  4  0.004  0.5  80.4  8  0.004  0.5  81.6
    2  0.004  1.0  72.1  4  0.004  1.0  80.1  8  0.004  1.0  81.5
    2  0.004  2.0  71.2  4  0.004  2.0  79.9  8  0.004  2.0  81.3
    2  0.01  0  71.1  4  0.01  0  79.3  8  0.01  0  79.9
    2  0.01  0.25  71.0  4  0.01  0.25  79.4  8  0.01  0.25  81.2
    2  0.01  0.5  71.0  4  0.01  0.5  79.2  8  0.01  0.5  81.4
    2  0.01  1.0  70.7  4  0.01  1.0  79.2  8  0.01  1.0  81.1
    2  0.01  2.0  70.3  4  0.01  2.0  79.0  8  0.01  2.0  79.8
"""  # K, λ_s, λ_b and accuracy, three times


def expected_of_rows(table, columns):
    """{(method, protocol, dataset, metric, settings): value} of a table with a row a method."""
    expected = {}
    for method, row in table.items():
        assert len(row.split()) == len(columns)
        for column, text in zip(columns, row.split()):
            expected[(method, *column, None)] = float(text)
    return expected


def expected_of_table_5():
    expected = {}
    for line in TABLE_5.strip().splitlines():
        texts = line.split()
        for start in (0, 4, 8):
            views, lambda_s, lambda_b, accuracy = map(float, texts[start : start + 4])
            name = f"K={views:g} λ_s={lambda_s:g} λ_b={lambda_b:g}"
            settings = (int(views), lambda_s, lambda_b)
            expected[name, "linear", "imagenet100", "top-1 %", settings] = accuracy
    return expected


EXPECTED = {
    "Table 2": expected_of_rows(
        TABLE_2, [("detect", "coco/2017", "box AP %"), ("detect", "coco/2017", "mask AP %")]
    ),
    "Table 3": expected_of_rows(
        TABLE_3,
        [
            ("linear", "imagenet100", "top-1 %"),
            ("geometry", "imagenet100", "alignment"),
            ("geometry", "imagenet100", "uniformity"),
        ],
    ),
    "Table 4": expected_of_rows(TABLE_4, [("linear", "stl10", "top-1 %")]),
    "Table 5": expected_of_table_5(),
}


@pytest.mark.parametrize(
    ("table", "count"), [("Table 2", 16), ("Table 3", 12), ("Table 4", 8), ("Table 5", 60)]
)
def test_every_value_of_a_table_and_what_it_stands_beside(table, count):
    found = [p for p in PUBLISHED if p.source == table]
    assert len(found) == len(EXPECTED[table]) == count
    described = {(p.method, p.protocol, p.dataset, p.metric, p.settings): p.value for p in found}
    assert described == EXPECTED[table]


def test_no_value_is_of_another_table():
    assert {p.source for p in PUBLISHED} == EXPECTED.keys()
