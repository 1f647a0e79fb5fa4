"""Crop, resize, flip and blur as matrices with a narrow band, one per view and axis.

All of them are linear and separable: a view is `rows @ plane @ columnsᵀ` for each colour plane, and
exactly what PIL's antialiased resize computes. A pixel of the result depends on few pixels of an
axis, so each block of rows of a matrix is kept with the window of columns outside of which it is
zero. Batched products of these blocks do every view at once: at 224 px with a sixth of the
arithmetic of whole matrices, and several times faster than gathering pixels.
"""

import functools
from typing import NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf

from msbreg_tf.augment import draws as columns_of

_BLOCK = 32  # rows; smaller blocks waste less arithmetic, larger ones multiply faster
_STEP = 16  # sizes of single views' products are multiples of this, as oneDNN compiles for each


class Banded(NamedTuple):
    """One matrix [S, size] per view, as n blocks of b rows; zero outside a block's window.

    Attributes:
      weights: float32 [B, K, n, b, L], the windows; rows beyond S repeat the last.
      first: int32 [B, K, n], column where the window of each block begins.
      num_rows: S.
      widths: int32 [B, K], how many of its L columns a view needs, the rest being zero and perhaps
        beyond the image; None: all.
    """

    weights: tf.Tensor
    first: tf.Tensor
    num_rows: int
    widths: Optional[tf.Tensor] = None


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
    start: tf.Tensor,
    length: tf.Tensor,
    size: Union[int, tf.Tensor],
    new_size: int,
    sigma: Optional[tf.Tensor] = None,
    own_widths: bool = False,
) -> Banded:
    """Makes the matrices that crop one axis, resize it bilinearly with antialiasing, and blur it.

    As PIL resizes: output pixel s lies at c = start + (s + ½) · length/S of the input's axis and is
    the mean of the crop's pixels under a triangle of half-width max(1, length/S) around c. The blur
    is a Gaussian with mirrored edges, `blur_radius` pixels of the output to each side.

    Args:
      start: float32 [B, K], first pixel of the crop.
      length: float32 [B, K], pixels of the crop, at least 1. Negative: the same crop, mirrored,
        where `start` is the end of the crop (its first pixel in the new order, plus one).
      size: integer scalar, pixels of the input's axis.
      new_size: S, more than the blur's radius.
      sigma: float32 [B, K], the blur's standard deviation in pixels, above 0; None for no blur.
      own_widths: let each view have a window of its own width instead of what the largest crop
        needs; shapes then depend on values, which XLA does not compile.

    Returns:
      Matrices [S, size]; every row sums to 1.
    """
    blocks = _blocks_of_rows(new_size)
    if sigma is None:
        return _resize(start, length, size, new_size, blocks, own_widths)
    radius = blur_radius(new_size)
    width = min(new_size, blocks.shape[1] + 2 * radius)
    first = np.clip(blocks[:, :1] - radius, 0, new_size - width)
    blurred = first + np.arange(width, dtype=np.int32)  # [n, width], the rows that a block mixes
    resize = _resize(start, length, size, new_size, blurred, own_widths)
    weights = tf.matmul(_blur(sigma, new_size, blocks, blurred), resize.weights)
    return resize._replace(weights=weights)


def _resize(start, length, size, new_size: int, rows: np.ndarray, own_widths: bool) -> Banded:
    """The resizing matrices' rows that `rows`, int32 [n, r], names: weights [B, K, n, r, L]."""
    start, length = start[..., None, None], length[..., None, None]
    scale = length / new_size
    reach = tf.maximum(tf.abs(scale), 1.0)
    centres = start + scale * (rows.astype(np.float32) + 0.5)  # [B, K, n, r]

    # Room for the rows' centres, their reach, and two for rounding.
    largest = tf.abs(scale[..., 0, 0]) if own_widths else tf.cast(size, tf.float32) / new_size
    needed = (rows.shape[1] - 1) * largest + 2 * tf.maximum(largest, 1.0)
    widths = tf.cast(tf.math.ceil(needed), tf.int32) + 2
    widths = tf.minimum(size, _whole_steps(widths) if own_widths else widths)
    width = tf.reduce_max(widths) if own_widths else widths
    first = tf.floor(tf.reduce_min(centres, axis=-1) - reach[..., 0])
    first = tf.clip_by_value(tf.cast(first, tf.int32), 0, size - widths[..., None])  # [B, K, n]

    pixels = tf.cast(first[..., None] + tf.range(width), tf.float32) + 0.5  # [B, K, n, L]
    low, high = tf.minimum(start, start + length), tf.maximum(start, start + length)
    # Pixels outside the crop are put out of reach here, where it costs one vector and not a matrix.
    pixels = tf.where((pixels > low) & (pixels < high), pixels / reach, 1e6)
    centres = centres / reach
    weights = tf.nn.relu(1 - tf.abs(pixels[..., None, :] - centres[..., None]))
    weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
    weights = tf.ensure_shape(weights, [None, None, *rows.shape, None])
    return Banded(weights, first, new_size, widths if own_widths else None)


