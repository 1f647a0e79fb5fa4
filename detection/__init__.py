"""Detectors: torchvision's, which `tools.detect` runs, and Detectron2's (`train_net.py`).

The only PyTorch code of this repository. It imports of msbreg_tf only what needs no TensorFlow.
"""
