import json

import numpy as np
import pytest

from vivavoce.config import ExperimentConfig
from vivavoce.settings import load_settings
from vivavoce.training.diagnosis.diagnosis import Diagnosis, diagnose
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.diagnosis.states import State

from .invented import CONFIG, FLAT, HIGHER, LOWER, lines

HEALTHY = {
    **{"update_ratio/trunk": 5e-3, "update_ratio/head": 5e-3, "grad_norm/trunk": 1.0, "grad_norm/head": 1.0},
    **{"dead/trunk": 0.01, "clipped": 0.1, "input_mean/voice": 0.0, "input_std/voice": 3.0},
    **{"input_mean/echo": 0.1, "input_std/echo": 1.0},
}


def states(found: Diagnosis) -> dict[str, State]:
    return {task.task: task.state for task in found.tasks}


def all_sets(found: Diagnosis) -> list[str]:
    return [change for one in (*found.tasks, *found.causes) for change in one.advice.sets]


def test_a_healthy_run_has_no_cause_and_nothing_is_done():
    found = diagnose(lines(**HEALTHY), CONFIG)
    assert states(found) == dict.fromkeys(("speaker", "liveness", "joint"), State.LEARNING)
    assert found.cause == "none"
    assert found.action.kind == "none"
    assert not found.suspicious
    assert "still learning" in found.headline


@pytest.mark.parametrize(
    ("cause", "given"),
    [
        ("frozen", {**HEALTHY, "update_ratio/trunk": 0.0, "grad_norm/trunk": 0.0}),
        ("dead_units", {**HEALTHY, "dead/trunk": 0.8}),
        ("normalisation", {**HEALTHY, "input_mean/voice": 12.0}),
        ("normalisation", {**HEALTHY, "input_std/echo": 90.0}),
        ("rate_too_high", {**HEALTHY, "update_ratio/head": 0.9, "train": HIGHER, "validation": HIGHER}),
        (
            "rate_too_low",
            {**HEALTHY, "update_ratio/trunk": 1e-6, "update_ratio/head": 2e-6, "train": FLAT, "validation": FLAT},
        ),
        ("labels", {**HEALTHY, "eer": 0.48}),
    ],
)
def test_each_cause_is_named_from_its_evidence_with_figures(cause, given):
    found = diagnose(lines(**given), CONFIG)
    assert found.cause == cause
    assert any(character.isdigit() for sentence in found.causes[0].evidence for character in sentence)
    assert found.causes[0].says.capitalize() in found.headline


@pytest.mark.parametrize("part", ["multitask_loss", "judge_loss"])
def test_what_begins_at_zero_tells_nothing_of_the_rate(part):
    """Log variances and a bias make ratios of 1e7 in their first step; `act` would be blocked by a false cause."""
    given = {**HEALTHY, f"update_ratio/{part}": 2e7}
    assert diagnose(lines(**given), CONFIG).cause == "none"
    assert diagnose(lines(FLAT, FLAT, **given), CONFIG).action.kind == "lower_rate"
    slow = {**given, "update_ratio/trunk": 1e-6, "update_ratio/head": 2e-6}
    assert diagnose(lines(FLAT, FLAT, **slow), CONFIG).cause == "rate_too_low"


def test_a_loss_that_is_no_number_is_the_rate():
    given = lines(**HEALTHY)
    given[-2]["loss"] = given[-2]["loss_speaker"] = float("nan")
    found = diagnose(given, CONFIG)
    assert found.cause == "rate_too_high"
    assert states(found)["speaker"] is State.TOO_EARLY
    json.loads(json.dumps(found.to_dict()))


def test_a_loss_that_dwarfs_the_other_is_named_with_the_task_that_suffers():
    given = lines(**HEALTHY)
    for line in given:
        if line["split"] == "train":
            line["loss"] = line["loss_speaker"] + 5000 * line["loss_liveness"]
    found = diagnose(given, CONFIG)
    assert found.cause == "joint_loss"
    assert found.causes[0].task == "speaker"


