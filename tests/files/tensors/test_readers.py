import json
import os
import pathlib
import struct

import numpy as np
import pytest

from msbreg_tf.files.tensors import limits
from msbreg_tf.files.tensors.table import check_file, format_of, read_tensors

from . import torch_archive as written

HERE = pathlib.Path(__file__).parent
CONV = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4) / 8


def safetensors_bytes(header, data=b""):
    """The format by hand: the header's length in 8 bytes, the header, the numbers."""
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def test_a_file_that_torch_wrote(capsys):
    """by_torch.pth is of torch 2.14.1: torch.save({"epoch": 3, "lr": 0.1, "state_dict": …}).

    Its tensors are views, of several types and in several orders in memory; one is a Parameter.
    """
    tensors = read_tensors(str(HERE / "by_torch.pth"), "init_from")
    np.testing.assert_array_equal(tensors.pop("contiguous"), CONV)
    np.testing.assert_array_equal(tensors.pop("channels_last"), CONV)
    np.testing.assert_array_equal(tensors.pop("view"), CONV.ravel()[5:35:3])
    assert (tensors["scalar"].dtype, tensors["scalar"].shape) == (np.int64, ())
    assert tensors.pop("scalar") == 7
    np.testing.assert_array_equal(tensors.pop("parameter"), [1, 2])
    assert tensors.keys() == {"float64", "float16", "bfloat16"}
    for tensor in tensors.values():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, [1.5, -2, 0.25])
    said = capsys.readouterr().err
    assert all(f"1 tensors of {name} were converted to float32" in said for name in tensors)


def test_a_safetensors_file_by_hand(tmp_path):
    halves = struct.pack("<3H", 0x3FC0, 0xC000, 0x3E80)  # 1.5, −2, 0.25 in bfloat16
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [3], "data_offsets": [8, 14]},
        "count": {"dtype": "I64", "shape": [], "data_offsets": [14, 22]},
    }
    data = struct.pack("<2f", 3, -0.5) + halves + struct.pack("<q", 2**40)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors_bytes(header, data))
    tensors = read_tensors(str(path), "init_from")
    np.testing.assert_array_equal(tensors["a"], [[3, -0.5]])
    np.testing.assert_array_equal(tensors["b"], [1.5, -2, 0.25])
    assert tensors["count"] == 2**40


def test_an_npz_file(tmp_path):
    np.savez_compressed(tmp_path / "weights.npz", **{"conv1/kernel:0": CONV, "n": 3})
    tensors = read_tensors(str(tmp_path / "weights.npz"), "init_from")
    np.testing.assert_array_equal(tensors["conv1/kernel:0"], CONV)
    assert tensors["n"] == 3


def test_what_a_name_tells(tmp_path):
    assert format_of("~/a.b/R50.PTH").name == "PyTorch"
    assert format_of("export/240") is format_of(None) is None
    check_file(str(HERE / "by_torch.pth"), "init_from")
    with pytest.raises(ValueError, match=r"--compare=/no\.pth: no such file"):
        check_file("/no.pth", "compare")
    (tmp_path / "a.bin").touch()
    with pytest.raises(ValueError, match=r"expected scratch, a run's .*\.safetensors, \.pth"):
        check_file(str(tmp_path / "a.bin"), "compare", "scratch, ")


# Files that mean harm, or are damaged


def entry(**changes):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


