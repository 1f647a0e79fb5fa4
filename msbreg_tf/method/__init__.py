"""The paper in one folder: the losses, their sum, the step, and how it is optimised."""
