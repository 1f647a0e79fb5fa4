import dataclasses
import inspect

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.evaluation.linear import classifiers as classifiers_module
from msbreg_tf.evaluation.linear.classifiers import Classifiers, fit_classifiers, rate_factor
from msbreg_tf.evaluation.linear.probe import choose_point, linear_probe
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.subsets import stratified_holdout

SMALL = LinearSettings(learning_rates=(0.1, 0.3), weight_decays=(1e-3, 1e-1), epochs=10)


@pytest.fixture(scope="module")
def photographs():
    """(train features, labels, test features, labels): random filters over the shipped images."""
    filters = np.random.default_rng(0).normal(size=[5, 5, 3, 32]).astype(np.float32)

    def features(images):
        responses = tf.nn.relu(tf.nn.conv2d(images / np.float32(255) - 0.5, filters, 3, "VALID"))
        return tf.nn.avg_pool2d(responses, 5, 5, "VALID").numpy().reshape(len(images), -1)

    (train, train_labels), (test, test_labels) = (load_sample(split) for split in ("train", "test"))
    return features(train), train_labels, features(test), test_labels


def blobs(num_classes=7, per_class=30, size=5, noise=1.0, seed=0):
    """Features of Gaussian classes, and labels in random order."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=[num_classes, size])
    labels = rng.permutation(np.repeat(np.arange(num_classes), per_class))
    features = centres[labels] + noise * rng.normal(size=[len(labels), size])
    return features.astype(np.float32), labels


def fit(features, labels, points, on_epoch=None, resume_folder=None, **changes):
    settings = LinearSettings(**{"epochs": 10, "batch_size": 64, **changes})
    rows = np.arange(len(labels))
    return fit_classifiers(
        features, labels, rows, points, settings, on_epoch=on_epoch, resume_folder=resume_folder
    )


def standardized(features, like):
    return (features - like.mean(axis=0)) / like.std(axis=0)


def sklearn_fit(features, labels, weight_decay):
    regression = LogisticRegression(C=1 / (len(labels) * weight_decay), max_iter=2000)
    return regression.fit(standardized(features, features), labels)


def test_reaches_the_minimum_that_sklearn_finds(photographs):
    features, labels, test_features, test_labels = photographs
    decays = (1e-3, 1e-2, 1e-1)
    points = [(0.1, decay) for decay in decays]
    ours = fit(features, labels, points, epochs=200, batch_size=256)
    ranks, _ = ours.ranks_and_losses(test_features, test_labels, np.arange(len(test_labels)))
    _, losses = ours.ranks_and_losses(features, labels, np.arange(len(labels)))
    objectives = losses + ours.penalties()
    for point, decay in enumerate(decays):
        theirs = sklearn_fit(features, labels, decay)
        probabilities = theirs.predict_proba(standardized(features, features))
        loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
        objective = loss + decay / 2 * np.square(theirs.coef_).sum()
        assert objectives[point] == pytest.approx(objective, rel=5e-4)
        accuracy = theirs.score(standardized(test_features, features), test_labels)
        assert abs((ranks[:, point] == 0).mean() - accuracy) <= 0.005 + 1e-9


def test_the_protocol_agrees_with_sklearn(photographs):
    features, labels, test_features, test_labels = photographs
    settings = LinearSettings(
        learning_rates=(0.1, 0.3), weight_decays=(1e-3, 1e-2, 1e-1), epochs=120
    )
    result = linear_probe(*photographs, settings)
    kept, held = stratified_holdout(labels, settings.validation_fraction, settings.seed)

    def score_on_validation(decay):
        fitted = sklearn_fit(features[kept], labels[kept], decay)
        return fitted.score(standardized(features[held], features[kept]), labels[held])

    best = max(settings.weight_decays, key=score_on_validation)
    assert result.choice.weight_decay == best
    final = sklearn_fit(features, labels, best)
    accuracy = final.score(standardized(test_features, features), test_labels)
    assert abs(result.top1 - accuracy) <= 0.005 + 1e-9
    assert result.choice.converged


def test_two_steps_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(size=[2, 3, 4]).astype(np.float32)  # [T, b, F]
    y = np.array([[0, 2, 1], [1, 1, 0]])
    points, momentum, factors = [(0.5, 0.1), (0.2, 0.0)], 0.9, [1.0, 0.25]
    trained = Classifiers(points, num_features=4, num_classes=3)
    trained.take_steps(x, y, np.array(factors, np.float32), momentum)
    for point, (rate, decay) in enumerate(points):
        kernel, bias = np.zeros([4, 3]), np.zeros(3)
        kernel_velocity, bias_velocity = np.zeros([4, 3]), np.zeros(3)
        for t, factor in enumerate(factors):
            exponentials = np.exp(x[t] @ kernel + bias)
            residual = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(3)[y[t]]
            kernel_gradient = x[t].T @ residual / 3 + decay * kernel
            kernel_velocity = momentum * kernel_velocity + kernel_gradient
            bias_velocity = momentum * bias_velocity + residual.mean(axis=0)
            kernel = kernel - rate * factor * kernel_velocity
            bias = bias - rate * factor * bias_velocity
        columns = slice(3 * point, 3 * point + 3)
        np.testing.assert_allclose(trained.kernel[:, columns], kernel, atol=1e-6)
        np.testing.assert_allclose(trained.bias[columns], bias, atol=1e-6)
        penalty = decay / 2 * np.square(kernel).sum()
        assert trained.penalties()[point] == pytest.approx(penalty, rel=1e-5)


def test_every_setting_of_the_training_by_hand():
    """Momentum, batches, schedule, standardisation, order and decay, step by step in NumPy."""
    features, labels = blobs()
    settings = LinearSettings(
        epochs=3, batch_size=40, momentum=0.5, schedule="steps", standardize=False, seed=6
    )
    classes, (rate, decay) = int(labels.max()) + 1, (0.2, 0.05)
    kernel, bias = np.zeros([features.shape[1], classes]), np.zeros(classes)
    velocities = [np.zeros_like(kernel), np.zeros_like(bias)]
    steps, step = len(labels) // 40, 0
    for epoch in range(3):
        order = np.random.default_rng([6, epoch]).permutation(len(labels))
        for batch in order[: steps * 40].reshape(steps, 40):
            x, truth = features[batch], np.eye(classes)[labels[batch]]
            logits = x @ kernel + bias
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            residual = (shares / shares.sum(axis=1, keepdims=True) - truth) / 40
            gradients = [x.T @ residual + decay * kernel, residual.sum(axis=0)]
            velocities = [0.5 * v + g for v, g in zip(velocities, gradients)]
            factor = 0.1 ** (3 * step // (3 * steps))
            kernel = kernel - rate * factor * velocities[0]
            bias = bias - rate * factor * velocities[1]
            step += 1
    trained = fit_classifiers(features, labels, np.arange(len(labels)), [(rate, decay)], settings)
    np.testing.assert_allclose(trained.kernel, kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(trained.bias, bias, rtol=1e-3, atol=1e-5)


def test_points_do_not_touch_one_another():
    features, labels = blobs()
    points = [(0.1, 0.01), (1e30, 0.0), (0.3, 0.0)]  # the second diverges
    together = fit(features, labels, points)
    for point in (0, 2):
        alone = fit(features, labels, [points[point]])
        columns = slice(7 * point, 7 * point + 7)
        np.testing.assert_allclose(together.kernel[:, columns], alone.kernel, atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "total", "expected"),
    [
        ("steps", 9, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        ("steps", 4, [1, 1, 0.1, 0.01]),
        ("cosine", 4, [1, 0.5 + 0.5 / 2**0.5, 0.5, 0.5 - 0.5 / 2**0.5]),
    ],
)
def test_learning_rate_schedules(schedule, total, expected):
    factors = [rate_factor(step, total, schedule) for step in range(total)]
    assert factors == pytest.approx(expected)


def test_the_schedule_spans_all_epochs(monkeypatch):
    seen = []
    monkeypatch.setattr(
        Classifiers,
        "take_steps",
        lambda self, features, labels, factors, momentum: seen.extend(factors.tolist()),
    )
    features, labels = blobs()  # 210 rows: three steps of 64 an epoch
    fit(features, labels, [(0.2, 1e-4)], epochs=3, schedule="steps")
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_an_epoch_shows_each_row_at_most_once_in_a_new_order(monkeypatch):
    monkeypatch.setattr(classifiers_module, "_BLOCK_BYTES", 4 * 5 * 20)  # one step at once
    epochs = [[]]

    def note(self, features, labels, factors, momentum):
        assert features.shape == (1, 20, 5)
        epochs[-1].extend(features[..., 0].ravel().tolist())

    monkeypatch.setattr(Classifiers, "take_steps", note)
    features, labels = blobs()
    features[:, 0] = np.arange(210)
    fit(features, labels, [(0.1, 0)], epochs=2, batch_size=20, on_epoch=lambda _: epochs.append([]))
    assert [len(set(epoch)) for epoch in epochs] == [200, 200, 0]
    assert epochs[0] != epochs[1]


def test_choosing_is_never_given_the_test_split():
    assert not [name for name in inspect.signature(choose_point).parameters if "test" in name]


def test_poisoned_test_labels_change_nothing_in_the_choice():
    features, labels = blobs()
    test_features, test_labels = blobs(seed=1)
    honest = linear_probe(features, labels, test_features, test_labels, SMALL)
    poisoned_labels = np.random.default_rng(2).permutation(test_labels)
    poisoned = linear_probe(features, labels, 1e3 * test_features, poisoned_labels, SMALL)
    assert poisoned.choice == honest.choice
    assert poisoned.top1 < honest.top1 - 0.1


def test_validation_is_on_rows_that_were_not_trained_on():
    """Labels without meaning can be learnt by heart, but not foreseen."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=[200, 300]).astype(np.float32)
    labels = np.arange(200) % 5
    settings = LinearSettings(
        learning_rates=(0.03, 0.1), weight_decays=(0.0,), validation_fraction=0.3
    )
    assert linear_probe(features, labels, features, labels, settings).top1 == 1
    assert max(choose_point(features, labels, settings).validation_top1.values()) < 0.4


