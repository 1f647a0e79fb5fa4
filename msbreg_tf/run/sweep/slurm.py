"""The points of a sweep as a job array of Slurm, by submitit (the extra `slurm`).

A job that is preempted or reaches its time limit tells its training to save, and is queued again;
it then continues where it was.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.sweep import record
from msbreg_tf.run.sweep.state import missing, read_state, take, write_state
from msbreg_tf.run.sweep.work import Work

_POLL_SECONDS = 0.5
# What submitit takes for every cluster; all others are Slurm's own.
_COMMON = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task", "nodes", "tasks_per_node")
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "FINISHED")
_OVER += ("INTERRUPTED", "BOOT_FAIL", "DEADLINE", "REVOKED", "NO PROCESS AND NO RESULT")


class PointJob:
    """What a job does: one point, from wherever it stands."""

    def __init__(self, workdir: str, name: str):
        self.workdir = workdir
        self.name = name
        self._work: Optional[Work] = None

    def __call__(self) -> str:
        """Runs the point.

        Raises:
          RunFailedError: it failed; the log says more.
        """
        sweep = record.read(self.workdir)
        lock = take(sweep, self.name, wait=True)  # of a job before this one that still saves
        if missing(sweep, self.name):
            self._work = Work(sweep, self.name, lock)
            while self._work.poll():
                time.sleep(_POLL_SECONDS)
            if self._work.failure is not None:
                raise RunFailedError(f"{self.name}: {self._work.failure} Log: {self._work.log}")
        if not any(missing(sweep, name) for name in sweep.runs):
            from msbreg_tf.run.sweep import report  # late: it imports NumPy

            report.write(sweep)
        return self.name

    def checkpoint(self) -> Any:
        """Called by submitit when the job shall end: saves, and returns what is queued again."""
        import submitit

        if self._work is not None:
            self._work.stop()
        return submitit.helpers.DelayedSubmission(PointJob(self.workdir, self.name))


def submit(
    sweep: record.Sweep,
    names: Sequence[str],
    *,
    at_once: int,
    options: Sequence[str],
    say: Callable[[str], None],
    cluster: str = "slurm",
) -> list[Any]:
    """Submits every point that is neither done nor queued already, as one job array.

    Args:
      sweep: whose points.
      names: which of them.
      at_once: jobs of the array that may run at the same time.
      options: `name=value` of submitit: timeout_min=1440, gpus_per_node=1, partition=gpu.
      say: is told what was submitted.
      cluster: of submitit; "local" for its processes on this machine.

    Returns:
      submitit's jobs.

    Raises:
      ValueError: an unknown option.
      RunFailedError: submitit or Slurm is missing.
    """
    executor = _executor(os.path.join(sweep.workdir, ".submitit"), cluster, options, at_once)
    queued = {n: _queued(sweep, n, cluster) for n in names if missing(sweep, n)}
    wanted = [name for name, job in queued.items() if job is None]
    if waiting := len(queued) - len(wanted):
        say(f"{waiting} points are queued or running already.")
    if not wanted:
        return []
    with executor.batch():
        jobs = [executor.submit(PointJob(sweep.workdir, name)) for name in wanted]
    for name, job in zip(wanted, jobs):
        write_state(sweep.folder(name), job=str(job.job_id), failed=None)
    say(f"Submitted {len(jobs)} jobs, {jobs[0].job_id} to {jobs[-1].job_id}.")
    return jobs


def _executor(folder: str, cluster: str, options: Sequence[str], at_once: int) -> Any:
    submitit = _submitit()
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    except RuntimeError as error:
        raise RunFailedError(f"--engine=slurm: {error} Use --engine=print or local.") from error
    given = {"name": "msbreg_sweep", "slurm_array_parallelism": at_once, **parsed(options)}
    try:
        executor.update_parameters(**given)
    except (NameError, AssertionError, ValueError, TypeError) as error:
        raise ValueError(f"--slurm: {' '.join(str(error).split())[:300]}") from error
    return executor


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise RunFailedError(
            "--engine=slurm needs submitit: pip install 'msbreg-tf[slurm]'."
        ) from error
    return submitit


def parsed(options: Sequence[str]) -> dict[str, Any]:
    """{name as submitit has it: value}."""
    found = {}
    for option in options:
        name, equals, text = (part.strip() for part in option.partition("="))
        if not (name and equals and text):
            raise ValueError(
                f"--slurm={option}: expected name=value, such as --slurm=partition=gpu,"
                "timeout_min=1440,gpus_per_node=1,cpus_per_task=10."
            )
        key = name if name in _COMMON or name.startswith("slurm_") else f"slurm_{name}"
        found[key] = int(text) if text.isdigit() else text
    return found


def _queued(sweep: record.Sweep, name: str, cluster: str) -> Optional[str]:
    """The job of a point that waits or runs; None if there is none."""
    state = read_state(sweep.folder(name))
    if not state["job"] or state["failed"] or cluster != "slurm":
        return None
    job = _submitit().SlurmJob(os.path.join(sweep.workdir, ".submitit"), state["job"])
    return None if str(job.state).upper().startswith(_OVER) else state["job"]
