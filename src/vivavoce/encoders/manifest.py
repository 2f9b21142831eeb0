"""Score the trials of a manifest with an encoder, and write the score file."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.encoders.base import Encoder
from vivavoce.encoders.embedding import embed_rows
from vivavoce.encoders.registry import load_encoder
from vivavoce.encoders.trunk import RunEncoder
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.observing import known_of_rows
from vivavoce.evaluation.scores import TrialScores, write_scores
from vivavoce.evaluation.scoring.backends import Averaged, Backend, Cosine
from vivavoce.evaluation.scoring.normalisation import Cohort, NormalisationConfig
from vivavoce.evaluation.scoring.plda import Plda
from vivavoce.evaluation.scoring.plda_fitting import PldaConfig
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.files import read_trials_of
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.leakcheck import check_evaluation


class ScoringConfig(BaseModel):
    """How embeddings become scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enrolment: Literal["mean", "scores"] = Field(
        default="mean", description="mean: of the embeddings (a PLDA takes them all exactly); scores: of their scores"
    )
    normalisation: NormalisationConfig = NormalisationConfig()
    cohort_of: Literal["speakers", "utterances"] = Field(
        default="speakers", description="what an entry of the cohort is: the mean of a speaker, or a recording"
    )
    plda: PldaConfig = PldaConfig()


@dataclass(frozen=True)
class Sources:
    """Files that scoring draws on besides the manifest; None: not used.

    With both ``plda`` and ``plda_train``, what is fitted is written to ``plda``.
    """

    trials: Path | None = None
    cohort: Path | None = None
    plda: Path | None = None
    plda_train: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class Scored:
    """What was done, and how long it took."""

    encoder: str
    fingerprint: str
    recordings: int  # of the manifest
    embedded: int  # recordings of all manifests that were not in the cache
    trials: dict[str, int]  # by label
    cohort: int | None  # entries, before whoever speaks in the trials is left out
    plda: int | None  # coordinates
    embedding_s: float
    scoring_s: float
    scores: str  # the file written

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def score_manifest(
    manifest: Path,
    encoder: str,
    out: Path,
    config: ScoringConfig | None = None,
    sources: Sources | None = None,
    allow_leak: bool = False,
) -> Scored:
    """Embed the recordings of a manifest once, score trials among them and write the scores.

    The score of a run that tells a living mouth is its fused one, as it was calibrated; where anything but the mean of
    the enrolment and the cosine is asked for, its calibration does not hold, and the score is the speaker's, as it is
    of every other encoder.

    Args:
        manifest: the recordings.
        encoder: see `load_encoder`.
        out: the score file to write.
        config: how to score.
        sources: trials, cohort, PLDA and cache; without trials they are made as `evaluate` makes them.
        allow_leak: go on where a run was trained on some of the manifest.

    Raises:
        UserError: a file, the encoder or a combination of them cannot be used, or a run or the PLDA was trained on
            speakers of the manifest.
    """
    config, sources = config or ScoringConfig(), sources or Sources()
    _check(config, sources)
    rows = read_rows(manifest)
    pairs = make_trials(rows).with_speakers(rows) if sources.trials is None else read_trials_of(sources.trials, rows)
    loaded = load_encoder(encoder)
    if isinstance(loaded, RunEncoder):
        run = loaded.run
        check_evaluation(rows, manifest, run.config.data, run.folder.fingerprints, allow_leak)
    began = time.perf_counter()
    voices = _Voices(loaded, sources.cache)
    embeddings = voices.of(rows)
    plda = _plda(voices, rows, config, sources)
    cohort = _cohort(voices, config, sources)
    liveness = loaded.liveness(rows) if isinstance(loaded, RunEncoder) else None
    embedded = time.perf_counter()
    backend: Backend = plda or Cosine()
    backend = Averaged(backend) if config.enrolment == "scores" else backend
    normal = config.normalisation
    found = score_trials(pairs, rows, embeddings, backend=backend, normalisation=normal, cohort=cohort)
    scored = time.perf_counter()
    speaker = found.scores.astype(np.float64)
    of_test = None if liveness is None else liveness[found.test_index].astype(np.float64)
    scores = TrialScores(loaded.name, pairs, speaker, speaker, of_test)
    if isinstance(loaded, RunEncoder) and isinstance(backend, Cosine) and normal.type == "none":
        scores = _decided(scores, loaded, rows, found.test_index)
    write_scores(scores, out)
    return Scored(
        encoder=loaded.name,
        fingerprint=loaded.fingerprint,
        recordings=len(rows),
        embedded=voices.computed,
        trials=pairs.counts,
        cohort=None if cohort is None else len(cohort),
        plda=None if plda is None else len(plda.between),
        embedding_s=round(embedded - began, 3),
        scoring_s=round(scored - embedded, 3),
        scores=str(out),
    )


class _Voices:
    """Embeddings of manifests, and how many had to be computed."""

    def __init__(self, encoder: Encoder, cache: Path | None) -> None:
        self.encoder, self.cache, self.computed = encoder, cache, 0

    def of(self, rows: Sequence[Row]) -> np.ndarray:
        found = embed_rows(rows, self.encoder, self.cache)
        self.computed += found.computed
        return found.vectors


def _check(config: ScoringConfig, sources: Sources) -> None:
    norm = config.normalisation.type
    if norm != "none" and sources.cohort is None:
        raise UserError(f"{norm} compares with other speakers; give a manifest of them as --cohort.")
    if norm == "none" and sources.cohort is not None:
        raise UserError(
            f"The cohort {sources.cohort} is not used without a normalisation; add --norm, or leave it out."
        )
    if sources.plda_train is None and config.plda != PldaConfig():
        raise UserError("Only a PLDA that is fitted here keeps discriminants; add --plda-train, or leave --lda out.")


def _plda(voices: _Voices, rows: Sequence[Row], config: ScoringConfig, sources: Sources) -> Plda | None:
    """The PLDA that is asked for: read, or fitted to speakers who are not in the trials."""
    if sources.plda_train is None:
        return None if sources.plda is None else Plda.read(sources.plda)
    others = read_rows(sources.plda_train)
    shared = sorted({row.speaker for row in rows} & {row.speaker for row in others})
    if shared:
        raise UserError(
            f"{sources.plda_train} and the manifest to score share {len(shared)} speakers (first: {shared[0]}); fit "
            "the PLDA to speakers who are not scored, or the scores would flatter it."
        )
    plda = config.plda.fit(voices.of(others), [row.speaker for row in others])
    if sources.plda is not None:
        plda.write(sources.plda)
    return plda


def _cohort(voices: _Voices, config: ScoringConfig, sources: Sources) -> Cohort | None:
    if sources.cohort is None:
        return None
    rows = read_rows(sources.cohort)
    cohort = Cohort(voices.of(rows), tuple(row.speaker for row in rows))
    return cohort.speaker_means() if config.cohort_of == "speakers" else cohort


def _decided(scores: TrialScores, encoder: RunEncoder, rows: Sequence[Row], test: NDArray[np.intp]) -> TrialScores:
    """The scores with the number that a run decides by, and its threshold; ``test`` is the row that a trial tests."""
    calibration = encoder.run.calibration
    known = known_of_rows(rows, [row.duration_s for row in rows], calibration.measures).take(test)
    unheard = np.full(len(test), np.nan) if scores.liveness is None else scores.liveness
    assert scores.speaker is not None
    fused = calibration.fused(scores.speaker, unheard, known=known)
    return replace(scores, score=fused, threshold=calibration.threshold)
