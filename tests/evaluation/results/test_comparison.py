import pytest

from msbreg_tf.evaluation.results.comparison import compare, difference
from msbreg_tf.evaluation.results.published import PUBLISHED

KNN = {"name": "knn", "k": 20, "dataset": "cifar10", "test_split": "test", "fingerprint": "ab"}
LINEAR = {"name": "linear", "dataset": "imagenet100", "test_split": "validation"}


def result(run, value, protocol=KNN, metric="top-1 %", fingerprint=None, **recipe):
    export = {"fingerprint": fingerprint or f"{run} fingerprint", "recipe": recipe}
    line = {"run": run, "metric": metric, "value": value, "protocol": protocol}
    return line | {"export": export}


def cells(comparison):
    """{run: {heading: value}} of what is not empty."""
    return {
        row["run"]: {k: v for k, v in row.items() if k != "run" and v is not None}
        for row in comparison.rows
    }


def published(comparison):
    return [row["run"] for row in comparison.rows if row["run"].startswith("published")]


def test_runs_of_one_protocol_share_a_column():
    comparison = compare([result("a", 1.0), result("b", 2.0)])
    assert cells(comparison) == {"a": {"knn top-1 %": 1.0}, "b": {"knn top-1 %": 2.0}}
    assert comparison.common == KNN
    assert comparison.notes == []


@pytest.mark.parametrize(
    ("change", "heading"),
    [
        ({"k": 200}, "k=200"),
        ({"fingerprint": "cd"}, "fingerprint=cd"),
        ({"test_split": "test[:9%]"}, "test_split=test[:9%]"),
        ({"epochs": 3}, "epochs=3"),
        ({"grid": {"a": [1, 2]}}, "grid={'a': [1, 2]}"),
    ],
)
def test_one_unlike_setting_makes_another_column(change, heading):
    comparison = compare([result("a", 1.0), result("b", 2.0, KNN | change)])
    assert len(comparison.columns) == 2
    assert cells(comparison)["b"] == {f"knn top-1 % {heading}": 2.0}
    assert len(cells(comparison)["a"]) == 1
    [name] = change
    assert name in difference(comparison.columns)
    assert name not in comparison.common


def test_what_one_protocol_lacks_and_another_leaves_open_is_not_said_of_all():
    """As --classifier_lr of a fine-tuning that chooses it from a grid, beside a k-NN."""
    comparison = compare(
        [result("a", 1.0), result("a", 2.0, {**KNN, "k": 3, "classifier_lr": None})]
    )
    assert "classifier_lr" not in comparison.common
    assert comparison.common == {name: value for name, value in KNN.items() if name != "k"}
    assert cells(comparison) == {"a": {"knn top-1 % k=20": 1.0, "knn top-1 % k=3": 2.0}}


def test_runs_that_differ_in_their_seed_alone_become_one_row():
    runs = [
        result("byol-seed0@9", 40.0, method="byol", seed=0, workdir="a"),
        result("byol-seed1@9", 43.0, method="byol", seed=1, workdir="b"),
        result("msbreg-seed0@9", 50.0, method="msbreg", seed=0),
        result("theirs", 1.0),
        result("others", 2.0),
    ]
    runs.append(result("byol-seed0@9", 7.0, KNN | {"k": 200}, method="byol", seed=0))
    one, other = "knn top-1 % k=20", "knn top-1 % k=200"
    assert cells(compare(runs, over_seeds=True, deciding={"method", "seed"})) == {
        "byol, 2 seeds": {one: "41.50 ± 2.12", other: "1 of 2 measured"},
        "msbreg-seed0@9": {one: 50.0},
        "theirs": {one: 1.0},  # nobody knows their settings
        "others": {one: 2.0},
    }
    assert len(compare(runs).rows) == 5


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("msbreg-seed{}@228", "msbreg"),
        ("byol-seed_1{}-lambda0.5@9", "byol-lambda0.5"),
        ("reseeded-{}@9", "reseeded-0"),
        ("seed{}", "seed0"),
    ],
)
def test_a_row_of_several_seeds_is_named_without_them(name, group):
    runs = [result(name.format(seed), 1.0, method="byol", seed=seed) for seed in (0, 1)]
    rows = compare(runs, over_seeds=True, deciding={"method", "seed"}).rows
    assert [row["run"] for row in rows if "seeds" in row["run"]] == [f"{group}, 2 seeds"]


def test_difference_names_what_is_unlike_within_a_setting_too():
    views = [{"family": {"hue": hue, "grey": 0.2}} for hue in (0.1, 0.4)]
    results = [result("a", 1.0, KNN | {"augmentation": each}) for each in views]
    assert difference(compare(results).columns) == "augmentation family hue is 0.1 or 0.4"


def test_difference_names_what_and_which():
    columns = compare([result("a", 1.0), result("b", 2.0, KNN | {"k": 200, "epochs": 3})]).columns
    assert difference(columns) == "k is 20 or 200; epochs is not set or 3"


def test_the_order_of_settings_and_unset_ones_do_not_matter():
    same = dict(reversed(KNN.items())) | {"epochs": None}
    assert len(compare([result("a", 1.0), result("b", 2.0, same)]).columns) == 1


