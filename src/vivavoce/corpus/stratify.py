"""Groups of recordings dealt to parts so that every part has its share of every stratum.

Cutting groups so that several labels stay balanced at once is a number partitioning problem. Deal first by one label
(systematic sampling), then exchange groups between parts while that brings the shares nearer to what was asked for.
scikit-learn's StratifiedGroupKFold knows one label, equal parts, and never takes a choice back.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import csr_matrix

# Groups of a part that are tried against those of another in one step; more are sampled.
_TRIED = 400
_SWEEPS = 40
_SMALLEST_GAIN = 1e-9


@dataclass(frozen=True)
class Strata:
    """How many recordings of each stratum a group holds: ``counts`` (groups, strata); a family shares a weight of 1."""

    names: list[tuple[str, str]]
    counts: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """(strata,) weights; the families (all, kind, sex, device) count alike."""
        families = [family for family, _ in self.names]
        return np.array([1 / families.count(family) for family in families])

    def shares(self, part: np.ndarray, parts: int) -> np.ndarray:
        """(parts, strata) share (0–1) of each stratum that each part got; ``part`` (groups,) is the part of a group."""
        held = np.zeros((parts, len(self.names)))
        np.add.at(held, part, self.counts)
        return held / self.counts.sum(axis=0)


class Uncovered(Exception):
    """A part cannot be given what it needs."""

    def __init__(self, part: int, need: Hashable) -> None:
        super().__init__(part, need)
        self.part = part
        self.need = need


def count_strata(groups: np.ndarray, families: Mapping[str, Sequence[str | None]]) -> Strata:
    """Count recordings by group and stratum.

    Args:
        groups: (rows,) group of each row, numbered from 0.
        families: for each family the (rows,) value of each row; None where it is unknown.
    """
    total = int(groups.max()) + 1
    names, columns = [("all", "")], [np.bincount(groups, minlength=total)]
    for family, values in families.items():
        known = sorted({value for value in values if value is not None})
        number = {value: index for index, value in enumerate(known)}
        codes = np.array([number.get(value, -1) if value is not None else -1 for value in values])
        table = np.zeros((total, len(known)), dtype=np.int64)
        np.add.at(table, (groups[codes >= 0], codes[codes >= 0]), 1)
        # One value only is the family "all" again.
        if len(known) > 1 or (codes < 0).any():
            names += [(family, value) for value in known]
            columns += list(table.T)
    return Strata(names, np.stack(columns, axis=1).astype(np.float64))


def largest_remainder(total: int, fractions: Sequence[float]) -> list[int]:
    """Share ``total`` by the largest remainder; every share is at least 1."""
    ideal = np.asarray(fractions) * total
    counts = np.maximum(1, np.floor(ideal + 1e-9).astype(int))
    while counts.sum() < total:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts.tolist()


def systematic_order(strata: Sequence[Hashable], rng: np.random.Generator) -> list[int]:
    """Order groups at random so that every stretch of the order has about the same mixture of strata.

    Member i of a stratum of n stands at (i + 1/2) / n, so any stretch holds its share of the stratum to within one.
    """
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for group, stratum in enumerate(strata):
        members[stratum].append(group)
    placed = []
    for _, own in sorted(members.items()):  # pyright: ignore[reportArgumentType]
        for position, index in enumerate(rng.permutation(len(own))):
            placed.append(((position + 0.5) / len(own), rng.random(), own[index]))
    return [group for _, _, group in sorted(placed)]


def deal(order: Sequence[int], fractions: Sequence[float]) -> np.ndarray:
    """Cut an order of groups into stretches of these fractions; returns the (groups,) part of each."""
    part = np.empty(len(order), dtype=np.int64)
    part[list(order)] = np.repeat(np.arange(len(fractions)), largest_remainder(len(order), fractions))
    return part


class Balancer:
    """Exchanges groups between parts until no exchange brings the strata nearer to their shares.

    Args:
        strata: what a group holds.
        start: (groups,) part of each group.
        fractions: share of each part, sum 1.
        sizes: (groups,) units of a group. A part keeps its share of units to within one, or as near as it began.
        needs: for each group what it gives its part of that which every part must have.
        rng: chooses which groups are tried where there are very many.
    """

    def __init__(
        self,
        strata: Strata,
        start: np.ndarray,
        fractions: Sequence[float],
        sizes: np.ndarray,
        needs: Sequence[Sequence[Hashable]],
        rng: np.random.Generator,
    ) -> None:
        self.part = start.copy()
        self.parts = len(fractions)
        self.fractions = np.asarray(fractions, dtype=np.float64)
        self.x = strata.counts / strata.counts.sum(axis=0)
        self.weights = strata.weights
        self.miss = strata.shares(start, self.parts) - self.fractions[:, None]
        self.sizes = sizes.astype(np.float64)
        self.over = np.bincount(start, weights=self.sizes, minlength=self.parts) - self.fractions * sizes.sum()
        self.names, self.gives = _incidence(needs)
        self.has = np.stack([self._held(index) for index in range(self.parts)])
        self.rng = rng

    def run(self) -> np.ndarray:
        """Cover all needs, then balance; returns the (groups,) part of each group.

        Raises:
            Uncovered: a part cannot be given what every part must have.
        """
        self._cover()
        for _ in range(_SWEEPS):
            changed = [self._exchange(a, b) for a, b in combinations(range(self.parts), 2)]
            if not any(changed):
                break
        return self.part

    def _held(self, part: int) -> np.ndarray:
        return np.asarray(self.gives[self.part == part].sum(axis=0)).ravel()

    def _cover(self) -> None:
        """Bring what a part lacks from a part that can spare it."""
        for part, need in np.argwhere(self.has == 0):
            if self.has[part, need]:
                continue  # an earlier move brought it along
            movers = np.flatnonzero(np.asarray(self.gives[:, [need]].todense()).ravel() > 0).tolist()
            free = [group for group in movers if self._can_leave(group)]
            if free:
                # One by one; the exchanges that follow mend the balance.
                self._move(min(free, key=lambda group: (self.sizes[group], group)), int(part))
            elif not self._cover_by_swap(int(part), movers):
                raise Uncovered(int(part), self.names[need])

    def _cover_by_swap(self, part: int, movers: list[int]) -> bool:
        own = np.flatnonzero(self.part == part)
        for group in movers:
            back = self._swappable(np.array([group]), own)[0]
            if back.any():
                origin = int(self.part[group])
                self._move(group, part)
                self._move(int(own[np.argmax(back)]), origin)
                return True
        return False

    def _can_leave(self, group: int) -> bool:
        own = self.gives[[group]].indices
        return bool((self.has[self.part[group], own] > 1).all())

    def _move(self, group: int, to: int) -> None:
        origin = int(self.part[group])
        own = self.gives[[group]].indices
        for part, sign in ((origin, -1), (to, 1)):
            self.miss[part] += sign * self.x[group]
            self.over[part] += sign * self.sizes[group]
            self.has[part, own] += sign
        self.part[group] = to

    def _exchange(self, a: int, b: int) -> bool:
        """Do the best exchanges of a sweep between two parts; tells whether any was worth it."""
        first, second = (self._sample(part) for part in (a, b))
        changed = False
        for _ in range(len(first) + len(second)):
            cost = self._costs(a, b, first, second)
            best = np.unravel_index(np.argmin(cost), cost.shape)
            if not cost[best] < -_SMALLEST_GAIN:
                break
            # The last row and column stand for nobody: a move in one direction alone.
            g = int(first[best[0]]) if best[0] < len(first) else None
            h = int(second[best[1]]) if best[1] < len(second) else None
            first, second = self._swap(a, b, g, h, first, second)
            changed = True
        return changed

    def _sample(self, part: int) -> np.ndarray:
        own = np.flatnonzero(self.part == part)
        return own if len(own) <= _TRIED else np.sort(self.rng.choice(own, _TRIED, replace=False))

    def _swap(
        self, a: int, b: int, g: int | None, h: int | None, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        for group, to in ((g, b), (h, a)):
            if group is not None:
                self._move(group, to)
        both = np.concatenate([first, second])
        return both[self.part[both] == a], both[self.part[both] == b]

    def _costs(self, a: int, b: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Change of the weighted squared deviations by each exchange: (groups of a + 1, groups of b + 1)."""
        ca, cb = 1 / self.fractions[a], 1 / self.fractions[b]
        pull = 2 * self.weights * (cb * self.miss[b] - ca * self.miss[a])
        x, y = (np.vstack([self.x[own], np.zeros(self.x.shape[1])]) for own in (first, second))
        square = (ca + cb) * self.weights
        cost = (x @ pull + (x * x) @ square)[:, None] + (-(y @ pull) + (y * y) @ square)[None]
        cost -= 2 * (x * square) @ y.T
        cost[~self._allowed(a, b, first, second)] = np.inf
        cost[-1, -1] = np.inf
        return cost

    def _allowed(self, a: int, b: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Which exchanges keep every part's units and needs: (groups of a + 1, groups of b + 1)."""
        moved = np.append(self.sizes[first], 0.0)[:, None] - np.append(self.sizes[second], 0.0)[None]
        allowed = np.ones(moved.shape, dtype=bool)
        for part, sign in ((a, -1), (b, 1)):
            limit = max(abs(self.over[part]) + 1e-9, 1 - 1e-6)
            allowed &= np.abs(self.over[part] + sign * moved) <= limit
        allowed[:-1, :-1] &= self._swappable(first, second)
        leaves = self._spare(first), self._spare(second)
        allowed[:-1, -1] &= leaves[0]
        allowed[-1, :-1] &= leaves[1]
        return allowed

    def _spare(self, groups: np.ndarray) -> np.ndarray:
        return np.asarray(self._critical(groups).sum(axis=1)).ravel() == 0

    def _critical(self, groups: np.ndarray) -> csr_matrix:
        """What each group alone gives to its part: (groups, needs)."""
        gives = self.gives[groups].tocoo()
        alone = self.has[self.part[groups[gives.row]], gives.col] <= 1
        return csr_matrix((alone.astype(np.int64), (gives.row, gives.col)), shape=gives.shape)

    def _swappable(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two groups may change places: what one alone gives, the other gives, too."""
        result = np.ones((len(first), len(second)), dtype=bool)
        for own, other, flip in ((first, second, False), (second, first, True)):
            critical = self._critical(own)
            needed = np.asarray(critical.sum(axis=1)).ravel()
            given = np.asarray((critical @ self.gives[other].T).todense())
            fits = given == needed[:, None]
            result &= fits.T if flip else fits
        return result


def _incidence(needs: Sequence[Sequence[Hashable]]) -> tuple[list[Hashable], csr_matrix]:
    """Names of the needs, and who gives what: (groups, needs) of 0 and 1. Every group gives `a group`."""
    number: dict[Hashable, int] = {"a group": 0}
    rows, columns = [], []
    for group, given in enumerate(needs):
        for name in ("a group", *dict.fromkeys(given)):
            rows.append(group)
            columns.append(number.setdefault(name, len(number)))
    ones = np.ones(len(rows), dtype=np.int64)
    return list(number), csr_matrix((ones, (rows, columns)), shape=(len(needs), len(number)))
