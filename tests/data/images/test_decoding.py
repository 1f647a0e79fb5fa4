import io
import struct

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.images.decoding import decode_image

image_library = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def picture():
    """A smooth colour picture, 20 high and 31 wide: an odd width needs padded BMP rows."""
    y, x = np.mgrid[:20, :31]
    pixels = np.stack([8 * x, 12 * y, 100 + 2 * x + 3 * y], axis=-1).astype(np.uint8)
    return image_library.fromarray(pixels)


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
    other = image_library.new("RGB", picture.size, (0, 0, 255))
    first = image_library.new("RGB", picture.size, (255, 0, 0))
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
