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

from msbreg_tf.distributed.devices import bfloat16_instructions

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

    widths = _widths(tf.abs(scale[..., 0, 0]), size, new_size, rows.shape[1], own_widths)
    width = tf.reduce_max(widths)
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


def _widths(scale, size, new_size: int, block: int, own_widths: bool) -> tf.Tensor:
    """Columns that a window needs for a block of rows: int32 [B, K], or a scalar for all views."""
    largest = scale if own_widths else tf.cast(size, tf.float32) / new_size
    # Room for the rows' centres, their reach, and two for rounding.
    needed = (block - 1) * largest + 2 * tf.maximum(largest, 1.0)
    widths = tf.cast(tf.math.ceil(needed), tf.int32) + 2
    return tf.minimum(size, _whole_steps(widths) if own_widths else widths)


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
    """All views at once, [B, K, S, C, S]: the height first, then the width."""
    parts = _apply_to_rows(images, rows)  # [B, K, n, W·C, b]
    lines = _apply_to_columns(parts, columns, images.shape[-1])  # [B, K, n·b, C, n·b]
    return lines[:, :, : rows.num_rows, :, : columns.num_rows]


def _apply_to_rows(images: tf.Tensor, rows: Banded) -> tf.Tensor:
    """[B, H, W, C] → [B, K, n, W·C, b], one product for all colours and columns of a block."""
    batch, height, width, _ = tf.unstack(tf.shape(images))
    parts = tf.reshape(images, [batch, height, width * images.shape[-1]])  # [B, H, W·C]
    parts = tf.gather(parts, _windows(rows), axis=1, batch_dims=1)  # [B, K, n, L, W·C]
    return _times(parts, rows.weights)  # [B, K, n, W·C, b]


def _apply_to_columns(parts: tf.Tensor, columns: Banded, colours: int) -> tf.Tensor:
    """[B, K, n, W·C, b] → [B, K, n·b, C, n·b].

    A pixel of a window is its colours in all b lines of a block of rows, so that one product does
    them all.
    """
    batch, views, count, side = (parts.shape[i] or tf.shape(parts)[i] for i in (0, 1, 2, 4))
    width = tf.shape(parts)[3] // colours
    parts = tf.reshape(parts, [batch, views, count, width, colours * side])  # [B, K, n, W, C·b]
    parts = tf.gather(parts, _windows(columns), axis=3, batch_dims=2)  # [B, K, n, n, L, C·b]
    parts = _times(parts, columns.weights[:, :, None])  # [B, K, n, n, C·b, b]
    parts = tf.reshape(parts, [batch, views, count, count, colours, side, side])
    lines = tf.transpose(parts, [0, 1, 2, 5, 4, 3, 6])  # [B, K, n, b, C, n, b]
    return tf.reshape(lines, [batch, views, count * side, colours, count * side])


def _part_of_view(
    images: tf.Tensor, rows: Banded, columns: Banded, view: int
) -> tuple[tf.Tensor, Banded, Banded]:
    """The columns of the one image that a view shows, and its matrices for them."""
    rows, columns = _of_view(rows, view), _of_view(columns, view)  # [1, 1, n, b, own L]
    left, right = tf.reduce_min(columns.first), tf.reduce_max(columns.first)
    width = tf.shape(images)[2]
    shown = tf.minimum(width, _whole_steps(right - left + tf.shape(columns.weights)[-1]))
    left = tf.minimum(left, width - shown)
    part = images[:, :, left : left + shown]  # [1, H, shown, C]
    return part, rows, columns._replace(first=columns.first - left)


def _of_view(matrices: Banded, view: int) -> Banded:
    """The matrix of one view of the one image, as wide as it needs."""
    weights = matrices.weights[:, view : view + 1, ..., : matrices.widths[0, view]]
    return Banded(weights, matrices.first[:, view : view + 1], matrices.num_rows)


def _whole_steps(widths: tf.Tensor) -> tf.Tensor:
    return -(-widths // _STEP) * _STEP


@functools.cache
def fastest_product() -> str:
    """Type of numbers to multiply on this CPU: "bfloat16" where it has instructions for it."""
    return "bfloat16" if bfloat16_instructions() else "float32"


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
