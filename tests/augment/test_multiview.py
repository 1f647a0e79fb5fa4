import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment import resample as geometry
from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.operations import crop
from msbreg_tf.augment.operations.table import num_draws, only, uniforms_of
from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.sources.sample import load_sample

from . import twin
from .conftest import make_image, make_layer

OFF = dict(
    flip_probability=0.0,
    jitter_probability=0.0,
    grey_probability=0.0,
    blur_probability=0.0,
    solarize_probability=0.0,
)
K, S = 3, 40


@pytest.fixture(scope="module")
def layer():
    return make_layer(K, S, augment_on="device")


@pytest.fixture(scope="module")
def draws(images):
    return np.random.default_rng(7).random([len(images), K, num_draws()], np.float32)


@pytest.fixture(scope="module")
def views(layer, images, draws):
    return layer({"images": images, "draws": draws})["images"].numpy()


def different(views, others):
    """The share of values that differ, which must then differ by one rounding."""
    difference = np.abs(views.numpy().astype(int) - others)
    assert difference.max() <= 1
    return (difference > 0).mean()


def test_views_are_the_slow_twins(views, images, draws):
    assert views.shape == (6, K, S, S, 3)
    assert views.dtype == np.uint8
    expected = np.array([[twin.view(i, r, S) for r in rows] for i, rows in zip(images, draws)])
    difference = np.abs(views.astype(int) - expected)
    assert difference.mean() < 0.01  # of 255
    # A value beside the solarisation's threshold may be inverted in one and not in the other.
    assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.2)])
def test_views_made_on_a_host_are_those_of_a_device(
    views, images, draws, dtype, tolerance, alone, monkeypatch
):
    """In either arithmetic, many images at once or each by itself."""
    monkeypatch.setattr(geometry, "fastest_product", lambda: dtype)
    layer = make_layer(K, S)
    chunks = np.split(np.arange(len(images)), len(images) if alone else 1)
    host = np.concatenate(
        [layer({"images": images[c], "draws": draws[c]})["images"] for c in chunks]
    )
    difference = np.abs(views.astype(int) - host)
    assert difference.mean() < tolerance  # of 255
    assert (difference > 1).mean() < 2e-3  # beside the solarisation's threshold
    assert abs(host.mean() - views.mean()) < 0.05  # no bias


@pytest.mark.parametrize("size", [(41, 300), (300, 41), (8, 8), (517, 389)])
@pytest.mark.parametrize("side", [8, 40, 97])
def test_a_single_image_of_any_size_on_a_host(size, side, monkeypatch):
    """Larger and smaller than the views, mirrored or not, down to crops of a few pixels."""
    monkeypatch.setattr(geometry, "fastest_product", lambda: "float32")
    image, draws = (
        make_image(*size),
        np.random.default_rng(3).random([1, 8, num_draws()], np.float32),
    )
    switches = {**OFF, "flip_probability": 0.5, "blur_probability": 1.0}
    arguments = dict(num_views=8, image_size=side, area=(0.01, 1.0), **switches)
    batch = {"images": image[None], "draws": draws}

    def views(place, spec):
        layer = make_layer(**arguments, augment_on=place)
        graph = tf.function(
            lambda images, draws: layer({"images": images, "draws": draws})["images"]
        )
        shapes = [tf.TensorSpec(spec, tf.uint8), tf.TensorSpec([1, 8, num_draws()])]
        made = graph.get_concrete_function(*shapes)(**batch)
        assert made.shape == (1, 8, side, side, 3)
        return made.numpy().astype(int)

    device = views("device", [1, *size, 3])
    host = views("host", [1, None, None, 3])
    np.testing.assert_array_equal(views("host", [1, *size, 3]), host)
    assert (np.abs(host - device) > 1).mean() < 1e-3
    assert np.abs(host - device).mean() < 0.01


