"""Scores of made-up systems on the trials of made-up people."""

import numpy as np

from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.trials.table import DRAWN_CODES, LABEL_CODES, Trials

ATTACKS = ("replay_stand", "swapped_mouth")


def make_trials(speakers: int = 20, each: int = 4, seed: int = 0, attacks: tuple[str, ...] = ATTACKS) -> Trials:
    """One enrolment a speaker, tested with own recordings, as many of others, and as many of each kind of attack."""
    rng = np.random.default_rng(seed)
    live = [f"s{who:02d}_live_{turn}" for who in range(speakers) for turn in range(each)]
    owner = np.repeat(np.arange(speakers), each)
    others = (owner + rng.integers(1, speakers, len(owner))) % speakers if speakers > 1 else owner[:0]
    spoofs = [f"s{who:02d}_{kind}_{turn}" for kind in attacks for who in range(speakers) for turn in range(each)]
    count = len(live)
    nontargets = len(others)
    return Trials(
        [(f"s{who:02d}_enrol_0", f"s{who:02d}_enrol_1") for who in range(speakers)],
        [*live, *spoofs],
        np.concatenate([owner, others, np.tile(owner, len(attacks))]),
        np.concatenate([np.arange(count), np.arange(nontargets), count + np.arange(len(spoofs))]),
        np.concatenate(
            [
                np.full(count, LABEL_CODES["target"]),
                np.full(nontargets, LABEL_CODES["nontarget"]),
                *(np.full(count, LABEL_CODES[kind]) for kind in attacks),
            ]
        ),
        np.concatenate([np.zeros(count), np.full(nontargets, DRAWN_CODES["random"]), np.zeros(len(spoofs))]),
        [f"s{who:02d}" for who in range(speakers)],
        [name.split("_")[0] for name in (*live, *spoofs)],
    )


def make_scores(
    name: str,
    trials: Trials,
    gap: float = 2.0,
    seed: int = 0,
    common: np.ndarray | None = None,
    threshold: float | None = None,
) -> TrialScores:
    """Scores of a system whose targets lie ``gap`` above all else; people differ, and so do trials.

    ``common`` ``(trials,)`` is noise that systems share.
    """
    rng = np.random.default_rng(seed)
    enrolled, tested, speakers = trials.speaker_codes()
    people = rng.normal(0, 0.4, speakers)
    noise = rng.normal(0, 1, len(trials)) if common is None else common + rng.normal(0, 0.3, len(trials))
    score = gap * trials.is_target + people[enrolled] + people[tested] + noise
    return TrialScores(name, trials, score, threshold=threshold)
