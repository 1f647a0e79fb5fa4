r"""Classifies images by their nearest neighbours among the features of an export.

    python -m tools.knn_eval --saved_model=runs/cifar10/export/STEP --dataset=cifar10

Cosine similarity, votes weighted by exp(s / T). Prints the top-1 accuracy for each k and appends it
to results.jsonl; tools.compare puts several runs side by side.
"""

from msbreg_tf.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.command("knn"), __doc__)
