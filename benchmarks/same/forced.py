"""Forced parameters of every operation, and the images on which libraries are compared.

A library's module has `OPERATIONS`, {operation: function}: uint8 [H, W, 3] → [S, S, 3] in 0..255,
crop from the whole image, all others from its first SIZE × SIZE pixels.
"""

SIZE = 96
TOP, LEFT, HEIGHT, WIDTH = 10, 20, 110, 90  # the crop
BRIGHTNESS, CONTRAST, SATURATION = 1.3, 0.7, 1.2  # factors
HUE = 0.08  # turns
KERNEL, SIGMA = 9, 1.2  # pixels