def test_blur_may_precede_the_colours():
    """They commute but for hue and clipping: real photographs, in Table 1's own order."""
    photographs, rows = (
        load_sample("test")[0][::25],
        np.random.default_rng(1).random([40, num_draws()]),
    )
    layer = make_layer(1, 96)
    draws = rows[:, None].astype(np.float32)
    ours = layer({"images": photographs, "draws": draws})["images"][:, 0].numpy()
    printed = [twin.view(image, row, 96, blur_last=True) for image, row in zip(photographs, rows)]
    assert np.abs(ours.astype(int) - printed).mean() < 0.2  # of 255


def test_small_views_without_blur_are_the_slow_twins(images, draws):
    layer = make_layer(K, 16, blur_probability=0.0, augment_on="device")
    views = layer({"images": images, "draws": draws})["images"].numpy()
    expected = np.array(
        [[twin.view(i, r, 16, with_blur=False) for r in rows] for i, rows in zip(images, draws)]
    )
    assert np.abs(views.astype(int) - expected).mean() < 0.01


def test_nothing_happens_when_everything_is_off(images):
    square = images[:, :, :50]
    layer = make_layer(2, 50, area=(1.0, 1.0), max_ratio=1.0, **OFF)
    views = layer({"images": square})["images"]
    np.testing.assert_array_equal(views, np.stack([square, square], axis=1))
    flipped = make_layer(2, 50, area=(1.0, 1.0), max_ratio=1.0, **{**OFF, "flip_probability": 1.0})
    np.testing.assert_array_equal(flipped({"images": square})["images"][:, 1], square[:, :, ::-1])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("bfloat16", 1)])
def test_constant_images_stay_constant(dtype, tolerance, monkeypatch):
    """Also white, whose means may exceed 255 by a rounding error."""
    monkeypatch.setattr(geometry, "fastest_product", lambda: dtype)
    switches = {**OFF, "blur_probability": 1.0, "solarize_probability": 0.5}
    layer = make_layer(K, S, solarize_threshold=1.0, **switches)
    plain = np.full([40, 37, 61, 3], [255, 17, 130], np.uint8)
    views = layer({"images": plain})["images"].numpy().astype(int)
    assert abs(views - plain[0, 0, 0]).max() <= tolerance


@pytest.mark.parametrize("name", ["flip", "jitter", "grey", "blur", "solarize"])
def test_each_operation_happens_as_often_as_it_should(name):
    """One operation alone, on 250 × 4 equal images: how many views changed."""
    image = make_image(24, 24)
    probability = 0.3
    layer = make_layer(
        4, 24, area=(1.0, 1.0), max_ratio=1.0, blur_sigma=(1.0, 2.0), seed=5,
        **{**OFF, f"{name}_probability": probability},
    )  # fmt: skip
    views = layer(np.repeat(image[None], 250, axis=0)).numpy()
    changed = np.any(views != image, axis=(2, 3, 4))
    assert abs(changed.mean() - probability) < 4 * (0.3 * 0.7 / 1000) ** 0.5
    # Independent between views: two of them change together as often as chance says.
    assert abs((changed[:, 0] & changed[:, 1]).mean() - 0.09) < 4 * (0.09 * 0.91 / 250) ** 0.5


def test_two_equal_images_get_different_views(layer, images):
    batch = np.stack([images[0], images[0]])
    views = layer({"images": batch})["images"].numpy().reshape(2 * K, -1).astype(int)
    for a in range(2 * K):
        for b in range(a):
            assert np.abs(views[a] - views[b]).mean() > 1


def test_views_do_not_depend_on_the_batch(layer, views, images, draws):
    swap = [4, 2, 5, 0, 1, 3]
    swapped = layer({"images": images[swap], "draws": draws[swap]})["images"]
    np.testing.assert_array_equal(swapped, views[swap])
    for i in range(len(images)):
        alone = layer({"images": images[i : i + 1], "draws": draws[i : i + 1]})["images"][0]
        # Matrix products of another size may round the last bit of a float32 differently.
        assert different(alone, views[i]) < 1e-4


def test_a_single_image_needs_no_batch_axis(layer, views, images, draws):
    alone = layer({"images": images[0], "draws": draws[0]})["images"]
    assert alone.shape == (K, S, S, 3)
    assert different(alone, views[0]) < 1e-4
    assert layer(images[0]).shape == (K, S, S, 3)


