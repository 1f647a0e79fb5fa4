"""MultiViewAugmentation: all random views of a batch of images, as one keras-cv layer."""

import contextlib
import io
from typing import Any, Optional

import tensorflow as tf

from msbreg_tf.augment import colour
from msbreg_tf.augment import draws as columns_of
from msbreg_tf.augment import resample as geometry
from msbreg_tf.run.config import Config

with contextlib.redirect_stdout(io.StringIO()):  # it announces its backend, amid our tables
    import keras_cv

_NO_BLUR = 0.01  # pixels; the Gaussian's neighbours underflow to exactly 0
_UNSUPPORTED = {"bounding_boxes", "keypoints", "segmentation_masks"}
_FRACTIONS = (
    "flip_probability",
    "jitter_probability",
    "brightness",
    "contrast",
    "saturation",
    "grey_probability",
    "blur_probability",
    "solarize_probability",
    "solarize_threshold",
)
_ARGUMENTS = (
    *("num_views", "image_size", "area", "max_ratio", "hue", "blur_sigma", "seed", "augment_on"),
    *_FRACTIONS,
)


@tf.keras.saving.register_keras_serializable(package="msbreg_tf")
class MultiViewAugmentation(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Makes K random views of every image: the augmentation of Table 1 (SimCLR's family).

    Random resized crop → horizontal flip → Gaussian blur → colour jitter → grey → solarisation,
    every view of every image with its own parameters. A view is a pure function of the image and
    its row of draws: give `"draws"` (see `image_draws`) and the result depends on neither order,
    batching nor parallel calls. Without them the layer draws from its own generator.

    Strengths have torchvision's meaning. Deviations from torchvision and Table 1: values stay
    floats from the crop to the end; the blur precedes the colours, so that one matrix crops,
    resizes, flips and blurs (they commute, but for hue and clipping: on photographs the views
    differ by less than 0.2 of 255 on average); colour jitter clips once at its end (as DeepMind's
    BYOL does); crops draw one position for the accepted proposal, where torchvision draws one for
    each proposal.

    Input: `{"images": uint8 or float [B, H, W, 3] in 0..255, "draws": float32 [B, K, NUM_DRAWS] in
    [0, 1)}`; without the batch axis, or as a bare tensor of images, it is accepted too. H and W
    may be unknown until run time. Output: the same with `"images"`: uint8 [B, K, S, S, 3]; other
    keys pass through. It always makes views: `training` does not matter, as in keras-cv.

    Args:
      num_views: K, at least 1.
      image_size: S, side of a view in pixels, at least 8.
      area: smallest and largest crop, as fractions of the image's area.
      max_ratio: crop ratios are log-uniform between 1/max_ratio and max_ratio, at least 1.
      flip_probability: of a horizontal flip.
      jitter_probability: of colour jitter.
      brightness: jitter multiplies brightness by 1 ± this.
      contrast: jitter multiplies contrast by 1 ± this.
      saturation: jitter multiplies saturation by 1 ± this.
      hue: jitter turns the hue by ± this, in turns; at most ½.
      grey_probability: of dropping the colour.
      blur_probability: of Gaussian blur with a kernel of about S/10 pixels.
      blur_sigma: smallest and largest standard deviation of the blur, pixels.
      solarize_probability: of solarisation.
      solarize_threshold: values above this fraction of white are inverted.
      seed: of the layer's own generator, for calls without draws.
      augment_on: "host", for CPUs: the crop's matrix products are in bfloat16 where the CPU has
        instructions for it, by which views differ by 0.1 of 255 on average, and a single image's
        views are cut out one by one. "device", for GPUs and XLA: float32, all views at once.
      **kwargs: of `keras.layers.Layer`. The dtype is float32 whatever the global policy.

    Raises:
      ValueError: an argument outside its range.
    """

    def __init__(
        self,
        num_views: int = 4,
        image_size: int = 96,
        area: tuple[float, float] = (0.08, 1.0),
        max_ratio: float = 4 / 3,
        flip_probability: float = 0.5,
        jitter_probability: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        grey_probability: float = 0.2,
        blur_probability: float = 1.0,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        solarize_probability: float = 0.2,
        solarize_threshold: float = 0.5,
        seed: Optional[int] = None,
        augment_on: str = "host",
        **kwargs,
    ):
        # keras-cv takes seed 0 for none, and for none the global generator, which deterministic
        # programs may not have; that is looked up only by a call without draws.
        super().__init__(seed=1, **{**kwargs, "dtype": "float32"})
        self._random_generator = None if seed is None else tf.random.Generator.from_seed(seed)
        self.num_views = num_views
        self.image_size = image_size
        self.area = tuple(area)
        self.max_ratio = max_ratio
        self.flip_probability = flip_probability
        self.jitter_probability = jitter_probability
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.grey_probability = grey_probability
        self.blur_probability = blur_probability
        self.blur_sigma = tuple(blur_sigma)
        self.solarize_probability = solarize_probability
        self.solarize_threshold = solarize_threshold
        self.seed = seed
        self.augment_on = augment_on
        self._check()

    def _check(self):
        limits = {"num_views": (1, None), "image_size": (8, None), "max_ratio": (1, None)}
        limits.update(dict.fromkeys(_FRACTIONS, (0, 1)), hue=(0, 0.5))
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value < low or (high is not None and value > high):
                wanted = f"at least {low}" if high is None else f"between {low} and {high}"
                raise ValueError(f"{name}={value}: expected {wanted}.")
        if self.augment_on not in ("host", "device"):
            raise ValueError(f"augment_on={self.augment_on!r}: expected 'host' or 'device'.")
        for name, high in (("area", 1), ("blur_sigma", self.image_size)):
            value = getattr(self, name)
            if not 0 < value[0] <= value[1] <= high:
                raise ValueError(f"{name}={value}: expected 0 < smallest <= largest <= {high}.")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in _ARGUMENTS}}

    def get_random_transformation_batch(self, batch_size, **unused) -> tf.Tensor:
        """Draws rows for a batch from the layer's own generator: float32 [B, K, NUM_DRAWS]."""
        shape = [batch_size, self.num_views, columns_of.NUM_DRAWS]
        generator = self._random_generator or tf.random.get_global_generator()
        return generator.uniform(shape)

    def _batch_augment(self, inputs: dict[str, Any]) -> dict[str, Any]:
        # keras-cv's own version does not show its hooks the "draws" of the input.
        unsupported = sorted(_UNSUPPORTED & set(inputs))
        if unsupported:
            raise ValueError(f"{', '.join(unsupported)}: not supported, only images are augmented.")
        images = inputs["images"]
        if isinstance(images, tf.RaggedTensor):
            raise ValueError("images: ragged batches are not supported, pass one image at a time.")
        if images.shape[-1] != 3:
            raise ValueError(f"images of shape {images.shape}: expected 3 colours, [B, H, W, 3].")
        draws = inputs.get("draws")
        if draws is None:
            draws = self.get_random_transformation_batch(tf.shape(images)[0])
        return {**inputs, "images": self.augment_images(images, transformations=draws)}

    def augment_images(self, images: tf.Tensor, transformations: tf.Tensor, **unused) -> tf.Tensor:
        """Makes the views.

        Args:
          images: float32 [B, H, W, 3], 0 to 255.
          transformations: the draws, float32 [B, K, NUM_DRAWS] in [0, 1).

        Returns:
          uint8 [B, K, S, S, 3].
        """
        draws = tf.ensure_shape(transformations, [None, self.num_views, columns_of.NUM_DRAWS])
        lines = self._crop_flip_and_blur(images, draws, on_host=self.augment_on == "host")
        return self._recolour(lines, draws)

    def crop(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Only what brings images of any size to one size, for `views_of` to go on from; on a host.

        Args:
          inputs: "images", uint8 or float [B, H, W, 3], and "draws", float32 [B, K, NUM_DRAWS].

        Returns:
          "lines", int8 [B, K, S, 3, S], what the views' colours exceed `colour.MID_GREY` by before
          jitter, and "draws".
        """
        lines = self._crop_flip_and_blur(inputs["images"], inputs["draws"], on_host=True)
        return {"lines": tf.saturate_cast(tf.round(lines), tf.int8), "draws": inputs["draws"]}

    def views_of(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The views, uint8 [B, K, S, S, 3], of "images" and "draws" or of what `crop` returned."""
        if "images" in batch:
            return self(batch)["images"]
        return self._recolour(batch["lines"], batch["draws"])

    def _recolour(self, lines, draws):
        drop = draws[..., columns_of.GREY] < self.grey_probability
        words = colour.recolour(
            lines,
            self._jitter(draws) if self.jitter_probability else None,
            drop if self.grey_probability else None,
            self._threshold(draws) if self.solarize_probability else None,
        )
        views = colour.pixels(words)
        views.set_shape([lines.shape[0], self.num_views, self.image_size, self.image_size, 3])
        return views

    def _crop_flip_and_blur(self, images, draws, on_host: bool):
        height, width = (images.shape[i] or tf.shape(images)[i] for i in (1, 2))
        top, left, crop_height, crop_width = geometry.crop_boxes(
            draws,
            tf.cast(height, tf.float32),
            tf.cast(width, tf.float32),
            self.area,
            self.max_ratio,
        )
        flip = draws[..., columns_of.FLIP] < self.flip_probability
        left, crop_width = (
            tf.where(flip, left + crop_width, left),
            tf.where(flip, -crop_width, crop_width),
        )
        sigma = self._sigma(draws) if self.blur_probability else None
        alone = on_host and images.shape[0] == 1  # as pipelines have it for large images
        rows, columns = (
            geometry.resample_matrices(start, length, size, self.image_size, sigma, alone)
            for start, length, size in ((top, crop_height, height), (left, crop_width, width))
        )
        # The rows of the matrices sum to 1, so a shift of all colours passes through them.
        dtype = geometry.fastest_product() if on_host else "float32"
        images = tf.cast(tf.cast(images, tf.float32) - colour.MID_GREY, dtype)
        return geometry.apply_to_rows_and_columns(images, rows, columns)

    def _jitter(self, draws):
        applied = draws[..., columns_of.JITTER] < self.jitter_probability

        def change(strength, column):
            value = columns_of.between(-strength, strength, draws[..., column])
            return tf.where(applied, value, 0.0)

        order = columns_of.whole_number_below(len(colour.ORDERS), draws[..., columns_of.ORDER])
        return colour.Jitter(
            brightness=1 + change(self.brightness, columns_of.BRIGHTNESS),
            contrast=1 + change(self.contrast, columns_of.CONTRAST),
            saturation=1 + change(self.saturation, columns_of.SATURATION),
            turn=change(self.hue, columns_of.HUE),
            order=tf.cast(order, tf.int32),
        )

    def _sigma(self, draws):
        sigma = columns_of.between(*self.blur_sigma, draws[..., columns_of.SIGMA])
        return tf.where(draws[..., columns_of.BLUR] < self.blur_probability, sigma, _NO_BLUR)

    def _threshold(self, draws):
        applied = draws[..., columns_of.SOLARIZE] < self.solarize_probability
        return tf.where(applied, colour.WHITE * self.solarize_threshold, colour.WHITE)


def build_augmentation(config: Config) -> MultiViewAugmentation:
    """Builds the layer that a run's settings describe.

    Blur is off by default for views of 32 px or less, as is usual on CIFAR.
    """
    augment, size = config.augment, config.data.image_size
    blur_probability = augment.blur_probability
    if blur_probability is None:
        blur_probability = 0.0 if size <= 32 else 1.0
    return MultiViewAugmentation(
        num_views=config.objective.num_views,
        image_size=size,
        area=(augment.crop_area_min, augment.crop_area_max),
        max_ratio=augment.crop_ratio_max,
        flip_probability=augment.flip_probability,
        jitter_probability=augment.jitter_probability,
        brightness=augment.brightness,
        contrast=augment.contrast,
        saturation=augment.saturation,
        hue=augment.hue,
        grey_probability=augment.grey_probability,
        blur_probability=blur_probability,
        blur_sigma=(augment.blur_sigma_min, augment.blur_sigma_max),
        solarize_probability=augment.solarize_probability,
        solarize_threshold=augment.solarize_threshold,
        augment_on=augment.augment_on,
    )
