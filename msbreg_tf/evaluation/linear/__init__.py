"""Linear classification of frozen features."""