def test_rows_left_out_do_not_matter():
    features, labels = blobs()
    kept, held = stratified_holdout(labels, 0.2, 0)
    features[held] = np.nan
    settings = LinearSettings(epochs=3, batch_size=64)
    trained = fit_classifiers(features, labels, kept, [(0.1, 0.0)], settings)
    assert np.isfinite(trained.kernel.numpy()).all()


def test_chooses_the_point_that_works():
    # 1e-9 learns nothing, and 0.1 · 1000 makes the weights grow by a factor in every step.
    settings = LinearSettings(learning_rates=(1e-9, 0.1), weight_decays=(1e-3, 1e3), epochs=30)
    choice = choose_point(*blobs(noise=0.1), settings)
    assert (choice.learning_rate, choice.weight_decay) == (0.1, 1e-3)
    assert choice.validation_top1[0.1, 1e-3] > 0.9
    assert choice.validation_top1[0.1, 1e3] == 0
    assert choice.at_edge == ("learning_rates", "weight_decays")


def test_of_equal_accuracies_the_lower_cross_entropy_wins():
    settings = LinearSettings(learning_rates=(0.1,), weight_decays=(1.0, 1e-3, 0.1))
    choice = choose_point(*blobs(num_classes=2, noise=0.01), settings)
    assert set(choice.validation_top1.values()) == {1.0}
    assert choice.weight_decay == 1e-3


