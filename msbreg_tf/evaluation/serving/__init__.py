"""Serving by TensorFlow Serving: what an export carries for it, and a client of it."""
