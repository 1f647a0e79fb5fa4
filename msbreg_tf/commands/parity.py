"""`python -m tools.parity`: whether several replicas train as one does."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings, setting

# Small enough for a CPU, and a τ whose effect shows within a few steps.
_DEFAULTS = {
    "batch_size": 32,
    "encoder_width": 16,
    "stem": "cifar",
    "hidden_size": 64,
    "projection_size": 16,
    "tau_base": 0.9,
}


@dataclasses.dataclass(frozen=True)
class ParitySettings(Settings):
    """What the tool tells the processes that it starts; leave both out."""

    record: Optional[int] = setting(
        None, "Replicas of this process; set by the tool itself.", low=1
    )
    record_folder: Optional[str] = setting(None, "Where it writes; set by the tool itself.")


def _run(own: ParitySettings, *parts: Settings) -> None:
    config = Config(*parts)
    if own.record:
        _record(config, own.record, own.record_folder)
        return
    counts = _counts(config)
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            _record_in_own_process(sys.argv[1:], count, folder)
        passed = _print_comparison(counts, folder)
    if not passed:
        raise RunFailedError("several replicas do not train as one does; see FAIL above.")


def _counts(config: Config) -> list[int]:
    """1, 2, 4, … up to the number of devices.

    Raises:
      ValueError: settings that can't be compared, or a single device.
    """
    if config.run.mixed_precision:
        raise ValueError(
            f"--mixed_precision={config.run.mixed_precision}: rounding is compared in float32. "
            "Leave it out."
        )
    if config.optimizer.accumulate_steps > 1:
        raise ValueError(
            f"--accumulate_steps={config.optimizer.accumulate_steps}: micro-batches of several "
            "replicas hold other images than those of one (METHOD.md). Leave it out."
        )
    devices = config.run.cpu_devices
    if devices == 1:
        import tensorflow as tf

        devices = len(tf.config.list_physical_devices("GPU"))
    if devices < 2:
        raise ValueError(
            "--cpu_devices=1: TensorFlow sees fewer than two GPUs. Add --cpu_devices=4 to compare "
            "replicas on the CPU."
        )
    counts = [2**power for power in range(devices.bit_length()) if 2**power < devices]
    counts.append(devices)

    from msbreg_tf.run.build import check_batch

    for count in counts:
        check_batch(config.optimizer, count)
    return counts


def _record_in_own_process(arguments: Sequence[str], count: int, folder: str) -> None:
    """Two strategies over the same devices in one process would mix up their collectives."""
    print(f"{count} replica{'s' if count > 1 else ''} …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tools.parity", *arguments]
    process = subprocess.run(
        [*command, f"--record={count}", f"--record_folder={folder}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunFailedError(f"{count} replicas: {last.removeprefix('error: ')}")


def _record(config: Config, count: int, folder: str) -> None:
    """Writes the records of `count` replicas; for 1, those that the others are compared with."""
    import tensorflow as tf
    from tensorflow import keras

    from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
    from msbreg_tf.data.sources.table import open_source
    from msbreg_tf.distributed.devices import split_cpu
    from msbreg_tf.run.build import build_augmentation, build_model, mirrored
    from msbreg_tf.run.determinism import reproducible_sums
    from msbreg_tf.run.parity import comparing, recording

    split_cpu(config.run.cpu_devices)
    tf.config.experimental.enable_tensor_float_32_execution(False)  # which keeps 10 bits of 23
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = tuple(device.name for device in devices[:count])
    strategy = mirrored(names) if count > 1 else tf.distribute.get_strategy()
    plan = ViewPlan(
        open_source(config.data),
        build_augmentation(config),
        seed=config.run.seed,
        batch_size=config.optimizer.batch_size,
        num_views=config.objective.num_views,
    )
    batches = tf.stack(list(view_batches(plan, num_steps=recording.STEPS))).numpy()

    def record(name, batches, synchronized):
        def build():
            keras.utils.set_random_seed(config.run.seed)
            return build_model(config, total_steps=2 * recording.STEPS, synchronized=synchronized)

        path = os.path.join(folder, f"{name}.npz")
        comparing.save_record(path, recording.record_steps(build, strategy, batches))

    with reproducible_sums():
        record(count, batches, synchronized=count > 1)
        if count == 1:
            record("reference", batches, synchronized=True)
            for index, shifted in enumerate(recording.shifted_views(batches)):
                record(f"shifted-{index}", shifted, synchronized=True)


def _print_comparison(counts: Sequence[int], folder: str) -> bool:
    """Prints the table; True if every quantity passed."""
    from msbreg_tf.run.parity import comparing

    def load(name):
        return comparing.load_record(os.path.join(folder, f"{name}.npz"))

    shifted = [load(f[:-4]) for f in sorted(os.listdir(folder)) if f.startswith("shifted")]
    rows = comparing.compare(load("reference"), shifted, {count: load(count) for count in counts})
    print(comparing.table(rows, counts))
    return not any(row.broken for row in rows)


COMMAND = Command((ParitySettings, *PARTS), _run, _DEFAULTS)
