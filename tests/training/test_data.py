import pytest
import torch

from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.sampling import RandomConfig
from vivavoce.errors import UserError
from vivavoce.features.batch import Origin
from vivavoce.training.config import TrainingConfig

from ..synthetic import make_data, make_rows, make_store

CONFIG = TrainingConfig(
    liveness_batch=8,
    speaker_batch=12,
    liveness_crop_s=1.0,
    speaker_crop_s=0.8,
    mask_echo=0,
    mask_mels=0,
)


def flat(batches) -> list[torch.Tensor]:
    return [tensor for pair in batches for batch in pair if batch is not None for tensor in batch]


def test_the_same_epoch_gives_the_same_batches_and_another_gives_others(corpus):
    data = make_data(*corpus, CONFIG)
    first, again, other = flat(data.epoch(3)), flat(data.epoch(3)), flat(data.epoch(4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_epoch_visits_every_readable_recording_once():
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.SHIFTED, Kind.PROBE_ABSENT], utterances=4)
    store = make_store(rows)
    data = make_data(rows, store, CONFIG)
    assert data.steps * CONFIG.liveness_batch == 16
    live = torch.cat([batch.live[batch.origin == Origin.RECORDED] for _, batch in data.epoch(0)])
    assert live.sum() == 8
    assert len(live) == 16


def test_speaker_batches_hold_every_speaker_equally_and_know_their_speed(corpus):
    data = make_data(*corpus, CONFIG)
    assert data.classes == 18
    for batch, _ in data.epoch(0):
        assert batch.voice.shape == (12, 80, 80)
        counts = torch.bincount(batch.speakers % 6, minlength=6)
        assert counts.tolist() == [2] * 6


@pytest.mark.parametrize("tasks", [("speaker",), ("speaker", "liveness")])
def test_a_speaker_batch_of_one_crop_is_refused_before_training(corpus, tasks):
    """Batch norm cannot learn of it; it came in the middle of an epoch."""
    update = {"tasks": tasks, "speaker_batch": 71, "speaker_sampler": RandomConfig(drop_last=False)}
    assert len(corpus[0]) == 72
    with pytest.raises(UserError, match=r"one crop alone.*training\.speaker_sampler\.drop_last=true"):
        make_data(*corpus, CONFIG.model_copy(update=update))
    for allowed in ({"speaker_batch": 70}, {"speaker_sampler": RandomConfig(drop_last=True)}):
        data = make_data(*corpus, CONFIG.model_copy(update=update | allowed))
        assert all(len(speaker.voice) > 1 for speaker, _ in data.epoch(0))


def test_recordings_shorter_than_the_crop_are_padded_for_liveness_and_repeated_for_the_speaker():
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.REPLAY_STAND], utterances=4)
    config = CONFIG.model_copy(
        update={"liveness_crop_s": 4.0, "liveness_crop_from": 1.0, "speaker_crop_s": 4.0, "mask_frames": 0}
    )
    data = make_data(rows, make_store(rows), config)
    for speaker_batch, batch in data.epoch(0):
        assert (batch.voice_lengths < 400).all()
        for item, length in enumerate(batch.voice_lengths):
            assert batch.voice[item, length:].abs().max() == 0
            assert batch.voice[item, length - 1].abs().max() > 0
        assert speaker_batch.voice.abs().amax(dim=2).min() > 0


@pytest.mark.parametrize("kinds", [[Kind.LIVE], [Kind.REPLAY_STAND], [Kind.LIVE, Kind.PROBE_ABSENT]])
def test_one_class_alone_is_refused(kinds):
    rows = make_rows(["a", "b"], kinds)
    with pytest.raises(UserError, match="needs both"):
        make_data(rows, make_store(rows), CONFIG)


def test_one_speaker_alone_is_refused():
    rows = make_rows(["a"], [Kind.LIVE, Kind.REPLAY_STAND])
    with pytest.raises(UserError, match="holds 1 speaker"):
        make_data(rows, make_store(rows), CONFIG)


def test_the_speaker_task_alone_needs_neither_a_probe_nor_attacks():
    rows = make_rows(["a", "b", "c"], [Kind.PROBE_ABSENT])
    data = make_data(rows, make_store(rows), CONFIG.model_copy(update={"tasks": ("speaker",)}))
    found = list(data.epoch(0))
    assert len(found) == data.steps > 0
    assert all(batch.liveness is None and len(batch.speaker.voice) == 12 for batch in found)


def test_the_correlation_task_alone_needs_no_second_speaker():
    rows = make_rows(["a"], [Kind.LIVE, Kind.REPLAY_STAND])
    data = make_data(rows, make_store(rows), CONFIG.model_copy(update={"tasks": ("liveness",)}))
    assert all(batch.speaker is None and batch.liveness is not None for batch in data.epoch(0))
    assert not any(len(step.speaker_items) for step in data._steps(0))


@pytest.mark.parametrize("task", ["speaker", "liveness"])
def test_the_batches_of_a_task_alone_are_those_it_has_beside_the_other(corpus, task):
    both, alone = (
        make_data(*corpus, CONFIG.model_copy(update={"tasks": t})) for t in (("speaker", "liveness"), (task,))
    )
    for one, other in zip(both.epoch(1), alone.epoch(1), strict=False):
        pairs = zip(getattr(one, task), getattr(other, task), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
