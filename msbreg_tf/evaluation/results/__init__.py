"""Measured values: their record, their comparison, and the paper's beside them."""
