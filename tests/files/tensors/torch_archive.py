"""Writes what `torch.save` writes, byte by byte, and what somebody who means harm would."""

import struct
import zipfile

FLOATS = b"ctorch\nFloatStorage\n"


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(whole, values)) + b"t"


def storage(key, count, kind=FLOATS):
    return b"(" + text("storage") + kind + text(key) + text("cpu") + whole(count) + b"tQ"


def tensor(place, size, stride, offset=0):
    call = b"ctorch._utils\n_rebuild_tensor_v2\n("
    end = b"\x89ccollections\nOrderedDict\n)RtR"
    return call + place + whole(offset) + numbers(size) + numbers(stride) + end


def state_dict(**tensors):
    pairs = b"".join(text(name) + value for name, value in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + pairs + b"u."


def write(path, pickled, storages=(), compression=zipfile.ZIP_STORED):
    """An archive of a pickle and {key: bytes}."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("weights/data.pkl", pickled)
        archive.writestr("weights/byteorder", b"little")
        for key, data in dict(storages).items():
            archive.writestr(f"weights/data/{key}", data)
