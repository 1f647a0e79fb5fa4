"""One pretraining run: from settings through training to the export, in any number of processes."""

import contextlib
import time
from collections.abc import Iterator

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.data.pipeline.service import check_service, service_batches
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.distributed.workers import Workers, join_workers
from msbreg_tf.errors import RunFailedError, note_broken
from msbreg_tf.evaluation.exporting import export_encoder, is_whole
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.files.workdir import Claim, Workdir
from msbreg_tf.method.lars import LARS
from msbreg_tf.method.schedules import WarmupCosine, finished_steps
from msbreg_tf.run.build import (
    build_augmentation,
    build_model,
    make_strategy,
    saved_state,
)
from msbreg_tf.run.callbacks.guards import SaveCheckpoints, StopOnNonFinite
from msbreg_tf.run.callbacks.logs import knn_data, log_callbacks
from msbreg_tf.run.clock import duration
from msbreg_tf.run.config import Config
from msbreg_tf.run.determinism import reproducible_sums
from msbreg_tf.run.facts import export_facts
from msbreg_tf.run.failures import readable_failures
from msbreg_tf.run.initial import InitialWeights
from msbreg_tf.run.length import Length
from msbreg_tf.run.next_steps import last_measured, next_commands
from msbreg_tf.run.plan import describe
from msbreg_tf.run.precision import choose_precision, in_force

_WHY_NOT_LONGER = (
    "Learning rate and target follow a cosine over all epochs, so a longer run differs from its "
    "first steps on. To train a finished encoder further, start a new run from its weights with "
    "--init_from=EXPORT."
)


def train(config: Config) -> str:
    """Runs one pretraining from wherever it stands to its end, with other workers if there are any.

    Args:
      config: all settings; `config.run.workdir` is required.

    Returns:
      The folder of the export.

    Raises:
      ValueError: bad input, in one line, before anything is written over.
      RunFailedError: a non-finite loss, a full disk, a folder in use, another worker that is gone.
      PreemptedError: a signal asked to stop; the state is saved.
    """
    with join_workers(config.run.strategy) as workers, contextlib.ExitStack() as stack:
        workdir = stack.enter_context(
            contextlib.closing(Workdir(config.run.workdir, holder=workers.is_chief))
        )
        stack.enter_context(reproducible_sums())
        precision = choose_precision(
            config.run.mixed_precision, workdir.recorded("precision"), config.run.cpu_devices
        )
        stack.enter_context(in_force(precision.policy))
        run = Run(config, workdir, workers)
        if workers.is_chief:
            print(run.plan(precision.reason))
        with readable_failures(workdir, workers):
            run.fit()
            export = run.export()
            if workers.is_chief:
                print(run.summary(export))
            return export


