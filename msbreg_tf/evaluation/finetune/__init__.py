"""Training an exported encoder further, on labelled images."""
