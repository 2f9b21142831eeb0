"""Which negatives a step's live crops get: how many of which kind, made with what, and how hard they are by now.

Four kinds, each label true by construction (DESIGN §6):

- replace: the echo of a recorded attack, from the same batch;
- swap: the echo of another live recording with its whole processing, so nothing is spliced;
- shift: the recording's own echo of another time, cut from the longer recording and never rolled;
- partial: a span of voice and echo comes from two other live recordings. As many positives have a span of both from one
  other recording. Either stream of both looks the same at the seams, which therefore tell nothing of the label.

Two recordings made from one source hold the same words at the same times: they never meet in a swap.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vivavoce.corpus.groups import source_of
from vivavoce.corpus.manifest import Row
from vivavoce.features.batch import Origin

# A misalignment below this is within what real speech shows, so that the label would be noise (DESIGN §5, §6).
LEAST_SHIFT_S = 0.12
# Kinds in the order of their shares.
KINDS = (Origin.REPLACE, Origin.SWAP, Origin.SHIFT, Origin.PARTIAL)


class CurriculumConfig(BaseModel):
    """From easy to hard negatives, evenly over the first part of the run."""

    model_config = ConfigDict(extra="forbid")

    over: float = Field(
        default=0.5, ge=0, le=1, description="share of the run after which negatives are at full rigour"
    )
    shift_from_s: float = Field(
        default=0.5, description="smallest shift at the beginning, s; shift_s says the last one"
    )
    hard_from: float = Field(default=0.0, ge=0, le=1, description="share of hard negatives at the beginning")


class NegativesConfig(BaseModel):
    """Negatives made of the live crops of a batch; shares count against one another."""

    model_config = ConfigDict(extra="forbid")

    per_live: int = Field(default=4, ge=0, le=32, description="negatives that each live crop of a batch gets")
    replace: float = Field(default=0.2, ge=0, allow_inf_nan=False, description="share with the echo of an attack")
    swap: float = Field(default=0.3, ge=0, allow_inf_nan=False, description="share with another live recording's echo")
    shift: float = Field(
        default=0.3, ge=0, allow_inf_nan=False, description="share with their own echo of another time"
    )
    partial: float = Field(
        default=0.2, ge=0, allow_inf_nan=False, description="share in which only a span does not belong together"
    )
    hard_share: float = Field(
        default=0.5, ge=0, le=1, description="share of swaps and partials made with the same speaker, or the same words"
    )
    shift_s: tuple[float, float] = Field(default=(0.12, 1.0), description="smallest and largest shift, s, either way")
    partial_s: tuple[float, float] = Field(default=(0.3, 1.5), description="shortest and longest span, s")
    curriculum: CurriculumConfig = CurriculumConfig()

    @field_validator("shift_s")
    @classmethod
    def _no_label_noise(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] <= value[1] < float("inf"):
            raise ValueError("it must be a smallest and a largest shift in seconds")
        if value[0] < LEAST_SHIFT_S:
            raise ValueError(
                f"a shift under {LEAST_SHIFT_S} s is within what real lips lead or lag by, so that its label would be "
                "noise"
            )
        return value

    @field_validator("partial_s")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= value[0] <= value[1] < float("inf"):
            raise ValueError("it must be a shortest and a longest span in seconds, both 0.1 or more")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.per_live and not any(self.shares):
            raise ValueError("replace, swap, shift and partial cannot all be 0 unless per_live is")
        if not self.shift_s[0] <= self.curriculum.shift_from_s <= self.shift_s[1]:
            raise ValueError(
                f"curriculum.shift_from_s ({self.curriculum.shift_from_s:g}) must lie within shift_s "
                f"({self.shift_s[0]:g} to {self.shift_s[1]:g})"
            )
        if self.curriculum.hard_from > self.hard_share:
            raise ValueError(
                f"curriculum.hard_from ({self.curriculum.hard_from:g}) must not exceed hard_share ({self.hard_share:g})"
            )
        return self

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of `KINDS`, as they were given."""
        return (self.replace, self.swap, self.shift, self.partial)

    def rigour(self, progress: float) -> "Rigour":
        """How hard negatives are when ``progress`` (0 to 1) of the run is done."""
        curriculum = self.curriculum
        done = min(1.0, progress / curriculum.over) if curriculum.over else 1.0
        return Rigour(
            curriculum.hard_from + done * (self.hard_share - curriculum.hard_from),
            curriculum.shift_from_s + done * (self.shift_s[0] - curriculum.shift_from_s),
        )


