"""The command: what it refuses before anything runs, its recipes, and one real small sweep."""

import glob
import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

from msbreg_tf.commands import cli, main, sweep
from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.run.config import Config, config_from_settings
from msbreg_tf.run.sweep import command_lines, record, slurm, state
from msbreg_tf.run.sweep.grid import points_of

train = importlib.import_module("msbreg_tf.train")  # the door's `train` is the function
ROOT = pathlib.Path(__file__).parents[2]
TABLES = sorted(glob.glob(str(ROOT / "flags" / "tables" / "table*.cfg")))
IMAGES = {"imagenet100": 126_689, "stl10": 105_000, "sample": 5_000}
# Multiply-adds of a ResNet-18's forward pass, whose last map of S pixels has S/32 × S/32 places.
RESNET18_224 = 1.814e9
TINY = (
    "--dataset=sample", "--split=test", "--encoder_width=4", "--stem=cifar", "--hidden_size=16",
    "--projection_size=8", "--batch_size=500", "--epochs=1", "--warmup_epochs=0", "--num_views=2",
)  # fmt: skip


@pytest.fixture
def tool(tmp_path, capsys, monkeypatch):
    """Runs the command in this process and returns its code, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*flags, workdir="sweep"):
        code = 0
        try:
            cli.run(sweep.COMMAND, "", ["sweep", f"--workdir={workdir}", *flags])
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid=lambda_s=x"], "--lambda_s=x: expected a number, at least 0"),
        (["--grid=norm=batch,nrom"], "--norm=nrom: expected one of batch, layer, group_ws"),
        (["--grid=epochs=5,20"], "--warmup_epochs=10: expected less than --epochs=5"),
        (["--grid=lambda_s=0", "--evaluate=knn,map"], "--evaluate=knn,map: expected one of"),
        (["--grid=lambda_s=0", "--evaluate_with=knn: k=0"], "knn: --k=0: expected whole numbers"),
        (["--grid=lambda_s=0", "--evaluate_with=lin: k=0"], "'lin': expected one of knn, linear"),
        (["--grid=lambda_s=0", "--dataset=folder"], "--data_dir is missing"),
        (["--grid=lambda_s=0", "--dataset=folder", "--data_dir=."], "--evaluate=knn: it needs la"),
        (["--grid=lambda_s=0", "--engine=cloud"], "--engine=cloud: expected one of local, slurm"),
        (["--grid=lambda_s=0", "--slurm=gpu"], "--slurm=gpu: expected name=value"),
        (["--grid=lambda_s=0", "--only=nobody"], "--only=nobody: there is no such point in"),
        (["--grid=init_from=/nope"], "--init_from=/nope: no such folder"),
        (["--status"], "there is no sweep. Give its --grid or --points, too."),
        ([], "there is no sweep. Give its --grid or --points, too."),
    ],
)
def test_refused_in_one_line_before_anything_runs(tool, flags, message, tmp_path):
    code, printed, errors = tool(*flags)
    assert (code, printed) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.glob("sweep/*/"))


def test_grids_are_checked_without_tensorflow(tmp_path):
    code = "import sys; from msbreg_tf.commands import cli, sweep\n"
    code += "try: cli.run(sweep.COMMAND, '', sys.argv)\n"
    code += "finally: print([m for m in ('tensorflow', 'numpy', 'submitit') if m in sys.modules])"
    flags = [f"--workdir={tmp_path / 'new'}", "--grid=lambda_s=0,1"]
    for more, expected in ((["--engine=print"], 0), (["--grid=lambda_s=z"], 2), (["--status"], 0)):
        done = subprocess.run(
            [sys.executable, "-c", code, *flags, *more], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == expected, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"


def test_a_recorded_sweep_is_looked_up_and_nothing_is_ignored(tool):
    grid = ("--grid=lambda_s=0,0.5", "--epochs=30", "--data_dir=here", "--evaluate=linear")
    tool(*grid, "--evaluate_with=linear: epochs=5", "--engine=print", "--seeds=3,4")
    code, printed, _ = tool("--engine=print", "--only=lambda_s=0.5-seed=4")
    assert (code, printed.count("\n")) == (0, 1)
    assert printed.strip().endswith("--only=lambda_s=0.5-seed=4")
    found = record.read(os.path.abspath("sweep"))
    assert found.evaluations == {"linear": {"epochs": "5"}}
    point = found.points["lambda_s=0.5-seed=4"]
    assert (point.config.optimizer.epochs, point.config.data.data_dir) == (30, "here")
    assert (point.config.run.seed, point.config.objective.lambda_s) == (4, 0.5)
    assert tool("--epochs=30", "--engine=print")[0] == 0
    code, _, errors = tool("--epochs=31", "--engine=print")
    assert code == 2
    assert "--epochs=31: the points of" in errors
    assert "have 30. Give --grid" in errors
    tool(*grid, "--engine=print", "--data_dir=elsewhere", "--evaluate=geometry")
    found = record.read(os.path.abspath("sweep"))
    assert {p.config.data.data_dir for p in found.points.values()} == {"elsewhere"}
    assert found.evaluations == {"geometry": {}}


def test_flags_of_engines_arrive(tool, monkeypatch):
    seen = {}
    monkeypatch.setattr(slurm, "submit", lambda sweep, names, **others: seen.update(others))
    tool("--grid=lambda_s=0", "--engine=slurm", "--jobs=7", "--slurm=partition=gpu,mem_gb=8")
    assert (seen["at_once"], seen["options"]) == (7, ("partition=gpu", "mem_gb=8"))
    seen.clear()

    class Engine:
        def __init__(self, sweep, names, jobs, say):
            seen.update(table=sweep.paper_table, names=names, jobs=jobs)

        def run(self):
            """Nothing runs."""

    monkeypatch.setattr("msbreg_tf.run.sweep.local.LocalEngine", Engine)
    name = "lambda_s=0-seed=0"
    tool("--grid=lambda_s=0,1", "--jobs=3", "--paper_table=5", f"--only={name}")
    assert seen == {"table": 5, "names": [name], "jobs": 3}
    tool("--points=A: lambda_s=0.25", "--seeds=8", workdir="rows")
    assert seen["names"] == ["A-seed=8"]


def test_the_command_lines_say_what_the_point_is():
    settings = {
        "dataset": "folder", "data_dir": "my pictures", "max_megapixels": 1e-3, "split": "a+b[:5%]",
        "lambda_s": 0.1 + 0.2, "weight_decay": 1e-7, "encoder": "resnet50", "hidden_size": 7,
        "mixed_precision": True, "knn_train_split": "known", "knn_test_split": "new", "seed": 3,
        "warmup_epochs": 0.25, "workdir": "some where",
    }  # fmt: skip
    config = config_from_settings(settings)
    command = command_lines.train_command(config, "some where")
    assert command[1:3] == ["-m", "msbreg_tf.train"]
    assert Config(*cli.read_flags(train.COMMAND, command[2:])[0]) == config
    assert command_lines.evaluation_flags("knn", config, {"k": "3", "test_split": "own"}) == {
        "dataset": "folder", "data_dir": "my pictures", "max_megapixels": "0.001",
        "train_split": "known", "test_split": "own", "k": "3",
    }  # fmt: skip
    assert "train_split" not in command_lines.evaluation_flags("geometry", config, {})


def flags_of(path):
    own, *parts = cli.read_flags(sweep.COMMAND, ["sweep", f"--flagfile={path}"])[0]
    return own, Config(*parts)


@pytest.mark.parametrize("path", TABLES, ids=os.path.basename)
def test_recipes_of_tables_cost_what_their_header_says(path):
    own, base = flags_of(path)
    points = points_of(base, own.grid, own.points, (0,))
    text = pathlib.Path(path).read_text()
    assert f"--flagfile=flags/tables/{os.path.basename(path)}" in text
    small = base.data.dataset == "sample"
    assert f"Ours: {'RESULTS.md' if small else 'not yet run'}." in text
    images, epochs = IMAGES[base.data.dataset], base.optimizer.epochs
    views = sum(point.config.objective.num_views for point in points)
    total = images * epochs * views
    written = f"{total:.2e}".replace("e+0", "e").replace("e+", "e")
    assert f"{images:,} images × {epochs} epochs × {views} (Σ K) = {written} views" in text
    if small:
        minutes = re.search(r"(\d+) minutes a seed", text)[1]
        assert int(minutes) == pytest.approx(total / 320 / 60, abs=0.6)
        return
    forward = RESNET18_224 * (base.data.image_size / 224) ** 2
    hours = total * 4 * 2 * forward / 1e13 / 3600
    assert int(re.search(r"(\d+) GPU-hours a seed", text)[1]) == pytest.approx(hours, rel=0.01)


@pytest.mark.parametrize(("number", "count"), [(3, 12), (4, 8), (5, 60)])
def test_every_published_value_of_a_table_has_its_point(number, count):
    from msbreg_tf.evaluation.results.published import PUBLISHED
    from msbreg_tf.run.sweep.table import sweep_table

    own, base = flags_of(ROOT / "flags" / "tables" / f"table{number}.cfg")
    points = points_of(base, own.grid, own.points, own.seeds or (0,))
    results = {
        point.name: [
            {"run": point.name, "metric": metric, "value": 1.0, "protocol": {"name": name}}
            for name, metric in (("linear", "top-1 %"), ("geometry", "alignment"),
                                 ("geometry", "uniformity"))
        ]
        for point in points
    }  # fmt: skip
    table = sweep_table(points, results, own.paper_table)
    beside = [v for row in table.rows for v in row.published.values() if v is not None]
    printed = [value.value for value in PUBLISHED if value.source == f"Table {number}"]
    assert len(beside) == count
    assert sorted(beside) == sorted(printed)
    small = flags_of(ROOT / "flags" / "tables" / f"table{number}_small.cfg")[0]
    names = {p.label or p.name for p in points_of(Config(), small.grid, small.points, (0,))}
    assert names <= {p.label or p.name for p in points}
    if number != 5:
        assert len(names) == len(points)


def test_readings_are_compared_with_the_defaults_on_images_outside_the_test_split():
    own, base = flags_of(ROOT / "flags" / "tables" / "readings_small.cfg")
    assert len(own.seeds) == 3
    defaults, *others = points_of(base, own.grid, own.points, own.seeds[:1])
    objective = defaults.config.objective
    assert (objective.centroid, objective.lambda_s, objective.lambda_b) == ("others", 0.004, 0.5)
    assert (base.data.split, base.run.knn_train_split) == ("train[:4000]",) * 2
    assert base.run.knn_test_split == "train[4000:]"
    first = defaults.config.result_settings()
    for point in others:
        second = point.config.result_settings()
        differing = {name for name in first if first[name] != second[name]}
        assert set() < differing <= set(point.varied)


def test_the_help_speaks_of_recipes_by_name():
    assert "--recipe=table5" in main.doc_of("sweep")


@pytest.mark.slow
def test_two_points_are_trained_evaluated_and_tabled(tmp_path):
    workdir = tmp_path / "sweep"
    command = [sys.executable, "-m", "tools.sweep", f"--workdir={workdir}", *TINY, "--lambda_b=0"]
    command += ["--grid=lambda_s=0,0.01", "--evaluate=linear", "--jobs=2"]
    command += ["--evaluate_with=linear: epochs=2,learning_rates=0.1,weight_decays=0,"
                "train_split=test"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = record.read(str(workdir))
    assert [state.missing(found, name) for name in found.runs] == [[], []]
    rows = (workdir / "table.txt").read_text().splitlines()
    for name, row in zip(found.runs, rows[1:]):
        first = read_results(str(workdir / name / "results.jsonl"))[0]
        assert (first["run"], first["metric"]) == (name, "top-1 %")
        assert row.split()[2] == f"{first['value']:.2f}"
        assert first["export"]["recipe"]["lambda_s"] == found.points[name].config.objective.lambda_s
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "to do     0 of 2 runs" in done.stdout
