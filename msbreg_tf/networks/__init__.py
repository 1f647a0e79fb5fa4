"""Encoder and heads as Keras functional models.

All are made of Keras's own layers, so a `.keras` file of them loads anywhere; only
norm='group_ws' needs `msbreg_tf.networks.standardized` imported first.
A SavedModel never needs this package.
"""
