r"""Fine-tunes a detector from an encoder's weights and measures its average precision.

    make detect
    python -m tools.detect --data_dir=~/VOCdevkit --weights=resnet50.safetensors \
        --workdir=runs/detect_voc

On Pascal VOC's layout Faster R-CNN C4, on COCO's Mask R-CNN FPN (supplement 2.4), by torchvision in
an environment of its own, on one GPU or the CPU. Every annotation is checked before. Start the same
command again after an interruption, and it continues.

The networks differ from Detectron2's in details, so its results have a protocol of their own; the
paper's numbers are Detectron2's, for which detection/train_net.py is.
"""

from msbreg_tf.commands import cli, detect

if __name__ == "__main__":
    cli.run(detect.COMMAND, __doc__)
