"""The same batches from a store, from worker processes and from the training device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.batch import LivenessBatch, Origin, SpeakerBatch
from vivavoce.features.extractor import hear
from vivavoce.features.front_end import FrontEndConfig, Probe
from vivavoce.features.offline import open_store
from vivavoce.features.spec import StoreSpec, step_seeds
from vivavoce.features.store import FeatureStore
from vivavoce.features.survey import Survey, keep_survey, read_survey
from vivavoce.training.config import TrainingConfig
from vivavoce.training.data import TrainingData
from vivavoce.training.negatives import NegativesConfig
from vivavoce.training.supply import DeviceSupply, OfflineSupply, Supply, WorkerSupply

from ..features.recordings import make_recordings
from ..synthetic import make_data, make_rows, make_store

FRONT_END = FrontEndConfig()
NOTHING = AugmentConfig()
AUGMENT = AugmentConfig.model_validate({"speed": {}, "noise": {"probability": 1.0}, "rir": {}})
CONFIG = TrainingConfig.model_validate(
    {"liveness_batch": 4, "speaker_batch": 4, "liveness_crop_s": 1.0, "speaker_crop_s": 0.5}
    | {"negatives": {"shift_s": (0.2, 0.6), "hard_share": 1.0, "curriculum": {"hard_from": 1.0}}}
)
PLAIN = CONFIG.model_copy(update={"speed_factors": (1.0,)})
CPU = torch.device("cpu")
# All eight: what is said in them does not matter here.
HEARD = np.ones(8, dtype=bool)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Eight recordings of four speakers, live and attacked; all say the same, so that negatives find partners."""
    lengths = [(48_000, 1.2), (48_000, 0.9), (44_100, 1.1), (48_000, 1.0)] * 2
    made = make_recordings(tmp_path_factory.mktemp("audio"), lengths, speakers=4)
    return [replace(row, text="the same words") for row in made]


