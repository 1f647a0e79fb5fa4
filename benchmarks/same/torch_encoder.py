"""PyTorch's BYOL with our weights, on the same images: how far features and loss are from ours.

    python -m benchmarks.same.torch_encoder IMAGES.npy OURS.npz

Prints a JSON line. Our loss is ‖p − z‖², averaged; lightly's is minus the cosine c: 2 − 2c of ours.
"""

import json
import sys

import numpy as np
import torch

from benchmarks.contenders.torch_byol import BYOL, normalized

_NORM = ("weight", "bias", "running_mean", "running_var")


def load(byol: BYOL, ours) -> None:
    """Copies our weights into online and target networks.

    A Dense before a batch norm has a bias in ours, which the norm removes; the last has one in
    lightly's, which becomes 0.
    """
    networks = {
        "encoder": byol.online.encoder,
        "projector": byol.online.projector,
        "predictor": byol.predictor,
    }
    states = {name: network.state_dict() for name, network in networks.items()}
    for key in ours.files:
        network, _, rest = key.partition("/")
        if network in networks and rest != "hidden/1":
            layer, index = rest.split("/")
            name, value = translated(layer, int(index), torch.tensor(ours[key]), network)
            assert states[network][name].shape == value.shape, (key, name)
            states[network][name] = value
    for name, network in networks.items():
        if "layers.3.bias" in states[name]:
            states[name]["layers.3.bias"].zero_()
        network.load_state_dict(states[name])
    byol.target.load_state_dict(byol.online.state_dict())


def translated(layer: str, index: int, value: torch.Tensor, network: str):
    """Our layer's weight under PyTorch's name and in its order of axes."""
    if network == "encoder":
        if value.ndim == 4:
            return f"{layer}.weight", value.permute(3, 2, 0, 1)  # [k, k, in, out] there
        return f"{layer}.{_NORM[index]}", value
    position = {"hidden": 0, "norm": 1, "output": 3}[layer]
    if layer == "norm":
        return f"layers.{position}.{_NORM[index]}", value
    return f"layers.{position}.weight", value.mT


def main():
    images, ours = np.load(sys.argv[1]), np.load(sys.argv[2])
    byol = BYOL()
    load(byol, ours)
    pixels = torch.tensor(images).permute(0, 3, 1, 2)
    byol.online.eval()
    with torch.no_grad():
        features = byol.online.encoder(normalized(pixels)).numpy()
    byol.online.train()
    views = torch.stack(pixels.chunk(2), dim=1)  # [B, 2, 3, S, S]
    loss = 2 + 2 * byol.loss(views).item()
    result = {
        "features": float(np.abs(features - ours["features"]).max() / np.abs(features).max()),
        "loss": abs(loss - float(ours["loss"])) / abs(loss),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
