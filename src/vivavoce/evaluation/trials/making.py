"""Trials of the recordings of one split."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.enrolling import choose_enrolment, utterance
from vivavoce.evaluation.trials.nontargets import Pool, Wanted, draw_nontargets, nearest_others
from vivavoce.evaluation.trials.table import LABEL_CODES, NONTARGET, TARGET, Trials, number, references

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row


class TrialPlan(BaseModel):
    """Which trials to make of a manifest's recordings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enrol: int = Field(default=3, ge=1, description="enrolment recordings a speaker")
    seed: int = Field(default=0, ge=0, description="of every draw; the same rows and seed give the same trials")
    max_nontarget_per_target: int = Field(default=10, ge=1, description="bounds the number of non-target trials")
    same_sex: float = Field(default=0.0, ge=0, le=1, description="share of non-targets of the enrolled speaker's sex")
    hard: float = Field(default=0.0, ge=0, le=1, description="share of non-targets whose voice is most alike")
    attacks: bool = Field(default=True, description="also the attacks that claim an enrolled speaker")
    balance: bool = Field(default=False, description="no speaker counts for more than the others")
    limit: int | None = Field(default=None, ge=1, description="the most trials in all, drawn from each class alike")

    @model_validator(mode="after")
    def _one_whole(self) -> Self:
        if self.same_sex + self.hard > 1:
            raise ValueError("same_sex and hard are shares of one whole; together they must not be above 1")
        return self


class _Speaker(NamedTuple):
    """What one enrolled speaker's trials are made of: numbers of rows."""

    name: str
    enrolment: list[int]
    targets: list[int]
    attacks: list[int]


def make_trials(rows: "Sequence[Row]", enrol: int = 3, seed: int = 0, max_nontarget_per_target: int = 10) -> Trials:
    """Make a trial list from the recordings of one split, its non-targets drawn at random; see `draw_trials`.

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
    return draw_trials(rows, TrialPlan(enrol=enrol, seed=seed, max_nontarget_per_target=max_nontarget_per_target))


def draw_trials(rows: "Sequence[Row]", plan: TrialPlan, embeddings: NDArray[np.floating] | None = None) -> Trials:
    """Make a trial list from the recordings of one split.

    Every speaker with enough live recordings is enrolled once, with ``plan.enrol`` of them. Where a speaker has two or
    more sessions, these come from one session and the target tests from the others, since a voice of the same day is
    easier; only where no session holds as many recordings are sessions mixed. Of several sessions, an enrolment takes
    different texts, or at least different utterances, where there are enough. Tests never are enrolment recordings of
    anyone, and no target test is another take of an utterance that its speaker was enrolled with.

    - ``target``: the speaker's other live recordings.
    - ``nontarget``: live recordings of other speakers, at most ``plan.max_nontarget_per_target`` a target trial: a
      share of those nearest to the enrolment (``plan.hard``), a share of the same sex (``plan.same_sex``), and the
      rest at random; the latter two are spread evenly over speakers.
    - a kind of attack: each recording of that kind that claims the enrolled speaker; an attacker may well own an
      utterance that the speaker was enrolled with.

    With ``plan.balance``, no speaker gives more target trials than the median speaker, nor more attacks of one kind
    than the median of all speakers and kinds, and each has the same number of non-target trials a target trial.

    Args:
        rows: recordings of a manifest.
        plan: which trials to make.
        embeddings: of ``rows``, ``(recordings, dim)``; hard non-targets need them.

    Raises:
        UserError: no speaker has enough live recordings, or the manifest says nobody's sex and the plan asks for it.
        ValueError: the plan asks for hard non-targets and there are no embeddings of all rows.
    """
    if plan.hard and (embeddings is None or len(embeddings) != len(rows)):
        raise ValueError("hard non-targets need one embedding a row")
    if plan.same_sex and not any(row.meta.sex for row in rows):
        raise UserError(
            "The manifest says nobody's sex, so non-targets of the same sex cannot be drawn; add a column `sex`, or "
            "leave the same-sex share out."
        )
    rng = np.random.default_rng(plan.seed)
    live, enrolled = _enrol(rows, plan, rng)
    if plan.balance:
        enrolled = _even_out(rows, enrolled, rng)
    taken = {item for speaker in enrolled for item in speaker.enrolment}
    numbers = {name: code for code, name in enumerate(live)}
    pool = _pool(rows, [item for members in live.values() for item in members if item not in taken], numbers)
    wanted = _wanted(enrolled, pool, numbers, plan)
    nearest: Iterable[NDArray[np.intp]] = repeat(np.empty(0, dtype=np.intp))
    if plan.hard and embeddings is not None:
        members, owners = [one.enrolment for one in enrolled], [numbers[one.name] for one in enrolled]
        nearest = nearest_others(embeddings, members, owners, pool, np.array([one.hard for one in wanted]))
    sexes = _sexes(rows)
    nontargets = [
        draw_nontargets(pool, numbers[one.name], int(sexes[one.enrolment[0]]), amount, hard, rng)
        for one, amount, hard in zip(enrolled, wanted, nearest, strict=False)
    ]
    trials = _assemble(rows, enrolled, nontargets)
    return trials if plan.limit is None else _thin(trials, plan.limit, rng)


def _enrol(
    rows: "Sequence[Row]", plan: TrialPlan, rng: np.random.Generator
) -> tuple[dict[str, list[int]], list[_Speaker]]:
    """Live recordings by speaker, and the speakers that can be enrolled, both sorted by name."""
    live: dict[str, list[int]] = {}
    attacks: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        (live if row.meta.kind is Kind.LIVE else attacks).setdefault(row.speaker, []).append(index)
    live = {name: live[name] for name in sorted(live)}
    enrolled = [
        _Speaker(name, *choose_enrolment(rows, members, plan.enrol, rng), attacks.get(name, []) if plan.attacks else [])
        for name, members in live.items()
        if len({utterance(rows[index]) for index in members}) > plan.enrol
    ]
    if not enrolled:
        raise UserError(
            f"No speaker has {plan.enrol + 1} live recordings, so none can be enrolled with {plan.enrol} and tested; "
            "give more recordings a speaker or enrol fewer."
        )
    return live, enrolled


def _even_out(rows: "Sequence[Row]", enrolled: list[_Speaker], rng: np.random.Generator) -> list[_Speaker]:
    """Cut each speaker's targets, and attacks of each kind, down to the median, by lot."""

    def median(sizes: Iterable[int]) -> int:
        filled = [size for size in sizes if size]
        return int(np.median(filled)) if filled else 0

    def cut(members: list[int], most: int) -> list[int]:
        return members if len(members) <= most else sorted(rng.choice(members, most, replace=False).tolist())

    most = median(len(one.targets) for one in enrolled)
    kinds = [_by_kind(rows, one.attacks) for one in enrolled]
    most_attacks = median(len(members) for by_kind in kinds for members in by_kind.values())
    return [
        one._replace(
            targets=cut(one.targets, most),
            attacks=sorted(item for members in by_kind.values() for item in cut(members, most_attacks)),
        )
        for one, by_kind in zip(enrolled, kinds, strict=True)
    ]


