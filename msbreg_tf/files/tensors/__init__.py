"""Reads tensors from files that other people wrote, and runs nothing that stands in them.

Every reader takes a path and yields (name, dtype as the file calls it, array), or raises
`UnreadableError`. None of them imports torch or TensorFlow.
"""
