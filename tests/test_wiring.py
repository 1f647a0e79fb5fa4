"""Settings of the model: each one, at a value that is not its default, where it must arrive.

Expected values are computed in the test, from the settings it names, never from what the code under
test says about itself. `test_wiring_run.py` has the settings of data, views and the run.
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method import losses
from msbreg_tf.networks.standardized import StandardizedConv2D, StandardizedDense
from msbreg_tf.run.build import build_model, make_strategy, precision_policy
from msbreg_tf.run.config import config_from_settings

SMALL = {
    "image_size": 16,
    "encoder_width": 4,
    "stem": "cifar",
    "hidden_size": 48,
    "projection_size": 8,
    "lambda_s": 0.02,
    "lambda_b": 0.3,
    "lambda_u": 0.7,
    "batch_size": 8,
}
STEPS = 30  # of the run that the model is told of


def built(synchronized=None, **changes):
    """The model of small settings; the same initial weights every time."""
    keras.utils.set_random_seed(1)
    return build_model(config_from_settings({**SMALL, **changes}), STEPS, synchronized)


def networks(model):
    """All five, by name."""
    return {
        "encoder": model.encoder,
        "projector": model.projector,
        "predictor": model.predictor,
        "target_encoder": model.target_encoder,
        "target_projector": model.target_projector,
    }


def layers_of(network, *kinds):
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def random_views(num_views, batch=8):
    pixels = tf.random.stateless_uniform([batch, num_views, 16, 16, 3], [3, 0], 0, 256, tf.int32)
    return tf.cast(pixels, tf.uint8)


@pytest.fixture(scope="module")
def twin():
    """A model with the weights that `built` gives; its norms use each batch's own statistics."""
    return built()


def embeddings(model, views):
    """(prediction, projection, target), each [B, K, D], normalised here and not by the model."""
    images = tf.reshape(tf.cast(views, tf.float32), [-1, *views.shape[2:]])
    projection = model.projector(model.encoder(images, training=True), training=True)
    prediction = model.predictor(projection, training=True)
    target = model.target_projector(model.target_encoder(images, training=True), training=True)

    def unit(rows):
        rows = rows.numpy() / np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.reshape([*views.shape[:2], -1])

    return unit(prediction), unit(projection), unit(target)


def rows_of(embedded):
    return tf.constant(embedded.reshape(-1, embedded.shape[-1]))


def noise_seed(seed, step):
    """(run seed, step), with the noise's own stream folded in (METHOD.md, "Randomness")."""
    return tf.random.experimental.stateless_fold_in(
        tf.constant([seed, step], tf.int32), 0x62, alg="philox"
    )


# Networks


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_norm_in_all_five_networks(synchronized):
    for name, network in networks(built(synchronized, norm="batch")).items():
        norms = layers_of(network, keras.layers.BatchNormalization)
        assert len(norms) == (20 if "encoder" in name else 1), name
        assert {norm.synchronized for norm in norms} == {synchronized}, name
        assert not layers_of(network, StandardizedConv2D, StandardizedDense)
        assert not layers_of(
            network, keras.layers.LayerNormalization, keras.layers.GroupNormalization
        )


def test_batch_norm_is_synchronised_for_several_replicas_only(mirrored):
    with mirrored.scope():
        several = built()
    for model, expected in ((built(), False), (several, True)):
        for name, network in networks(model).items():
            norms = layers_of(network, keras.layers.BatchNormalization)
            assert {norm.synchronized for norm in norms} == {expected}, name


def test_layer_norm_in_all_five_networks():
    for name, network in networks(built(norm="layer")).items():
        assert not layers_of(network, keras.layers.BatchNormalization), name
        assert not layers_of(network, StandardizedConv2D, StandardizedDense), name
        if "encoder" in name:
            norms = layers_of(network, keras.layers.GroupNormalization)
            assert [norm.groups for norm in norms] == [1] * 20, name  # one group is layer norm
        else:
            assert len(layers_of(network, keras.layers.LayerNormalization)) == 1, name