@pytest.mark.parametrize(("solved", "other"), [("liveness", "speaker"), ("speaker", "liveness")])
def test_a_task_that_is_solved_is_dwarfed_by_nothing(solved, other):
    given = lines(**HEALTHY)
    for line in given:
        if line["split"] == "train":
            line[f"loss_{solved}"] = 1e-3 * line[f"loss_{other}"]
            line["loss"] = line["loss_speaker"] + line["loss_liveness"]
    assert diagnose(given, CONFIG).cause == "none"


def test_a_liveness_loss_that_hardly_counts_is_named():
    given = lines(**HEALTHY)
    for line in given:
        if line["split"] == "train":
            line["loss"] = line["loss_speaker"] + 1e-3 * line["loss_liveness"]
    found = diagnose(given, CONFIG)
    assert (found.cause, found.causes[0].task) == ("joint_loss", "liveness")


@pytest.mark.parametrize(
    ("freeze", "epochs", "alarm"),
    [
        ([{"parts": ["trunk"], "epochs": 2}], 1, False),
        ([{"parts": ["trunk"], "epochs": 2}], 2, False),
        ([{"parts": ["trunk.*"], "epochs": 2}], 2, False),
        ([{"parts": ["trunk"], "epochs": 2}], 3, True),  # it is over, and the trunk still does not learn
        ([{"parts": ["head"], "epochs": 2}], 1, True),
        ([{"parts": ["trunk"], "epochs": None}], 1, True),
        ([{"parts": ["trunk"], "epochs": 2}, {"parts": ["trunk"]}], 1, True),
    ],
)
def test_a_freeze_that_is_planned_to_end_is_no_fault_while_it_lasts(freeze, epochs, alarm):
    given = lines(**{**HEALTHY, "update_ratio/trunk": 0.0, "grad_norm/trunk": 0.0})[: 2 * epochs]
    found = diagnose(given, {**CONFIG, "training": {**CONFIG["training"], "freeze": freeze}})
    assert (found.cause == "frozen") is alarm
    by_config = alarm and freeze[-1]["parts"] == ["trunk"] and freeze[-1].get("epochs") is None
    assert any("training.freeze" in said for cause in found.causes for said in cause.evidence) is by_config
    assert ("training.freeze=[]" in all_sets(found)) is by_config


@pytest.mark.parametrize(
    ("task", "still", "alarm"),
    [
        ("speaker", ("trunk", "head"), True),  # the head is not trained, and that it stands still hides nothing
        ("speaker", ("head",), False),
        ("liveness", ("trunk",), False),  # as with a head that reads raw features
        ("liveness", ("trunk", "head"), True),
    ],
)
def test_a_task_alone_moves_its_own_part(task, still, alarm):
    given = lines(**HEALTHY | {f"update_ratio/{part}": 0.0 for part in still})
    other = {"speaker": "liveness", "liveness": "speaker"}[task]
    given = [{name: value for name, value in line.items() if other not in name} for line in given]
    assert (diagnose(given, CONFIG).cause == "frozen") is alarm


def test_what_the_data_are_known_for_comes_first():
    few = diagnose(lines(**HEALTHY), CONFIG, Facts(recordings=20, speakers=2))
    assert few.cause == "tiny_data"
    leaky = diagnose(lines(**HEALTHY), CONFIG, Facts(20, 2, shared=("2 speakers in both.",)))
    assert leaky.cause == "leak"
    assert leaky.causes[0].evidence == ("2 speakers in both.",)


