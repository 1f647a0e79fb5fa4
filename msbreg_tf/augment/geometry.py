"""Crop, resize, flip and blur as matrices with a narrow band, one per view and axis.

All of them are linear and separable: a view is `rows @ plane @ columnsᵀ` for each colour plane, and
exactly what PIL's antialiased resize computes. A pixel of the result depends on few pixels of an
axis, so each block of rows of a matrix is kept with the window of columns outside of which it is
zero. Batched products of these blocks do every view at once: at 224 px with a sixth of the
arithmetic of whole matrices, and several times faster than gathering pixels.
"""

from typing import NamedTuple, Union

import numpy as np
import tensorflow as tf

from msbreg_tf.augment import draws as columns_of

_BLOCK = 16  # rows; smaller blocks waste less arithmetic, larger ones multiply faster


class Banded(NamedTuple):
    """One matrix [S, size] per view, as n blocks of b rows; zero outside a block's window.

    Attributes:
      weights: float32 [B, K, n, b, L], the windows; rows beyond S repeat the last.
      first: int32 [B, K, n], column where the window of each block begins.
      num_rows: S.
    """

    weights: tf.Tensor
    first: tf.Tensor
    num_rows: int


def crop_boxes(
    draws: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    area: tuple[float, float],
    max_ratio: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Chooses a crop for every view, as torchvision's RandomResizedCrop does.

    Ten proposals of a uniform area and a log-uniform ratio width/height; the first that fits into
    the image is taken, at a uniform position. If none fits: the largest central crop whose ratio
    is allowed.

    Args:
      draws: float32 [B, K, NUM_DRAWS] in [0, 1).
      height, width: float32 scalars, size of the images in pixels.
      area: smallest and largest area, as fractions of the image's.
      max_ratio: ratios lie between 1/max_ratio and max_ratio.

    Returns:
      top, left, crop_height, crop_width: float32 [B, K], whole numbers of pixels.
    """
    pixels = height * width * columns_of.between(*area, draws[..., columns_of.AREA])
    log_ratio = np.log(max_ratio)
    ratio = tf.exp(columns_of.between(-log_ratio, log_ratio, draws[..., columns_of.LOG_RATIO]))
    heights = tf.round(tf.sqrt(pixels / ratio))  # [B, K, tries]
    widths = tf.round(tf.sqrt(pixels * ratio))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)

    first = tf.argmax(tf.cast(fits, tf.int32), axis=-1, output_type=tf.int32)
    found = tf.reduce_any(fits, axis=-1)
    whole_height = tf.minimum(height, tf.round(width * max_ratio))
    whole_width = tf.minimum(width, tf.round(height * max_ratio))
    crop_height = tf.where(found, tf.gather(heights, first, batch_dims=2), whole_height)
    crop_width = tf.where(found, tf.gather(widths, first, batch_dims=2), whole_width)

    free = tf.stack([height - crop_height, width - crop_width])
    draw = tf.stack([draws[..., columns_of.TOP], draws[..., columns_of.LEFT]])
    starts = tf.where(found, columns_of.whole_number_below(free + 1, draw), tf.floor(free / 2))
    top, left = tf.unstack(starts)
    return top, left, crop_height, crop_width


def resample_matrices(
    start: tf.Tensor, length: tf.Tensor, size: Union[int, tf.Tensor], new_size: int
) -> Banded:
    """Makes the matrices that crop one axis and resize it bilinearly with antialiasing, as PIL.

    Output pixel s lies at c = start + (s + ½) · length/S of the input's axis and is the mean of
    the crop's pixels under a triangle of half-width max(1, length/S) around c.

    Args:
      start: float32 [B, K], first pixel of the crop.
      length: float32 [B, K], pixels of the crop, at least 1. Negative: the same crop, mirrored,
        where `start` is the end of the crop (its first pixel in the new order, plus one).
      size: integer scalar, pixels of the input's axis.
      new_size: S.

    Returns:
      Matrices [S, size]; every row sums to 1.
    """
    blocks = _blocks_of_rows(new_size)
    start, length = start[..., None, None], length[..., None, None]
    scale = length / new_size
    reach = tf.maximum(tf.abs(scale), 1.0)
    centres = start + scale * (blocks.astype(np.float32) + 0.5)  # [B, K, n, b]

    # As wide as the largest crop needs: the rows' centres, their reach, and two for rounding.
    largest = tf.cast(size, tf.float32) / new_size
    needed = (blocks.shape[1] - 1) * largest + 2 * tf.maximum(largest, 1.0)
    width = tf.minimum(size, tf.cast(tf.math.ceil(needed), tf.int32) + 2)
    first = tf.floor(tf.reduce_min(centres, axis=-1) - reach[..., 0])
    first = tf.clip_by_value(tf.cast(first, tf.int32), 0, size - width)  # [B, K, n]

    pixels = tf.cast(first[..., None] + tf.range(width), tf.float32) + 0.5  # [B, K, n, L]
    low, high = tf.minimum(start, start + length), tf.maximum(start, start + length)
    # Pixels outside the crop are put out of reach here, where it costs one vector and not a matrix.
    pixels = tf.where((pixels > low) & (pixels < high), pixels / reach, 1e6)
    centres = centres / reach
    weights = tf.nn.relu(1 - tf.abs(pixels[..., None, :] - centres[..., None]))
    return Banded(weights / tf.reduce_sum(weights, axis=-1, keepdims=True), first, new_size)


def blur_radius(image_size: int) -> int:
    """Returns the radius of a blur kernel of about 1/10 of the side (23 px for 224, as SimCLR)."""
    return max(1, image_size // 20)


def blur_matrices(sigma: tf.Tensor, image_size: int) -> Banded:
    """Makes the matrices that blur one axis with a Gaussian and mirrored edges.

    Args:
      sigma: float32 [B, K], standard deviation in pixels, above 0.
      image_size: S, more than the kernel's radius.

    Returns:
      Matrices [S, S]; every row sums to 1.
    """
    radius = blur_radius(image_size)
    distance = tf.range(radius + 1, dtype=tf.float32)
    kernel = tf.exp(-0.5 * tf.square(distance / sigma[..., None]))  # [B, K, radius + 1]
    kernel /= 2 * tf.reduce_sum(kernel, axis=-1, keepdims=True) - 1  # only distance 0 is single

    blocks = _blocks_of_rows(image_size)
    width = min(image_size, blocks.shape[1] + 2 * radius)
    first = np.clip(blocks[:, 0] - radius, 0, image_size - width)
    windows = first[:, None] + np.arange(width)
    taps = _blur_taps(image_size, radius)[:, blocks[..., None], windows[:, None]]  # [·, n, b, L]
    weights = tf.matmul(tf.reshape(kernel, [-1, radius + 1]), taps.reshape(radius + 1, -1))
    batch = tf.shape(sigma)
    return Banded(
        tf.reshape(weights, tf.concat([batch, taps.shape[1:]], axis=0)),
        tf.broadcast_to(first.astype(np.int32), tf.concat([batch, first.shape], axis=0)),
        image_size,
    )


def apply_to_rows_and_columns(planes: tf.Tensor, rows: Banded, columns: Banded) -> tf.Tensor:
    """Applies a matrix to each axis of every plane of every view.

    Args:
      planes: float32 [B, K, 3, H, W], or [B, 3, H, W] to make K views of the same planes.
      rows: matrices [S, H].
      columns: matrices [S, W].

    Returns:
      float32 [B, K, 3, S, S].
    """
    return _multiply_and_turn(_multiply_and_turn(planes, rows), columns)


def _multiply_and_turn(planes: tf.Tensor, matrices: Banded) -> tf.Tensor:
    """[B, K, 3, H, W] or [B, 3, H, W] → [B, K, 3, W, S]: matrix · plane, transposed."""
    weights, first, num_rows = matrices
    windows = first[..., None] + tf.range(tf.shape(weights)[-1])  # [B, K, n, L]
    if planes.shape.rank == 4:
        parts = tf.gather(planes, windows, axis=2, batch_dims=1)  # [B, 3, K, n, L, W]
        weights, views_first = weights[:, None], [0, 2, 1, 4, 3, 5]
    else:
        parts = tf.gather(planes, windows, axis=3, batch_dims=2)  # [B, K, 3, n, L, W]
        weights, views_first = weights[:, :, None], [0, 1, 2, 4, 3, 5]
    parts = tf.matmul(parts, weights, transpose_a=True, transpose_b=True)  # [B, ·, ·, n, W, b]
    parts = tf.transpose(parts, views_first)  # [B, K, 3, W, n, b]
    shape = tf.concat([tf.shape(parts)[:4], [-1]], axis=0)
    return tf.reshape(parts, shape)[..., :num_rows]


def _blocks_of_rows(num_rows: int) -> np.ndarray:
    """The numbers of the rows in blocks of about _BLOCK, int32 [n, b]; the last one is repeated."""
    count = -(-num_rows // _BLOCK)
    size = -(-num_rows // count)
    return np.minimum(np.arange(count * size, dtype=np.int32), num_rows - 1).reshape(count, size)


def _blur_taps(image_size: int, radius: int) -> np.ndarray:
    """Returns float32 [radius + 1, S, S]: which pixels lie at each distance, edges mirrored."""
    taps = np.zeros([radius + 1, image_size, image_size], np.float32)
    centre = np.arange(image_size)
    last = image_size - 1
    for shift in range(-radius, radius + 1):
        mirrored = last - np.abs(last - np.abs(centre + shift))
        np.add.at(taps[abs(shift)], (centre, mirrored), 1.0)
    return taps