SAFETENSORS = {
    "offsets beyond the end": (safetensors_bytes(entry(data_offsets=[0, 80]), bytes(8)), "damaged"),
    "other shape": (safetensors_bytes(entry(shape=[3]), bytes(8)), "damaged"),
    "huge shape": (safetensors_bytes(entry(shape=[2**62, 2**62]), bytes(8)), "damaged"),
    "unknown type": (safetensors_bytes(entry(dtype="Q7"), bytes(8)), "damaged"),
    "8 bits": (
        safetensors_bytes({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"ab"),
        "w is of type F8_E4M3",
    ),
    "huge header": (struct.pack("<Q", 2**60) + b"{}", "damaged"),
    "no header": (b"not a file of tensors at all", "damaged"),
    "truncated": (safetensors_bytes(entry(), bytes(8))[:-3], "damaged"),
    "empty": (b"", "damaged"),
}


def refused(path, tmp_path):
    """The one line that a file is refused by; afterwards nothing else must be there."""
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ValueError, match=rf"^--init_from={path}: ") as caught:
        read_tensors(str(path), "init_from")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert message.endswith(".")
    assert sorted(os.listdir(tmp_path)) == before
    return message


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_bad_safetensors_file(tmp_path, name):
    contents, why = SAFETENSORS[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(contents)
    assert why in refused(path, tmp_path)


def call(function, argument):
    """A pickle that calls a function, the way that every pickle with an object in it does."""
    module, name = function.split()
    return f"c{module}\n{name}\n".encode() + b"(" + written.text(argument) + b"tR"


@pytest.mark.parametrize("function", ["posix system", "builtins exec", "builtins eval", "os mkdir"])
def test_a_pickle_that_runs_code(tmp_path, monkeypatch, function):
    monkeypatch.chdir(tmp_path)
    order = {"os mkdir": "made", "posix system": "touch made"}
    evil = call(function, order.get(function, "open('made', 'w')"))
    path = tmp_path / "bad.pth"
    for pickled in (b"\x80\x02" + evil + b".", written.state_dict(**{"conv1.weight": evil})):
        written.write(path, pickled)
        message = refused(path, tmp_path)
        assert function.replace(" ", ".") in message
        assert "no code of a file is run" in message


def test_a_pickle_can_not_reach_through_what_is_known(tmp_path):
    """Dotted names, attributes of the stand-ins and calls of what is no function."""
    path = tmp_path / "bad.pth"
    dotted = b"\x80\x04" + written.text("torch._utils") + written.text("sys.modules") + b"\x93."
    written.write(path, dotted)
    assert "asks for torch._utils.sys.modules" in refused(path, tmp_path)
    sets_it = b"N}" + written.text("__defaults__") + b")s\x86b."
    for pickled, why in (
        (b"ctorch._utils\n_rebuild_tensor_v2\n" + sets_it, "no attribute '__defaults__'"),
        (b"ctorch._utils\n_rebuild_parameter\n" + sets_it, "no attribute '__defaults__'"),
        (b"ccollections\nOrderedDict\n" + sets_it, "missing 1 required positional"),
        (written.storage("0", 4) + sets_it, "no attribute '__defaults__'"),
        (b"ctorch\nFloatStorage\n)R.", "'str' object is not callable"),
        (b"}.", "no state_dict in it"),
    ):
        written.write(path, b"\x80\x02" + pickled)
        assert why in refused(path, tmp_path)


ONE = written.storage("0", 4)
TORCH = {
    "beyond the end": written.tensor(ONE, [2, 3], [3, 1]),
    "an offset beyond the end": written.tensor(ONE, [4], [1], offset=1),
    "a negative offset": written.tensor(ONE, [4], [1], offset=-1),
    "a negative stride": written.tensor(ONE, [4], [-1]),
    "many from few": written.tensor(ONE, [2**30, 2**30], [0, 0]),
    "shape and stride of unlike length": written.tensor(ONE, [2, 2], [1]),
    "more numbers than there are": written.tensor(written.storage("0", 5), [4], [1]),
    "a path as key": written.tensor(written.storage("../../../../etc/passwd", 4), [4], [1]),
    "no such storage": written.tensor(written.storage("1", 4), [4], [1]),
    "a text as storage": written.tensor(written.text("0"), [4], [1]),
    "no dictionary": None,
}


@pytest.mark.parametrize("name", TORCH)
def test_a_torch_file_whose_tensors_are_elsewhere(tmp_path, name):
    pickled = written.state_dict(w=TORCH[name]) if TORCH[name] else b"\x80\x02]."
    written.write(tmp_path / "bad.pth", pickled, {"0": bytes(16)})
    refused(tmp_path / "bad.pth", tmp_path)
    good = written.state_dict(w=written.tensor(ONE, [2, 2], [1, 2]))
    written.write(tmp_path / "good.pth", good, {"0": struct.pack("<4f", 1, 2, 3, 4)})
    tensors = read_tensors(str(tmp_path / "good.pth"), "init_from")
    np.testing.assert_array_equal(tensors["w"], [[1, 3], [2, 4]])


def test_other_torch_files(tmp_path, monkeypatch):
    path = tmp_path / "bad.pth"
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")  # the old format's first words
    assert "torch.save(torch.load(OLD, weights_only=True), NEW)" in refused(path, tmp_path)
    whole = (HERE / "by_torch.pth").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused(path, tmp_path)
    written.write(path, b"\x80\x02}.", {"0": bytes(2**20)}, compression=8)
    assert "compressed" in refused(path, tmp_path)
    monkeypatch.setattr(limits, "MAX_BYTES", 1000)
    written.write(path, b"\x80\x02}.", {"0": bytes(1001)})
    assert "expected at most" in refused(path, tmp_path)
    shared = written.tensor(written.storage("0", 100), [100], [1])
    written.write(path, written.state_dict(a=shared, b=shared, c=shared), {"0": bytes(400)})
    assert "its tensors are larger than" in refused(path, tmp_path)


def test_a_bit_that_flipped_in_a_torch_file(tmp_path):
    contents = bytearray((HERE / "by_torch.pth").read_bytes())
    place = contents.index(CONV.tobytes())
    contents[place + 5] ^= 1
    (tmp_path / "bad.pth").write_bytes(contents)
    assert "Bad CRC" in refused(tmp_path / "bad.pth", tmp_path)


class Evil:
    """What a pickle of it would do."""

    def __reduce__(self):
        return os.mkdir, ("made",)


def test_a_bad_npz_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.npz"
    np.savez(path, w=np.array([Evil()], dtype=object))
    assert "allow_pickle=False" in refused(path, tmp_path)
    np.savez(path, w=np.array(["text"]))
    assert "w holds <U4, no numbers" in refused(path, tmp_path)
    np.savez(path, w=np.zeros(100))
    whole = path.read_bytes()
    for contents in (whole[:-40], whole[:300], b"", b"\x93NUMPY\x01\x00"):
        path.write_bytes(contents)
        assert "damaged" in refused(path, tmp_path)
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (%d,)}"
    written.write(path, header % 2**50)
    refused(path, tmp_path)
    np.savez_compressed(path, w=np.zeros(2**20))
    monkeypatch.setattr(limits, "MAX_BYTES", 2**20)
    assert "would unpack to 8 MiB" in refused(path, tmp_path)
    assert path.stat().st_size < 2**14
