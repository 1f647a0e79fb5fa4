import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from msbreg_tf.data.images.resizing import fit_square, resize_and_crop

SHAPES = [(300, 200), (37, 500), (20, 31), (224, 300), (1, 1), (1, 50), (97, 96), (1201, 801)]


def noise(height, width):
    return np.random.default_rng(height).integers(0, 256, [height, width, 3], np.uint8)


def exact(image, size):
    """In float64: the shorter side to `size`, then the centre, by whole matrices."""
    out = image.astype(np.float64)
    short = min(image.shape[:2])
    for axis, length in enumerate(image.shape[:2]):
        resized = max((2 * length * size + short) // (2 * short), size)
        scale = length / resized
        centres = (np.arange(size) + (resized - size) // 2 + 0.5) * scale
        distance = np.abs(np.arange(length) + 0.5 - centres[:, None])
        weights = np.maximum(0, 1 - distance / max(1, scale))
        weights /= weights.sum(axis=1, keepdims=True)
        out = np.moveaxis(np.tensordot(weights, out, (1, axis)), 0, axis)
    return out


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("shape", [*SHAPES, (3, 60001), (70000, 2)])
def test_agrees_with_whole_matrices_in_double_precision(shape, size):
    image = noise(*shape)
    graph = tf.function(
        lambda images: fit_square(images, size),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
    )
    np.testing.assert_allclose(
        graph(image[None].astype(np.float32))[0], exact(image, size), atol=2e-3
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_numbers_are_those_of_pillow(shape):
    """Of 255, at most one off, and hardly ever: Pillow rounds after each axis."""
    image, size = noise(*shape), 32
    short = min(shape)
    height, width = (max((2 * side * size + short) // (2 * short), size) for side in shape)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (height - size) // 2, (width - size) // 2
    expected = np.asarray(resized)[top : top + size, left : left + size].astype(int)
    difference = np.abs(resize_and_crop(tf.constant(image), size).numpy() - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.25


def test_images_of_the_size_stay_as_they_are():
    image = noise(32, 32)
    graph = tf.function(
        lambda images: fit_square(images, 32),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
    )
    np.testing.assert_array_equal(graph(image[None].astype(np.float32))[0], image)
    np.testing.assert_array_equal(resize_and_crop(tf.constant(image), 32), image)


def test_one_image_and_a_batch_agree_up_to_rounding():
    """An image of several strips of rows, too."""
    image = noise(2500, 700)
    batch = fit_square(image[None].astype(np.float32), 48)[0]
    alone = resize_and_crop(tf.constant(image), 48)
    np.testing.assert_allclose(alone, batch, atol=0.501)


def test_an_exports_resizing_has_neither_float64_nor_int64():
    """TFLite has no division of them, and the export would not convert."""
    spec = tf.TensorSpec([None, None, None, 3], tf.float32)
    graph = tf.function(lambda images: fit_square(images, 32)).get_concrete_function(spec).graph
    kinds = {output.dtype for node in graph.get_operations() for output in node.outputs}
    assert kinds == {tf.float32, tf.int32}


def test_no_image_at_all():
    assert fit_square(tf.zeros([0, 30, 20, 3]), 16).shape == (0, 16, 16, 3)


_SCRIPT = """
import io, resource, sys, time
import msbreg_tf, tensorflow as tf
from msbreg_tf.data.images.decoding import decode_image
from msbreg_tf.data.images.resizing import resize_and_crop
graph = tf.function(lambda c: resize_and_crop(decode_image(c), 224),
                    input_signature=[tf.TensorSpec([], tf.string)])
graph(open(sys.argv[1], "rb").read())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
graph(open(sys.argv[2], "rb").read())
seconds = time.process_time() - start
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("shape", [(4000, 1), (1, 20000), (3, 60000)])
def test_a_thin_image_costs_as_little_as_it_has_pixels(tmp_path, shape):
    """Resized whole, 4000 × 1 at 224 px would be 224 · 4000 × 224 pixels, 2.4 GB."""
    small, thin = tmp_path / "small.png", tmp_path / "thin.png"
    Image.fromarray(noise(10, 10)).save(small)
    Image.fromarray(noise(*shape)).save(thin)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, small, thin], capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 2
    assert megabytes < 100
