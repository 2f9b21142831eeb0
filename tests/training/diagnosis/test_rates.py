"""The rate is judged by its steps as they are now: an alarm comes when it has held, and goes when it is mended."""

import numpy as np
import pytest

from vivavoce.training.diagnosis.diagnosis import Diagnosis, diagnose, held
from vivavoce.training.diagnosis.reading import last_lowered
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.run_folder import RunFolder

from .invented import CONFIG, FLAT, LOWER, lines

EPOCHS = len(LOWER)
LOWERED = "".join(
    f'{{"epoch": {epoch}, "did": "{did}"}}\n' for epoch, did in ((4, "lower_rate"), (9, "lower_rate"), (14, "focus"))
)
COSINE = 1e-3 * 0.5 * (1 + np.cos(np.pi * (np.arange(EPOCHS) + 1) / EPOCHS))


def diagnosed(figures: dict[str, np.ndarray], epochs: int = EPOCHS, planned: int = 60, lowered: int = 0) -> Diagnosis:
    """A run of ``epochs``, with figures that change from epoch to epoch."""
    given = lines(**{"update_ratio/trunk": 5e-3})[: 2 * epochs]
    for line in given:
        if line["split"] == "train":
            line |= {name: float(values[line["epoch"] - 1]) for name, values in figures.items()}
    facts = Facts(lowered=lowered)
    return diagnose(given, {**CONFIG, "training": {**CONFIG["training"], "epochs": planned}}, facts)


def steps(*parts: tuple[int, float]) -> dict[str, np.ndarray]:
    """Sizes of steps: so many epochs of each."""
    sizes = np.concatenate([np.full(count, size) for count, size in parts])
    return {"update_ratio/head": np.concatenate([sizes, np.full(EPOCHS - len(sizes), sizes[-1])])}


def test_steps_that_are_too_large_must_have_held():
    found = [diagnosed(steps((20, 5e-3), (10, 0.2)), epochs).cause for epochs in (20, 21, 22, 23)]
    assert found == ["none", "none", "none", "rate_too_high"]


def test_an_alarm_goes_where_the_rate_was_lowered():
    mended = steps((10, 0.2), (20, 5e-3))
    assert diagnosed(mended, 10).cause == "rate_too_high"
    assert diagnosed(mended, 11).cause == "none"
    assert diagnosed(mended, planned=EPOCHS, lowered=10).cause == "none"
    assert diagnosed(steps((9, 0.2)), 9, lowered=8).cause == "none"  # one epoch tells nothing of the new rate
    assert diagnosed(steps((11, 0.2)), 11, lowered=8).cause == "rate_too_high"


@pytest.mark.parametrize("rate", [{"lr": COSINE}, {}])
def test_a_run_that_is_over_is_judged_as_a_whole(rate):
    """Its last steps are small beside weights that were blown up; a run to come needs another rate all the same."""
    found = diagnosed(steps((2, 0.2), (28, 5e-3)) | rate, planned=EPOCHS)
    assert found.cause == "rate_too_high"
    assert "of the head by 20 % of their size in two or more epochs" in found.causes[0].evidence[0]
    assert found.causes[0].advice.sets[0] == "training.learning_rate=1.5e-05"
    assert diagnosed(steps((1, 0.2), (29, 5e-3)) | rate, planned=EPOCHS).cause == "none"
    assert diagnosed(steps((2, 0.2), (28, 5e-3)) | rate, epochs=20, planned=EPOCHS).cause == "none"


@pytest.mark.parametrize(("actions", "epoch"), [("", 0), ("{no", 0), ("3", 0), (LOWERED, 9)])
def test_what_the_diagnosis_did_is_read(tmp_path, actions, epoch):
    run = RunFolder(tmp_path)
    assert last_lowered(run) == 0
    run.actions.write_text(actions)
    assert last_lowered(run) == epoch


def test_the_rate_is_lowered_only_when_that_has_held_long_enough():
    """As every action: four epochs, and a sixth of the run."""
    assert held(EPOCHS) == 5
    for epochs, kind in ((3, "none"), (4, "none"), (5, "lower_rate")):
        sizes = steps((EPOCHS - epochs, 5e-3), (epochs, 0.2))
        assert diagnosed(sizes).cause == "rate_too_high"
        assert diagnosed(sizes).action.kind == kind, epochs


@pytest.mark.parametrize(("first", "cause"), [(2, "none"), (20, "rate_too_high")])
def test_jumps_of_the_loss_count_where_steps_were_not_recorded_and_while_they_last(first, cause):
    given = lines()
    for line in given:
        line.pop("update_ratio/trunk", None)
        if line["split"] == "train" and line["epoch"] in range(first, first + 6, 2):
            line["loss"] *= 2
    assert diagnose(given, CONFIG).cause == cause


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (np.full(EPOCHS, 0.5), "none"),
        (np.full(EPOCHS, 1.2), "none"),
        (np.full(EPOCHS, 5.0), "rate_too_high"),
        (np.where(np.arange(EPOCHS) % 3, 5.0, np.nan), "none"),  # not measured in each of the last epochs
        (np.where(np.arange(EPOCHS) < 20, 5.0, 0.5), "none"),  # it was mended
    ],
)
def test_steps_that_go_too_far_for_their_own_batch_are_named(values, cause):
    found = diagnosed({"overshoot": values})
    assert found.cause == cause
    if cause == "rate_too_high":
        assert "A step goes 10 times as far as would lower the loss of its own batch most." in found.causes[0].evidence
        assert found.causes[0].advice.sets[0] == "training.learning_rate=1.0e-04"
        assert found.action.kind == "lower_rate"


def test_the_overshoot_is_evidence_for_steps_that_are_large():
    found = diagnosed(steps((EPOCHS, 0.2)) | {"overshoot": np.full(EPOCHS, 0.6)})
    assert "A step goes 1.2 times as far as would lower the loss of its own batch most." in found.causes[0].evidence


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"grad_norm": 2.0, "grad_norm_max": 900.0}, "450 times the usual one (norm 9e+02)"),
        ({"grad_norm": 2.0, "grad_norm_max": 9.0}, ""),
        ({"clipped": 0.9}, "clipped in 90 % of the steps"),
        ({"grad_norm/trunk": 1e-7, "grad_norm/head": 2.0, "update_ratio/head": 5e-3}, "gradient reaches the trunk"),
        ({"grad_norm/trunk": 0.1, "grad_norm/head": 2.0, "update_ratio/head": 5e-3}, ""),
    ],
)
def test_gradients_that_burst_or_vanish_are_evidence_of_a_bottleneck(figures, said):
    given = lines(FLAT, FLAT, **{"update_ratio/trunk": 5e-3, **figures})
    found = diagnose(given, CONFIG)
    assert found.cause == "none"
    evidence = " ".join(found.tasks[0].evidence)
    assert said in evidence
    assert ("radient" in evidence) is bool(said)
