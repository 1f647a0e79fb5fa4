r"""Trains a linear classifier on the frozen features of an export, and tests it.

    python -m tools.linear_eval --flagfile=flags/eval/linear_cifar10.cfg \
        --saved_model=runs/cifar10/export/STEP

Learning rate and weight decay are chosen on a part of the training split. With one of each nothing
is chosen: so are Places205 and iNaturalist 2018 measured (flags/eval). Prints top-1 and top-5
accuracy and appends them to results.jsonl; tools.compare puts several runs side by side.
"""

import hashlib
import json
import os
import shutil
from typing import Optional

from absl import flags

from msbreg_tf.commands import cli
from tools import _eval_flags

FLAGS = flags.FLAGS
_OWN = (
    "learning_rates",
    "weight_decays",
    "epochs",
    "sgd_batch_size",
    "momentum",
    "schedule",
    "standardize",
    "validation_fraction",
    "seed",
)


def define_flags() -> None:
    """Defines the shared evaluation flags and those of the classifier."""
    _eval_flags.define()
    flags.DEFINE_string(
        "learning_rates",
        "0.003,0.01,0.03,0.1,0.3",
        "Grid of learning rates, joined by commas, for a mean loss over the batch and not scaled "
        "by its size (ours).",
    )
    flags.DEFINE_string(
        "weight_decays",
        "1e-5,1e-4,1e-3,1e-2,1e-1",
        "Grid of weight decays β, joined by commas; the loss has β/2 ‖W‖² (ours).",
    )
    flags.DEFINE_integer("epochs", 100, "Passes over the features, for each training (ours).")
    flags.DEFINE_integer("sgd_batch_size", 256, "Features in a step of SGD (supplement 2.4).")
    flags.DEFINE_float("momentum", 0.9, "Of SGD (supplement 2.4).")
    flags.DEFINE_string(
        "schedule",
        "cosine",
        "Of the learning rate: 'cosine' to 0, or 'steps', divided by 10 at 1/3 and 2/3 of all "
        "steps (supplement 2.4).",
    )
    flags.DEFINE_bool(
        "standardize", True, "Bring each feature to mean 0 and variance 1 over the training rows."
    )
    flags.DEFINE_float(
        "validation_fraction",
        0.1,
        "Part of each class of --train_split that is set aside for the choice.",
    )
    flags.DEFINE_integer("seed", 0, "Of the validation part and of the order of the features.")


def main(argv: list[str]) -> None:
    del argv
    recipe = _recipe()
    encoder = _eval_flags.load_encoder()

    from msbreg_tf.evaluation.linear.probe import linear_probe  # late: it waits for TensorFlow

    train, test = _eval_flags.train_and_test_features(encoder)
    protocol = _eval_flags.protocol("linear", encoder, train, test, **recipe.protocol())
    folder = _resume_folder(encoder, protocol)
    result = linear_probe(
        train.features,
        train.labels,
        test.features,
        test.labels,
        recipe,
        on_epoch=_Bars(recipe.epochs).show,
        resume_folder=folder,
    )
    values = {"top-1 %": 100 * result.top1}
    if result.top5 is not None:
        values["top-5 %"] = 100 * result.top5
    path = _eval_flags.append_results(values, protocol, encoder, result.choice.as_json())
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    _print(result, train, test, path)


def _recipe():
    from msbreg_tf.evaluation.linear.settings import LinearRecipe

    return LinearRecipe(
        learning_rates=_floats("learning_rates"),
        weight_decays=_floats("weight_decays"),
        epochs=FLAGS.epochs,
        batch_size=FLAGS.sgd_batch_size,
        momentum=FLAGS.momentum,
        schedule=FLAGS.schedule,
        standardize=FLAGS.standardize,
        validation_fraction=FLAGS.validation_fraction,
        seed=FLAGS.seed,
    )


def _floats(name: str) -> tuple[float, ...]:
    """'0.1,0.3' → (0.1, 0.3); the order stays, repeats go."""
    text = getattr(FLAGS, name)
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise ValueError(
            f"--{name}={text}: expected numbers joined by commas: --{name}=0.1,0.3."
        ) from None


def _resume_folder(encoder, protocol) -> Optional[str]:
    """Where this very training keeps its state until it is done; None without a cache."""
    cache = _eval_flags.cache_dir()
    if cache is None:
        return None
    identity = json.dumps([encoder.fingerprint, protocol], sort_keys=True)
    return os.path.join(cache, f"linear-{hashlib.sha256(identity.encode()).hexdigest()[:16]}")


class _Bars:
    """A progress bar per stage."""

    def __init__(self, epochs: int):
        self._epochs = epochs
        self._stage, self._bar = None, None

    def show(self, stage: str, done: int) -> None:
        """Moves the bar of `stage` to `done` epochs."""
        from tqdm import tqdm

        if stage != self._stage:
            self._stage = stage
            self._bar = tqdm(total=self._epochs, desc=stage, unit=" epochs", leave=False)
        self._bar.update(done - self._bar.n)
        if done == self._epochs:
            self._bar.close()


def _print(result, train, test, path: str) -> None:
    from msbreg_tf.evaluation.results.log import table

    choice = result.choice
    print(
        f"Linear classifier on {FLAGS.dataset} {FLAGS.test_split}: {len(test.labels):,} images, "
        f"trained on {len(train.labels):,}"
    )
    row = {
        "top-1 %": 100 * result.top1,
        "top-5 %": None if result.top5 is None else 100 * result.top5,
        "learning rate": f"{choice.learning_rate:g}",
        "weight decay": f"{choice.weight_decay:g}",
    }
    print(table([row]))
    if choice.validation_top1:
        print("\nTop-1 % on the validation part of the training split, by weight decay")
        rows = {}
        for (rate, decay), top1 in choice.validation_top1.items():
            row = rows.setdefault(rate, {"learning rate": f"{rate:g}"})
            row[f"{decay:g}"] = 100 * top1
        print(table(list(rows.values())))
    for half in choice.at_edge:
        print(f"Note: the best point lies at an end of --{half}; a wider grid may have a better.")
    if choice.converged is False:
        print(
            f"Note: not converged at the best point, so --epochs={FLAGS.epochs} is part of the "
            "result: training on lowers the training loss."
        )
    print(f"Appended to {path}")


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_eval_flags.NAMES, *_OWN), training_flags=False)