def test_convergence_is_told_from_other_learning_rates():
    features, labels = blobs()
    rates = (0.03, 0.1, 0.3)
    long = LinearSettings(rates, weight_decays=(1e-2,), epochs=100, batch_size=32)
    assert choose_point(features, labels, long).converged is True
    short = dataclasses.replace(long, epochs=1)
    assert choose_point(features, labels, short).converged is False
    alone = dataclasses.replace(long, learning_rates=(0.1,), weight_decays=(1e-2, 1e-1), epochs=1)
    assert choose_point(features, labels, alone).converged is None


def test_a_single_point_is_not_validated(monkeypatch):
    monkeypatch.setattr("msbreg_tf.evaluation.linear.probe.stratified_holdout", None)
    settings = LinearSettings(
        learning_rates=(0.2,), weight_decays=(1e-4,), schedule="steps", epochs=5
    )
    result = linear_probe(*blobs(), *blobs(seed=1), settings)
    assert result.choice.validation_top1 == {}
    assert result.top1 < result.top5 < 1
    assert settings.protocol()["chosen_on"].startswith("nothing")


def test_the_same_seed_gives_the_same_result():
    first, again = (linear_probe(*blobs(), *blobs(seed=1), SMALL) for _ in range(2))
    assert first == again
    kernels = [
        fit(*blobs(), [(0.1, 0.0)], epochs=2, seed=seed).kernel.numpy() for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])


