"""Prints as JSON how far our losses and gradients are from the plain ones, relatively.

python -m benchmarks.same.losses ROWS SIZE
"""

import json
import sys

from benchmarks.contenders import loss_terms

import tensorflow as tf  # isort: skip


def main():
    p, z = loss_terms.inputs(int(sys.argv[1]), int(sys.argv[2]))
    result = {}
    for what in ("values", "squares", "uniformity"):
        (one, gradient), (other, reference) = (
            loss_terms.with_gradient(name)(p, z) for name in (what, f"plain_{what}")
        )
        result[what] = {
            "value": float(abs(one - other) / abs(other)),
            "gradient": float(tf.norm(gradient - reference) / tf.norm(reference)),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
