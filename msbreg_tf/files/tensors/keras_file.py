"""Variables of a `.keras` file of Keras 2, without building its model.

The file is a zip archive: config.json describes the layers, model.weights.h5 holds their variables.
Loading it with Keras, even in its safe mode, imports the classes that the description names. Here
the description is read as data: it only tells the names of the layers.
"""

import collections
import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from msbreg_tf.errors import one_line
from msbreg_tf.files.tensors.limits import MAX_BYTES, UnreadableError, check_archive

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_VARIABLES = {"BatchNormalization": _NORM, "GroupNormalization": _NORM[:2]}
_OTHERS = ("kernel", "bias")


def read(path: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (name, dtype, array) of the variables: 'conv1/kernel:0'.

    Raises:
      UnreadableError: it is damaged, too large, of Keras 3, or refers to other files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, may_be_compressed=True)
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            weights = archive.read("model.weights.h5")
        yield from _variables(layers, weights)
    except UnreadableError:
        raise
    except Exception as error:  # whatever is damaged can raise anything
        raise UnreadableError(
            f"it is damaged, or no .keras file of Keras 2 ({one_line(error)}). Export it again."
        ) from error


def _variables(layers: list[dict[str, Any]], weights: bytes) -> Iterator[tuple[str, str, Any]]:
    import h5py  # comes with TensorFlow

    seen: dict[str, int] = collections.Counter()
    with h5py.File(io.BytesIO(weights), "r") as file:
        for layer in layers:
            kind = layer["class_name"]
            group = _snake(kind)
            place = f"layers/{group}_{seen[group]}" if seen[group] else f"layers/{group}"
            seen[group] += 1
            if f"{place}/vars" not in file:
                continue
            names = _VARIABLES.get(kind, _OTHERS)
            for number in range(len(file[f"{place}/vars"])):
                name = names[number] if number < len(names) else str(number)
                array = _array(file, f"{place}/vars/{number}")
                yield f"{layer['config']['name']}/{name}:0", str(array.dtype), array


def _array(file: Any, place: str) -> np.ndarray:
    """The numbers at a place, which must be in this very file."""
    import h5py

    for end in range(1, place.count("/") + 2):
        link = file.get("/".join(place.split("/")[:end]), getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise UnreadableError(f"{place} refers to something else. Export it again.")
    dataset = file[place]
    if dataset.external or dataset.is_virtual or dataset.nbytes > MAX_BYTES:
        raise UnreadableError(f"{place} is in another file, or too large. Export it again.")
    return dataset[()]


def _snake(name: str) -> str:
    """As Keras 2 names the group of a layer in the file: 'BatchNormalization' →
    'batch_normalization'."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
