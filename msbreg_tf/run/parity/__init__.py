"""Whether R replicas train as one does: a few steps recorded on each count, and their comparison.

The same global batches must give the same loss terms, gradients, trust ratios, weights, statistics,
target and momenta on every number of replicas, up to the rounding of float32. How much that is, is
measured: a cyclic shift of every image's views is a symmetry of the whole method, so what it
changes on one replica is rounding and nothing else.

The reference is one replica with the batch norm that several use. The fused kernel that one replica
trains with is compared too, but for its moving variances: TensorFlow multiplies those by n/(n − 1),
n the number of values that a variance is of.
"""
