"""`python -m tools.doctor`: can this machine train a recipe, how fast, and what is amiss?"""

import contextlib
import dataclasses
from collections.abc import Iterator

from msbreg_tf.commands import cli
from msbreg_tf.commands.paths import check_images, check_start
from msbreg_tf.errors import RunFailedError, note, one_line
from msbreg_tf.evaluation.settings import CacheSettings
from msbreg_tf.files.workdir import checked_path
from msbreg_tf.run.config import PARTS, Config, config_from_settings
from msbreg_tf.run.doctor import gpu, software, steps, table
from msbreg_tf.run.doctor.finding import FAILURE, Finding, Subject
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class DoctorSettings(Settings):
    """The checks."""

    steps: int = setting(
        20,
        "Steps of the recipe to train with its views made by the host, and as many by the device; "
        "at least 2, of which the first two are not counted if there are more. 0: none.",
        low=0,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.steps == 1:
            raise ValueError("--steps=1: expected 0, or at least 2. The first one only compiles.")


def _run(own: DoctorSettings, cache: CacheSettings, *parts: Settings) -> None:
    config = _recipe(Config(*parts))
    check_images(config.data.dataset, config.data.data_dir)
    if config.run.init_from:
        check_start(config.run.init_from, "init_from")
    if config.run.workdir is not None:
        checked_path(config.run.workdir)
    failed = []
    for finding in _findings(Subject(config, cache.cache_dir), own.steps):
        print(finding.line(), flush=True)
        if finding.state == FAILURE:
            failed.append(finding.name)
    if failed:
        raise RunFailedError(f"training can't run as asked: see {', '.join(failed)} above.")
    print("Training can run here.")


def _recipe(given: Config) -> Config:
    """What the flags give or, if that is no recipe at all, the quickstart's, which is short."""
    defaults = Config()
    if given.result_settings() != defaults.result_settings():
        return given
    note("the flags name no recipe, so the quickstart's is tried.")
    quick, _ = cli.read_flags(cli.Command(PARTS, _run), ["doctor", "--recipe=quickstart"])
    own = {k: v for k, v in given.settings().items() if v != defaults.settings()[k]}
    return config_from_settings({**Config(*quick).settings(), **own})


def _findings(subject: Subject, num_steps: int) -> Iterator[Finding]:
    """The findings, as they come."""
    failed, has_tensorflow = False, True
    for check in table.CHECKS:
        if check.needs_tensorflow and not has_tensorflow:
            continue
        finding = _found_by(check, subject)
        failed |= finding.state == FAILURE
        if check.find is software.tensorflow:
            has_tensorflow = finding.state != FAILURE
        elif check.find is gpu.devices:
            _leave_gpus_alone()
        yield finding
    if num_steps and not failed:  # which else would only fail once more, and slowly
        yield from steps.findings(subject, num_steps)


def _found_by(check: table.Check, subject: Subject) -> Finding:
    """What a check finds; what a disk or TensorFlow does to it is a finding, too."""
    try:
        return check.find(subject)
    except ValueError:  # bad input
        raise
    except Exception as error:
        found = f"The check ended with {type(error).__name__}: {one_line(error)}"
        return Finding(check.find.__name__, FAILURE, found)


def _leave_gpus_alone() -> None:
    """Lets this process take no memory of GPUs, which the steps' own processes need."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # it works with them already, in somebody's program
        tf.config.set_visible_devices([], "GPU")


COMMAND = cli.Command((DoctorSettings, CacheSettings, *PARTS), _run)