def test_compiles_under_xla(layer, views, images, draws):
    """As in a training step on a GPU: sizes are known, the whole layer is one program."""
    compiled = tf.function(lambda batch: layer.finish_views(batch), jit_compile=True)
    assert different(compiled({"images": images, "draws": draws}), views) < 1e-4


def test_cropping_first_and_recolouring_later_rounds_once_more(layer, views, images, draws):
    cropped = layer.resample_on_host({"images": images, "draws": draws})
    assert cropped["lines"].dtype == tf.int8
    difference = np.abs(layer.finish_views(cropped).numpy().astype(int) - views)
    assert difference.mean() < 0.5
    assert (difference > 3).mean() < 2e-3  # beside the solarisation's threshold


def test_float_images_and_other_keys(layer, views, images, draws):
    inputs = {"images": images.astype(np.float32), "draws": draws, "labels": np.arange(6)}
    outputs = layer(inputs)
    np.testing.assert_array_equal(outputs["images"], views)
    np.testing.assert_array_equal(outputs["labels"], np.arange(6))


def test_graph_of_unknown_sizes(layer, views, images, draws):
    @tf.function(input_signature=[tf.TensorSpec([None] * 3 + [3], tf.uint8), tf.TensorSpec(None)])
    def call(images, draws):
        result = layer({"images": images, "draws": draws})["images"]
        assert result.shape.as_list() == [None, K, S, S, 3]
        return result

    assert different(call(images, draws), views) < 1e-4  # XLA's code differs from shape to shape
    tall = np.stack([make_image(130, 45)])
    expected = [[twin.view(tall[0], row, S) for row in draws[0]]]
    difference = np.abs(call(tall, draws[:1]).numpy().astype(int) - expected)
    assert difference.mean() < 0.01


def dataset(layer, images, parallel):
    seed = tf.constant([1, 2])

    def draw(index):
        return {"images": tf.constant(images)[index % 6], "draws": image_draws(seed, index, K)}

    return (
        tf.data.Dataset.range(48)
        .map(draw, num_parallel_calls=parallel)
        .batch(4)
        .map(lambda batch: layer(batch)["images"], num_parallel_calls=parallel)
    )


def test_parallel_data_pipelines_repeat_exactly(layer, images):
    first = np.concatenate(list(dataset(layer, images, 1)))
    for _ in range(2):
        again = np.concatenate(list(dataset(layer, images, 4)))
        np.testing.assert_array_equal(again, first)


def test_data_pipeline_continues_from_a_checkpoint(layer, images, tmp_path):
    """tf.data refuses this for a map with hidden state, so it shows that there is none."""
    data = dataset(layer, images, 2)
    everything = list(data)
    iterator = iter(data)
    for _ in range(5):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "iterator"))
    resumed = iter(data)
    tf.train.Checkpoint(iterator=resumed).read(path)
    np.testing.assert_array_equal(next(resumed), everything[5])


