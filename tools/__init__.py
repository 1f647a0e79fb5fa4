"""Command-line tools; each parses flags, calls the library and prints."""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow
