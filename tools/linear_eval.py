r"""Trains a linear classifier on the frozen features of an export, and tests it.

    python -m tools.linear_eval --flagfile=flags/eval/linear_cifar10.cfg \
        --saved_model=runs/cifar10/export/STEP

Learning rate and weight decay are chosen on a part of the training split. With one of each nothing
is chosen: so are Places205 and iNaturalist 2018 measured (flags/eval). Prints top-1 and top-5
accuracy and appends them to results.jsonl; tools.compare puts several runs side by side.
"""

from msbreg_tf.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.command("linear"), __doc__)