def test_own_generator_follows_its_seed(images):
    first, same, other = (make_layer(K, S, seed=seed)(images).numpy() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


def test_config_round_trip(images, draws):
    settings = AugmentSettings(
        crop_area_min=0.3, crop_area_max=0.9, crop_ratio_max=1.5, flip_probability=0.1,
        jitter_probability=0.2, brightness=0.3, contrast=0.35, saturation=0.25, hue=0.05,
        grey_probability=0.15, blur_probability=0.6, blur_sigma_min=0.2, blur_sigma_max=1.0,
        solarize_probability=0.45, solarize_threshold=0.55,
    )  # fmt: skip
    layer = MultiViewAugmentation(settings, num_views=2, image_size=20, seed=3, name="views")
    config = tf.keras.saving.serialize_keras_object(layer)
    copy = tf.keras.saving.deserialize_keras_object(config)
    assert type(copy) is MultiViewAugmentation
    assert copy.get_config() == layer.get_config()
    assert copy.settings == settings
    inputs = {"images": images, "draws": draws[:, :2]}
    np.testing.assert_array_equal(copy(inputs)["images"], layer(inputs)["images"])


def test_mixed_precision_policy_is_ignored(views, images, draws):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = make_layer(K, S, augment_on="device")
        result = layer({"images": images, "draws": draws})["images"]
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(result, views)


@pytest.mark.parametrize(("size", "blur"), [(32, 0.0), (33, 1.0)])
def test_blur_follows_the_size_unless_it_is_given(size, blur):
    assert make_layer(image_size=size).settings.blur_probability == blur
    assert make_layer(image_size=size, blur_probability=0.3).settings.blur_probability == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_views": 0}, "num_views=0: expected at least 1"),
        ({"image_size": 7}, "image_size=7: expected at least 8"),
        ({"hue": 0.6}, "--hue=0.6: expected a number, at least 0 and at most 0.5"),
        ({"grey_probability": -0.1}, "--grey_probability=-0.1: expected a number, at least 0"),
        ({"augment_on": "gpu"}, "--augment_on=gpu: expected one of host, device"),
        ({"area": (0.5, 0.2)}, "--crop_area_min=0.5: expected at most --crop_area_max=0.2"),
        ({"blur_sigma": (0, 1)}, "--blur_sigma_min=0: expected a number, more than 0"),
        (
            {"image_size": 8, "blur_sigma": (1, 9)},
            "blur_sigma_max=9: expected at most image_size=8",
        ),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_layer(**arguments)


def test_impossible_inputs(layer, images):
    with pytest.raises(ValueError, match="expected 3 colours"):
        layer(images[..., :1])
    with pytest.raises(ValueError, match="keypoints: not supported"):
        layer({"images": images, "keypoints": np.zeros([6, 1, 2])})
    with pytest.raises(ValueError, match="ragged"):
        layer(tf.RaggedTensor.from_tensor(images))


@pytest.mark.parametrize(("side", "crop_area"), [(32, 0.08), (16, 0.3)])
def test_how_small_an_image_may_be_decoded(side, crop_area):
    """By hand: no crop of the image has fewer pixels than its view, and twice as small, one has."""
    layer = MultiViewAugmentation(
        AugmentSettings(crop_area_min=crop_area), num_views=2, image_size=side
    )
    for index in range(20):
        draws = image_draws(tf.constant([3, 4]), tf.constant(index, tf.int64), 2)
        boxes = crop.crop_boxes(layer.settings, uniforms_of("crop", draws[None]), 300.0, 400.0)
        smallest = float(tf.reduce_min(tf.stack(boxes[2:])))
        found = int(layer.reduction(draws, tf.constant(300), tf.constant(400)))
        assert found == max(1, int(smallest // side))


def test_views_of_an_image_that_was_decoded_smaller():
    """The crops are those that the stored size gives, of half as many pixels in either axis."""
    y, x = np.mgrid[:201, :301]
    whole = np.stack([60 + 50 * np.sin(x / 30), 120 + 50 * np.cos(y / 25), (x + y) / 3], axis=-1)
    padded = np.pad(whole, ((0, 1), (0, 1), (0, 0)), mode="edge")  # as the JPEG library does
    half = padded.reshape(101, 2, 151, 2, 3).mean(axis=(1, 3))
    layer = MultiViewAugmentation(only("crop", "flip"), num_views=6, image_size=24)
    draws = image_draws(tf.constant([1, 2]), tf.constant(0, tf.int64), 6)[tf.newaxis]
    expected = layer({"images": tf.constant(whole[None], tf.float32), "draws": draws})["images"]
    batch = {"images": tf.constant(half[None], tf.float32), "draws": draws}
    found = layer({**batch, "stored_size": tf.constant([[201, 301]])})["images"]
    difference = np.abs(found.numpy().astype(float) - expected.numpy())
    assert difference.mean() < 0.5
    without = layer(batch)["images"]
    assert np.abs(without.numpy().astype(float) - expected.numpy()).mean() > 2 * difference.mean()
