"""Callbacks that keep work from being lost: stop on a non-finite loss, checkpoint, preemption."""

import math
import signal
from typing import Optional

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.distributed.workers import Workers
from msbreg_tf.errors import PreemptedError, RunFailedError, one_line
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.method.schedules import finished_steps


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the run at the first step whose loss, a term of it or the gradient is not finite.

    It stands before `SaveCheckpoints`, so that a poisoned state is never saved.
    """

    def __init__(self, checkpoints: Checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_train_batch_end(self, batch, logs=None):
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        if not broken or (_only_of_gradients(broken) and self._scale_can_fall()):
            return
        step = finished_steps(self.model)
        values = ", ".join(f"{name} = {logs[name]}" for name in broken)
        saved = self.checkpoints.steps()
        kept = f"the last good checkpoint is from step {saved[-1]}" if saved else "nothing is saved"
        raise RunFailedError(
            f"step {step}: {values}. Training stopped; {kept}. Lower --base_lr, lengthen "
            "--warmup_epochs, or drop --mixed_precision, and use a new --workdir."
        )

    def _scale_can_fall(self) -> bool:
        """Whether loss scaling probes for overflow; it skips such a step and lowers its scale."""
        optimizer = self.model.optimizer
        scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        return scaled and float(optimizer.loss_scale) > 1.0


def _only_of_gradients(names: list[str]) -> bool:
    return all(name == "gradient_norm" or name.startswith("trust_ratio") for name in names)


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves every `every` steps and at the end; on SIGTERM or SIGINT saves and stops.

    A second signal ends the process at once, as usual. Of several workers the chief saves; a signal
    to any of them stops all after the same step.
    """

    def __init__(self, checkpoints: Checkpoints, every: int, workers: Optional[Workers] = None):
        super().__init__()
        self.checkpoints = checkpoints
        self.every = every
        self.workers = workers or Workers()
        self._stop_signal = 0
        self._previous_handlers = {}

    def on_train_begin(self, logs=None):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous_handlers[number] = signal.signal(number, self._request_stop)

    def on_train_batch_end(self, batch, logs=None):
        step = finished_steps(self.model)
        signals = self.workers.all_gather(self._stop_signal)
        if any(signals):
            self._save(step)
            self.workers.barrier()  # until the chief has saved, nobody may say that it has
            raise PreemptedError(
                f"{_received(signals)}: step {step} finished and saved. Start the same command "
                "again to continue."
            )
        if step % self.every == 0:
            self._save(step)

    def on_train_end(self, logs=None):
        self._save(finished_steps(self.model))

    def close(self) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}

    def _request_stop(self, number, frame):
        self._stop_signal = number
        self.close()

    def _save(self, step: int) -> None:
        if not self.workers.is_chief:
            return
        try:
            self.checkpoints.save(step)
        except (OSError, tf.errors.OpError) as error:
            saved = self.checkpoints.steps()
            kept = f"step {saved[-1]} is kept" if saved else "nothing was saved before"
            raise RunFailedError(
                f"step {step}: the checkpoint could not be written to {self.checkpoints.folder} "
                f"({one_line(error)}); {kept}. Free space there and start the same command again."
            ) from error


def _received(signals: list[float]) -> str:
    """'SIGTERM received', and by which workers if there are several."""
    names = {signal.Signals(int(number)).name for number in signals if number}
    text = f"{' and '.join(sorted(names))} received"
    if len(signals) > 1:
        who = [str(index) for index, number in enumerate(signals) if number]
        text += f" by worker{'s' if len(who) > 1 else ''} {', '.join(who)}"
    return text
