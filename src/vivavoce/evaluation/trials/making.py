"""Trials of the recordings of one split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trial, references

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row


def make_trials(
    rows: "Sequence[Row]", enrol: int = 3, seed: int = 0, max_nontarget_per_target: int = 10
) -> list[Trial]:
    """Make a trial list from the recordings of one split.

    Every speaker with enough live recordings is enrolled once, with ``enrol`` of them. Where a speaker has two or more
    sessions, these come from one session and the target tests from the others, since a voice of the same day is easier;
    only where no session holds ``enrol`` recordings are sessions mixed. Of several sessions, an enrolment takes
    different texts, or at least different utterances, where there are enough. Tests never are enrolment recordings of
    anyone, nor other takes of the utterances their own speaker was enrolled with.

    - ``target``: the speaker's other live recordings.
    - ``nontarget``: live recordings of other speakers, at most ``max_nontarget_per_target`` a target trial, spread
      evenly over those speakers.
    - a kind of attack: each recording of that kind that claims the enrolled speaker.

    Args:
        rows: recordings of a manifest.
        enrol: enrolment recordings a speaker.
        seed: of every draw; the same rows and seed give the same trials.
        max_nontarget_per_target: bounds the number of non-target trials.

    Raises:
        UserError: no speaker has ``enrol + 1`` live recordings.
        ValueError: ``enrol`` or ``max_nontarget_per_target`` is below 1.
    """
    if enrol < 1 or max_nontarget_per_target < 1:
        raise ValueError(f"enrol={enrol} and max_nontarget_per_target={max_nontarget_per_target} must be at least 1")
    rng = np.random.default_rng(seed)
    live: dict[str, list[int]] = {}
    attacks: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        (live if row.meta.kind is Kind.LIVE else attacks).setdefault(row.speaker, []).append(index)

    chosen: dict[str, tuple[list[int], list[int]]] = {}
    for speaker in sorted(live):
        if len({_utterance(rows[index]) for index in live[speaker]}) > enrol:
            chosen[speaker] = _choose_enrolment(rows, live[speaker], enrol, rng)
    if not chosen:
        raise UserError(
            f"No speaker has {enrol + 1} live recordings, so none can be enrolled with {enrol} and tested; "
            "give more recordings a speaker or enrol fewer."
        )
    names = references(rows)
    enrolled = {index for own, _ in chosen.values() for index in own}
    pool = np.array([i for speaker in sorted(live) for i in live[speaker] if i not in enrolled], dtype=np.intp)
    numbers = {speaker: number for number, speaker in enumerate(sorted(live))}
    pool_speakers = np.array([numbers[rows[i].speaker] for i in pool], dtype=np.intp)

    trials: list[Trial] = []
    for speaker, (own, tests) in chosen.items():
        model = tuple(names[i] for i in own)
        others = pool_speakers != numbers[speaker]
        impostors = _spread(pool[others], pool_speakers[others], max_nontarget_per_target * len(tests), rng)
        trials += [Trial(model, names[i], TARGET) for i in tests]
        trials += [Trial(model, names[i], NONTARGET) for i in impostors]
        trials += [Trial(model, names[i], rows[i].meta.kind.value) for i in attacks.get(speaker, ())]
    return trials


def _choose_enrolment(
    rows: "Sequence[Row]", live: list[int], enrol: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    sessions: dict[str | None, list[int]] = {}
    for index in live:
        sessions.setdefault(rows[index].meta.session, []).append(index)
    large = sorted((name for name, members in sessions.items() if len(members) >= enrol), key=str)
    candidates, tests = live, live
    if len(sessions) > 1:
        if large:
            candidates = sessions[large[int(rng.integers(len(large)))]]
            tests = [index for index in live if index not in candidates]
        candidates = _different(rows, candidates, enrol, rng)
    own = rng.choice(candidates, enrol, replace=False).tolist()
    said = {_utterance(rows[index]) for index in own}
    return sorted(own), [index for index in tests if _utterance(rows[index]) not in said]


def _different(rows: "Sequence[Row]", indices: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """Draw one recording of each text, else one take of each utterance, where ``count`` of them are left."""
    for what in (_text, _utterance):
        takes: dict[object, list[int]] = {}
        for index in indices:
            takes.setdefault(what(rows[index]), []).append(index)
        if count <= len(takes) < len(indices):
            return [members[int(rng.integers(len(members)))] for members in takes.values()]
    return indices


def _text(row: "Row") -> object:
    return row.text or _utterance(row)


def _utterance(row: "Row") -> object:
    """What was said once: simulated recordings of one source are takes of the same utterance."""
    return (row.meta.model_extra or {}).get("source", row.id)


def _spread(candidates: np.ndarray, speakers: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` candidates so that no speaker gives a second one more before all gave theirs."""
    if candidates.size <= count:
        return candidates
    shuffled = rng.permutation(candidates.size)
    by_speaker = shuffled[np.argsort(speakers[shuffled], kind="stable")]
    sizes = np.bincount(speakers)
    starts = np.cumsum(sizes) - sizes
    turn = np.arange(candidates.size) - starts[speakers[by_speaker]]
    drawn = by_speaker[np.lexsort((rng.random(candidates.size), turn))[:count]]
    return candidates[np.sort(drawn)]