def _by_kind(rows: "Sequence[Row]", attacks: list[int]) -> dict[Kind, list[int]]:
    found: dict[Kind, list[int]] = {}
    for item in attacks:
        found.setdefault(rows[item].meta.kind, []).append(item)
    return found


def _pool(rows: "Sequence[Row]", recordings: list[int], numbers: dict[str, int]) -> Pool:
    chosen = np.array(recordings, dtype=np.intp)
    speakers = np.array([numbers[rows[item].speaker] for item in recordings], dtype=np.intp)
    return Pool(chosen, speakers, _sexes(rows)[chosen])


def _sexes(rows: "Sequence[Row]") -> NDArray[np.intp]:
    """The number of each recording's sex, -1 where the manifest says none, ``(recordings,)``."""
    known, codes = number(row.meta.sex for row in rows)
    return np.where(np.isin(codes, [code for code, sex in enumerate(known) if not sex]), -1, codes).astype(np.intp)


def _wanted(enrolled: list[_Speaker], pool: Pool, numbers: dict[str, int], plan: TrialPlan) -> list[Wanted]:
    """How many non-targets each enrolled speaker gets."""
    targets = np.array([len(one.targets) for one in enrolled])
    owners = [numbers[one.name] for one in enrolled]
    others = pool.recordings.size - np.bincount(pool.speakers, minlength=len(numbers))[owners]
    totals = np.minimum(plan.max_nontarget_per_target * targets, others)
    tested = np.flatnonzero(targets)
    if plan.balance and tested.size:
        scarcest = tested[np.argmin(totals[tested] / targets[tested])]
        totals = -(-targets * totals[scarcest] // targets[scarcest])  # rounded up, so that each has one at least
    hard = np.rint(plan.hard * totals).astype(np.intp)
    same_sex = np.minimum(np.rint(plan.same_sex * totals).astype(np.intp), totals - hard)
    return [Wanted(*amounts) for amounts in np.stack([totals, same_sex, hard], axis=1).tolist()]


def _assemble(
    rows: "Sequence[Row]",
    enrolled: list[_Speaker],
    nontargets: "Sequence[tuple[NDArray[np.intp], NDArray[np.int8]]]",
) -> Trials:
    """Line the trials up: speaker by speaker targets, non-targets, attacks."""
    names = references(rows)
    kinds = np.array([LABEL_CODES.get(row.meta.kind.value, LABEL_CODES[TARGET]) for row in rows], dtype=np.int8)
    tests, labels, drawn, sizes = [], [], [], []
    for one, (others, how) in zip(enrolled, nontargets, strict=True):
        own = np.array(one.targets, dtype=np.intp)
        attacks = np.array(one.attacks, dtype=np.intp)
        tests += [own, others, attacks]
        labels += [kinds[own], np.full(others.size, LABEL_CODES[NONTARGET], dtype=np.int8), kinds[attacks]]
        drawn += [np.zeros_like(labels[-3]), how, np.zeros_like(labels[-1])]
        sizes.append(own.size + others.size + attacks.size)
    whole = Trials(
        [tuple(names[item] for item in one.enrolment) for one in enrolled],
        names,
        np.repeat(np.arange(len(enrolled)), sizes),
        np.concatenate(tests),
        np.concatenate(labels),
        np.concatenate(drawn),
        [one.name for one in enrolled],
        [row.speaker for row in rows],
    )
    return whole[:]  # without the recordings that no trial tests


def _thin(trials: Trials, limit: int, rng: np.random.Generator) -> Trials:
    """Draw ``limit`` trials so that each class, way of drawing and speaker keeps its share, in their order."""
    if len(trials) <= limit:
        return trials
    order = np.lexsort((rng.random(len(trials)), trials.enrolment, trials.drawn, trials.label))
    return trials.take(np.sort(order[np.arange(limit) * len(trials) // limit]))
