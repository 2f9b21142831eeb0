"""The figures of an evaluation by what the recordings have in common: a sex, a phone, a distance, a noise."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import (
    LIVE,
    NONTARGET,
    POOLED,
    SPOOF,
    TARGET,
    Resampled,
    equal_error_rate,
    share_measure,
)
from vivavoce.evaluation.report.results import Breakdown
from vivavoce.evaluation.report.summaries import DISTANCE_BINS, UNKNOWN, distance_bins
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import class_masks
from vivavoce.evaluation.trials.table import DRAWN

Bools = NDArray[np.bool_]
Names = NDArray[np.str_]

# A sentence, a long sentence, several: what a user says, s.
DURATION_EDGES_S, DURATION_BINS = (2.0, 4.0, 8.0), ("up to 2 s", "2–4 s", "4–8 s", "over 8 s")
# A noisy street, an office, a quiet room, dB of speech over the pauses.
SNR_EDGES_DB, SNR_BINS = (10.0, 20.0, 30.0), ("up to 10 dB", "10–20 dB", "20–30 dB", "over 30 dB")
DRAWN_WORDS = {"random": "drawn at random", "same_sex": "of the same sex", "hard": "that sound most alike"}
# Phones and such beyond these would fill pages; the rest are one level.
MOST_LEVELS = 8
REST = "others"


@dataclass(frozen=True)
class Judged:
    """What a system said of recordings and of the trials that test them.

    ``test`` is the recording that each trial tests, ``(trials,)``; ``liveness`` holds the liveness score of each
    recording, ``(recordings,)``, NaN where it gets no answer. ``speakers`` codes who speaks in each recording as the
    trials' bootstrap does, ``(recordings,)``; -1: somebody whom no trial tests.
    """

    rows: Sequence[Row]
    scores: TrialScores
    test: NDArray[np.intp]
    accepted: Bools
    abstained: Bools
    liveness: NDArray[np.float64]
    speakers: NDArray[np.intp]


def break_down(judged: Judged, boot: Bootstrap, snr_db: ArrayLike | None = None) -> list[Breakdown]:
    """Give the figures of each level of each factor that has more than one.

    A trial belongs to the level of its test recording. In the rows for non-targets, those drawn in one way meet all
    targets.

    Args:
        judged: recordings, trials and what was said of them.
        boot: draws of the trials' speakers.
        snr_db: of the voice in each recording, ``(recordings,)``; None: not measured.
    """
    found = []
    for factor, names, order in _factors(judged.rows, snr_db):
        levels = [level for level in order if (names == level).any()]
        if len(levels) > 1:
            found += [_level(judged, boot, factor, level, names == level) for level in levels]
    return [*found, *_by_drawing(judged, boot)]


def _factors(rows: Sequence[Row], snr_db: ArrayLike | None) -> list[tuple[str, Names, list[str]]]:
    """Each factor, the level of each recording, and the levels in their order."""
    metas = [row.meta for row in rows]
    distance = distance_bins([meta.distance_cm for meta in metas])
    factors = [
        _named("sex", (meta.sex for meta in metas)),
        _named("device", (meta.device for meta in metas)),
        _named("posture", (meta.posture for meta in metas)),
        ("distance", distance, [*DISTANCE_BINS, UNKNOWN]),
        _binned("duration", [row.duration_s for row in rows], DURATION_EDGES_S, DURATION_BINS),
    ]
    return factors if snr_db is None else [*factors, _binned("noise", snr_db, SNR_EDGES_DB, SNR_BINS)]


def _named(factor: str, values: Iterable[str | None]) -> tuple[str, Names, list[str]]:
    names = np.array([value or UNKNOWN for value in values])
    levels, counts = np.unique(names, return_counts=True)
    if len(levels) > MOST_LEVELS:
        kept = levels[np.argsort(-counts, kind="stable")[: MOST_LEVELS - 1]]
        names = np.where(np.isin(names, kept), names, REST)
        levels = np.append(np.sort(kept), REST)
    return factor, names, levels.tolist()


def _binned(
    factor: str, values: ArrayLike, edges: Sequence[float], bins: Sequence[str]
) -> tuple[str, Names, list[str]]:
    return factor, np.array(bins)[np.searchsorted(edges, np.asarray(values, np.float64), side="left")], list(bins)


def _level(judged: Judged, boot: Bootstrap, factor: str, level: str, here: Bools) -> Breakdown:
    """The figures of the recordings of one level, ``here`` ``(recordings,)``."""
    trials = here[judged.test]
    return Breakdown(
        factor=factor,
        level=level,
        trials=_counts(judged, trials),
        recordings=int(here.sum()),
        speaker_eer=_speaker_eer(judged, boot, trials),
        liveness_eer=_liveness_eer(judged, boot, here),
        **_decisions(judged, boot, trials),
    )


def _by_drawing(judged: Judged, boot: Bootstrap) -> list[Breakdown]:
    """Targets against the non-targets that were drawn in each way, where there were several."""
    trials = judged.scores.trials
    ways = [code for code in range(1, len(DRAWN)) if (trials.drawn == code).any()]
    found = []
    for code in ways if len(ways) > 1 else []:
        here = trials.is_target | (trials.drawn == code)
        counts = {name: count for name, count in _counts(judged, here).items() if name != SPOOF}
        found.append(
            Breakdown(
                factor="non-targets",
                level=DRAWN_WORDS[DRAWN[code]],
                trials=counts,
                recordings=len(np.unique(judged.test[here])),
                speaker_eer=_speaker_eer(judged, boot, here),
                false_accepts=_share(judged, boot, here & trials.is_nontarget, judged.accepted, NONTARGET),
            )
        )
    return found


def _counts(judged: Judged, here: Bools) -> dict[str, int]:
    masks = class_masks(judged.scores.trials)
    return {name: int((masks[name] & here).sum()) for name in (TARGET, NONTARGET, SPOOF)}


def _decisions(judged: Judged, boot: Bootstrap, here: Bools) -> dict[str, Measure | None]:
    masks = {name: mask & here for name, mask in class_masks(judged.scores.trials).items()}
    return {
        "false_rejects": _share(judged, boot, masks[TARGET], ~judged.accepted, TARGET),
        "false_accepts": _share(judged, boot, masks[NONTARGET], judged.accepted, NONTARGET),
        "attacks_accepted": _share(judged, boot, masks[SPOOF], judged.accepted, SPOOF),
        "abstained": _share(judged, boot, here, judged.abstained, POOLED),
    }


_NAMES = {
    TARGET: ("false_rejects", "false-reject rate, no answer included"),
    NONTARGET: ("false_accepts", "false-accept rate"),
    SPOOF: ("attacks_accepted", "attacks accepted, all species"),
    POOLED: ("abstention", "no answer"),
}


def _share(judged: Judged, boot: Bootstrap, here: Bools, happened: Bools, of: str) -> Measure | None:
    if not here.any():
        return None
    first, second, _ = judged.scores.trials.speaker_codes()
    trials = ClassScores(np.zeros(int(here.sum())), first[here], second[here])
    return share_measure(boot, *_NAMES[of], happened[here], trials, of)


def _speaker_eer(judged: Judged, boot: Bootstrap, here: Bools) -> Measure | None:
    if judged.scores.speaker is None:
        return None
    trials = judged.scores.trials
    first, second, _ = trials.speaker_codes()
    masks = {TARGET: trials.is_target & here, NONTARGET: trials.is_nontarget & here}
    classes = {
        name: ClassScores(judged.scores.speaker[mask], first[mask], second[mask]) for name, mask in masks.items()
    }
    return _eer(Resampled(classes, boot), TARGET, NONTARGET, "speaker EER")


def _liveness_eer(judged: Judged, boot: Bootstrap, here: Bools) -> Measure | None:
    heard = here & ~np.isnan(judged.liveness) & (judged.speakers >= 0)
    kinds = np.array([row.meta.kind is Kind.LIVE for row in judged.rows])
    spoofs = np.array([row.meta.kind.is_spoof for row in judged.rows])
    masks = {LIVE: heard & kinds, SPOOF: heard & spoofs}
    classes = {name: ClassScores.of(judged.liveness[mask], judged.speakers[mask]) for name, mask in masks.items()}
    return _eer(Resampled(classes, boot), LIVE, SPOOF, "liveness EER")


def _eer(found: Resampled, genuine: str, other: str, name: str) -> Measure | None:
    if not found.has(genuine, other):
        return None
    return equal_error_rate(found, "eer", name, genuine, other).measure
