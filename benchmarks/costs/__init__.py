"""CPU time of a training step and of its input, and how it grows: `python -m benchmarks.costs`."""
