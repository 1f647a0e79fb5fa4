"""In the peers' environment: a few steps of each, on one small batch.

    python -m tests.benchmarks.race.peer_steps FOLDER

Prints {peer: {"unmoved": weights that one step left as they were, "falls": whether the loss of the
same views falls}}, and leaves the encoder of the last one in FOLDER, as a training does.
"""

import io
import json
import sys

import numpy as np

from benchmarks.race.contenders import PEERS
from benchmarks.race.peers import train

_NETWORK = {"encoder_width": 2, "stem": "cifar", "image_size": 8}
_SMALL = {"hidden": 16, "size": 8, "whitened": 16}


def request_of(name):
    """As `peer_request` has it, with heads that are quick."""
    peer = PEERS[name]
    settings = {**peer.fixed, **peer.usual_point()}
    settings |= {key: value for key, value in _SMALL.items() if key in settings}
    settings["rate"] /= 10  # which suits a small batch and narrow heads
    return {
        "module": peer.module,
        "network": _NETWORK,
        "batch": 32,
        "view_size": 8,
        "num_views": peer.num_views,
        "settings": settings,
        "optimizer": peer.optimizer,
        "weight_decay": peer.weight_decay,
        "steps": 6,
        "warmup": 1 / 6,
        "seed": 0,
        "form": {"precision": "float32", "channels_last": True},
    }


def facts_of(request):
    """What the first step left unmoved, and whether the loss falls."""
    training = train.Training(request)
    before = {name: value.clone() for name, value in training.method.named_parameters()}
    shape = (32, request["num_views"], 8, 8, 3)
    views = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    losses = [training.step(views)]
    now = dict(training.method.named_parameters())
    unmoved = [name for name in before if (before[name] == now[name]).all()]
    losses += [training.step(views) for _ in range(4)]
    # A target is moved before the step, and then still by nothing: it is the same network.
    return {
        "unmoved": [name for name in unmoved if not name.startswith("target_")],
        "falls": losses[-1] < losses[0],
    }


class _Views:
    """Stands in for stdin."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def main():
    folder = sys.argv[1]
    found = {name: facts_of(request_of(name)) for name in PEERS}
    request = request_of("simclr")
    views = np.random.default_rng(1).integers(0, 256, (6, 32, 2, 8, 8, 3), np.uint8)
    sys.stdin = _Views(views.tobytes())
    assert train.train(request, folder)["steps"] == 6
    print(json.dumps(found))


if __name__ == "__main__":
    main()
