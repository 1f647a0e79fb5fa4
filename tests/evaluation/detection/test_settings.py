"""The schedules of supplement 2.4, and what becomes of them for other batches."""

import pytest

from msbreg_tf.evaluation.detection.settings import TASKS, DetectionTraining, schedule


def test_the_supplements_schedules():
    coco = schedule(DetectionTraining(), TASKS["coco"])
    assert (coco.steps, coco.lr, coco.warmup_steps, coco.milestones) == (
        *(90_000, 0.05, 50, (60_000, 80_000)),
    )
    voc = schedule(DetectionTraining(), TASKS["voc"])
    assert (voc.steps, voc.lr, voc.warmup_steps, voc.milestones) == (
        *(24_000, 0.02, 100, (18_000, 22_000)),
    )


def test_the_rate_of_every_step():
    plan = schedule(DetectionTraining(), TASKS["coco"])
    rates = {0: 5e-5, 25: 0.05 * 0.5005, 49: 0.05 * (0.02 * 1e-3 + 0.98), 50: 0.05}
    rates |= {59_999: 0.05, 60_000: 0.005, 79_999: 0.005, 80_000: 0.0005, 89_999: 0.0005}
    for step, rate in rates.items():
        assert plan.rate(step) == pytest.approx(rate), step


def test_a_smaller_batch_has_more_steps_at_a_smaller_rate():
    plan = schedule(DetectionTraining(batch_size=4), TASKS["coco"])
    assert (plan.steps, plan.lr, plan.warmup_steps, plan.milestones) == (
        *(360_000, 0.0125, 200, (240_000, 320_000)),
    )


def test_fewer_steps_keep_the_shape_and_flags_win():
    plan = schedule(DetectionTraining(steps=600), TASKS["voc"])
    assert (plan.lr, plan.warmup_steps, plan.milestones) == (0.02, 60, (450, 550))
    assert schedule(DetectionTraining(steps=2), TASKS["voc"]).milestones == ()
    given = DetectionTraining(steps=600, lr=0.1, warmup_steps=0, milestones=(5, 7))
    plan = schedule(given, TASKS["voc"])
    assert (plan.lr, plan.warmup_steps, plan.milestones) == (0.1, 0, (5, 7))
    assert [plan.rate(step) for step in (0, 4, 5, 7)] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    with pytest.raises(ValueError, match="--milestones=5,600: expected steps in ascending order"):
        schedule(DetectionTraining(steps=600, milestones=(5, 600)), TASKS["voc"])
