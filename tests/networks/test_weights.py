import hashlib
import io
import json
import re
import struct
import zipfile

import h5py
import numpy as np
import pytest

from msbreg_tf.files.tensors import limits
from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.networks.weights import EncoderWeights, read_weights
from tests.files.tensors import torch_archive

_LEAVES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
_LEAVES |= {"moving_variance": "running_var", "kernel": "weight"}


def as_torch(model, prefix=""):
    """torchvision's names and layouts, one by one; with its classifier and its counters."""
    tensors = {f"{prefix}fc.weight": np.ones([3, 8], np.float32)}
    for variable in model.variables:
        layer, leaf = re.fullmatch(r"(.*)/(.*):0", variable.name).groups()
        value = variable.numpy()
        if leaf == "kernel":
            value = np.stack([[value[..., i, o] for i in range(value.shape[2])]
                              for o in range(value.shape[3])])  # fmt: skip
        tensors[f"{prefix}{layer}.{_LEAVES[leaf]}"] = value
        if leaf == "gamma":
            tensors[f"{prefix}{layer}.num_batches_tracked"] = np.array(9)
    return tensors


def write_safetensors(path, tensors):
    header, data = {}, b""
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64"}
    for name, value in tensors.items():
        place = [len(data), len(data) + value.nbytes]
        kind = kinds[value.dtype.name]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": place}
        data += value.tobytes()
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return str(path)


def write_torch(path, tensors):
    entries = {}
    for number, (name, value) in enumerate(tensors.items()):
        kind = b"ctorch\nLongStorage\n" if value.dtype == np.int64 else torch_archive.FLOATS
        strides = [stride // value.itemsize for stride in value.strides]
        place = torch_archive.storage(str(number), value.size, kind)
        entries[name] = torch_archive.tensor(place, value.shape, strides)
    storages = {str(n): value.tobytes() for n, value in enumerate(tensors.values())}
    torch_archive.write(path, torch_archive.state_dict(**entries), storages)
    return str(path)


def equal(model, other):
    for ours, theirs in zip(model.variables, other.variables):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.name)


def test_every_format_gives_the_exact_weights_of_the_export(images, shake, tmp_path):
    """Of an export itself, tests/test_wiring_run.py has the test."""
    encoder = shake(build_resnet("resnet18", width=4))
    encoder.save(tmp_path / "encoder.keras")
    tensors = as_torch(encoder)
    ours = {variable.name: variable.numpy() for variable in encoder.variables}
    np.savez(tmp_path / "ours.npz", **ours)
    np.savez(tmp_path / "theirs.npz", **tensors)
    paths = [
        str(tmp_path / "encoder.keras"),
        write_safetensors(tmp_path / "weights.safetensors", tensors),
        write_torch(tmp_path / "weights.pth", as_torch(encoder, "module.net.")),
        str(tmp_path / "ours.npz"),
        str(tmp_path / "theirs.npz"),
    ]
    other = build_resnet("resnet18", width=4)
    batch = images(2, 32, 32)
    expected = encoder(batch, training=False)
    found = [read_weights(path, "init_from") for path in paths]
    for weights in found:
        shake(other, seed=1)
        weights.put_into(other, "init_from", "Mend it.")
        equal(other, encoder)
        np.testing.assert_array_equal(other(batch, training=False), expected)
        assert f"100 weights of {weights.path} (" in weights.described()
    assert len({weights.fingerprint for weights in found}) == 1
    shaken = {name: value + np.float32(1e-7) for name, value in ours.items()}
    assert EncoderWeights("", "", shaken).fingerprint != found[0].fingerprint
    assert "not used: fc.weight, 20 num_batches_tracked)" in found[1].described()
    assert "not used: module.net.fc.weight, 20 num" in found[2].described()
    with open(paths[0], "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest().startswith(found[0].file_digest)


def test_resnet50_in_sixteen_bits(shake, tmp_path, capsys):
    encoder = shake(build_resnet("resnet50", width=4))
    tensors = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in as_torch(encoder).items()
    }
    path = write_safetensors(tmp_path / "half.safetensors", tensors)
    other = build_resnet("resnet50", width=4)
    read_weights(path, "init_from").put_into(other, "init_from", "Mend it.")
    assert "266 tensors of float16 were converted" in capsys.readouterr().err
    for ours, theirs in zip(other.variables, encoder.variables):
        np.testing.assert_array_equal(ours, theirs.numpy().astype(np.float16))