def test_group_norm_and_standardised_kernels_in_all_five_networks():
    for name, network in networks(built(norm="group_ws")).items():
        assert not layers_of(
            network, keras.layers.BatchNormalization, keras.layers.LayerNormalization
        ), name
        norms = layers_of(network, keras.layers.GroupNormalization)
        if "encoder" in name:
            # Widths 4, 8, 16, 32 by stage: all divide by themselves and are no more than 32.
            assert [norm.groups for norm in norms] == [4] * 5 + [8] * 5 + [16] * 5 + [32] * 5, name
            assert len(layers_of(network, StandardizedConv2D)) == 20, name
        else:
            assert [norm.groups for norm in norms] == [24], name  # of 48 channels
            assert len(layers_of(network, StandardizedDense)) == 2, name


@pytest.mark.parametrize(
    ("changes", "convolutions", "features"),
    [
        ({"encoder": "resnet18", "encoder_width": 4}, 20, 8 * 4),
        ({"encoder": "resnet18", "encoder_width": 6}, 20, 8 * 6),
        ({"encoder": "resnet50", "encoder_width": 4}, 53, 32 * 4),
    ],
)
def test_encoder_and_width(changes, convolutions, features):
    model = built(**changes)
    for network in (model.encoder, model.target_encoder):
        assert len(layers_of(network, keras.layers.Conv2D)) == convolutions
        assert network.get_layer("conv1").filters == changes["encoder_width"]
        assert network.output_shape == (None, features)
    for network in (model.projector, model.target_projector):
        assert network.input_shape == (None, features)


@pytest.mark.parametrize(("stem", "kernel", "stride"), [("cifar", 3, 1), ("imagenet", 7, 2)])
def test_stem(stem, kernel, stride):
    model = built(stem=stem, image_size=32)
    for network in (model.encoder, model.target_encoder):
        first = network.get_layer("conv1")
        assert (first.kernel_size, first.strides) == ((kernel, kernel), (stride, stride))
        assert len(layers_of(network, keras.layers.MaxPooling2D)) == (stem == "imagenet")


def test_hidden_and_projection_size():
    model = built(hidden_size=24, projection_size=10)
    for network in (model.projector, model.target_projector, model.predictor):
        assert network.get_layer("hidden").units == 24
        assert network.output_shape == (None, 10)
    assert model.predictor.input_shape == (None, 10)


def test_image_size_is_checked_by_the_encoder():
    with pytest.raises(ValueError, match="image_size=16"):
        built(stem="imagenet", image_size=16)


def test_view_size_is_that_of_the_views():
    layer = built(augment_on="device", image_size=24, view_size=17).augment
    assert layer.image_size == 17
    config = config_from_settings({**SMALL, "image_size": 24, "view_size": 17})
    assert (config.view_size, config.data.image_size) == (17, 24)
    assert config_from_settings({**SMALL, "image_size": 24}).view_size == 24
    with pytest.raises(ValueError, match="view_size=9: stem=imagenet"):
        built(stem="imagenet", image_size=32, view_size=9)
    with pytest.raises(ValueError, match="blur_sigma_max=16: expected at most --view_size=12"):
        config_from_settings({"image_size": 32, "view_size": 12, "blur_sigma_max": 16.0})


def test_momentum():
    for form in ("keras", "torch"):
        assert built(momentum=0.7, momentum_form=form).optimizer.momentum == 0.7


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_momentum_form(form):
    """Two updates by hand, of rates 2 and 3: the velocity holds g of the first, or 2 g."""
    model = built(momentum=0.5, momentum_form=form)
    before = [v.numpy() for v in model.online_variables]
    for rate, gradient in ((2.0, 1.0), (3.0, -4.0)):
        model.optimizer.learning_rate = rate
        pairs = [(tf.fill(v.shape, gradient), v) for v in model.online_variables]
        model.optimizer.apply_gradients(pairs)
    # keras: −2, then 0.5 · (−2) + 12 = 11. torch: −2 · 1, then −3 · (0.5 · 1 − 4) = 10.5.
    moved = {"keras": -2 + 11, "torch": -2 + 10.5}[form]
    for old, variable in zip(before, model.online_variables):
        np.testing.assert_allclose(variable.numpy() - old, np.full(old.shape, moved), rtol=1e-5)


# Objective


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({"num_views": 3}, {"centroid": 1.0, "singular_value": 0.02, "brownian": 0.3}),
        ({"method": "byol", "num_views": 2}, {"centroid": 1.0}),
        (
            {"method": "byol_uniform", "num_views": 2},
            {"centroid": 1.0, "uniformity": 0.7},
        ),
        ({"method": "batch_repetition", "num_views": 3}, {"next_view": 1.0}),
        ({"lambda_s": 0.0, "lambda_b": 0.9}, {"centroid": 1.0, "brownian": 0.9}),
    ],
)
def test_a_method_has_its_terms_with_their_own_weights(changes, weights):
    views = random_views(changes.get("num_views", 4))
    metrics = built(**changes).train_step(views)
    terms = metrics.keys() - {"loss", "tau", "std_spread", "gradient_norm"}
    assert terms == weights.keys()
    expected = sum(weight * float(metrics[name]) for name, weight in weights.items())
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


def test_attractions_by_value(twin):
    views = random_views(3)
    prediction, _, target = embeddings(twin, views)
    others = (target.sum(axis=1, keepdims=True) - target) / 2
    everyone = target.mean(axis=1, keepdims=True)
    following = target[:, [1, 2, 0]]

    def on_sphere(mean):
        return mean / np.linalg.norm(mean, axis=-1, keepdims=True)

    for changes, name, goal in (
        ({"centroid": "others"}, "centroid", others),
        ({"centroid": "all"}, "centroid", everyone),
        ({"centroid": "unit"}, "centroid", on_sphere(everyone)),
        ({"centroid": "unit_others"}, "centroid", on_sphere(others)),
        ({"method": "batch_repetition"}, "next_view", following),
    ):
        metrics = built(num_views=3, **changes).train_step(views)
        expected = np.square(prediction - goal).sum(axis=-1).mean()
        assert float(metrics[name]) == pytest.approx(expected, rel=1e-4), changes


@pytest.mark.parametrize("place", ["predictor", "projector"])
def test_regularizers_act_on_the_named_unit_norm_output(place, twin):
    prediction, projection, _ = embeddings(twin, random_views(2))
    regularized = {"predictor": prediction, "projector": projection}[place]
    metrics = built(num_views=2, regularize=place, seed=5).train_step(random_views(2))
    expected = losses.singular_value_loss(rows_of(regularized), "values")
    assert float(metrics["singular_value"]) == pytest.approx(float(expected), rel=1e-4)
    expected = losses.brownian_diffusive_loss(tf.constant(regularized), noise_seed(5, 0))
    assert float(metrics["brownian"]) == pytest.approx(float(expected), abs=1e-5)

    uniform = built(num_views=2, regularize=place, method="byol_uniform")
    expected = losses.uniformity_loss(rows_of(regularized))
    measured = uniform.train_step(random_views(2))["uniformity"]
    assert float(measured) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("form", ["values", "squares", "log_det"])
def test_singular_value_form(form, twin):
    """`log_det` with an ε² that is not its default."""
    prediction, _, _ = embeddings(twin, random_views(2))
    rows = prediction.reshape(-1, 8)
    spectrum = np.linalg.svd(rows / np.sqrt(len(rows)), compute_uv=False)
    expected = {
        "values": np.square(np.sqrt(8) * spectrum - 1).sum(),
        "squares": np.square(8 * spectrum**2 - 1).sum(),
        "log_det": 4 * np.log(1 + 1 / 0.5) - np.log(1 + 8 * spectrum**2 / 0.5).sum() / 2,
    }[form]
    changes = {"singular_value_form": form, "log_det_epsilon2": 0.5}
    metrics = built(num_views=2, **changes).train_step(random_views(2))
    assert float(metrics["singular_value"]) == pytest.approx(expected, rel=1e-3)


