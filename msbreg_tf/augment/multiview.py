"""MultiViewAugmentation: all random views of a batch of images, as one keras-cv layer."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any, Optional, Union

import tensorflow as tf

from msbreg_tf.augment import colour, resample
from msbreg_tf.augment.operations import blur, crop, flip
from msbreg_tf.augment.operations.table import OPERATIONS, num_draws, uniforms_of
from msbreg_tf.augment.planes import MID_GREY
from msbreg_tf.augment.settings import AugmentSettings

with contextlib.redirect_stdout(io.StringIO()):  # it announces its backend, amid our tables
    import keras_cv

_UNSUPPORTED = {"bounding_boxes", "keypoints", "segmentation_masks"}
_SMALLEST = 8  # pixels


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
    differ by less than 0.2 of 255 on average); colour jitter clips once at its end (torchvision
    after each of its four parts); crops draw one position for the accepted proposal, where
    torchvision draws one for each proposal.

    Input: `{"images": uint8 or float [B, H, W, 3] in 0..255, "draws": float32 [B, K, num_draws()]
    in [0, 1)}`; without the batch axis, or as a bare tensor of images, it is accepted too. H and W
    may be unknown until run time. Output: the same with `"images"`: uint8 [B, K, S, S, 3]; other
    keys pass through. It always makes views: `training` does not matter, as in keras-cv.

    Args:
      settings: strengths and probabilities, or their values as a dict. With `augment_on="host"`,
        for CPUs, the crop's matrix products are in bfloat16 where the CPU has instructions for it,
        by which views differ by 0.1 of 255 on average, and a single image's views are cut out one
        by one; with "device", for GPUs and XLA, they are in float32, all views at once.
      num_views: K, at least 1.
      image_size: S, side of a view in pixels, at least 8.
      seed: of the layer's own generator, for calls without draws.
      **kwargs: of `keras.layers.Layer`. The dtype is float32 whatever the global policy.

    Raises:
      ValueError: an argument outside its range.
    """

    def __init__(
        self,
        settings: Union[AugmentSettings, Mapping[str, Any]] = AugmentSettings(),  # noqa: B008
        *,
        num_views: int = 4,
        image_size: int = 96,
        seed: Optional[int] = None,
        **kwargs,
    ):
        # keras-cv takes seed 0 for none, and for none the global generator, which deterministic
        # programs may not have; that is looked up only by a call without draws.
        super().__init__(seed=1, **{**kwargs, "dtype": "float32"})
        if isinstance(settings, Mapping):
            settings = AugmentSettings(**settings)
        for name, value, least in (
            ("num_views", num_views, 1),
            ("image_size", image_size, _SMALLEST),
        ):
            if value < least:
                raise ValueError(f"{name}={value}: expected at least {least}.")
        if settings.blur_sigma_max > image_size:
            raise ValueError(
                f"blur_sigma_max={settings.blur_sigma_max:g}: expected at most "
                f"image_size={image_size}."
            )
        self.settings = settings.at(image_size)
        self.num_views = num_views
        self.image_size = image_size
        self.seed = seed
        self._random_generator = None if seed is None else tf.random.Generator.from_seed(seed)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {
            "settings": self.settings.values(),
            "num_views": self.num_views,
            "image_size": self.image_size,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}

    def get_random_transformation_batch(self, batch_size, **unused) -> tf.Tensor:
        """Draws rows for a batch from the layer's own generator: float32 [B, K, num_draws()]."""
        generator = self._random_generator or tf.random.get_global_generator()
        return generator.uniform([batch_size, self.num_views, num_draws()])

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
        stored_size = inputs.get("stored_size")
        views = self.augment_images(images, transformations=draws, stored_size=stored_size)
        return {**inputs, "images": views}

    def augment_images(
        self,
        images: tf.Tensor,
        transformations: tf.Tensor,
        stored_size: Optional[tf.Tensor] = None,
        **unused,
    ) -> tf.Tensor:
        """Makes the views.

        Args:
          images: float32 [B, H, W, 3], 0 to 255.
          transformations: the draws, float32 [B, K, num_draws()] in [0, 1).
          stored_size: of images that were decoded smaller than they are, in which crops are drawn:
            int32 [B, 2], height and width, of all images the same.

        Returns:
          uint8 [B, K, S, S, 3].
        """
        draws = tf.ensure_shape(transformations, [None, self.num_views, num_draws()])
        on_host = self.settings.augment_on == "host"
        lines = self._resample(images, draws, stored_size, on_host)
        return self._recolour(lines, draws)

    def reduction(self, draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """How many times smaller an image may be decoded without a crop being enlarged for it.

        Args:
          draws: of the image's views, float32 [K, num_draws()].
          height: of the image in pixels, int32 scalar.
          width: likewise.

        Returns:
          int32 scalar, at least 1.
        """
        uniforms = uniforms_of("crop", draws[tf.newaxis])
        size = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
        _, _, crop_height, crop_width = crop.crop_boxes(self.settings, uniforms, *size)
        return crop.possible_reduction(crop_height, crop_width, self.image_size)[0]

    def resample_on_host(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Crops, flips and blurs images of any size; `finish_views` then continues on a device.

        Args:
          inputs: "images", uint8 or float [B, H, W, 3], "draws", float32 [B, K, num_draws()], and
            possibly "stored_size", see `augment_images`.

        Returns:
          "lines", int8 [B, K, S, 3, S], what the views' colours exceed `MID_GREY` by before jitter,
          and "draws".
        """
        stored_size = inputs.get("stored_size")
        lines = self._resample(inputs["images"], inputs["draws"], stored_size, on_host=True)
        return {"lines": tf.saturate_cast(tf.round(lines), tf.int8), "draws": inputs["draws"]}

    def finish_views(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The views, uint8 [B, K, S, S, 3].

        Args:
          batch: "images" and "draws", or what `resample_on_host` returned.
        """
        if "images" in batch:
            return self(batch)["images"]
        return self._recolour(batch["lines"], batch["draws"])

    def _recolour(self, lines, draws):
        """[B, K, S, 3, S] → uint8 [B, K, S, S, 3]."""
        parameters = {
            name: operation.parameters(self.settings, uniforms_of(name, draws))
            for name, operation in OPERATIONS.items()
            if operation.apply and getattr(self.settings, operation.probability) > 0
        }
        views = colour.pixels(colour.recolour(lines, parameters))
        views.set_shape([lines.shape[0], self.num_views, self.image_size, self.image_size, 3])
        return views

    def _resample(self, images, draws, stored_size, on_host: bool):
        """Crop, flip and blur as one matrix per axis: [B, H, W, 3] → [B, K, S, 3, S]."""
        height, width = (images.shape[i] or tf.shape(images)[i] for i in (1, 2))
        size = [tf.cast(height, tf.float32), tf.cast(width, tf.float32)]
        drawn_in = size if stored_size is None else tf.unstack(tf.cast(stored_size[0], tf.float32))
        boxes = crop.crop_boxes(self.settings, uniforms_of("crop", draws), *drawn_in)
        if stored_size is not None:
            # A whole number in both axes: the last pixel of a JPEG is cut off at the stored edge.
            reduced = tf.round(drawn_in[0] / size[0])
            boxes = [length / reduced for length in boxes]
        top, left, crop_height, crop_width = boxes
        # A crop of negative width is the same crop, mirrored, from its other end.
        flipped = flip.is_flipped(self.settings, uniforms_of("flip", draws))
        left, crop_width = (
            tf.where(flipped, left + crop_width, left),
            tf.where(flipped, -crop_width, crop_width),
        )
        sigma = None
        if self.settings.blur_probability > 0:
            sigma = blur.sigma(self.settings, uniforms_of("blur", draws))
        alone = on_host and images.shape[0] == 1  # as pipelines have it for large images
        rows, columns = (
            resample.resample_matrices(start, length, size, self.image_size, sigma, alone)
            for start, length, size in ((top, crop_height, height), (left, crop_width, width))
        )
        # The rows of the matrices sum to 1, so a shift of all colours passes through them.
        dtype = resample.fastest_product() if on_host else "float32"
        images = tf.cast(tf.cast(images, tf.float32) - MID_GREY, dtype)
        return resample.apply_to_rows_and_columns(images, rows, columns)
