"""Random views of images: one vectorised keras-cv layer and the draws that decide its views."""

from msbreg_tf.augment.draws import NUM_DRAWS, image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation, build_augmentation

__all__ = ["NUM_DRAWS", "MultiViewAugmentation", "build_augmentation", "image_draws"]