class Run:
    """One pretraining, ready to continue from its last checkpoint."""

    def __init__(self, config: Config, workdir: Workdir, workers: Workers):
        """Builds everything that can turn out to be wrong, and only then claims the folder."""
        self.started = time.monotonic()
        self.config = config
        self.workdir = workdir
        self.workers = workers
        self.strategy = make_strategy(config, workers.strategy)
        self.source = open_source(config.data)
        if config.data.data_service:
            check_service(config.data.data_service, self.source)
        self.length = Length.of(config, self.source.num_images)
        self.augment = build_augmentation(config)
        self.knn_data = knn_data(config) if workers.is_chief else None
        keras.utils.set_random_seed(config.run.seed)
        with self.strategy.scope():
            self.model = build_model(config, self.length.total_steps)
        self.initial = InitialWeights(config.run.init_from) if config.run.init_from else None
        if self.initial is not None:
            self.initial.put_into(self.model)
        self.first_step = self._claim_and_restore()

    def _claim_and_restore(self) -> int:
        """The step to continue from: the chief's newest whole checkpoint, for all workers."""
        # The others wait in `broadcast` until the chief has written run.json and restored; only
        # then they read both. So they call it before `claim`, and the chief calls it at the end.
        chief = self.workers.is_chief
        if not chief:
            first_step = int(self.workers.broadcast(0))
        self.changed = self.workdir.claim(
            Claim(
                "pretraining",
                self.config.result_settings(),
                facts={
                    "images": self.source.fingerprint,
                    "precision": keras.mixed_precision.global_policy().name,
                    # Another one computes other last bits, and has other names in checkpoints.
                    "TensorFlow": ".".join(tf.__version__.split(".")[:2]),
                    **({"initial weights": self.initial.fingerprint} if self.initial else {}),
                },
                defaults=Config().result_settings(),
                free=self.config.logging_settings(),
                why={"epochs": _WHY_NOT_LONGER},
            )
        )
        self.source.log_broken_files_to(self.workdir.file(self.workers.own_name("broken_files")))
        self.checkpoints = Checkpoints(
            self.workdir.file("checkpoints"),
            saved_state(self.model),
            self.config.run.keep_checkpoints,
        )
        if chief:
            first_step = self.checkpoints.restore_newest() or 0
            self.workers.broadcast(first_step)
        elif first_step:
            self.checkpoints.restore(first_step)
        return first_step

    def plan(self, why_precision: str = "") -> str:
        """What is about to happen, in a few lines; why in this precision, if there is a reason."""
        replicas = self.strategy.num_replicas_in_sync
        text = describe(self.config, self.source, self.length, self.model, replicas, why_precision)
        if self.initial is not None:
            text += f"\n{self.initial.plan()}"
        if self.first_step:
            text += f"\nContinuing from step {self.first_step:,} of {self.length.total_steps:,}."
        return text

    def fit(self) -> None:
        """Trains to the end, as one `fit` epoch so that it may begin anywhere.

        Raises:
          RunFailedError: training ended before its last step.
        """
        steps = self.length.total_steps - self.first_step
        if not steps:
            return
        installed = self._callbacks()
        try:
            with self._views() as views:
                # steps_per_epoch is set explicitly: otherwise fit starts one step too many before
                # it sees the end of the data.
                self.model.fit(views, steps_per_epoch=steps, verbose=0, callbacks=installed)
        finally:
            for callback in installed:
                if hasattr(callback, "close"):
                    callback.close()
            self._name_broken_files()
        done = finished_steps(self.model)
        if done != self.length.total_steps:
            raise RunFailedError(f"the images ended at step {done} of {self.length.total_steps}.")

    def rehearse(self, steps: int, watch: keras.callbacks.Callback) -> None:
        """Trains some of the steps, as `fit` would but for what follows them, to measure them.

        Args:
          steps: how many, at most those that are left.
          watch: is called after every step.
        """
        installed = [*self._callbacks(), watch]
        steps = min(steps, self.length.total_steps - self.first_step)
        try:
            with self._views() as views:
                self.model.fit(views, steps_per_epoch=steps, verbose=0, callbacks=installed)
        finally:
            for callback in installed:
                if hasattr(callback, "close"):
                    callback.close()

    def export(self) -> str:
        """Writes export/<step>, if this is the chief; returns its folder when it is written."""
        step = self.length.total_steps
        folder = self.workdir.file("export", str(step))
        if self.workers.is_chief:
            self._write_export(step, folder)
        self.workers.barrier()
        return folder

    def _write_export(self, step: int, folder: str) -> None:
        if is_whole(folder):
            print(f"Finished already: the encoder of step {step:,} is in {folder}")
            return
        facts = export_facts(self.config, self.source, step)
        if self.initial is not None:
            facts["initial weights"] = self.initial.facts()
        export_encoder(
            self.model.encoder,
            folder,
            image_size=self.config.data.image_size,
            metadata=facts,
        )
        print(f"Exported the encoder of step {step:,} to {folder}")

    def summary(self, folder: str) -> str:
        """How long it took, how good it is or how to find out, and what comes next."""
        lines = []
        if steps := self.length.total_steps - self.first_step:
            lines.append(f"Trained {steps:,} steps in {duration(time.monotonic() - self.started)}.")
        lines += last_measured(self.workdir.file("metrics.jsonl"))
        return "\n".join([*lines, *next_commands(self.config, folder)])

    @contextlib.contextmanager
    def _views(self) -> Iterator[tf.data.Dataset]:
        data, batch_size = self.config.data, self.config.optimizer.batch_size
        plan = ViewPlan(
            self.source,
            self.augment,
            seed=self.config.run.seed,
            batch_size=batch_size,
            num_views=self.config.objective.num_views,
            rows=self.workers.rows(batch_size),
            reduction=self.augment.reduction,
            on_device=self.config.augment.augment_on == "device",
        )
        num_steps = self.length.total_steps if self.workers.count == 1 else None
        if not data.data_service:
            yield self.workers.feed(view_batches(plan, self.first_step, num_steps))
            return
        with service_batches(
            data.data_service,
            plan,
            self.first_step,
            num_steps,
            buffer_mb=data.service_buffer_mb,
        ) as views:
            yield self.workers.feed(views)

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """What `fit` calls, in this order; of several workers, only the chief logs."""
        run, optimizer, length = self.config.run, self.config.optimizer, self.length
        logs = []
        if self.workers.is_chief:
            logs = log_callbacks(
                self.config,
                self.workdir,
                self.source,
                self.augment,
                length,
                self.first_step,
                self.changed,
                self.knn_data,
            )
        return [
            LARS(optimizer.trust_coefficient, optimizer.weight_decay),
            WarmupCosine(self.config.max_lr, length.warmup_steps, length.total_steps),
            StopOnNonFinite(self.checkpoints),
            *logs,
            # Last: what a step logs is on disk before the step is.
            SaveCheckpoints(self.checkpoints, run.checkpoint_every, self.workers),
        ]

    def _name_broken_files(self) -> None:
        broken = self.source.broken_files()
        note_broken(self.source.name, broken, self.source.num_images, "replaced by others")
