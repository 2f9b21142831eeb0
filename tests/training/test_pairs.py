"""The pairs of a step: cut where they should be, labelled frame by frame, and alike in all but their label."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.features.batch import LivenessBatch, Origin
from vivavoce.features.store import FeatureStore
from vivavoce.training.config import TrainingConfig
from vivavoce.training.crops import Step

from ..synthetic import make_data, make_rows, make_store

PLAIN = {"tasks": ["liveness"], "liveness_batch": 24, "liveness_crop_s": 1.5, "mask_mels": 0, "mask_echo": 0}


def config_of(**negatives) -> TrainingConfig:
    return TrainingConfig.model_validate({**PLAIN, "epochs": 1, "negatives": negatives})


def numbered(rows: list[Row], frames: list[int] | None = None) -> FeatureStore:
    """A store whose first voice channel tells the recording and whose second tells the frame; so does the echo."""
    store = make_store(rows)
    counts = store.frames if frames is None else np.array(frames)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    recording = np.repeat(np.arange(len(rows)), counts)
    frame = np.concatenate([np.arange(n) for n in counts])
    voice, echo = np.zeros((2, len(frame), 80), np.float16)
    voice[:, 0] = echo[:, 0] = recording
    voice[:, 1] = echo[:, 1] = frame
    return FeatureStore(voice, echo[:, :6], starts, counts, store.quality)


def steps(config: TrainingConfig, rows: list[Row], store: FeatureStore, epoch: int = 5) -> list[LivenessBatch]:
    return [found for _, found in make_data(rows, store, config).epoch(epoch) if found is not None]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Row], FeatureStore]:
    rows = make_rows([f"s{i}" for i in range(6)], [Kind.LIVE, Kind.REPLAY_STAND])
    return rows, numbered(rows)


def both(batch: LivenessBatch, pair: int) -> tuple[np.ndarray, np.ndarray]:
    """Recording and frame that voice and echo of a pair come from, as far as they are judged: ``(frames, 2)`` each."""
    count = int(batch.lengths[pair])
    streams = batch.voice[batch.voice_of[pair]], batch.echo[batch.echo_of[pair]]
    voice, echo = (stream[:count, :2].round().numpy().astype(int) for stream in streams)
    return voice, echo


def test_recordings_as_they_are_have_their_kind_and_what_was_made_has_none(corpus):
    rows, store = corpus
    for batch in steps(config_of(), rows, store):
        for pair, kind in enumerate(batch.kind.tolist()):
            recording = rows[both(batch, pair)[1][0, 0]]
            recorded = batch.origin[pair] == Origin.RECORDED
            assert kind == (list(Kind).index(recording.meta.kind) if recorded else -1)


def test_every_frame_label_says_whether_both_streams_show_the_same_moment(corpus):
    rows, store = corpus
    seen = set()
    for batch in steps(config_of(per_live=6), rows, store):
        for pair, origin in enumerate(batch.origin.tolist()):
            voice, echo = both(batch, pair)
            live = np.array([rows[item].meta.kind is Kind.LIVE for item in voice[:, 0]])
            together = (voice == echo).all(axis=1) & live
            half = -(-len(together) // 2)
            assert np.array_equal(together[::2], together[1::2]) or len(together) % 2
            assert np.array_equal(batch.frame_live[pair, :half].numpy().astype(bool), together[::2])
            assert bool(batch.live[pair]) == together.all()
            seen.add((Origin(origin), bool(batch.live[pair])))
    wanted = {(origin, False) for origin in Origin} | {(Origin.RECORDED, True), (Origin.PARTIAL, True)}
    assert seen == wanted


def test_shifts_are_cut_whole_from_the_same_recording_both_ways(corpus):
    rows, store = corpus
    config = config_of(replace=0, swap=0, partial=0, shift_s=(0.2, 0.7), curriculum={"over": 0, "shift_from_s": 0.2})
    shifts = []
    for batch in steps(config, rows, store):
        own = {int(batch.voice_of[pair]): int(batch.voice_lengths[batch.voice_of[pair]]) for pair in range(24)}
        for pair in torch.nonzero(batch.origin == Origin.SHIFT)[:, 0].tolist():
            voice, echo = both(batch, pair)
            assert (voice[:, 0] == echo[:, 0]).all()
            late = np.unique(echo[:, 1] - voice[:, 1])
            assert len(late) == 1  # nothing is rolled
            shifts.append(int(late[0]))
            assert int(batch.lengths[pair]) == own[int(batch.voice_of[pair])]  # as long as the true pair's streams
    size = np.abs(shifts)
    assert size.min() >= 12
    assert size.max() <= 70
    assert 0.35 < (np.array(shifts) > 0).mean() < 0.65


@settings(max_examples=30)
@given(frames=st.lists(st.integers(10, 400), min_size=8, max_size=8), seed=st.integers(0, 99))
def test_recordings_of_any_length_give_no_shift_that_is_noise(frames, seed):
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.REPLAY_STAND], utterances=2)
    store = numbered(rows, frames)
    for batch in steps(config_of(shift=1, replace=0, swap=0, partial=0), rows, store, seed):
        assert (batch.lengths > 0).all()
        for pair, length in enumerate(batch.voice_lengths[:8].tolist()):  # room for shifts leaves half of a recording
            recording = int(batch.voice[pair, 0, 0])
            assert length >= min(frames[recording] // 2, batch.voice.shape[1])
        for pair in torch.nonzero(batch.origin == Origin.SHIFT)[:, 0].tolist():
            voice, echo = both(batch, pair)
            assert np.abs(echo[:, 1] - voice[:, 1]).min() >= 12
            assert (voice[:, 0] == echo[:, 0]).all()


def test_the_length_does_not_tell_the_label():
    rows = make_rows([f"s{i}" for i in range(10)], [Kind.LIVE, Kind.REPLAY_STAND])
    store = numbered(rows)
    config = config_of().model_copy(update={"liveness_crop_s": 2.5, "liveness_crop_from": 1.0})
    found = [
        (int(length), bool(live), origin == Origin.RECORDED)
        for epoch in range(6)
        for batch in steps(config, rows, store, epoch)
        for length, live, origin in zip(batch.lengths, batch.live, batch.origin, strict=True)
    ]
    lengths, live, recorded = (np.array(part) for part in zip(*found, strict=True))
    assert abs(area_under_curve(lengths[live], lengths[~live]) - 0.5) < 0.05
    assert abs(area_under_curve(lengths[live & recorded], lengths[~live & recorded]) - 0.5) < 0.08


def area_under_curve(high: np.ndarray, low: np.ndarray) -> float:
    """How often one value of ``high`` exceeds one of ``low``, ties half."""
    above, below = (np.searchsorted(np.sort(low), high, side=side) for side in ("left", "right"))
    return float((above + below).mean() / 2 / len(low))


def test_a_seam_looks_alike_in_true_and_false_partial_pairs():
    """A probe that sees how far each stream jumps at its seams cannot tell the label better than by guessing."""
    rows = make_rows([f"s{i}" for i in range(8)], [Kind.LIVE, Kind.REPLAY_STAND])
    marked, store = numbered(rows), make_store(rows)
    config = config_of(partial=1, replace=0, swap=0, shift=0)
    jumps: dict[bool, list[list[float]]] = {True: [], False: []}
    for epoch in range(5):
        for where, batch in zip(steps(config, rows, marked, epoch), steps(config, rows, store, epoch), strict=True):
            for pair in torch.nonzero(batch.origin == Origin.PARTIAL)[:, 0].tolist():
                voice, _ = both(where, pair)
                seams = np.flatnonzero(np.diff(voice[:, 0]))
                assert len(seams) in (1, 2)
                streams = batch.voice[batch.voice_of[pair]], batch.echo[batch.echo_of[pair]]
                steps_at = [float(stream.diff(dim=0)[seams].norm(dim=1).mean()) for stream in streams]
                jumps[bool(batch.live[pair])].append(steps_at)
    true, false = (np.array(jumps[label]) for label in (True, False))
    assert len(true) == len(false) > 300
    for channel in range(2):
        assert abs(area_under_curve(true[:, channel], false[:, channel]) - 0.5) < 0.06
    # Each false pair has the very voice of its true one: so much for the voice and for where the seams are.
    np.testing.assert_array_equal(true[:, 0], false[:, 0])


def test_masks_end_where_a_stream_ends(corpus):
    rows, store = corpus
    for batch in steps(
        config_of(), rows, FeatureStore(store.voice + 1, store.echo + 1, *list(vars(store).values())[2:])
    ):
        for stream, lengths in ((batch.voice, batch.voice_lengths), (batch.echo, batch.echo_lengths)):
            inside = torch.arange(stream.shape[1])[None, :] < lengths[:, None]
            assert (stream[..., :2].ne(0).all(dim=2) == inside).all()
        pair_limits = torch.minimum(batch.voice_lengths[batch.voice_of], batch.echo_lengths[batch.echo_of])
        assert (batch.lengths <= pair_limits).all()


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_a_spliced_recording_labels_its_own_frames(speed):
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.SPLICED], utterances=4)
    spans = ((0.4, 0.9), (1.3, 9.0))
    for number, row in enumerate(rows):
        if row.meta.kind is Kind.SPLICED:
            meta = Metadata.model_validate({**row.meta.model_dump(exclude_none=True), "splices": spans})
            rows[number] = Row(row.id, row.path, row.speaker, None, 0.0, 2.0, 48_000, 0, meta)
    plain = numbered(rows)
    store = FeatureStore(*list(vars(plain).values())[:6], speeds=np.full(len(rows), speed))
    config = config_of(per_live=0).model_copy(update={"held_out": (), "liveness_crop_s": 1.0})
    seen = set()
    for epoch in range(10):
        for batch in steps(config, rows, store, epoch):
            for pair in range(len(batch.live)):
                voice, _ = both(batch, pair)
                if rows[voice[0, 0]].meta.kind is Kind.LIVE:
                    assert batch.live[pair] == 1
                    continue
                times = (voice[::2, 1] + 1) * speed / 100
                spliced = np.any([(times >= begin) & (times < end) for begin, end in spans], axis=0)
                assert np.array_equal(batch.frame_live[pair, : len(times)].numpy() == 0, spliced)
                assert batch.live[pair] == (0 if spliced.any() else 1)
                seen.add(spliced.mean().round(1))
    assert len(seen) > 3


def test_each_step_draws_the_length_of_its_crops(corpus):
    config = config_of().model_copy(update={"liveness_crop_s": 1.2, "liveness_crop_from": 0.5})
    drawn = [batch.voice.shape[1] for epoch in range(30) for batch in steps(config, *corpus, epoch)]
    assert 60 <= min(drawn) < 65
    assert 115 < max(drawn) <= 120
    assert np.mean(drawn) == pytest.approx(90, abs=5)


def test_what_is_drawn_is_of_this_step_alone(corpus):
    rows, store = corpus
    data = make_data(rows, store, config_of())
    planned = [list(data._steps(epoch)) for epoch in (2, 2, 3)]
    assert all(same(a, b) for a, b in zip(planned[0], planned[1], strict=True))
    assert not any(same(a, b) for a, b in zip(planned[0], planned[2], strict=True))


def same(one: Step, other: Step) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.negatives, other.negatives, strict=True))


def test_partners_are_among_the_recordings_of_a_step(corpus):
    rows, store = corpus
    partners = 0
    for step in make_data(rows, store, config_of(hard_share=1.0))._steps(9):
        assert step.items[len(step.items) - len(step.negatives.partners) :].tolist() == step.negatives.partners.tolist()
        partners += len(step.negatives.partners)
    assert partners > 0
