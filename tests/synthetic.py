"""A corpus of features alone: voices with a place of their own in mel space, echoes that follow the voice's level."""

from pathlib import Path

import numpy as np
import torch

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel, ModelConfig
from vivavoce.signal.quality import ProbeQuality
from vivavoce.training.config import TrainingConfig
from vivavoce.training.data import TrainingData, judgeable
from vivavoce.training.supply import OfflineSupply

MELS, CHANNELS = 80, 6


def make_rows(speakers: list[str], kinds: list[Kind], utterances: int = 6) -> list[Row]:
    rows = []
    for speaker in speakers:
        for utterance in range(utterances):
            for kind in kinds:
                name = f"{speaker}-{utterance}-{kind}"
                meta = Metadata(kind=kind, session=f"s{utterance % 2}", posture="stand", distance_cm=10.0)
                rows.append(Row(name, Path(f"{name}.wav"), speaker, None, 0.0, 2.0, 48_000, 0, meta))
    return rows


def make_store(rows: list[Row], seed: int = 0) -> FeatureStore:
    rng = np.random.default_rng(seed)
    frames = rng.integers(150, 260, len(rows))
    places = {name: rng.normal(0, 2, MELS) for name in sorted({row.speaker for row in rows})}
    voices, echoes = [], []
    for row, count in zip(rows, frames, strict=True):
        level = np.convolve(rng.normal(0, 3, count + 20), np.ones(20) / 20**0.5, "same")[:count]
        # The speaker's place sways with the level, since a constant one would go with the channel's mean.
        voices.append(5 + level[:, None] * (1 + 0.5 * places[row.speaker]) + rng.normal(0, 0.5, (count, MELS)))
        follows = level if row.meta.kind is Kind.LIVE else rng.permutation(level)
        echoes.append(-40 + 3 * follows[:, None] + rng.normal(0, 1, (count, CHANNELS)))
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    fine, none = ProbeQuality(True, -30.0, 40.0, ""), ProbeQuality(False, -90.0, -20.0, "no probe in the recording")
    quality = [fine if row.meta.kind.readable else none for row in rows]
    return FeatureStore(
        np.concatenate(voices).astype(np.float16), np.concatenate(echoes).astype(np.float16), starts, frames, quality
    )


def make_data(rows: list[Row], store: FeatureStore, config: TrainingConfig, seed: int = 0) -> TrainingData:
    """Training data of a store, at as many speeds as it holds."""
    speeds = (1.0,) if store.speeds is None else tuple(np.unique(store.speeds))
    heard = judgeable(rows, store.usable)
    return TrainingData(rows, heard, OfflineSupply(store), config, FrontEndConfig(), seed, speeds)


def small_model(seed: int = 0, **more: object) -> JointModel:
    """An untrained ecapa-lstm for these features, with batch norm statistics as after some training."""
    config = ModelConfig.model_validate(
        {
            "name": "ecapa-lstm",
            "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8},
            "head": {"channels": 16, "groups": 4, "hidden": 16, "dilations": [1, 2]},
            **more,
        }
    )
    torch.manual_seed(seed)
    model = config.build(MELS, CHANNELS)
    model.fit_statistics([(torch.zeros(1000, MELS), -40 + 10 * torch.randn(1000, CHANNELS))])
    model.train()
    with torch.no_grad():
        model.embed(5 + 3 * torch.randn(8, 120, MELS))
    return model.eval()
