import numpy as np
import pytest
import torch

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.training.config import TrainingConfig

from ..synthetic import make_data, make_rows, make_store

CONFIG = TrainingConfig(
    liveness_batch=8,
    speaker_batch=12,
    liveness_crop_s=1.0,
    speaker_crop_s=0.8,
    shift_s=(0.3, 0.6),
    mask_echo=0,
    mask_mels=0,
)


def flat(batches) -> list[torch.Tensor]:
    return [tensor for pair in batches for batch in pair for tensor in batch]


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
    live = torch.cat([batch.live for _, batch in data.epoch(0)])
    assert live.sum() == 8
    assert len(live) == 16


def test_speaker_batches_hold_every_speaker_equally_and_know_their_speed(corpus):
    data = make_data(*corpus, CONFIG)
    assert data.classes == 18
    for batch, _ in data.epoch(0):
        assert batch.voice.shape == (12, 80, 80)
        counts = torch.bincount(batch.speakers % 6, minlength=6)
        assert counts.tolist() == [2] * 6


def test_shifted_echoes_come_from_the_same_recording_at_another_time(corpus):
    rows, store = corpus
    # Mark each frame with its number, so that a crop tells where it was cut.
    store.echo[:] = np.concatenate([np.arange(n) for n in store.frames])[:, None]
    store.voice[:, 0] = store.echo[:, 0]
    data = make_data(rows, store, CONFIG)
    for _, batch in data.epoch(0):
        assert batch.shifted_of.unique().numel() == int(batch.live.sum())
        cut = batch.shifted_echo[:, 0, 0] - batch.voice[batch.shifted_of, 0, 0]
        assert ((cut.abs() >= 30) & (cut.abs() <= 60)).all()
        whole = batch.shifted_lengths == 100
        assert torch.equal(
            batch.shifted_echo[whole, 99, 0] - batch.shifted_echo[whole, 0, 0], torch.full((int(whole.sum()),), 99.0)
        )


def test_recordings_shorter_than_the_crop_are_padded_for_liveness_and_repeated_for_the_speaker():
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.REPLAY_STAND], utterances=4)
    config = CONFIG.model_copy(update={"liveness_crop_s": 4.0, "speaker_crop_s": 4.0, "mask_frames": 0})
    data = make_data(rows, make_store(rows), config)
    for speaker_batch, batch in data.epoch(0):
        assert (batch.lengths < 400).all()
        for item, length in enumerate(batch.lengths):
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