class Rigour(NamedTuple):
    """How hard negatives are at some point of the run."""

    hard_share: float
    least_shift_s: float


class Plan(NamedTuple):
    """The negatives of one step. "Crops" counts the batch's own recordings first, then the partners."""

    partners: np.ndarray  # (partners,) further recordings that the negatives need
    kind: np.ndarray  # (negatives,) an `Origin`
    of: np.ndarray  # (negatives,) crop of the live voice
    first: np.ndarray  # (negatives,) crop of the other echo; of a partial: of the span that both streams get; -1: none
    second: np.ndarray  # (negatives,) crop of a partial's other span of echo; -1: none
    least_shift_s: float


class Planner:
    """Plans the negatives of each step from what the manifest says of the recordings."""

    def __init__(self, rows: Sequence[Row], items: np.ndarray, config: NegativesConfig) -> None:
        """Take all rows, and those of them that the correlation task may use, ``(items,)``."""
        self.config = config
        texts = [_words_of(row) for row in rows]
        self.speaker = _codes([row.speaker for row in rows])
        self.text = np.where([text is None for text in texts], -1, _codes([text or "" for text in texts]))
        # What is said, and what the mouth before the phone says, each by the recording that it was taken from.
        said = [source_of(row) or row.id for row in rows]
        mouthed = [
            str((row.meta.model_extra or {}).get("mouth", source)) for row, source in zip(rows, said, strict=True)
        ]
        self.said, self.mouthed = np.split(_codes([*said, *mouthed]), 2)
        live = items[[rows[item].meta.kind == "live" for item in items]]
        self.by_speaker, self.by_text = _members(self.speaker, live), _members(self.text, live)

    def fits(self, voice: np.ndarray | int, echo: np.ndarray | int) -> np.ndarray:
        """Whether a live voice and a live echo, items of any shape, are surely no true pair."""
        again = (self.speaker[voice] == self.speaker[echo]) & (self.text[voice] == self.text[echo])
        return self.tells_apart(voice, echo) & ~(again & (self.text[voice] >= 0))

    def tells_apart(self, voice: np.ndarray | int, echo: np.ndarray | int) -> np.ndarray:
        """Whether a voice and an echo come from different sources, and the echo's mouth says something else, too."""
        return (self.said[voice] != self.said[echo]) & (self.said[voice] != self.mouthed[echo])

    def plan(self, items: np.ndarray, live: np.ndarray, progress: float, rng: np.random.Generator) -> Plan:
        """Plan one step.

        Args:
            items: recordings of the batch, ``(items,)``.
            live: which of them are live, ``(items,)`` bool.
            progress: share of the run that is done.
            rng: randomness of this step.
        """
        rigour = self.config.rigour(progress)
        of = np.repeat(np.flatnonzero(live), self.config.per_live)
        kind = _deal(len(of), self.config.shares, rng)
        hard = rng.random(len(of)) < rigour.hard_share
        first, second = self._from_batch(items, live, of, kind, rng)
        partners = self._make_hard(items, of, kind, hard, first, second, rng)
        missing = (kind != Origin.SHIFT) & ((first < 0) | ((kind == Origin.PARTIAL) & (second < 0)))
        kind = np.where(missing, Origin.SHIFT, kind)  # nothing to make it with: its own echo is always there
        first[missing], second[missing] = -1, -1
        return Plan(partners, kind, of, first, second, rigour.least_shift_s)

    def _from_batch(
        self, items: np.ndarray, live: np.ndarray, of: np.ndarray, kind: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose crops of the batch itself: those that replace, swap, or fill spans; -1 where none fits."""
        voices, others = items[of][:, None], items[None, :]
        attack = (kind == Origin.REPLACE)[:, None]
        allowed = np.where(attack, self.tells_apart(voices, others) & ~live, self.fits(voices, others) & live)
        first = _pick(allowed & (kind != Origin.SHIFT)[:, None], rng)
        wanted = allowed & ((kind == Origin.PARTIAL) & (first >= 0))[:, None]
        return first, _pick(wanted & self.fits(items[first][:, None], others), rng)

    def _make_hard(
        self,
        items: np.ndarray,
        of: np.ndarray,
        kind: np.ndarray,
        hard: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Put partners from the whole corpus into ``first`` and ``second`` where these are to be hard; returns them."""
        partners: list[int] = []
        for crop in np.unique(of).tolist():
            swaps, partials = (np.flatnonzero(hard & (of == crop) & (kind == which)) for which in KINDS[1::2])
            if not len(swaps) and not len(partials):
                continue
            drawn = self._partners(int(items[crop]), 2 if len(partials) else 1, rng)
            if len(drawn) == 1 and not len(swaps):
                continue  # a span needs two
            places = np.arange(len(drawn)) + len(items) + len(partners)
            partners += drawn
            if drawn:
                first[swaps] = rng.choice(places, len(swaps))
            if len(drawn) == 2:  # both orders alike often, so that neither span is of another kind than the other
                turned = rng.random(len(partials)) < 0.5
                first[partials], second[partials] = np.where(turned, places[::-1, None], places[:, None])
        return np.array(partners, dtype=np.int64)

    def _partners(self, item: int, count: int, rng: np.random.Generator) -> list[int]:
        """Draw up to ``count`` other live recordings of the same speaker, else of the same words."""
        for group in (self.by_speaker.get(self.speaker[item]), self.by_text.get(self.text[item])):
            drawn: list[int] = []
            candidates = rng.permutation(group) if group is not None else np.empty(0, dtype=np.int64)
            candidates = candidates[self.fits(item, candidates)]
            while len(candidates) and len(drawn) < count:
                drawn.append(int(candidates[0]))
                candidates = candidates[self.fits(drawn[-1], candidates)]
            if drawn:
                return drawn
        return []


NO_PLAN = Plan(*(np.empty(0, dtype=np.int64) for _ in range(5)), least_shift_s=LEAST_SHIFT_S)


def _deal(count: int, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Deal kinds by their shares, each to within one of its due, in random order: ``(count,)``."""
    edges = np.cumsum(shares) / (sum(shares) or 1.0)
    points = (np.arange(count) + rng.random()) / max(count, 1)
    dealt = np.minimum(np.searchsorted(edges, points, side="right"), len(KINDS) - 1)
    return rng.permutation(np.array(KINDS)[dealt])


def _pick(allowed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the allowed columns of each row, all alike often; -1 where there is none."""
    if not allowed.size:
        return np.full(len(allowed), -1)
    keys = np.where(allowed, rng.random(allowed.shape), -1.0)
    return np.where(allowed.any(axis=1), keys.argmax(axis=1), -1)


def _codes(values: Sequence[str]) -> np.ndarray:
    return np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)[1].reshape(-1)


def _members(codes: np.ndarray, items: np.ndarray) -> dict[int, np.ndarray]:
    """Items by their code; -1 stands for none."""
    order = items[np.argsort(codes[items], kind="stable")]
    values, starts = np.unique(codes[order], return_index=True)
    ends = [*starts, len(order)][1:]
    return {int(v): order[start:end] for v, start, end in zip(values, starts, ends, strict=True) if v >= 0}


def _words_of(row: Row) -> str | None:
    """The words of a recording, or what stands for them, for comparing; None: unknown."""
    words = row.text if row.text is not None else row.meta.phrase
    return None if words is None else " ".join(words.casefold().split())
