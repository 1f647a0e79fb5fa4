r"""Classifies images by their nearest neighbours among the features of an export.

    python -m tools.knn_eval --saved_model=runs/cifar10/export/STEP --dataset=cifar10

Cosine similarity, votes weighted by exp(s / T). Prints the top-1 accuracy for each k and appends it
to results.jsonl; tools.compare puts several runs side by side.
"""

from collections.abc import Sequence

from absl import flags
from tqdm import tqdm

from msbreg_tf.commands import cli
from tools import _eval_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the shared evaluation flags and --k and --temperature."""
    _eval_flags.define()
    flags.DEFINE_string(
        "k", "20,200", "Numbers of neighbours, joined by commas (supplement 2.3: 20 and 200)."
    )
    flags.DEFINE_float(
        "temperature", 0.07, "T of the votes' weights exp(s / T) (Wu et al., 2018, section 3.4)."
    )


def main(argv: list[str]) -> None:
    del argv
    neighbours = _numbers(FLAGS.k)
    if not FLAGS.temperature > 0:
        raise ValueError(f"--temperature={FLAGS.temperature}: expected a number above 0.")
    encoder = _eval_flags.load_encoder()

    from msbreg_tf.evaluation.knn import knn_accuracy  # late: it waits for TensorFlow
    from msbreg_tf.evaluation.results.log import table

    train, test = _eval_flags.train_and_test_features(encoder)
    with tqdm(total=len(test.labels), desc="k-NN", unit=" images", leave=False) as bar:
        accuracy = knn_accuracy(
            train.features,
            train.labels,
            test.features,
            test.labels,
            k=neighbours,
            temperature=FLAGS.temperature,
            on_block=lambda done: bar.update(done - bar.n),
        )
    for k, fraction in accuracy.items():
        protocol = _eval_flags.protocol(
            "knn", encoder, train, test, k=k, temperature=FLAGS.temperature, similarity="cosine"
        )
        path = _eval_flags.append_results({"top-1 %": 100 * fraction}, protocol, encoder)
    images = f"{len(test.labels):,} images, neighbours among {len(train.labels):,}"
    print(f"k-NN on {FLAGS.dataset} {FLAGS.test_split}: {images}, T = {FLAGS.temperature:g}")
    print(table([{"k": k, "top-1 %": 100 * fraction} for k, fraction in accuracy.items()]))
    print(f"Appended to {path}")


def _numbers(text: str) -> Sequence[int]:
    """'20,200' → [20, 200]; the order stays, repeats go."""
    try:
        numbers = list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise ValueError(f"--k={text}: expected numbers from 1 on, joined by commas: --k=20,200.")
    return numbers


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_eval_flags.NAMES, "k", "temperature"), training_flags=False)
