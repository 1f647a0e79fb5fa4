"""`python -m tools.sweep`: a grid of runs, their evaluations, and the table at the end."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Optional

from msbreg_tf.commands import cli, evaluate
from msbreg_tf.commands.paths import check_export, check_images
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.protocols.table import PROTOCOLS
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.run.sweep import command_lines, grid, record, slurm, state, status, task_list
from msbreg_tf.settings import Settings, setting

ENGINES = ("local", "slurm", "print")


@dataclasses.dataclass(frozen=True)
class SweepSettings(Settings):
    """The sweep. All other settings are those of training, and hold for every point."""

    grid: str = setting(
        "",
        "Settings of training and their values, every combination of which is a point: "
        "lambda_s=0,0.004;num_views=2,4.",
    )
    points: str = setting(
        "",
        "Rows that are no full grid, with semicolons between; each may have a name: "
        "'BYOL: method=byol,num_views=2; MSBReg: num_views=4'. With --grid, every row is combined "
        "with every point of it.",
    )
    seeds: tuple[int, ...] = setting(
        (),
        "Seeds of the runs; every point is run with each (default: --seed).",
        low=0,
        high=2**31 - 1,
    )
    evaluate: tuple[str, ...] = setting(
        ("knn", "linear", "geometry"),
        "How every export is measured, on the labelled splits --knn_train_split and "
        "--knn_test_split of its data set.",
        choices=PROTOCOLS,
    )
    evaluate_with: str = setting(
        "", "Settings of these evaluations: 'knn: k=20; linear: epochs=50'."
    )
    paper_table: Optional[int] = setting(
        None, "Table of the paper whose values stand beside ours.", low=3, high=5
    )
    engine: str = setting(
        "local",
        "Where the points run: 'local' on this machine; 'slurm' as a job array, by submitit; "
        "'print' lists a command line for each, for any other scheduler.",
        choices=ENGINES,
    )
    jobs: int = setting(
        1,
        "Points that run at the same time. On this machine each gets its share of the cores and "
        "of the GPUs.",
        low=1,
    )
    slurm: tuple[str, ...] = setting(
        (),
        "Options of a Slurm job, joined by commas: partition=gpu,timeout_min=1440,gpus_per_node=1,"
        "cpus_per_task=10.",
    )
    only: tuple[str, ...] = setting(
        (), "Only the points of these names, joined by commas (default: all)."
    )
    status: bool = setting(False, "Shows what is done, running and failed, and ends.")


def _run(own: SweepSettings, *parts: Settings) -> None:
    config = Config(*parts)
    workdir = _folder(config.run.workdir)
    slurm.parsed(own.slurm)
    if own.status:
        print(status.describe(record.read(workdir)))
        return
    sweep = _recorded(own, config, workdir)
    names = _chosen(sweep, own.only)
    if own.engine == "print":
        print("\n".join(task_list.lines(sweep, names)))
        return
    _say(_plan(sweep, names))
    if own.engine == "slurm":
        slurm.submit(sweep, names, at_once=own.jobs, options=own.slurm, say=_say)
        _say(f"See how far they are: msbreg sweep --status --workdir={workdir}")
        return

    from msbreg_tf.run.sweep.local import LocalEngine

    try:
        LocalEngine(sweep, names, own.jobs, _say).run()
    except RunFailedError:
        _show_results(sweep)
        raise
    if not (own.only and any(state.missing(sweep, name) for name in sweep.runs)):
        _show_results(sweep)


def _recorded(own: SweepSettings, config: Config, workdir: str) -> record.Sweep:
    """The sweep that the flags ask for, recorded in its folder; or the one that is there."""
    if not (own.grid.strip() or own.points.strip() or own.seeds):
        sweep = record.read(workdir)
        _refuse_ignored(sweep, config)
        return sweep
    points = grid.points_of(config, own.grid, own.points, own.seeds or (config.run.seed,))
    evaluations = _evaluations(own)
    for point in points:
        check_images(point.config.data.dataset, point.config.data.data_dir)
        if point.config.run.init_from:
            check_export(point.config.run.init_from, "init_from")
        _check_evaluations(point.config, evaluations)
    return record.extend(workdir, config, points, evaluations, own.paper_table)


def _evaluations(own: SweepSettings) -> dict[str, dict[str, str]]:
    """{protocol: {flag: text}} of `--evaluate_with`, for all of `--evaluate`."""
    given: dict[str, dict[str, str]] = {name: {} for name in own.evaluate}
    for name, flags in grid.named_settings("evaluate_with", own.evaluate_with):
        if name not in given:
            raise ValueError(
                f"--evaluate_with: '{name or ''}': expected one of {', '.join(given)} and a colon, "
                "such as 'linear: epochs=50'."
            )
        given[name].update(flags)
    return given


def _check_evaluations(config: Config, evaluations: record.Evaluations) -> None:
    """Refuses evaluations that can't be what is meant, with the errors of their own tools."""
    data, run = config.data, config.run
    for name, given in evaluations.items():
        flags = command_lines.evaluation_flags(name, config, given)
        try:
            cli.read_flags(
                evaluate.command(name),
                [name, *(f"--{flag}={text}" for flag, text in flags.items())],
            )
        except ValueError as error:
            raise ValueError(f"--evaluate_with: {name}: {error}") from error
        if name not in command_lines.NEED_LABELS or flags["dataset"] != "folder":
            continue
        for split in (flags["train_split"], flags["test_split"]):
            root = os.path.expanduser(flags.get("data_dir") or data.data_dir or "")
            if not os.path.isdir(os.path.join(root, split)):
                raise ValueError(
                    f"--evaluate={name}: it needs labels, and there is no folder {split} with a "
                    f"folder for each class in --data_dir={root}. Add --evaluate=geometry, which "
                    f"needs none (splits: {run.knn_train_split}, {run.knn_test_split})."
                )


