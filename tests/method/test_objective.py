"""The table of terms, and what a new row of it reaches."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import cli
from msbreg_tf.method import losses, objective
from msbreg_tf.method.objective import TERMS, Embeddings, Objective, Term
from msbreg_tf.method.settings import METHODS, ObjectiveSettings
from msbreg_tf.run import plan
from msbreg_tf.run.parity.recording import EveryTerm
from msbreg_tf.settings import setting
from tests.tiny import tiny_model, tiny_views


def unit(seed, shape=(4, 3, 6)):
    rows = tf.random.stateless_normal(shape, [seed, 0])
    return tf.math.l2_normalize(rows, axis=-1)


def embeddings(**settings):
    return Embeddings(
        unit(1),
        unit(2),
        unit(3),
        tf.constant([5, 6]),
        tf.constant(8),
        ObjectiveSettings(**settings),
    )


def test_every_method_has_one_attraction_and_every_term_a_method():
    for method in METHODS:
        mine = [term for term in TERMS.values() if method in term.methods]
        assert [term.weight for term in mine].count(None) == 1, method
    assert {method for term in TERMS.values() for method in term.methods} == set(METHODS)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"lambda_s": 0.1, "lambda_b": 0.2},
         {"centroid": 1.0, "singular_value": 0.1, "brownian": 0.2}),
        ({"lambda_s": 0.0, "lambda_b": 0.2}, {"centroid": 1.0, "brownian": 0.2}),
        ({"method": "byol", "num_views": 2}, {"centroid": 1.0}),
        ({"method": "byol_uniform", "num_views": 2, "lambda_u": 0.3},
         {"centroid": 1.0, "uniformity": 0.3}),
        ({"method": "batch_repetition"}, {"next_view": 1.0}),
    ],
)  # fmt: skip
def test_weights_by_method_in_the_order_of_the_table(settings, weights):
    assert list(Objective(ObjectiveSettings(**settings)).weights.items()) == list(weights.items())


@pytest.mark.parametrize(("where", "output"), [("predictor", "p"), ("projector", "y")])
def test_each_term_is_its_loss_of_the_right_output(where, output):
    e = embeddings(regularize=where, centroid="all", singular_value_form="squares")
    regularized = getattr(e, output)
    rows = tf.reshape(regularized, [12, 6])
    expected = {
        "centroid": losses.multiview_centroid_loss(e.p, e.z, "all"),
        "next_view": losses.next_view_loss(e.p, e.z),
        "singular_value": losses.singular_value_loss(rows, "squares"),
        "brownian": losses.brownian_diffusive_loss(regularized, e.seed, 8),
        "uniformity": losses.uniformity_loss(rows),
    }
    assert expected.keys() == TERMS.keys()
    for name, term in TERMS.items():
        assert float(term.loss(e)) == float(expected[name]), name


def test_the_total_is_the_weighted_sum():
    ours = Objective(ObjectiveSettings(lambda_s=0.25, lambda_b=2.0))
    terms = {"centroid": 1.0, "singular_value": 8.0, "brownian": 0.5}
    assert float(ours.total(terms)) == 1.0 + 0.25 * 8.0 + 2.0 * 0.5


@dataclasses.dataclass(frozen=True)
class WithRadius(ObjectiveSettings):
    """The objective, with the setting of a new term."""

    lambda_radius: float = setting(0.0, "Weight of the radius.", low=0, source="a test")


@pytest.fixture
def toy_term(monkeypatch):
    """A term that a person has added: one function, one row, one setting."""

    def radius_loss(p):
        return tf.reduce_mean(tf.square(p[..., 0]))

    row = Term(lambda e: radius_loss(e.regularized), methods=("msbreg",), weight="lambda_radius")
    monkeypatch.setitem(objective.TERMS, "radius", row)


@pytest.mark.usefixtures("toy_term")
def test_a_new_term_is_known_to_flags_help_plan_step_and_parity():
    command = cli.Command((WithRadius,), print)
    (settings,), _ = cli.read_flags(command, ["x", "--lambda_radius=2", "--lambda_s=0"])
    assert settings.lambda_radius == 2.0
    with pytest.raises(ValueError, match=r"--lambda_radius=-1\.0: expected a number, at least 0"):
        cli.read_flags(command, ["x", "--lambda_radius=-1"])
    assert "--lambda_radius (default: 0.0)" in cli.help_text(command, "")

    model = tiny_model()
    model.objective = Objective(settings)
    views = next(iter(tiny_views()))
    p, _ = model.embed(views, training=True)
    metrics = model.train_step(views)
    assert float(metrics["radius"]) == pytest.approx(
        float(tf.reduce_mean(p[..., 0] ** 2)), rel=1e-5
    )
    parts = [float(metrics["centroid"]), 0.5 * float(metrics["brownian"])]
    assert float(metrics["loss"]) == pytest.approx(sum(parts) + 2 * float(metrics["radius"]))
    assert model.objective.formula() == "centroid + 0.5 brownian + 2 radius"
    assert EveryTerm(settings).weights["radius"] == 1.0
    assert "radius" in EveryTerm(settings).terms(embeddings())


@pytest.mark.usefixtures("toy_term")
def test_the_plan_names_a_weight_that_the_method_leaves_out():
    def unused(**settings):
        return plan._unused(Objective(WithRadius(**settings)))

    assert unused(lambda_radius=3.0) == ""
    assert unused(method="byol", num_views=2, lambda_radius=3.0) == " (--lambda_radius not used)"
    assert unused(method="byol", num_views=2, lambda_b=0.1) == " (--lambda_b not used)"


def test_a_replica_sees_the_rows_of_all(mirrored):
    """Terms of the whole cloud get the rows of both replicas, in order."""

    def rows():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        e = embeddings()
        part = tf.gather(tf.reshape(e.p, [2, 2, 3, 6]), replica)
        return dataclasses.replace(e, p=part).regularized_rows

    gathered = mirrored.run(tf.function(rows))
    for copy in mirrored.experimental_local_results(gathered):
        np.testing.assert_array_equal(copy, tf.reshape(unit(1), [12, 6]))
