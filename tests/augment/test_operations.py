"""The table of operations: what each setting does, and what a new row reaches."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.operations import blur, crop, flip, grey, jitter, solarize, table
from msbreg_tf.augment.operations.operation import Operation
from msbreg_tf.augment.operations.table import OPERATIONS, columns, num_draws, only, uniforms_of
from msbreg_tf.augment.planes import beside_planes
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.commands import cli
from msbreg_tf.settings import setting

from .conftest import make_image

SETTINGS = AugmentSettings(
    crop_area_min=0.2, crop_area_max=0.7, crop_ratio_max=2.0, flip_probability=0.11,
    jitter_probability=0.12, brightness=0.13, contrast=0.14, saturation=0.15, hue=0.16,
    grey_probability=0.17, blur_probability=0.18, blur_sigma_min=0.5, blur_sigma_max=1.5,
    solarize_probability=0.19, solarize_threshold=0.21,
)  # fmt: skip


def u(**values):
    """Uniform numbers of one view by name, [1, 1] each."""
    return {name: tf.constant([[value]], tf.float32) for name, value in values.items()}


def number(tensor):
    """The one number of a tensor of any rank."""
    return np.asarray(tensor).item()


def test_every_jitter_strength_is_that_of_its_own_name():
    low = jitter.parameters(
        SETTINGS, u(jitter=0.119, brightness=0, contrast=0, saturation=0, hue=0, order=0.99)
    )
    got = [number(each) for each in (low.brightness, low.contrast, low.saturation, low.turn)]
    assert got == pytest.approx([1 - 0.13, 1 - 0.14, 1 - 0.15, -0.16])
    assert number(low.order) == 23
    middle = u(jitter=0.0, brightness=0.75, contrast=0.5, saturation=0.5, hue=0.5, order=0)
    assert number(jitter.parameters(SETTINGS, middle).brightness) == pytest.approx(1 + 0.13 / 2)
    off = jitter.parameters(SETTINGS, {**middle, **u(jitter=0.121)})
    assert (number(off.brightness), number(off.turn)) == (1.0, 0.0)


def test_probabilities_and_thresholds():
    assert bool(flip.is_flipped(SETTINGS, u(flip=0.109)))
    assert not bool(flip.is_flipped(SETTINGS, u(flip=0.111)))
    assert bool(grey.parameters(SETTINGS, u(grey=0.169)))
    assert not bool(grey.parameters(SETTINGS, u(grey=0.171)))
    inverted = [number(solarize.parameters(SETTINGS, u(solarize=x))) for x in (0.189, 0.191)]
    assert inverted == pytest.approx([0.21 * 255, 255])


def test_sigma_runs_from_the_smallest_to_the_largest():
    sigmas = [number(blur.sigma(SETTINGS, u(blur=0.179, sigma=x))) for x in (0, 0.5, 0.999)]
    assert sigmas == pytest.approx([0.5, 1.0, 1.499])
    assert number(blur.sigma(SETTINGS, u(blur=0.181, sigma=0.5))) == pytest.approx(0.01)


def test_a_crop_has_its_area_and_its_ratio():
    uniforms = {
        "area": tf.fill([1, 1, crop.TRIES], 0.5),
        "log_ratio": tf.fill([1, 1, crop.TRIES], 0.75),
        **u(top=0.0, left=0.999),
    }
    boxes = crop.crop_boxes(SETTINGS, uniforms, tf.constant(1000.0), tf.constant(1000.0))
    top, left, height, width = (int(number(part)) for part in boxes)
    assert height * width == pytest.approx(0.45 * 1000**2, rel=2e-3)
    assert width / height == pytest.approx(math.sqrt(2.0), rel=2e-3)
    assert (top, left) == (0, 1000 - width)


def test_only_leaves_every_other_operation_out():
    chosen = only("crop", "flip", crop_area_min=0.3)
    assert (chosen.crop_area_min, chosen.flip_probability) == (0.3, 0.5)
    others = {o.probability for name, o in OPERATIONS.items() if name not in ("crop", "flip")}
    assert {getattr(chosen, name) for name in others} == {0.0}
    with pytest.raises(ValueError, match="shear: expected one of crop, flip"):
        only("crop", "shear")


def test_columns_are_disjoint_and_cover_a_row():
    covered = [n for part in columns().values() for n in range(part.start, part.stop)]
    assert covered == list(range(num_draws()))
    row = tf.range(float(num_draws()))[tf.newaxis, tf.newaxis]
    assert uniforms_of("crop", row)["area"].shape == (1, 1, crop.TRIES)
    assert number(uniforms_of("blur", row)["sigma"]) == columns()["blur"].start + 1


@dataclasses.dataclass(frozen=True)
class WithFade(AugmentSettings):
    """The views' settings, with those of a new operation."""

    fade_probability: float = setting(0.5, "Probability of fading.", low=0, high=1, source="a test")


@pytest.fixture
def toy_operation(monkeypatch):
    """An operation that a person has added: views fade to half, in front of all others."""
    row = Operation(
        {"fade": 1, "unused": 2},
        "fade_probability",
        lambda settings, u: tf.where(u["fade"] < settings.fade_probability, 0.5, 1.0),
        lambda planes, factor: planes.map(lambda plane: beside_planes(factor) * plane),
    )
    new = {"fade": row, **OPERATIONS}
    monkeypatch.setattr(table, "OPERATIONS", new)
    for module in ("colour", "draws", "multiview"):
        monkeypatch.setattr(f"msbreg_tf.augment.{module}.OPERATIONS", new)
    return new


def test_a_new_operation_is_seen_and_moves_no_other(toy_operation, monkeypatch):
    seed, index = tf.constant([3, 5]), tf.constant(7, tf.int64)
    draws = image_draws(seed, index, 4)
    images = make_image(30, 40)[np.newaxis]

    def views(settings, draws):
        layer = MultiViewAugmentation(settings, num_views=4, image_size=24)
        return layer({"images": images, "draws": draws[tf.newaxis]})["images"].numpy()[0]

    fades = uniforms_of("fade", draws[tf.newaxis])["fade"].numpy()[0]
    probability = float(np.median(fades))  # so that two of the four views fade
    faded = fades < probability
    plain = {name: 0.0 for name in ("jitter_probability", "grey_probability")}
    plain |= {name: 0.0 for name in ("solarize_probability", "blur_probability")}
    off = views(WithFade(fade_probability=0.0, **plain), draws).astype(int)
    on = views(WithFade(fade_probability=probability, **plain), draws).astype(int)
    assert np.abs(on[faded] - off[faded] / 2).max() <= 1
    np.testing.assert_array_equal(on[~faded], off[~faded])

    with_it = views(WithFade(fade_probability=0.0), draws)
    monkeypatch.undo()
    old = image_draws(seed, index, 4)
    for name in OPERATIONS:
        start = columns()[name]
        moved = slice(start.start + 3, start.stop + 3)
        np.testing.assert_array_equal(old[:, start], draws[:, moved], err_msg=name)
    np.testing.assert_array_equal(views(AugmentSettings(), old), with_it)


def test_flags_and_help_know_a_new_operations_setting():
    command = cli.Command((WithFade,), print)
    (chosen,), _ = cli.read_flags(command, ["x", "--fade_probability=0.25"])
    assert chosen.fade_probability == 0.25
    assert "--fade_probability (default: 0.5)" in cli.help_text(command, "")
    with pytest.raises(ValueError, match=r"--fade_probability=2\.0: expected a number, at least 0"):
        cli.read_flags(command, ["x", "--fade_probability=2"])
