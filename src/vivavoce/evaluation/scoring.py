"""From features to scores: embeddings and liveness logits of recordings, cosine scores of trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.trials import Trial, references
from vivavoce.features.batch import gather_padded
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel
from vivavoce.progress import progress_bar
from vivavoce.signal.probe import ProbeQuality

# Frames of a padded batch: bounds memory whatever the recordings' lengths are.
BATCH_FRAMES = 16_000
FRAMES_PER_S = 100


@dataclass(frozen=True)
class RecordingScores:
    """What the model says of each recording of a manifest."""

    embeddings: np.ndarray  # (recordings, embedding_dim) float32, unit length
    liveness: np.ndarray  # (recordings,) logit; NaN where the probe gives no answer
    quality: Sequence[ProbeQuality]


class SpeakerScores(NamedTuple):
    """Cosine scores of trials."""

    scores: np.ndarray  # (trials,)
    test_index: np.ndarray  # (trials,) row of the test recording


def score_recordings(
    model: JointModel, store: FeatureStore, liveness_crop_s: float | None = None, progress: str | None = None
) -> RecordingScores:
    """Score every recording of a store.

    Args:
        model: a trained model; it is put into evaluation mode.
        store: features of the recordings.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds; ``None``: on all of it.
        progress: what to call the progress bar; ``None`` shows none.
    """
    model.eval()
    device = model.device
    embeddings = np.zeros((len(store), model.trunk.embedding_dim), dtype=np.float32)
    liveness = np.full(len(store), np.nan, dtype=np.float32)
    usable = np.array([quality.usable for quality in store.quality])
    with progress_bar(progress or "", len(store)) as advance, torch.inference_mode():
        for items in _batches(store.frames):
            longest = int(store.frames[items].max())
            voice, lengths = gather_padded(store.voice, store, items, np.zeros_like(items), longest)
            embeddings[items] = model.embed(voice.to(device), lengths.to(device)).cpu().numpy()
            heard = items[usable[items]]
            if len(heard):
                liveness[heard] = _judge(model, store, heard, liveness_crop_s)
            if progress:
                advance(len(items))
    return RecordingScores(embeddings, liveness, store.quality)


def _judge(model: JointModel, store: FeatureStore, items: np.ndarray, crop_s: float | None) -> np.ndarray:
    longest = int(store.frames[items].max())
    frames = longest if crop_s is None else min(longest, round(crop_s * FRAMES_PER_S))
    starts = np.maximum(store.frames[items] - frames, 0) // 2 if crop_s is not None else np.zeros_like(items)
    device = model.device
    voice, lengths = gather_padded(store.voice, store, items, starts, frames)
    echo, _ = gather_padded(store.echo, store, items, starts, frames)
    return model.liveness(voice.to(device), echo.to(device), lengths.to(device)).utterance.cpu().numpy()


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


def score_trials(trials: Sequence[Trial], rows: Sequence[Row], embeddings: np.ndarray) -> SpeakerScores:
    """Cosine of each trial's test embedding with the mean of its enrolment embeddings, ``(trials,)``.

    Raises:
        UserError: there is no trial, or one names a recording that the manifest does not hold.
    """
    if not trials:
        raise UserError("There is no trial to score; give a list of trials that holds some.")
    number = {name: index for index, name in enumerate(references(rows))}
    try:
        test_index = np.array([number[trial.test] for trial in trials])
        enrolments = {trial.enrol: None for trial in trials}
        members = [[number[path] for path in enrol] for enrol in enrolments]
    except KeyError as error:
        raise UserError(
            f"A trial names {error.args[0]}, which the manifest does not hold; correct the list."
        ) from error
    means = np.stack([embeddings[indices].mean(axis=0) for indices in members])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    slot = {enrol: index for index, enrol in enumerate(enrolments)}
    enrol_index = np.array([slot[trial.enrol] for trial in trials])
    return SpeakerScores(np.einsum("td,td->t", means[enrol_index], embeddings[test_index]), test_index)
