import numpy as np
import tensorflow as tf

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.operations.table import num_draws, only
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.pipeline.probe import probe_views
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.report.sprites import data_uri
from msbreg_tf.report.views import _words, parameters_of, views_of

DRAWS = tf.random.stateless_uniform([1, 6, num_draws()], [3, 4])


def test_the_box_is_where_the_view_was_cut_out():
    """Cut out by hand and resized by TensorFlow, it is the view."""
    rng = np.random.default_rng(0)
    coarse = tf.constant(rng.integers(0, 256, [1, 7, 9, 3]), tf.float32)
    image = tf.cast(tf.image.resize(coarse, [60, 90], "bicubic"), tf.uint8)
    augment = MultiViewAugmentation(only("crop", crop_area_min=0.3), num_views=6, image_size=16)
    views = augment({"images": image, "draws": DRAWS})["images"][0].numpy()
    for view, done in zip(views, parameters_of(augment.settings, DRAWS, 60, 90)):
        top, left, height, width = (int(done[n]) for n in ("top", "left", "height", "width"))
        part = image[0, top : top + height, left : left + width]
        by_hand = tf.image.resize(part, [16, 16], antialias=True).numpy()
        assert np.abs(by_hand - view).mean() < 4
        assert (done["flip"], done["blur"], done["brightness"]) == (0, np.float32(0.01), 1)


def test_words_say_what_was_done_and_nothing_else():
    still = {"top": 0, "left": 0, "height": 5, "width": 10, "flip": 0, "blur": 0.01, "turn": 0.0,
             "brightness": 1, "contrast": 1, "saturation": 1,
             "grey": 0, "solarize": 255}  # fmt: skip
    assert _words(still, 100) == "crop of 50 % of the image"
    done = {
        **still,
        "flip": 1,
        "blur": 0.8,
        "turn": 0.1,
        "contrast": 1.2,
        "grey": 1,
        "solarize": 128,
    }
    assert _words(done, 100) == (
        "crop of 50 % of the image, mirrored, blurred by 0.8 pixels, contrast × 1.20, hue turned "
        "by +36°, grey, solarised"
    )


def test_they_are_the_views_of_the_first_epoch():
    source = open_source(DataSettings())
    augment = MultiViewAugmentation(AugmentSettings(), num_views=2, image_size=32)
    images, views = probe_views(source, augment, seed=7, num_views=2, count=3)
    shown = views_of(source, augment, seed=7, num_views=2, count=3)
    assert [image.picture for image in shown] == [data_uri(image) for image in images]
    assert [view.picture for image in shown for view in image.views] == [
        data_uri(view) for of_image in views for view in of_image
    ]
    for left, top, width, height in (view.box for image in shown for view in image.views):
        assert min(left, top) >= 0
        assert left + width <= 100.001
        assert top + height <= 100.001
