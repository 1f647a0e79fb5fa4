r"""Trains a linear SVM per class on frozen features, and prints the mean average precision.

    python -m tools.svm_eval --saved_model=runs/imagenet/export/STEP --flagfile=flags/eval/voc07.cfg

VOC07's protocol with VISSL's settings. Labels come from the objects of a TFDS data set. Start the
same command again after an interruption: features and finished classes are kept in --cache_dir.
"""

from msbreg_tf.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.command("svm"), __doc__)
