"""How good features are: arrays in, named numbers out."""
