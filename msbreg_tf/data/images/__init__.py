"""Encoded bytes to pixels of one size."""
