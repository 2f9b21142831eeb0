"""Batches with given shares of kinds, such as half live and half attacks, the attacks evenly over species."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.sampling.base import BatchSpec, PlannedSampler, PlannedSamplerConfig
from vivavoce.corpus.sampling.even import even_stream, members_in_turn
from vivavoce.corpus.sampling.items import Items
from vivavoce.errors import UserError

ATTACK = "attack"


class KindBalancedConfig(PlannedSamplerConfig):
    """Kinds by their shares of a batch."""

    type: Literal["kind_balanced"] = "kind_balanced"
    shares: dict[Kind | Literal["attack"], Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default={Kind.LIVE: 0.5, ATTACK: 0.5},
        min_length=1,
        description="relative share of each kind; `attack`: of all attack species that have no share of their own, "
        "evenly; kinds not named are left out",
    )
    by_speaker: bool = Field(default=False, description="speakers alike often within each kind")
    batches: int | None = Field(default=None, ge=1, description="batches an epoch; None: as many as recordings fill")

    def sampler(self, items: Items, spec: BatchSpec) -> "KindBalancedSampler":
        """Make the sampler."""
        shares = self.kind_shares(items.kinds)
        groups = np.full(len(items), -1)
        for number, kind in enumerate(shares):
            groups[items.kinds == kind] = number
        batches = self.batches or max(1, int((groups >= 0).sum()) // spec.batch)
        speakers = np.unique(items.speakers, return_inverse=True)[1] if self.by_speaker else None
        return KindBalancedSampler(groups, np.array(list(shares.values())), speakers, batches, spec)

    def kind_shares(self, kinds: np.ndarray) -> dict[str, float]:
        """Share of each single kind among (items,) kinds; they sum to 1.

        Raises:
            UserError: a kind that is to have a share is absent.
        """
        present = np.unique(kinds).tolist()
        named = {str(kind): share for kind, share in self.shares.items()}
        species = [kind for kind in present if kind != Kind.LIVE and kind not in named]
        absent = [kind for kind in named if kind not in present and not (kind == ATTACK and species)]
        if absent:
            raise UserError(
                f"Batches are to hold {' and '.join(absent)}, but the recordings are only {', '.join(present)}; record "
                "or simulate what is missing, or take it out of the sampler's shares."
            )
        if ATTACK in named:
            share = named.pop(ATTACK) / len(species)
            named |= dict.fromkeys(species, share)
        return {kind: share / sum(named.values()) for kind, share in named.items()}


class KindBalancedSampler(PlannedSampler):
    """Fills each batch by shares; where a share is no whole number of items, batches differ by one.

    Within a kind each recording comes once before any comes again, or, with speakers given, each speaker, and each
    speaker's recordings of that kind in turn.
    """

    def __init__(
        self, groups: np.ndarray, shares: np.ndarray, speakers: np.ndarray | None, batches: int, spec: BatchSpec
    ) -> None:
        """Take (items,) kind numbers, -1 for left out, the (kinds,) shares and, where wanted, (items,) speakers."""
        super().__init__(spec)
        self.groups = groups
        self.shares = shares
        self.speakers = speakers
        self.batches = batches

    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch, batch after batch; (batches * batch,) int64."""
        rng = self.generator(epoch)
        counts = self._counts(rng)
        drawn = [self._draw(rng, kind, counts[:, kind]) for kind in range(len(self.shares))]
        batch = np.concatenate([np.repeat(np.arange(self.batches), sizes) for sizes in counts.T])
        shuffled = np.lexsort([rng.random(len(batch)), batch])
        return np.concatenate(drawn)[shuffled]

    def _counts(self, rng: np.random.Generator) -> np.ndarray:
        """Items of each kind in each batch; (batches, kinds).

        Systematic sampling: each count is the share rounded up or down, each batch is full, and as the offsets lie
        evenly between 0 and 1, the counts of an epoch keep the shares too.
        """
        ends = np.cumsum(self.shares) * self.spec.batch
        ends[-1] = self.spec.batch  # whatever the last digit of the sum
        offsets = rng.permutation(self.batches) + rng.random(self.batches)
        edges = np.floor(ends + offsets[:, None] / self.batches).astype(int)
        return np.diff(edges, prepend=0)

    def _draw(self, rng: np.random.Generator, kind: int, sizes: np.ndarray) -> np.ndarray:
        """Draw items of one kind for all batches; (batches,) sizes -> (sum of sizes,) item indices."""
        members = np.flatnonzero(self.groups == kind)
        if self.speakers is None:
            return members[even_stream(rng, len(members), sizes)]
        speakers = np.unique(self.speakers[members], return_inverse=True)[1]
        chosen = even_stream(rng, int(speakers.max()) + 1, sizes)
        return members[members_in_turn(rng, speakers, chosen)]
