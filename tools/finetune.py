r"""Fine-tunes an export with few labels or all, and tests it.

    python -m tools.finetune --flagfile=flags/eval/finetune_10pct.cfg --data_dir=DIR \
        --saved_model=runs/imagenet/export/STEP --workdir=runs/imagenet/finetune_10pct

Encoder and classifier have a learning rate each; --encoder_lr=0 freezes the encoder. It trains the
encoder.keras of the export, which stays as it is. Start the same command again after an
interruption: it continues at the last whole epoch. Prints top-1 and top-5 accuracy and appends them
to results.jsonl; tools.compare puts several runs side by side.
"""

from msbreg_tf.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.command("finetune"), __doc__)
