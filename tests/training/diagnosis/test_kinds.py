"""What the kinds of attack say: who is behind, whether training is, too, and how wide each gap is."""

import pytest

from vivavoce.training.diagnosis.kinds import kind_evidence
from vivavoce.training.diagnosis.record import Record

from .invented import lines


def record(train: dict[str, float], validation: dict[str, float], last: float | None = None) -> Record:
    """A run with the same losses by kind in all epochs; ``last``: of shifted ones in the last validation."""
    found = lines()
    for line in found:
        kinds = train if line["split"] == "train" else validation
        line.update({f"loss_liveness/{kind}": loss for kind, loss in kinds.items()})
    if last is not None:
        found[-1]["loss_liveness/shifted"] = last
    return Record.of(found, None)


def test_the_widest_gap_comes_first_and_kinds_that_were_held_out_have_none():
    found = kind_evidence(
        record({"tts": 0.1, "shifted": 0.1}, {"tts": 0.2, "shifted": 0.3, "spliced": 0.2}), "liveness"
    )
    assert found == ["Loss by kind, training/validation, widest gap first: shifted 0.1/0.3, tts 0.1/0.2."]


@pytest.mark.parametrize(
    ("train", "why"),
    [
        ({"tts": 0.1}, "training never met it"),
        ({"tts": 0.1, "shifted": 0.9}, "training finds it as hard (0.9)"),
        ({"tts": 0.1, "shifted": 0.1}, "training knows it (0.1)"),
    ],
)
def test_a_kind_that_is_behind_is_named_with_why(train: dict[str, float], why: str):
    first = kind_evidence(record(train, {"tts": 0.1, "shifted": 0.9}), "liveness")[0]
    assert first.startswith(f"The kind shifted is far behind the others (loss 0.9): {why}")


def test_runs_of_before_and_other_tasks_say_only_what_is_known():
    found = kind_evidence(record({}, {"tts": 0.1, "shifted": 0.9}), "liveness")
    assert found == ["The kind shifted is far behind the others (loss 0.9)."]
    assert kind_evidence(record({"tts": 0.1}, {"tts": 0.1}), "liveness") == []
    assert kind_evidence(record({}, {"tts": 0.1, "shifted": 0.9}), "speaker") == []


def test_one_epoch_by_chance_is_evened_out():
    run = record({"tts": 0.1, "shifted": 0.1}, {"tts": 0.1, "shifted": 0.1}, last=0.25)
    assert kind_evidence(run, "liveness")[0].endswith("shifted 0.1/0.15, tts 0.1/0.1.")
