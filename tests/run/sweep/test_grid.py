"""From the text of a grid to points."""

import pytest

from msbreg_tf.run.config import Config
from msbreg_tf.run.sweep.grid import named_settings, points_of


def points(grid="", rows="", seeds=(0,)):
    return points_of(Config(), grid, rows, seeds)


def test_a_grid_is_every_combination_seeds_outermost():
    found = points("lambda_s=0,0.002; num_views=2,4", seeds=(0, 1))
    assert [point.name for point in found[:5]] == [
        "lambda_s=0-num_views=2-seed=0",
        "lambda_s=0-num_views=4-seed=0",
        "lambda_s=0.002-num_views=2-seed=0",
        "lambda_s=0.002-num_views=4-seed=0",
        "lambda_s=0-num_views=2-seed=1",
    ]
    assert len(found) == 8
    objective = found[3].config.objective
    assert (objective.lambda_s, objective.num_views) == (0.002, 4)
    assert found[4].config.run.seed == 1
    assert found[3].config.objective.lambda_b == Config().objective.lambda_b


def test_rows_have_names_and_are_combined_with_the_grid():
    rows = "BYOL + L_b, λ_b=0.005: num_views=2,lambda_s=0,lambda_b=0.005; lambda_u=3,num_views=2"
    found = points("norm=batch,layer", rows)
    assert [(point.name, point.label) for point in found] == [
        ("BYOL+L_b-lambda_b=0.005-norm=batch-seed=0", "BYOL + L_b, λ_b=0.005"),
        ("BYOL+L_b-lambda_b=0.005-norm=layer-seed=0", "BYOL + L_b, λ_b=0.005"),
        ("lambda_u=3-num_views=2-norm=batch-seed=0", None),
        ("lambda_u=3-num_views=2-norm=layer-seed=0", None),
    ]
    assert found[1].varied == {
        "num_views": 2, "lambda_s": 0.0, "lambda_b": 0.005, "norm": "layer",
    }  # fmt: skip


def test_lists_may_have_commas_in_rows():
    text = "knn: k=20,200,temperature=0.1; linear:"
    assert named_settings("evaluate_with", text) == [
        ("knn", {"k": "20,200", "temperature": "0.1"}),
        ("linear", {}),
    ]


@pytest.mark.parametrize(
    ("grid", "rows", "message"),
    [
        ("lambda_s=x", "", "--lambda_s=x: expected a number, at least 0"),
        ("lambda_s=0,-1", "", "--lambda_s=-1.0: expected a number, at least 0"),
        ("norm=group", "", "--norm=group: expected one of batch, layer, group_ws"),
        ("num_view=2", "", "there is no setting --num_view: .*Did you mean num_views"),
        ("seed=0,1", "", "can't vary seed: use --seeds"),
        ("workdir=a,b", "", "can't vary workdir"),
        ("lambda_s", "", "--grid: 'lambda_s': expected setting=value"),
        ("lambda_s=0;lambda_s=1", "", "--grid names lambda_s twice"),
        (
            "method=byol;num_views=2,4",
            "",
            r"--num_views=4: .*\(the point method=byol",
        ),
        ("", "BYOL: method", "--points: 'BYOL: method': expected setting=value"),
        ("", "A: lambda_s=0; A: lambda_s=1", "two rows named 'A'"),
        ("", "lambda_s=0,lambda_s=1", "sets lambda_s twice"),
        ("lambda_s=0", "A: lambda_s=1", "--points sets lambda_s, and so does --grid"),
        ("", "A+B: lambda_s=0; A + B: lambda_s=1", r"name A\+B-seed=0 twice"),
    ],
)
def test_what_can_not_be_meant_is_refused(grid, rows, message):
    with pytest.raises(ValueError, match=message) as error:
        points(grid, rows)
    assert "\n" not in str(error.value)
