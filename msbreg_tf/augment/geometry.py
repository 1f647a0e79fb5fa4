"""Crop, resize, flip and blur as small matrices, one per view and axis.

All of them are linear and separable: a view is `rows @ plane @ columnsᵀ` for each colour plane.
Batched matrix products do that for every view at once, several times faster than gathering
pixels, and exactly what PIL's antialiased resize computes.
"""

import numpy as np
import tensorflow as tf

from msbreg_tf.augment import draws as columns_of


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
    start: tf.Tensor, length: tf.Tensor, size: tf.Tensor, new_size: int
) -> tf.Tensor:
    """Makes the matrices that crop one axis and resize it bilinearly with antialiasing, as PIL.

    Output pixel s lies at c = start + (s + ½) · length/S of the input's axis and is the mean of
    the crop's pixels under a triangle of half-width max(1, length/S) around c.

    Args:
      start: float32 [B, K], first pixel of the crop.
      length: float32 [B, K], pixels of the crop, at least 1. Negative: the same crop, mirrored,
        where `start` is the end of the crop (its first pixel in the new order, plus one).
      size: int32 scalar, pixels of the input's axis.
      new_size: S.

    Returns:
      float32 [B, K, S, size]; every row sums to 1.
    """
    scale = length / new_size
    reach = tf.maximum(tf.abs(scale), 1.0)
    centres = start[..., None] + scale[..., None] * (tf.range(new_size, dtype=tf.float32) + 0.5)
    pixels = tf.range(size, dtype=tf.float32) + 0.5
    low = tf.minimum(start, start + length)[..., None]
    inside = (pixels > low) & (pixels < low + tf.abs(length)[..., None])
    # Pixels outside the crop are put out of reach here, where it costs one vector and not a matrix.
    pixels = tf.where(inside, pixels / reach[..., None], 1e6)  # [B, K, size]
    centres = centres / reach[..., None]  # [B, K, S]
    weights = tf.nn.relu(1 - tf.abs(pixels[..., None, :] - centres[..., None]))
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def blur_radius(image_size: int) -> int:
    """Returns the radius of a blur kernel of about 1/10 of the side (23 px for 224, as SimCLR)."""
    return max(1, image_size // 20)


def blur_matrices(sigma: tf.Tensor, image_size: int) -> tf.Tensor:
    """Makes the matrices that blur one axis with a Gaussian and mirrored edges.

    Args:
      sigma: float32 [B, K], standard deviation in pixels, above 0.
      image_size: S, more than the kernel's radius.

    Returns:
      float32 [B, K, S, S]; every row sums to 1.
    """
    radius = blur_radius(image_size)
    distance = tf.range(radius + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * tf.square(distance / sigma[..., None]))  # [B, K, radius + 1]
    weights /= 2 * tf.reduce_sum(weights, axis=-1, keepdims=True) - 1  # only distance 0 is single
    taps = _blur_taps(image_size, radius).reshape(radius + 1, -1)
    matrices = tf.matmul(tf.reshape(weights, [-1, radius + 1]), taps)
    return tf.reshape(matrices, tf.concat([tf.shape(sigma), [image_size, image_size]], axis=0))


def _blur_taps(image_size: int, radius: int) -> np.ndarray:
    """Returns float32 [radius + 1, S, S]: which pixels lie at each distance, edges mirrored."""
    taps = np.zeros([radius + 1, image_size, image_size], np.float32)
    centre = np.arange(image_size)
    last = image_size - 1
    for shift in range(-radius, radius + 1):
        mirrored = last - np.abs(last - np.abs(centre + shift))
        np.add.at(taps[abs(shift)], (centre, mirrored), 1.0)
    return taps


def apply_to_rows_and_columns(planes: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Applies a matrix to each axis of every plane of every view.

    Args:
      planes: float32 [B, 3, K, H, W], or [B, 3, 1, H, W] to make K views of the same planes.
      rows: float32 [B, K, S, H].
      columns: float32 [B, K, S, W].

    Returns:
      float32 [B, 3, K, S, S].
    """
    columns = columns[:, None]
    if planes.shape[2] == 1:
        # One tall product per plane instead of K that each read the plane again.
        views, new_size = rows.shape[1:3]
        tall = tf.reshape(rows, [-1, 1, views * new_size, tf.shape(rows)[-1]])
        planes = tf.matmul(tall, planes[:, :, 0])  # [B, 3, K·S, W]
        shape = tf.shape(planes)
        planes = tf.reshape(planes, [-1, 3, views, new_size, shape[-1]])
    else:
        planes = tf.matmul(rows[:, None], planes)
    return tf.matmul(planes, columns, transpose_b=True)