def test_another_network_is_refused_by_name(tmp_path):
    encoder = build_resnet("resnet18", width=4)
    tensors = as_torch(encoder)

    def message(**changes):
        changed = {name: value for name, value in (tensors | changes).items() if value is not None}
        np.savez(tmp_path / "w.npz", **changed)
        with pytest.raises(ValueError, match=rf"--init_from={tmp_path}/w\.npz: ") as caught:
            read_weights(str(tmp_path / "w.npz"), "init_from").put_into(
                encoder, "init_from", "Mend it."
            )
        assert "\n" not in str(caught.value)
        return str(caught.value)

    name = "layer2.0.downsample.1.running_var"
    assert "1 of 100 weights differ, first layer2.0.downsample.1/moving_variance:0, which is " \
        "missing there and 8 here" in message(**{name: None})  # fmt: skip
    square = np.zeros([4, 4, 5, 5], np.float32)
    text = message(**{"layer1.0.conv1.weight": square})
    assert "layer1.0.conv1/kernel:0 (layer1.0.conv1.weight)" in text
    assert "5×5×4×4 there and 3×3×4×4 here" in text
    # A deeper network holds all the names of ours, and others of layers.
    block = {f"layer1.2.{name}": square for name in ("conv1.weight", "conv2.weight")}
    assert "2 of 102 weights differ, first layer1.2.conv1/kernel:0" in message(**block)
    assert "layer1.0.se.fc1.weight" in message(**{"layer1.0.se.fc1.weight": square})
    assert "conv1/beta:0" in message(**{"conv1.bias": np.zeros(4, np.float32)})
    mean = tensors["bn1.running_mean"]
    assert "bn1.running_mean is int8; expected" in message(
        **{"bn1.running_mean": mean.astype("i1")}
    )
    assert "is not finite everywhere" in message(**{"bn1.running_mean": mean + np.float32(np.inf)})
    two = {f"{k}{name}": value for k in ("q.", "k.") for name, value in tensors.items()}
    assert "several encoders in it, k., q." in message(**two, **dict.fromkeys(tensors))
    assert "no tensor in it is named as those of a ResNet" in message(
        **dict.fromkeys(tensors), **{"blocks.0.attn.qkv.weight": mean}
    )


def keras_file(path, layers, fill):
    contents = io.BytesIO()
    with h5py.File(contents, "w") as file:
        fill(file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", layers if isinstance(layers, str) else
                         json.dumps({"config": {"layers": layers}}))  # fmt: skip
        archive.writestr("model.weights.h5", contents.getvalue())
    return str(path)


def test_a_keras_file_is_read_as_data(tmp_path, monkeypatch):
    """Keras would import the classes and build the lambda that the description names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil_layer.py").write_text("open('made', 'w')\n")
    layers = [
        {"module": "evil_layer", "class_name": "Conv2D", "config": {"name": "conv1"}},
        {"module": "builtins", "class_name": "Lambda", "config": {
            "name": "x", "function": {"class_name": "function", "config": "os.system"}}},
        {"module": "os", "class_name": "system", "config": {"name": "touch made"}},
        {"class_name": "Conv2D", "config": {"name": "conv2"}},
    ]  # fmt: skip

    def fill(file):
        file["layers/conv2d/vars/0"] = np.full([1, 1, 3, 2], 5, np.float32)
        file["layers/conv2d_1/vars/0"] = np.full([1, 1, 2, 2], 6, np.float32)
        file["layers/conv2d_1/vars/1"] = np.full([2], 7, np.float32)

    weights = read_weights(keras_file(tmp_path / "w.keras", layers, fill), "init_from")
    assert {name: value.ravel()[0] for name, value in weights.values.items()} == {
        "conv1/kernel:0": 5, "conv2/kernel:0": 6, "conv2/bias:0": 7,
    }  # fmt: skip
    assert not (tmp_path / "made").exists()

    def elsewhere(file):
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["secret"] = np.zeros(3, np.float32)
        file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")

    def external(file):
        raw = [(str(tmp_path / "evil_layer.py"), 0, 8)]
        file.create_dataset("layers/conv2d/vars/0", (2,), "f4", external=raw)

    def huge(file):
        file.create_dataset("layers/conv2d/vars/0", (2**20, 2**20), "f4", compression="gzip")

    bad = {
        "refers to something else": (layers, elsewhere),
        "in another file, or too large": (layers, external),
        "or too large. Export": (layers, huge),
        "no .keras file of Keras 2": ("{", fill),
        "is damaged": ([{"class_name": 3}], fill),
    }
    for why, (description, filled) in bad.items():
        with pytest.raises(ValueError, match=re.escape(why)) as caught:
            read_weights(keras_file(tmp_path / "w.keras", description, filled), "init_from")
        assert "\n" not in str(caught.value)
    whole = (tmp_path / "w.keras").read_bytes()
    (tmp_path / "w.keras").write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"damaged, or no \.keras file"):
        read_weights(str(tmp_path / "w.keras"), "init_from")
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="would unpack to"):
        read_weights(keras_file(tmp_path / "w.keras", layers, fill), "init_from")
