"""What a training step and its input cost in CPU time, and how that grows: `python -m benchmarks.costs`."""
