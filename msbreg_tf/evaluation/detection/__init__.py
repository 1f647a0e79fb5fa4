"""Detection: the settings, annotations and scores, without the networks (`detection/` has those).

Nothing here imports TensorFlow or PyTorch: the same code checks the input in TensorFlow's
environment and feeds the networks in PyTorch's.
"""