def test_what_the_audit_found_is_said_where_the_data_are_at_fault():
    wrong = tuple(f"Finding {number}." for number in range(7))
    found = diagnose(lines(FLAT, LOWER, **HEALTHY), CONFIG, Facts(200, 20, wrong=wrong, audited=True))
    assert states(found)["speaker"] is State.DATA
    assert found.cause == "data"
    assert found.causes[0].evidence == (*wrong[:5], "The audit found 2 more.")
    assert diagnose(lines(**HEALTHY), CONFIG, Facts(200, 20, wrong=wrong, audited=True)).cause == "none"
    clean = diagnose(lines(FLAT, LOWER, **HEALTHY), CONFIG, Facts(200, 20, audited=True))
    assert clean.cause == "none"
    assert "The audit found nothing wrong" in clean.tasks[0].advice.beside
    unheard = diagnose(lines(FLAT, LOWER, **HEALTHY), CONFIG, Facts(200, 20))
    assert "Audit both manifests" in unheard.tasks[0].advice.beside


@pytest.mark.parametrize(("train", "validation", "eer"), [(FLAT, LOWER, 0.1), (LOWER, LOWER, 0.0), (LOWER, FLAT, 0.5)])
def test_curves_that_no_right_data_give_ask_for_an_audit(train, validation, eer):
    assert diagnose(lines(train, validation, eer), CONFIG).suspicious


@pytest.mark.parametrize("train", [LOWER, FLAT, HIGHER])
@pytest.mark.parametrize("validation", [LOWER, FLAT, HIGHER])
def test_every_change_that_is_advised_can_be_set(train, validation):
    bad = {**HEALTHY, "dead/trunk": 0.9, "update_ratio/head": 0.9, "input_mean/voice": 30.0, "input_mean/echo": 30.0}
    slow = {**HEALTHY, "update_ratio/trunk": 1e-6, "update_ratio/head": 1e-6}
    frozen = {**HEALTHY, "update_ratio/trunk": 0.0}
    config = {**CONFIG, "training": {**CONFIG["training"], "freeze": [{"parts": ["trunk"]}], "epochs": 30}}
    needed = ["data.train=a.jsonl", "data.validation=b.jsonl"]
    for monitored in (bad, slow, frozen):
        for given in (config, None):
            found = diagnose(lines(train, validation, **monitored), given, Facts(20, 2))
            assert all_sets(found)
            for change in all_sets(found):
                load_settings(ExperimentConfig, None, [*needed, change])


def test_a_lower_rate_is_lower_and_read_as_a_number():
    found = diagnose(lines(FLAT, FLAT), {**CONFIG, "training": {"epochs": 60, "learning_rate": 2e-6}})
    (change,) = {change for change in all_sets(found) if change.startswith("training.learning_rate")}
    settings = load_settings(ExperimentConfig, None, ["data.train=a", "data.validation=b", change])
    assert settings.training.learning_rate == pytest.approx(0.6e-6)


def test_what_may_be_done_by_itself():
    def action(train: np.ndarray, validation: np.ndarray):
        return diagnose(lines(train, validation, **HEALTHY), CONFIG).action

    assert action(LOWER, HIGHER).kind == "stop"
    flat = action(FLAT, FLAT)
    assert flat.kind == "lower_rate"
    assert flat.factor is not None
    assert 0 < flat.factor < 1
    assert action(LOWER, LOWER).kind == "none"


def test_focus_goes_to_the_task_that_still_gains():
    given, over = lines(**HEALTHY), lines(LOWER, HIGHER)
    for line, other in zip(given, over, strict=True):
        line["loss_speaker"] = other["loss_speaker"]
    action = diagnose(given, CONFIG).action
    assert (action.kind, action.task) == ("focus", "liveness")


def test_no_focus_goes_to_a_task_that_is_stuck():
    """It does not gain, whatever the other does; its rate is what may help."""
    given, over = lines(FLAT, FLAT, **HEALTHY), lines(LOWER, HIGHER)
    for line, other in zip(given, over, strict=True):
        line["loss_speaker"] = other["loss_speaker"]
    found = diagnose(given, CONFIG)
    assert states(found)["liveness"] is State.BOTTLENECK
    assert found.action.kind == "lower_rate"


