"""ResNet encoders in torchvision's layout, so that weights convert by renaming."""

from typing import Optional

from tensorflow import keras

from msbreg_tf.networks.norms import NormFamily
from msbreg_tf.networks.settings import IMAGENET_MEAN, IMAGENET_STD, NetworkSettings

_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
_REDUCTION = {"imagenet": 32, "cifar": 8}


def build(
    settings: NetworkSettings,
    *,
    image_size: Optional[int] = None,
    synchronized: bool = False,
    name: str = "encoder",
) -> keras.Model:
    """The ResNet that `settings` describe; see `build_resnet`."""
    return build_resnet(
        settings.encoder,
        image_size,
        settings.encoder_width,
        settings.stem,
        settings.norm,
        synchronized,
        name,
    )


def build_resnet(
    encoder: str = "resnet18",
    image_size: Optional[int] = None,
    width: int = 64,
    stem: str = "imagenet",
    norm: str = "batch",
    synchronized: bool = False,
    name: str = "encoder",
) -> keras.Model:
    """Returns a ResNet from images to pooled features (He et al. 2016; METHOD.md, "Networks").

    The layout is torchvision's: explicit symmetric padding, the stride in the 3×3 convolution of a
    bottleneck, no convolution bias, batch norm with epsilon 1e-5. Layer names are torchvision's
    ('layer1.0.conv1'). Kernels start He normal over the fan-out.

    Args:
      encoder: 'resnet18' or 'resnet50'.
      image_size: side of the training images in pixels, only to refuse images too small for the
        network; the model takes any size.
      width: channels of the first stage.
      stem: 'imagenet' (7×7 stride 2, max-pool) or 'cifar' (3×3 stride 1).
      norm: 'batch', 'layer' or 'group_ws'.
      synchronized: take batch norm's statistics over all replicas.
      name: of the model.

    Returns:
      A model from RGB images in 0..255, [*, S, S, 3], to float32 features [*, F], F = 8·width
      (resnet18) or 32·width (resnet50).

    Raises:
      ValueError: an unknown name, or images too small for the stem.
    """
    _check(encoder, image_size, stem)
    net = _Builder(NormFamily(norm, synchronized))
    images = keras.Input((None, None, 3), name="images")
    x = _stem(net, _normalize(images), width, stem)
    block = net.basic if encoder == "resnet18" else net.bottleneck
    for stage, num_blocks in enumerate(_BLOCKS[encoder]):
        for index in range(num_blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            x = block(x, width * 2**stage, stride, f"layer{stage + 1}.{index}")
    features = keras.layers.GlobalAveragePooling2D(dtype="float32", name="avgpool")(x)
    return keras.Model(images, features, name=name)


def _check(encoder: str, image_size: Optional[int], stem: str) -> None:
    if encoder not in _BLOCKS:
        raise ValueError(f"encoder={encoder}: expected one of {', '.join(_BLOCKS)}.")
    if stem not in _REDUCTION:
        raise ValueError(f"stem={stem}: expected one of {', '.join(_REDUCTION)}.")
    if image_size is not None and image_size < _REDUCTION[stem]:
        raise ValueError(
            f"image_size={image_size}: stem={stem} shrinks images {_REDUCTION[stem]} times; "
            f"expected at least {_REDUCTION[stem]}"
            + (", or stem=cifar." if stem == "imagenet" else ".")
        )


def _normalize(images):
    # float32 even under a 16-bit policy, because bfloat16 holds 0..255 in whole steps only.
    return keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in IMAGENET_STD],
        offset=[-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD)],
        dtype="float32",
        name="normalize",
    )(images)


def _stem(net: "_Builder", x, width: int, stem: str):
    if stem == "cifar":
        return net.relu(net.norm(net.conv(x, width, 3, 1, "conv1"), "bn1"), "relu")
    x = net.relu(net.norm(net.conv(x, width, 7, 2, "conv1"), "bn1"), "relu")
    # Zeros pad like torch's −∞, because after a ReLU no window's maximum is below zero.
    x = keras.layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="maxpool")(x)


class _Builder:
    """Layers of one encoder, under torchvision's names."""

    def __init__(self, family: NormFamily):
        self._family = family

    def conv(self, x, channels: int, size: int, stride: int, name: str):
        padding = "valid"
        if size == 1 and stride > 1:
            # The same as a strided convolution and no slower. With fewer than 16 input channels
            # oneDNN's gradient of that one writes past its buffer on CPUs (oneDNN issue 6035).
            x = keras.layers.AveragePooling2D(1, stride, name=f"{name}_subsample")(x)
            stride = 1
        elif stride == 1:
            padding = "same"  # symmetric at stride 1, and cheaper than a layer of its own
        else:
            x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        return self._family.conv(
            channels,
            size,
            stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, mode="fan_out", distribution="untruncated_normal"
            ),
            name=name,
        )(x)

    def norm(self, x, name: str):
        return self._family.norm(x, name)

    def relu(self, x, name: str):
        return keras.layers.ReLU(name=name)(x)

    def basic(self, x, channels: int, stride: int, name: str):
        """conv3×3(stride) → conv3×3, and the shortcut."""
        y = self.conv(x, channels, 3, stride, f"{name}.conv1")
        y = self.relu(self.norm(y, f"{name}.bn1"), f"{name}.relu1")
        y = self.conv(y, channels, 3, 1, f"{name}.conv2")
        return self._join(x, self.norm(y, f"{name}.bn2"), stride, name)

    def bottleneck(self, x, channels: int, stride: int, name: str):
        """conv1×1 → conv3×3(stride) → conv1×1 to four times the channels, and the shortcut."""
        y = self.conv(x, channels, 1, 1, f"{name}.conv1")
        y = self.relu(self.norm(y, f"{name}.bn1"), f"{name}.relu1")
        y = self.conv(y, channels, 3, stride, f"{name}.conv2")
        y = self.relu(self.norm(y, f"{name}.bn2"), f"{name}.relu2")
        y = self.conv(y, 4 * channels, 1, 1, f"{name}.conv3")
        return self._join(x, self.norm(y, f"{name}.bn3"), stride, name)

    def _join(self, x, y, stride: int, name: str):
        if stride > 1 or x.shape[-1] != y.shape[-1]:
            x = self.conv(x, y.shape[-1], 1, stride, f"{name}.downsample.0")
            x = self.norm(x, f"{name}.downsample.1")
        return self.relu(keras.layers.Add(name=f"{name}.add")([y, x]), f"{name}.relu")