def blur_radius(image_size: int) -> int:
    """Returns the radius of a blur kernel of about 1/10 of the side (23 px for 224, as SimCLR)."""
    return max(1, image_size // 20)


def _blur(sigma: tf.Tensor, size: int, rows: np.ndarray, columns: np.ndarray) -> tf.Tensor:
    """The blurring matrices' entries at `rows` [n, b] and `columns` [n, r]: [B, K, n, b, r]."""
    radius = blur_radius(size)
    distance = tf.range(radius + 1, dtype=tf.float32)
    kernel = tf.exp(-0.5 * tf.square(distance / sigma[..., None]))  # [B, K, radius + 1]
    kernel /= 2 * tf.reduce_sum(kernel, axis=-1, keepdims=True) - 1  # only distance 0 is single
    taps = _blur_taps(size, radius)[:, rows[..., None], columns[:, None]]  # [radius + 1, n, b, r]
    weights = tf.matmul(tf.reshape(kernel, [-1, radius + 1]), taps.reshape(radius + 1, -1))
    return tf.reshape(weights, tf.concat([tf.shape(sigma), taps.shape[1:]], axis=0))


def apply_to_rows_and_columns(images: tf.Tensor, rows: Banded, columns: Banded) -> tf.Tensor:
    """Makes K views of each image by a matrix for each axis.

    Args:
      images: float32 or bfloat16 [B, H, W, C]; the products have this type. Matrices with own
        widths want B = 1 and take one view after the other, each from the columns that it shows,
        which on a CPU is faster for large images.
      rows: matrices [S, H], n blocks of b.
      columns: matrices [S, W], n blocks of b.

    Returns:
      [B, K, S, C, S], the views as lines of one colour each.
    """
    if rows.widths is None:
        return _all_views(images, rows, columns)
    parts = [_part_of_view(images, rows, columns, k) for k in range(rows.weights.shape[1])]
    return tf.concat([_all_views(*part) for part in parts], axis=1)


def _all_views(images: tf.Tensor, rows: Banded, columns: Banded) -> tf.Tensor:
    batch, height, width, _ = tf.unstack(tf.shape(images))
    colours = images.shape[-1]
    views, count, side = (rows.weights.shape[i] or tf.shape(rows.weights)[i] for i in (1, 2, 3))
    # The height first, as one product for all colours and columns of a block.
    parts = tf.reshape(images, [batch, height, width * colours])
    parts = tf.gather(parts, _windows(rows), axis=1, batch_dims=1)  # [B, K, n, L, WC]
    parts = _times(parts, rows.weights)  # [B, K, n, WC, b]
    # Then the width: a pixel of a window is its colours in all lines of the block.
    parts = tf.reshape(parts, [batch, views, count, width, colours * side])
    parts = tf.gather(parts, _windows(columns), axis=3, batch_dims=2)  # [B, K, n, n, L, Cb]
    parts = _times(parts, columns.weights[:, :, None])  # [B, K, n, n, Cb, b]
    parts = tf.reshape(parts, [batch, views, count, count, colours, side, side])
    lines = tf.transpose(parts, [0, 1, 2, 5, 4, 3, 6])  # [B, K, n, b, C, n, b]
    lines = tf.reshape(lines, [batch, views, count * side, colours, count * side])
    return lines[:, :, : rows.num_rows, :, : columns.num_rows]


def _part_of_view(
    images: tf.Tensor, rows: Banded, columns: Banded, view: int
) -> tuple[tf.Tensor, Banded, Banded]:
    """The columns of the one image that a view shows, and its matrices for them."""
    rows, columns = _of_view(rows, view), _of_view(columns, view)
    left, right = tf.reduce_min(columns.first), tf.reduce_max(columns.first)
    width = tf.shape(images)[2]
    shown = tf.minimum(width, _whole_steps(right - left + tf.shape(columns.weights)[-1]))
    left = tf.minimum(left, width - shown)
    part = images[:, :, left : left + shown]
    return part, rows, columns._replace(first=columns.first - left)


def _of_view(matrices: Banded, view: int) -> Banded:
    """The matrix of one view of the one image, as wide as it needs."""
    weights = matrices.weights[:, view : view + 1, ..., : matrices.widths[0, view]]
    return Banded(weights, matrices.first[:, view : view + 1], matrices.num_rows)


def _whole_steps(widths: tf.Tensor) -> tf.Tensor:
    return -(-widths // _STEP) * _STEP


@functools.cache
def fastest_product() -> str:
    """Type of numbers to multiply on this CPU: "bfloat16" where it has instructions for it.

    They are twice as fast as float32's. Without them TensorFlow emulates bfloat16, slowly.
    """
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:  # not Linux
        return "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"


def _times(windows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[..., L, M] and [..., b, L] → [..., M, b]."""
    weights = tf.cast(weights, windows.dtype)
    return tf.matmul(windows, weights, transpose_a=True, transpose_b=True)


def _windows(matrices: Banded) -> tf.Tensor:
    """The columns in the window of each block, int32 [B, K, n, L]."""
    return matrices.first[..., None] + tf.range(tf.shape(matrices.weights)[-1])


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