def test_metrics_never_share_a_column():
    comparison = compare([result("a", 1.0), result("a", 9.0, metric="top-5 %")])
    assert cells(comparison) == {"a": {"knn top-1 %": 1.0, "knn top-5 %": 9.0}}


def test_long_differences_are_numbered_and_stay_apart():
    protocols = [KNN | {"augmentation": f"a long description, number {i}"} for i in range(3)]
    comparison = compare([result("a", float(i), p) for i, p in enumerate(protocols)])
    assert cells(comparison)["a"] == {f"knn top-1 % [{i + 1}]": float(i) for i in range(3)}
    assert [column.differing for column in comparison.columns] == [
        {"augmentation": f"a long description, number {i}"} for i in range(3)
    ]


def test_repeated_measurements_show_the_last_and_say_so():
    comparison = compare([result("a", 1.0), result("b", 5.0), result("a", 2.0), result("b", 5.0)])
    assert cells(comparison)["a"] == {"knn top-1 %": 2.0}
    [note] = comparison.notes
    assert note.startswith("a, knn top-1 %: measured 2 times with different values")


def test_two_exports_of_the_same_name_are_two_rows():
    comparison = compare([result("a", 1.0, fingerprint="123"), result("a", 2.0, fingerprint="45")])
    assert list(cells(comparison)) == ["a (123)", "a (45)"]


def test_a_baseline_without_export_is_a_row():
    line = result("raw pixels", 1.0) | {"export": None}
    assert list(cells(compare([line, result("a", 2.0)], PUBLISHED))) == ["raw pixels", "a"]


def test_published_values_stand_beside_and_say_what_they_are():
    comparison = compare([result("a", 61.0, LINEAR)], PUBLISHED)
    table = cells(comparison)
    assert table["published: MSBReg K=4 (Table 3)"] == {"linear top-1 %": 80.4}
    assert table["published: BYOL (Table 3)"] == {"linear top-1 %": 71.9}
    assert comparison.rows[0]["run"] == "a"
    assert comparison.notes[-1].startswith("published: printed in the paper's supplement")


def test_table_3_fills_three_columns():
    geometry = {**LINEAR, "name": "geometry"}
    results = [
        result("a", 61.0, LINEAR),
        result("a", 0.3, geometry, "alignment"),
        result("a", -2.0, geometry, "uniformity"),
    ]
    assert cells(compare(results, PUBLISHED))["published: MSBReg K=4 (Table 3)"] == {
        "linear top-1 %": 80.4,
        "geometry alignment": 0.36,
        "geometry uniformity": -3.8,
    }


@pytest.mark.parametrize(
    "change",
    [{"dataset": "cifar10"}, {"name": "knn"}, {"test_split": "validation[:10%]"}],
)
def test_published_values_of_another_protocol_are_not_shown(change):
    assert published(compare([result("a", 61.0, LINEAR | change)], PUBLISHED)) == []
    assert published(compare([result("a", 61.0, LINEAR, metric="top-5 %")], PUBLISHED)) == []


def test_the_ablation_stands_beside_runs_with_its_settings():
    recipe = {"method": "msbreg", "num_views": 8, "lambda_s": 0.004, "lambda_b": 0.5}
    rows = published(compare([result("a", 1.0, LINEAR, **recipe)], PUBLISHED))
    assert [row for row in rows if "Table 5" in row] == [
        "published: K=8 λ_s=0.004 λ_b=0.5 (Table 5)"
    ]
    other = recipe | {"method": "batch_repetition"}
    rows = published(compare([result("a", 1.0, LINEAR, **other)], PUBLISHED))
    assert not [row for row in rows if "Table 5" in row]


def test_table_2_stands_beside_detection_on_coco():
    coco = {"name": "detect", "dataset": "coco/2017", "test_split": "validation"}
    results = [result("a", 38.0, coco, "box AP %"), result("a", 34.0, coco, "mask AP %")]
    comparison = compare(results, PUBLISHED)
    assert cells(comparison)["published: MSBReg K=4 (Table 2)"] == {
        "detect box AP %": 41.8,
        "detect mask AP %": 37.8,
    }
    assert len(published(comparison)) == 8
    assert "Table 2: ResNet-50" in comparison.notes[-1]
    voc = coco | {"dataset": "voc/2007+2012"}
    assert published(compare([result("a", 55.0, voc, "box AP %")], PUBLISHED)) == []


@pytest.mark.parametrize("name", ["detect-torchvision", "detect-changed"])
def test_table_2_is_not_shown_beside_other_detectors(name):
    """Not even of the same data set; nor do they share a column with Detectron2's protocol."""
    theirs = {"name": "detect", "dataset": "coco/2017"}
    results = [
        result("a", 40.0, {"name": name, "dataset": "coco/2017"}, "box AP %"),
        result("b", 41.0, theirs, "box AP %"),
    ]
    assert published(compare(results[:1], PUBLISHED)) == []
    comparison = compare(results, PUBLISHED)
    assert cells(comparison)["a"] == {f"{name} box AP %": 40.0}
    assert cells(comparison)["published: MSBReg K=4 (Table 2)"] == {"detect box AP %": 41.8}