@pytest.fixture(scope="module")
def store(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return open_store(rows, FRONT_END, tmp_path_factory.mktemp("store") / "train", workers=1)


@pytest.fixture(scope="module")
def survey(rows: list[Row]) -> Survey:
    waves = [hear(row) for row in rows]
    return Survey.collect([Probe(wave.tones_hz, wave.quality) for wave in waves])


def data_of(rows: list[Row], supply: Supply, config: TrainingConfig = CONFIG, seed: int = 0):
    speeds = (1.0,) if config is CONFIG else AUGMENT.build().speed_factors
    return TrainingData(rows, HEARD, supply, config, FRONT_END, seed, speeds)


def flat(batches) -> list[torch.Tensor]:
    return [tensor for pair in batches for batch in pair if batch is not None for tensor in batch]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_without_augmentation_online_batches_are_the_offline_ones_to_the_last_bit(rows, store, survey):
    offline = data_of(rows, OfflineSupply(store))
    device = data_of(rows, DeviceSupply(rows, survey, FRONT_END, NOTHING, 1, CPU))
    workers = data_of(rows, WorkerSupply(rows, survey, FRONT_END, NOTHING, 2, prefetch=1))
    for epoch in (0, 3):
        kept = flat(offline.epoch(epoch))
        assert len(kept) == offline.steps * (len(SpeakerBatch._fields) + len(LivenessBatch._fields))
        assert sum(len(step.negatives.partners) for step in offline._steps(epoch)) > 0
        assert same(kept, flat(device.epoch(epoch)))
        assert same(kept, flat(workers.epoch(epoch)))
    workers.close()


def test_augmented_batches_differ_by_epoch_and_seed_and_are_the_same_for_any_number_of_workers(rows, store, survey):
    device = data_of(rows, DeviceSupply(rows, survey, FRONT_END, AUGMENT, 2, CPU), PLAIN)
    workers = data_of(rows, WorkerSupply(rows, survey, FRONT_END, AUGMENT, 1), PLAIN)
    first = flat(device.epoch(1))
    assert same(first, flat(device.epoch(1)))
    assert same(first, flat(workers.epoch(1)))
    workers.close()
    assert not same(first, flat(device.epoch(2)))
    other = data_of(rows, DeviceSupply(rows, survey, FRONT_END, AUGMENT, 2, CPU), PLAIN, seed=1)
    assert not same(first, flat(other.epoch(1)))


def test_each_time_a_recording_is_heard_it_sounds_another_way(rows, store, survey):
    # All of a recording in every crop, so that only augmentation can make a difference.
    config = PLAIN.model_copy(
        update={
            "speaker_crop_s": 0.5,
            "mask_mels": 0,
            "speaker_mask_mels": 0,
            "mask_frames": 0,
            "mask_echo": 0,
            "liveness_crop_s": 5.0,
        }
        | {"negatives": NegativesConfig(per_live=0)}
    )
    noise = AugmentConfig.model_validate({"noise": {"probability": 1.0}})
    data = data_of(rows, DeviceSupply(rows, survey, FRONT_END, noise, 1, CPU), config)
    heard = [torch.cat([batch.voice.sum(dim=(1, 2)) for _, batch in data.epoch(epoch)]) for epoch in range(3)]
    assert torch.cat(heard).unique().numel() == 3 * len(heard[0])
    # The voice alone is noisy: the echoes stay the same eight.
    echoes = [torch.cat([batch.echo[:4].sum(dim=(1, 2)) for _, batch in data.epoch(epoch)]) for epoch in range(3)]
    assert torch.equal(echoes[0].sort().values, echoes[1].sort().values)


def test_a_speed_makes_a_speaker_of_its_own(rows, store, survey):
    augment = AugmentConfig.model_validate({"speed": {}})
    data = data_of(rows, DeviceSupply(rows, survey, FRONT_END, augment, 1, CPU), PLAIN)
    factors = augment.build().speed_factors
    assert data.classes == 4 * len(factors)
    for epoch in range(3):
        for step, (batch, _) in zip(data._steps(epoch), data.epoch(epoch), strict=True):
            speeds = augment.build().speeds(step_seeds(0, epoch, step.number, len(step.items)))[:4]
            assert (batch.speakers.numpy() // 4).tolist() == [factors.index(speed) for speed in speeds]
            assert (batch.speakers.numpy() % 4).tolist() == step.speakers.tolist()


def test_offline_copies_are_all_used_with_the_label_of_their_speed(rows, tmp_path):
    # The first copy is as fast as it was spoken, even where no other is.
    augment = AugmentConfig.model_validate({"speed": {"probability": 1.0}, "noise": {"probability": 1.0}})
    spec = StoreSpec(FRONT_END, augment, copies=3)
    assert spec.speeds == (1.0, 0.9, 1.1)
    store = open_store(rows, spec, tmp_path / "store", workers=1)
    config = PLAIN.model_copy(update={"speaker_mask_mels": 0, "mask_frames": 0})
    data = TrainingData(rows, HEARD, OfflineSupply(store), config, FRONT_END, 0, spec.speeds)
    assert data.classes == 12
    slots: set[int] = set()
    for epoch in range(12):
        for step, (batch, _) in zip(data._steps(epoch), data.epoch(epoch), strict=True):
            for crop, label, item in zip(batch.voice, batch.speakers.tolist(), step.speaker_items, strict=True):
                slot = find(store, crop, int(item))
                slots.add(slot)
                assert spec.speeds[label // 4] == store.speeds[slot]
    assert len(slots) == 24


def find(store: FeatureStore, crop: torch.Tensor, item: int) -> int:
    """The slot of a recording that holds this crop."""
    for slot in range(item * store.copies, (item + 1) * store.copies):
        span = slice(store.starts[slot], store.starts[slot] + store.frames[slot])
        frames = torch.from_numpy(store.voice[span].astype(np.float32))
        places = (frames.unfold(0, len(crop), 1).transpose(1, 2) == crop).all(dim=2).all(dim=1)
        if places.any():
            return slot
    raise AssertionError("the crop is of no copy of its recording")


@pytest.mark.parametrize("done", [0, 1, 2, 5])
def test_a_saved_state_goes_on_with_the_very_next_step(done):
    rows = make_rows(["a", "b", "c"], make_kinds(), utterances=7)
    store = make_store(rows)
    whole = [flat([batches]) for batches in make_data(rows, store, CONFIG).epoch(4)]
    stopped = make_data(rows, store, CONFIG)
    supply = stopped.epoch(4)
    for _ in range(done):
        next(supply)
    state = stopped.state_dict()
    resumed = make_data(rows, store, CONFIG)
    resumed.load_state_dict(state)
    rest = [flat([batches]) for batches in resumed.epoch(4)]
    if done:  # before the first step, the epoch that a state belongs to is not begun
        assert len(rest) == len(whole) - done
    assert all(same(a, b) for a, b in zip(rest, whole[-len(rest) :], strict=True))
    # The next epoch is whole again.
    assert len(list(resumed.epoch(5))) == len(whole)


def make_kinds():
    from vivavoce.corpus.metadata import Kind

    return [Kind.LIVE, Kind.REPLAY_STAND]


def test_a_state_of_other_recordings_is_refused():
    rows = make_rows(["a", "b", "c"], make_kinds(), utterances=7)
    data = make_data(rows, make_store(rows), CONFIG)
    list(data.epoch(2))
    fewer = make_data(rows[:-6], make_store(rows[:-6]), CONFIG)
    with pytest.raises(UserError, match="belongs to other recordings"):
        fewer.load_state_dict(data.state_dict())


def test_the_samplers_of_the_config_choose_the_batches():
    rows = make_rows(["a", "b", "c"], make_kinds(), utterances=8)
    store = make_store(rows)
    config = CONFIG.model_copy(
        update={
            "liveness_sampler": TrainingConfig.model_validate(
                {"liveness_sampler": {"type": "kind_balanced", "shares": {"live": 3, "attack": 1}}}
            ).liveness_sampler
        }
    )
    batches = [batch for _, batch in make_data(rows, store, config).epoch(0)]
    live = torch.cat([batch.live[batch.origin == Origin.RECORDED] for batch in batches])
    assert live.mean() == pytest.approx(0.75)
    crowded = TrainingConfig.model_validate(
        {"speaker_batch": 8, "speaker_sampler": {"type": "speaker_balanced", "speakers": 4, "recordings": 2}}
    )
    with pytest.raises(UserError, match="needs 4 speakers, but there are only 3"):
        make_data(rows, store, crowded)


def test_an_error_in_a_worker_is_the_same_sentence(rows, store, survey, tmp_path):
    spoilt = make_recordings(tmp_path, [(48_000, 1.0)] * 8, speakers=4)
    data = data_of(spoilt, DeviceSupply(spoilt, survey, FRONT_END, NOTHING, 1, CPU))
    for row in spoilt:
        row.path.write_bytes(row.path.read_bytes()[:20_000])
    with pytest.raises(UserError, match="truncated"):
        list(data.epoch(0))


def test_a_survey_is_kept_and_read_for_these_very_recordings_alone(rows, survey, tmp_path):
    path = tmp_path / "survey.npz"
    assert read_survey(rows, path) is None
    keep_survey(survey, rows, path)
    kept = read_survey(rows, path)
    assert kept is not None
    assert [kept.probe(item) for item in range(8)] == [survey.probe(item) for item in range(8)]
    assert read_survey(rows[1:], path) is None
    path.write_bytes(path.read_bytes()[:-50])
    assert read_survey(rows, path) is None


def test_seeds_of_steps_do_not_repeat():
    seeds = np.concatenate([step_seeds(0, epoch, step, 50) for epoch in range(20) for step in range(20)])
    assert len(np.unique(seeds)) == len(seeds)
    assert (seeds >= 0).all()