def test_standardised_features_may_have_any_scale():
    features, labels = blobs()
    scales, shifts = np.float32([1e-3, 1, 50, 1e3, 1]), np.float32([0, 5, -100, 0, 0])
    features = np.concatenate([features, np.full([len(labels), 1], 7, np.float32)], axis=1)
    plain = fit(features, labels, [(0.1, 1e-3)])
    changed = features.copy()
    changed[:, :5] = features[:, :5] * scales + shifts
    scaled = fit(changed, labels, [(0.1, 1e-3)])
    np.testing.assert_allclose(scaled.kernel, plain.kernel, atol=1e-3)
    assert not plain.kernel.numpy()[5].any()  # a constant feature carries nothing


def test_interrupted_training_continues_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(classifiers_module, "_SAVE_SECONDS", -1)  # after every epoch
    features, labels = blobs()
    points = [(0.1, 1e-3), (0.3, 0.0)]
    whole = fit(features, labels, points)

    def stop(epoch):
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(features, labels, points, resume_folder=str(tmp_path), on_epoch=stop)
    seen = []
    resumed = fit(features, labels, points, resume_folder=str(tmp_path), on_epoch=seen.append)
    assert seen == list(range(4, 11))  # epoch 4 was done but not yet saved
    for name in ("kernel", "bias", "_kernel_velocity"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def broken_inputs():
    features, labels = blobs()
    nan = features.copy()
    nan[3, 1] = np.nan
    one, missing = np.zeros_like(labels), np.where(labels == 2, -1, labels)
    return {
        "209 training features for 210": (features[1:], labels, features, labels),
        "the training split: all its 210 images are of one class": (features, one, features, one),
        "training split has images without labels": (features, missing, features, labels),
        "test split has images without labels": (features, labels, features, missing),
        "1 of its classes are not in the training split, the first is label 7": (
            features,
            labels,
            features,
            labels + 1,
        ),
        "1 of 210 training features are not finite": (nan, labels, features, labels),
        "1 of 210 test features are not finite": (features, labels, nan, labels),
        "not of the same encoder": (features, labels, features[:, 1:], labels),
        "test split has no images": (features, labels, features[:0], labels[:0]),
    }


@pytest.mark.parametrize("message", broken_inputs())
def test_bad_input_is_one_line(message):
    with pytest.raises(ValueError, match=message) as caught:
        linear_probe(*broken_inputs()[message], SMALL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rates", [(1e30,), (1e30, 2e30)])
def test_divergence_is_one_line(rates):
    settings = LinearSettings(learning_rates=rates, weight_decays=(1.0,), epochs=2)
    with pytest.raises(ValueError, match=r"--learning_rates=.*diverged"):
        linear_probe(*blobs(), *blobs(seed=1), settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"learning_rates": (0.1, 0.0)},
            "--learning_rates=0.1,0.0: expected numbers joined",
        ),
        ({"learning_rates": ()}, "--learning_rates="),
        ({"weight_decays": (-1e-4,)}, "--weight_decays=-0.0001: "),
        ({"epochs": 0}, "--epochs=0: "),
        ({"batch_size": 0}, "--sgd_batch_size=0: "),
        ({"momentum": 1.0}, "--momentum=1.0: "),
        ({"momentum": float("nan")}, "--momentum=nan: "),
        ({"schedule": "linear"}, "--schedule=linear: expected one of cosine, steps"),
        ({"validation_fraction": 1.0}, "--validation_fraction=1.0: "),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        LinearSettings(**changes)