def _refuse_ignored(sweep: record.Sweep, config: Config) -> None:
    """Refuses settings that would be ignored, because the points are looked up."""
    defaults = Config().result_settings()
    for name, value in config.result_settings().items():
        there = {str(point.config.settings()[name]) for point in sweep.points.values()}
        if value != defaults[name] and str(value) not in there:
            raise ValueError(
                f"--{name}={value}: the points of {sweep.workdir} have {' or '.join(sorted(there))}"
                ". Give --grid, --points or --seeds, too, to add points."
            )


def _chosen(sweep: record.Sweep, only: Sequence[str]) -> list[str]:
    """The runs of the points that are named; all without names."""
    for name in only:
        if name not in sweep.points:
            raise ValueError(f"--only={name}: there is no such point in {sweep.workdir}.")
    return list(dict.fromkeys(sweep.run_of[name] for name in only or sweep.points))


def _plan(sweep: record.Sweep, names: Sequence[str]) -> str:
    """What is about to happen."""
    count, runs = len(sweep.points), len(sweep.runs)
    equal = f", {count - runs} of them the same run as another" if runs < count else ""
    todo = sum(bool(state.missing(sweep, name)) for name in names)
    measured = ", ".join(sweep.evaluations) or "nothing"
    return (
        f"  points    {count}{equal}\n"
        f"  to do     {todo} of {len(names)} runs, each with a folder in {sweep.workdir}\n"
        f"  measured  {measured}"
    )


def _show_results(sweep: record.Sweep) -> None:
    from msbreg_tf.run.sweep import report
    from msbreg_tf.run.sweep.forms import as_text

    found, paths = report.write(sweep)
    if paths:
        print(f"\n{as_text(found)}\nWrote {', '.join(paths)}", flush=True)


def _folder(path: Optional[str]) -> str:
    """The folder of a sweep, absolute.

    Raises:
      ValueError: none is named, or one with something else.
    """
    if not path:
        raise ValueError("--workdir is missing: name a folder, for example --workdir=runs/table5.")
    folder = os.path.abspath(os.path.expanduser(path))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ValueError(f"--workdir={path}: it is a file. Name a folder.")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    foreign = [name for name in names if not name.startswith(".")]
    if foreign and not record.exists(folder):
        raise ValueError(
            f"--workdir={path}: it holds other files, such as {foreign[0]}, and no sweep. Name a "
            "new or an empty folder."
        )
    return folder


def _say(text: Any) -> None:
    print(text, flush=True)


COMMAND = cli.Command((SweepSettings, *PARTS), _run)
