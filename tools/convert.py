r"""Converts an exported encoder for another runtime, and verifies the file before it is kept.

    python -m tools.convert --saved_model=runs/mine/export/STEP --to=onnx --output=encoder.onnx

torchvision, timm and Detectron2 get weights, which NumPy writes; ONNX, TFLite and OpenVINO get the
whole graph, resizing and normalisation included. The file is loaded again and run on real images;
if it computes something else, nothing is kept, and the exit code is 1. docs/formats.md says how to
load each of them.
"""

from msbreg_tf.commands import cli, convert

if __name__ == "__main__":
    cli.run(convert.COMMAND, __doc__)
