import io
import struct

import numpy as np
import PIL.ImageOps
import pytest
import tensorflow as tf
from PIL import Image

from msbreg_tf.data.images.decoding import (
    _first_frame,
    decode_any,
    decode_image,
    decode_reduced,
    is_decoded_in_graph,
    is_image,
)
from msbreg_tf.data.sources.sample import SHEETS


@pytest.fixture(scope="module")
def picture():
    """A smooth colour picture, 20 high and 31 wide: an odd width needs padded BMP rows."""
    y, x = np.mgrid[:20, :31]
    pixels = np.stack([8 * x, 12 * y, 100 + 2 * x + 3 * y], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels)


def encode(image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decoded(contents: bytes) -> np.ndarray:
    graph = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])
    assert graph.get_concrete_function().output_shapes.as_list() == [None, None, 3]
    return graph(contents).numpy()


def in_rgb(image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("form", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_lossless_modes_are_exact(picture, form, mode):
    image = picture.quantize(50) if mode == "P" else picture.convert(mode)
    np.testing.assert_array_equal(decoded(encode(image, form)), in_rgb(image))


def test_alpha_is_dropped(picture):
    image = picture.convert("RGBA")
    image.putalpha(7)
    for form in ("PNG", "BMP"):
        np.testing.assert_array_equal(decoded(encode(image, form)), in_rgb(picture))


def test_grey_with_alpha(picture):
    grey = picture.convert("LA")
    np.testing.assert_array_equal(decoded(encode(grey, "PNG")), in_rgb(picture.convert("L")))


def test_sixteen_bits_keep_the_upper_byte():
    values = np.arange(12, dtype=np.uint16).reshape(3, 4, 1) * 5000
    got = decoded(tf.io.encode_png(values).numpy())
    np.testing.assert_allclose(got, np.repeat(values // 256, 3, axis=-1), atol=1)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_modes_are_close(picture, mode):
    image = picture.convert(mode)
    got = decoded(encode(image, "JPEG", quality=98, subsampling=0)).astype(int)
    assert got.shape == (20, 31, 3)
    assert np.abs(got - in_rgb(image)).mean() < 3


def test_first_frame_of_an_animation(picture):
    other = Image.new("RGB", picture.size, (0, 0, 255))
    first = Image.new("RGB", picture.size, (255, 0, 0))
    got = decoded(encode(first, "GIF", save_all=True, append_images=[other, other]))
    assert got.shape == (20, 31, 3)
    np.testing.assert_array_equal(got, np.broadcast_to([255, 0, 0], got.shape))


def test_top_down_bmp(picture):
    contents = bytearray(encode(picture, "BMP"))
    contents[22:26] = struct.pack("<i", -20)  # a negative height: rows from the top
    np.testing.assert_array_equal(decoded(bytes(contents)), in_rgb(picture)[::-1])


@pytest.mark.parametrize("damage", ["compressed", "one bit", "cut", "only a name"])
def test_bmp_that_cannot_be_read_is_an_error(picture, damage):
    contents = bytearray(encode(picture.quantize(50), "BMP"))
    if damage == "compressed":
        contents[30:34] = struct.pack("<I", 1)
    elif damage == "one bit":
        contents = encode(picture.convert("1"), "BMP")
    else:
        contents = contents[: 200 if damage == "cut" else 2]
    with pytest.raises(tf.errors.OpError):
        decoded(bytes(contents))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_cut_files_are_errors(picture, form, kept):
    contents = encode(picture, form)
    with pytest.raises(tf.errors.OpError):
        decoded(contents[: int(kept * len(contents))])


def decoded_by_any(contents: bytes, megapixels=200) -> np.ndarray:
    graph = tf.function(
        lambda c: decode_any(c, megapixels), input_signature=[tf.TensorSpec([], tf.string)]
    )
    return graph(contents).numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_what_a_person_sees_is_decoded(picture, form, orientation, order):
    """EXIF's eight orientations, as Pillow applies them, in both byte orders."""
    exif = Image.Exif()
    exif.endian = "<" if order == "little" else ">"
    exif[0x010F] = "maker"  # another tag before it
    exif[0x0112] = orientation
    contents = encode(picture, form, exif=exif)
    stored = Image.open(io.BytesIO(contents))
    assert stored.getexif().get(0x0112) == orientation
    expected = in_rgb(PIL.ImageOps.exif_transpose(stored))
    assert expected.shape == ((31, 20, 3) if orientation >= 5 else (20, 31, 3))
    np.testing.assert_array_equal(decoded_by_any(contents), expected)
    if form in ("JPEG", "PNG"):  # an export, which has no Pillow, gives the same
        np.testing.assert_array_equal(decoded(contents), expected)


@pytest.mark.parametrize("damage", ["cut in the directory", "no orientation", "nonsense"])
def test_exif_without_an_orientation_turns_nothing(picture, damage):
    contents = encode(picture, "JPEG")
    tags = {"no orientation": (1, 0x010F), "nonsense": (1, 0x0112), "cut in the directory": (9, 1)}
    count, tag = tags[damage]
    directory = struct.pack("<HHHIHH", count, tag, 3, 1, 77, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + directory
    contents = contents[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + contents[2:]
    np.testing.assert_array_equal(decoded(contents), in_rgb(Image.open(io.BytesIO(contents))))


@pytest.mark.parametrize("form", ["WEBP", "TIFF", "PPM"])
def test_what_only_pillow_reads(picture, form):
    contents = encode(picture, form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(decoded_by_any(contents), in_rgb(picture))
    assert is_image(contents[:32])
    assert not is_decoded_in_graph(contents[:32])
    with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, GIF or BMP"):
        decoded(contents)


def test_photographs_are_pillows_to_the_bit():
    sheet = next(SHEETS.glob("test/*.png"))
    contents = encode(Image.open(sheet).convert("RGB"), "JPEG", quality=87)
    np.testing.assert_array_equal(decoded(contents), in_rgb(Image.open(io.BytesIO(contents))))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_an_image_above_the_limit_is_not_decoded(picture, form):
    contents = encode(picture, form)  # 620 pixels
    assert decoded_by_any(contents, 620e-6).shape == (20, 31, 3)
    with pytest.raises(tf.errors.OpError):
        decoded_by_any(contents, 619e-6)


def test_a_header_that_promises_too_much_costs_nothing(picture):
    """A PNG whose header says 30,000 × 30,000; decoding it would take 2.7 GB."""
    contents = bytearray(encode(picture, "PNG"))
    contents[16:24] = struct.pack(">II", 30_000, 30_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the limit is"):
        decoded(bytes(contents))


def test_of_a_long_animation_only_the_first_frame_is_decoded(picture):
    """1,000 frames of 620 pixels; as one array they would be 1,000 times as large."""
    frames = [Image.new("RGB", picture.size, (0, n % 256, 255)) for n in range(1000)]
    contents = encode(picture, "GIF", save_all=True, append_images=frames)
    first = _first_frame(tf.constant(contents)).numpy()
    assert len(first) < len(contents) / 10
    expected = in_rgb(Image.open(io.BytesIO(contents)))
    np.testing.assert_array_equal(decoded(contents), expected)


def reduced(contents: bytes, allowed: int):
    graph = tf.function(lambda data: decode_reduced(data, lambda height, width: allowed))
    return [tensor.numpy() for tensor in graph(tf.constant(contents))]


@pytest.mark.parametrize(("allowed", "ratio"), [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (100, 8)])
def test_a_jpeg_is_decoded_as_small_as_is_allowed(allowed, ratio):
    y, x = np.mgrid[:90, :70]
    pixels = np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)
    contents = encode(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0)
    image, stored = reduced(contents, allowed)
    assert stored.tolist() == [90, 70]
    assert image.shape == (-(-90 // ratio), -(-70 // ratio), 3)
    whole = decoded(contents).astype(np.float64)
    height, width = 90 // ratio, 70 // ratio
    blocks = whole[: height * ratio, : width * ratio].reshape(height, ratio, width, ratio, 3)
    assert np.abs(image[:height, :width] - blocks.mean(axis=(1, 3))).mean() < 1.5


def test_a_reduced_jpeg_is_upright_and_told_its_upright_size(picture):
    exif = Image.Exif()
    exif[274] = 6
    contents = encode(picture, "JPEG", quality=95, exif=exif)
    asked = []
    graph = tf.function(lambda data: decode_reduced(data, lambda *size: asked.append(size) or 2))
    image, stored = graph(tf.constant(contents))
    assert stored.numpy().tolist() == [31, 20]
    assert image.shape == (16, 10, 3)
    assert len(asked) == 1


def test_what_is_no_jpeg_keeps_its_size(picture):
    for form in ("PNG", "WEBP"):
        image, stored = reduced(encode(picture, form), 8)
        assert image.shape == (20, 31, 3)
        assert stored.tolist() == [20, 31]
    with pytest.raises(tf.errors.InvalidArgumentError, match="the limit is"):
        tf.function(lambda data: decode_reduced(data, lambda h, w: 8, 1e-6))(
            encode(picture, "JPEG")
        )