def test_the_runs_seed_decides_the_brownian_directions_of_every_step(twin):
    """L_b by hand: image i's views along the direction that (seed, step, i) draws."""
    model = built(num_views=2, seed=5, tau_base=1.0)
    model.optimizer.learning_rate = 0.0  # so that only the noise differs between the steps
    prediction, _, _ = embeddings(twin, random_views(2))
    for step in range(2):
        directions = losses.brownian_directions(noise_seed(5, step), 8, 8).numpy()
        expected = (prediction * directions[:, np.newaxis]).sum(axis=-1).mean()
        measured = float(model.train_step(random_views(2))["brownian"])
        assert measured == pytest.approx(expected, abs=1e-5)


def test_std_spread_is_that_of_the_prediction(twin):
    prediction, _, _ = embeddings(twin, random_views(2))
    expected = np.sqrt(8) * prediction.reshape(-1, 8).std(axis=0).mean()
    measured = float(built(num_views=2).train_step(random_views(2))["std_spread"])
    assert measured == pytest.approx(expected, rel=1e-4)
    assert 0.0 < measured < 1.0


def test_tau_starts_at_its_base_and_rises_over_the_whole_run():
    model = built(num_views=2, tau_base=0.9)
    for step in (0, STEPS // 3, STEPS // 2):
        model.optimizer.iterations.assign(step)
        expected = 1 - 0.1 * (np.cos(np.pi * step / STEPS) + 1) / 2
        measured = float(model.train_step(random_views(2))["tau"])
        assert measured == pytest.approx(expected, rel=1e-6)


def test_accumulate_steps_divides_the_batch(twin):
    views = random_views(2)
    halves = [embeddings(twin, half)[0] for half in (views[:4], views[4:])]
    expected = np.mean([losses.singular_value_loss(rows_of(half)) for half in halves])
    metrics = built(num_views=2, accumulate_steps=2).train_step(views)
    assert float(metrics["singular_value"]) == pytest.approx(expected, rel=1e-4)
    whole = losses.singular_value_loss(rows_of(embeddings(twin, views)[0]))
    assert abs(float(whole) - expected) > 0.01  # so the two can be told apart


def test_augment_on_the_device_makes_the_model_augment():
    assert built(augment_on="host").augment is None
    layer = built(augment_on="device", num_views=3, image_size=24).augment
    assert (layer.settings.augment_on, layer.num_views, layer.image_size) == ("device", 3, 24)


# Devices


def test_mixed_precision_is_the_policy_of_every_convolution():
    assert precision_policy(False) == "float32"
    policy = precision_policy(True)
    half = "float16" if tf.config.list_physical_devices("GPU") else "bfloat16"
    assert policy == f"mixed_{half}"
    keras.mixed_precision.set_global_policy(policy)
    for name, network in networks(built()).items():
        if "encoder" in name:
            kinds = {layer.compute_dtype for layer in layers_of(network, keras.layers.Conv2D)}
            assert kinds == {half}, name
        assert {v.dtype for v in network.trainable_variables} == {tf.float32}, name


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="the CPU is divided")
@pytest.mark.parametrize(
    ("strategy", "cpu_devices", "replicas"),
    [
        ("auto", 1, 1),
        ("auto", 2, 2),
        ("one", 2, 1),
        ("mirrored", 1, 2),  # conftest.py has divided the CPU in two
        ("multi_worker", 2, 2),
    ],
)
def test_strategy_and_cpu_devices(strategy, cpu_devices, replicas):
    config = config_from_settings({**SMALL, "strategy": strategy, "cpu_devices": cpu_devices})
    made = make_strategy(config)
    assert made.num_replicas_in_sync == replicas
    assert isinstance(made, tf.distribute.MirroredStrategy) == (replicas == 2)


def test_cpu_devices_are_those_asked_for():
    with pytest.raises(ValueError, match="--cpu_devices=3: TensorFlow already works with 2"):
        make_strategy(config_from_settings({**SMALL, "cpu_devices": 3}))
