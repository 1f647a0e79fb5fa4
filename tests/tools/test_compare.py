import subprocess
import sys

import pytest

from msbreg_tf.commands import compare
from msbreg_tf.evaluation.results.log import append_result

KNN = {"name": "knn", "k": 20, "dataset": "sample", "test_split": "test"}


def add(folder, value, metric="top-1 %", **protocol):
    append_result(
        str(folder / "results.jsonl"),
        metric=metric,
        value=value,
        protocol=KNN | protocol,
        encoder=None,
        run=folder.name,
    )


@pytest.fixture
def runs(tmp_path):
    for name, value in (("byol", 40.0), ("msbreg", 50.0)):
        add(tmp_path / name, value)
        add(tmp_path / name, value + 1, k=200)
    (tmp_path / "unfinished").mkdir()
    return tmp_path


@pytest.fixture
def run_main(run_command):
    def main(
        *runs,
        metric=None,
        where=(),
        published=True,
        over_seeds=False,
        wide=False,
        rank_by=None,
        correlations=False,
    ):
        return run_command(
            compare.COMMAND,
            runs=tuple(map(str, runs)),
            metric=metric,
            where=tuple(where),
            published=published,
            over_seeds=over_seeds,
            wide=wide,
            rank_by=rank_by,
            correlations=correlations,
        )

    return main


def test_files_and_folders_side_by_side(run_main, runs):
    assert run_main(runs / "byol", runs / "msbreg" / "results.jsonl").startswith(
        "run     knn top-1 % k=20  knn top-1 % k=200\n"
        "byol               40.00              41.00\n"
        "msbreg             50.00              51.00\n"
    )


def test_a_star_leaves_runs_without_results_out(run_main, runs):
    printed = run_main(runs / "*")
    assert printed == run_main(runs / "byol", runs / "msbreg")
    assert "name=knn; dataset=sample; test_split=test" in printed


def test_one_metric_of_one_protocol(run_main, runs):
    printed = run_main(runs / "*", metric="top-1 %", where=["k=20"])
    assert printed.startswith("run     knn top-1 %\nbyol          40.00\nmsbreg        50.00\n")
    assert "k=20" in printed


def test_one_metric_of_two_protocols_is_refused(run_main, runs):
    with pytest.raises(ValueError, match="2 unlike protocols: k is 20 or 200"):
        run_main(runs / "*", metric="top-1 %")


def test_published_rows_can_be_left_out(run_main, runs):
    add(runs / "byol", 70.0, name="linear", dataset="imagenet100", test_split="validation")
    assert "published: BYOL (Table 3)" in run_main(runs / "*")
    assert "published" not in run_main(runs / "*", published=False)


def test_many_columns_fit_the_terminal_unless_asked_otherwise(run_main, runs):
    for number in range(12):
        for run in ("byol", "msbreg"):
            add(runs / run, 10.0 + number, metric=f"measure {number}", name="geometry", seed=3)
    printed = run_main(runs / "*")
    assert max(map(len, printed.splitlines())) <= 100
    lines = [line.split() for line in printed.splitlines()]
    assert ["geometry", "measure", "11", "21.00", "21.00"] in lines  # a line for each column
    # What the twelve have in common stands there once.
    assert printed.count("seed=3") == 1
    wide = run_main(runs / "*", wide=True)
    assert len(wide.splitlines()[0]) > 200
    assert wide.splitlines()[1].startswith("byol ")


@pytest.mark.parametrize(
    ("paths", "others", "message"),
    [
        ([], {}, "--runs is missing"),
        (["unfinished"], {}, "unfinished/results.jsonl: no such file"),
        (["nothing*"], {}, "--runs=.*nothing.*: no results.jsonl there"),
        (["byol"], {"metric": "mAP"}, "none of the 2 results fits. There are: knn top-1 %"),
        (["byol"], {"where": ["k"]}, "--where=k: expected NAME=VALUE"),
        (["byol"], {"where": ["k=3"]}, "none of the 2 results fits"),
    ],
)
def test_bad_input(run_main, runs, paths, others, message):
    with pytest.raises(ValueError, match=message):
        run_main(*(runs / path for path in paths), **others)


def test_the_command(runs):
    command = [sys.executable, "-m", "tools.compare", f"--runs={runs}/byol,{runs}/msbreg"]
    done = subprocess.run(
        [*command, "--where=name=knn,k=20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "byol          40.00"


def test_rank_by_puts_the_best_run_first(run_main, runs):
    for name, value in (("byol", 7.0), ("msbreg", 3.0)):
        add(runs / name, value, "LiDAR", name="geometry", k=None)

    def first_names(**given):
        lines = run_main(runs / "*", wide=True, published=False, **given).splitlines()
        return [line.split()[0] for line in lines[1:3]]

    assert first_names() == ["byol", "msbreg"]
    assert first_names(rank_by="lidar") == ["byol", "msbreg"]
    assert first_names(rank_by="top1", where=["k=20"]) == ["msbreg", "byol"]
    with pytest.raises(
        ValueError, match=r"--rank_by=top-1 %: measured by 2 unlike protocols: k is"
    ):
        run_main(runs / "*", rank_by="top-1 %")
    with pytest.raises(
        ValueError, match=r"--rank_by=rankme: not measured\. There are: top-1 %, Li"
    ):
        run_main(runs / "*", rank_by="rankme")


def test_correlations_are_shown_with_n(run_main, runs):
    assert "No rank correlations: they need" in run_main(runs / "*", correlations=True)
    for name, value, lidar in (("byol", 0, 3.0), ("msbreg", 0, 4.0), ("third", 9.0, 1.0)):
        (runs / name).mkdir(exist_ok=True)
        if value:
            add(runs / name, value)
        add(runs / name, lidar, "LiDAR", name="geometry", k=None)
    printed = run_main(runs / "*", correlations=True)
    (line,) = [line for line in printed.splitlines() if line.startswith("geometry LiDAR  ")]
    assert "+1.00 (n = 3)" in line  # 9, 40 and 50 % in the order of 1, 3 and 4
    assert "– (n = 2)" in line  # of k=200
