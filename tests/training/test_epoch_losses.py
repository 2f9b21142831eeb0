"""An epoch's losses are the means of its steps', and kinds of attack are set against live recordings."""

import torch

from vivavoce.corpus.metadata import Kind
from vivavoce.training.epoch_losses import NAMES, ZEROS, epoch_means, flat
from vivavoce.training.step import KINDS, StepLoss


def step(level: float, kinds: dict[Kind, tuple[float, int]]) -> StepLoss:
    by_kind = torch.zeros(2, len(KINDS))
    for kind, (mean, count) in kinds.items():
        by_kind[:, KINDS.index(kind)] = torch.tensor([mean * count, count])
    return StepLoss(*(torch.tensor(level + number) for number in range(len(NAMES))), by_kind)


def test_kinds_weigh_by_their_recordings_and_losses_by_steps():
    first = step(1.0, {Kind.LIVE: (0.5, 2), Kind.TTS: (1.0, 1)})
    second = step(3.0, {Kind.LIVE: (0.2, 4), Kind.TTS: (4.0, 2), Kind.SHIFTED: (0.1, 3)})
    found = epoch_means((flat(first) + flat(second)).tolist(), 2, ["speaker", "liveness"])
    assert found["loss"] == 2.0
    assert found["loss_speaker"] == 3.0
    kinds = {name: round(value, 6) for name, value in found.items() if "/" in name}
    assert kinds == {"loss_liveness/tts": 0.5 * (0.3 + 3.0), "loss_liveness/shifted": 0.5 * (0.3 + 0.1)}


def test_a_task_that_is_not_trained_has_no_losses():
    found = epoch_means(flat(step(1.0, {})).tolist(), 1, ["speaker"])
    assert found == {"loss": 1.0, "loss_speaker": 2.0}


def test_an_epoch_without_steps_is_zero():
    assert epoch_means(ZEROS, 0, ["speaker"]) == {"loss": 0.0, "loss_speaker": 0.0}
