"""From features to scores: embeddings and liveness logits of recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vivavoce.features.batch import gather_padded
from vivavoce.features.store import FeatureStore
from vivavoce.models.heads.base import Liveness
from vivavoce.models.joint import JointModel
from vivavoce.progress import progress_bar
from vivavoce.signal.quality import ProbeQuality

# Frames of a padded batch: bounds memory whatever the recordings' lengths are.
BATCH_FRAMES = 16_000
FRAMES_PER_S = 100


@dataclass(frozen=True)
class RecordingScores:
    """What the model says of each recording of a manifest."""

    embeddings: np.ndarray  # (recordings, embedding_dim) float32, unit length; NaN where they were not asked for
    liveness: np.ndarray  # (recordings,) logit; NaN where the probe gives no answer
    quality: Sequence[ProbeQuality]
    frames: Sequence[np.ndarray] = ()  # of each recording ``(frames,)``, one a 20 ms; empty where not asked for


def score_recordings(
    model: JointModel,
    store: FeatureStore,
    liveness_crop_s: float | None = None,
    progress: str | None = None,
    tasks: Sequence[str] = ("speaker", "liveness"),
    frames: bool = False,
) -> RecordingScores:
    """Score every recording of a store.

    Args:
        model: a trained model; it is put into evaluation mode.
        store: features of the recordings.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds; ``None``: on all of it.
        progress: what to call the progress bar; ``None`` shows none.
        tasks: what to score; embeddings take most of the time.
        frames: keep each frame's liveness logit, too; a recording without a liveness answer has none.
    """
    model.eval()
    device = model.device
    embeddings = np.full((len(store), model.trunk.embedding_dim), np.nan, dtype=np.float32)
    liveness = np.full(len(store), np.nan, dtype=np.float32)
    usable = store.usable
    logits = [np.empty(0, dtype=np.float32)] * len(store) if frames else []
    with progress_bar(progress or "", len(store)) as advance, torch.inference_mode():
        for items in _batches(store.frames):
            if "speaker" in tasks:
                longest = int(store.frames[items].max())
                voice, lengths = gather_padded(store.voice, store, items, np.zeros_like(items), longest)
                embeddings[items] = model.embed(voice.to(device), lengths.to(device)).cpu().numpy()
            heard = items[usable[items]] if "liveness" in tasks else items[:0]
            if len(heard):
                judged, counts = _judge(model, store, heard, liveness_crop_s)
                liveness[heard] = judged.utterance.cpu().numpy()
                if frames:
                    rows = judged.frames.cpu().numpy()
                    for item, row, count in zip(heard, rows, counts.tolist(), strict=True):
                        logits[item] = row[: -(-count // 2)].copy()
            if progress:
                advance(len(items))
    return RecordingScores(embeddings, liveness, store.quality, logits)


def _judge(
    model: JointModel, store: FeatureStore, items: np.ndarray, crop_s: float | None
) -> tuple[Liveness, torch.Tensor]:
    """The head's answer for a padded batch, and how many feature frames of each it read ``(items,)``."""
    longest = int(store.frames[items].max())
    frames = longest if crop_s is None else min(longest, round(crop_s * FRAMES_PER_S))
    starts = np.maximum(store.frames[items] - frames, 0) // 2 if crop_s is not None else np.zeros_like(items)
    device = model.device
    voice, lengths = gather_padded(store.voice, store, items, starts, frames)
    echo, _ = gather_padded(store.echo, store, items, starts, frames)
    return model.liveness(voice.to(device), echo.to(device), lengths.to(device)), lengths


def _batches(frames: np.ndarray) -> list[np.ndarray]:
    """Indices sorted by length, cut so that a padded batch stays under `BATCH_FRAMES`."""
    order = np.argsort(frames, kind="stable")
    batches, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and frames[order[stop]] * (stop + 1 - start) <= BATCH_FRAMES:
            stop += 1
        batches.append(order[start:stop])
        start = stop
    return batches