def test_nothing_is_done_about_what_has_not_held():
    short = lines(FLAT, FLAT, **HEALTHY)[: 2 * 9]
    assert diagnose(short, CONFIG).action.kind == "none"


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 4])
def test_a_run_that_has_just_begun_is_too_early(epochs):
    found = diagnose(lines(**HEALTHY)[: 2 * epochs], CONFIG)
    assert set(states(found).values()) <= {State.TOO_EARLY}
    assert found.epochs == epochs
    assert found.cause == "none"


def test_an_epoch_that_is_not_validated_yet_does_not_count():
    assert diagnose(lines()[:21], CONFIG).epochs == 10


def test_one_task_alone_has_no_joint_state():
    given = [{k: v for k, v in line.items() if "liveness" not in k} for line in lines(LOWER, FLAT)]
    assert states(diagnose(given)) == {"speaker": State.OVERFITTING}


def test_error_rates_stand_in_for_a_validation_loss():
    given = lines(LOWER, LOWER)
    for number, line in enumerate(given):
        if line["split"] == "validation":
            del line["loss_speaker"]
            line["speaker_eer"] = 0.3 * 0.95 ** (number / 2)
    assert states(diagnose(given))["speaker"] is State.LEARNING


def test_the_kind_that_lags_behind_is_named():
    given = lines(**HEALTHY)
    given[-1] |= {"loss_liveness/replay_stand": 0.1, "loss_liveness/swapped_mouth": 0.9}
    liveness = next(task for task in diagnose(given, CONFIG).tasks if task.task == "liveness")
    assert any("swapped_mouth" in sentence for sentence in liveness.evidence)


def test_the_whole_is_plain_json():
    found = diagnose(lines(FLAT, HIGHER, **HEALTHY), CONFIG, Facts(20, 2, ("a",), ("b",), "c")).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False))["cause"] == "leak"


def test_no_rate_is_lowered_and_no_label_doubted_where_steps_are_too_small():
    tiny_steps = {**HEALTHY, "update_ratio/trunk": 1e-6, "update_ratio/head": 2e-6}
    found = diagnose(lines(FLAT, FLAT, 0.5, **tiny_steps), CONFIG)
    assert [cause.name for cause in found.causes] == ["rate_too_low"]
    assert found.action.kind == "none"


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("speaker", {"speaker": {"margin": 0.2}, "training": {"epochs": 40, "margin_warmup_share": 0.5}}),
        ("liveness", {"training": {"epochs": 40, "negatives": {"curriculum": {"over": 0.5}}}}),
    ],
)
def test_a_margin_or_negatives_that_grow_are_waited_for(task, changes):
    given = lines(HIGHER, LOWER)[: 2 * 20]
    waited, other = diagnose(given, changes), "liveness" if task == "speaker" else "speaker"
    assert states(waited)[task] is State.LEARNING
    assert states(waited)[other] is State.DATA
    assert any("harder until epoch 20" in sentence for found in waited.tasks for sentence in found.evidence)


def test_small_steps_of_a_warm_up_are_no_rate_that_is_too_low():
    """A rate that rises from nothing to its peak over half of a run begins with steps of nothing."""
    tiny_steps = {**HEALTHY, "update_ratio/trunk": 1e-6, "update_ratio/head": 2e-6}
    given = lines(FLAT, FLAT, **tiny_steps)
    first = [line for line in given if line["epoch"] == 1]
    assert diagnose(first, CONFIG).cause == "none"
    rising = [{**line, "lr": 1e-3 * line["epoch"]} if "lr" in line else line for line in given]
    assert any("lr" in line for line in given)
    assert diagnose(rising, CONFIG).cause != "rate_too_low"


@pytest.mark.parametrize(
    ("train", "validation", "doubted"), [(0.8, 1.3, True), (0.8, 0.5, False), (0.3, 1.3, False), (1.0, 1.0, False)]
)
def test_labels_are_doubted_where_training_hardly_falls_and_validation_is_worse_than_at_first(
    train, validation, doubted
):
    courses = [np.linspace(1, end, 30) for end in (train, validation)]
    found = diagnose(lines(*courses, 0.3, **HEALTHY), CONFIG)
    assert (found.cause == "labels") is doubted
