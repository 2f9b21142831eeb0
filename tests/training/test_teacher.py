"""The mouth's motion as a teacher: in step with the crops, of live recordings only, and left behind after training."""

import numpy as np
import pytest
import torch

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.store import FeatureStore
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.training.config import TrainingConfig
from vivavoce.training.data import TrainingData, judgeable
from vivavoce.training.step import JointLoss
from vivavoce.training.supply import OfflineSupply
from vivavoce.training.teacher import EXCURSION_MM, MouthMotion, motion_paths, read_motion

from ..synthetic import make_rows, make_store, small_model

CONFIG = TrainingConfig.model_validate(
    {"tasks": ["liveness"], "epochs": 1, "liveness_batch": 16, "liveness_crop_s": 1.0, "mask_mels": 0, "mask_echo": 0}
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], FeatureStore]:
    """Recordings whose voice and motion follow one hidden path; half of the live ones have no motion."""
    folder = tmp_path_factory.mktemp("mouths")
    rows = make_rows([f"s{i}" for i in range(6)], [Kind.LIVE, Kind.REPLAY_STAND])
    store, told = make_store(rows), []
    for number, row in enumerate(rows):
        if row.meta.kind is Kind.LIVE and number % 4 == 0:
            path = folder / f"{row.id}.mouth.npz"
            voice = store.voice_of(number)[:, :3].numpy()
            np.savez(path, rate_hz=100.0, mouth_mm=voice)
            told.append(row.meta.model_copy(update={"mouth_motion": str(path)}))
        else:
            told.append(row.meta)
    return [Row(**{**vars(row), "meta": meta}) for row, meta in zip(rows, told, strict=True)], store


def data_of(corpus: tuple[list[Row], FeatureStore], taught: bool = True) -> TrainingData:
    rows, store = corpus
    heard = judgeable(rows, store.usable)
    return TrainingData(rows, heard, OfflineSupply(store), CONFIG, FrontEndConfig(), 0, taught=taught)


def test_motion_is_cut_in_step_with_its_voice_and_of_all_that_have_it(corpus):
    rows, _ = corpus
    seen = 0
    for _, batch in data_of(corpus).epoch(0):
        assert batch is not None
        for place, motion in zip(batch.taught.tolist(), batch.motion, strict=True):
            assert batch.live[place]
            count = int(batch.voice_lengths[batch.voice_of[place]])
            voice = batch.voice[batch.voice_of[place], :count, :3]
            moved = EXCURSION_MM * motion[:count, :3]
            torch.testing.assert_close(moved - moved.mean(dim=0), voice - voice.mean(dim=0), atol=0.05, rtol=1e-2)
            seen += 1
    # An epoch leaves out what does not fill a batch.
    assert 0 <= sum(row.meta.mouth_motion is not None for row in rows) - seen < 8


def test_of_attacks_nothing_is_taken(corpus):
    rows, _ = corpus
    claimed = [Row(**{**vars(row), "meta": row.meta.model_copy(update={"mouth_motion": "x.npz"})}) for row in rows]
    assert [path is not None for path in motion_paths(claimed)] == [row.meta.kind is Kind.LIVE for row in rows]


def test_a_recording_that_was_played_faster_moved_faster(tmp_path):
    path = tmp_path / "a.npz"
    slope = np.arange(400, dtype=np.float32)[:, None] * [[0.1]]
    np.savez(path, rate_hz=100.0, mouth_mm=slope)
    motion = MouthMotion([path])
    crops = motion.crops(np.zeros(2, int), np.array([10, 10]), 50, np.array([1.0, 2.0]))
    assert crops.shape == (2, 50, motion.channels)
    assert crops[1, :, 1].mean() == pytest.approx(2 * float(crops[0, :, 1].mean()), rel=0.02)


def test_without_motion_nothing_is_taught(corpus):
    for batch in (liveness for _, liveness in data_of(corpus, taught=False).epoch(0)):
        assert batch is not None
        assert not len(batch.taught)
    assert data_of(corpus, taught=False).motion.channels == 0


def test_the_teacher_helps_both_streams_and_is_no_part_of_the_model(corpus):
    data, model = data_of(corpus), small_model()
    names = set(model.state_dict())
    torch.manual_seed(0)
    loss = JointLoss(None, CorrelationConfig(weight=1.0, teacher_weight=2.0), 16, data.motion.channels)
    batches = next(b for b in data.epoch(0) if b.liveness is not None and len(b.liveness.taught) > 2)
    with torch.no_grad():
        plain = JointLoss(None, CorrelationConfig())(model, batches, 1.0, 0.0, None)
        found = loss(model, batches, 1.0, 0.0, None)
    assert plain.teacher == 0
    torch.testing.assert_close(found.total, plain.total + 2 * found.teacher)
    loss(model, batches, 1.0, 0.0, None).teacher.backward()
    streams = (model.head.voice.project, model.head.echo.project, loss.teacher.encoder[0])
    assert all(bool((stream.weight.grad != 0).any()) for stream in streams)
    assert set(model.state_dict()) == names


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"none", "cannot be read"), ({"mouth_mm": np.ones((5, 2))}, "cannot be read"),
     ({"rate_hz": 50.0, "mouth_mm": np.ones((5, 2))}, "at 100 Hz"),
     ({"rate_hz": 100.0, "mouth_mm": np.ones(5)}, "must hold")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(tmp_path, content, part):
    path = tmp_path / "a.mouth.npz"
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(UserError, match=part):
        read_motion(path)
