"""Confounds: columns that have nothing to do with a mouth and yet tell live recordings from attacks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, t
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from vivavoce.corpus.metadata import Kind

# An AUC that matters: at 0.6 the column alone has an equal-error rate of some 43 %, less than a detector's errors hide.
LEAST_AUC = 0.6
# One in a hundred audits of a corpus without confounds may name one: the interval is that of all comparisons together.
FALSE_ALARMS = 0.01
LEAST_ROWS = 20  # of either class; fewer say nothing about other speakers
LEAST_GROUPS = 4  # speakers or sessions with either class; what tells three from three others may be anything
MOST_ROWS = 10_000  # of either class: the AUC is then known to 0.01, and a table of any size takes seconds
FOLDS = 5
LEAVES, LEAF_SHARE, LEAF_ROWS = 16, 0.01, 10  # a tree that finds a band of values, and no single recording


@dataclass(frozen=True)
class Confound:
    """A feature that alone tells live recordings from attacks, of ``kind`` or, where that is None, of all kinds.

    ``auc`` is cross-validated over groups, and lies between ``low`` and ``high`` (99 % interval of all comparisons
    together). ``direction`` says how the attacks differ; ``kinds`` are all attack kinds told apart; ``what`` is a
    sentence.
    """

    feature: str
    auc: float
    low: float
    high: float
    kind: str | None
    kinds: tuple[str, ...]
    direction: str
    what: str


@dataclass(frozen=True)
class _Comparison:
    feature: str
    kind: str | None
    values: np.ndarray
    attack: np.ndarray
    groups: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]


def find_confounds(
    columns: Mapping[str, np.ndarray],
    kinds: np.ndarray,
    groups: np.ndarray,
    *,
    least: float = LEAST_AUC,
    seed: int = 0,
) -> list[Confound]:
    """Find the columns from which alone a small tree predicts live or attack for speakers that it has not seen.

    Live is compared with each attack kind and with all together; of each feature the clearest comparison is returned,
    the clearest feature first. Columns that are constant, and kinds with fewer than 20 recordings or four groups are
    left out. Large tables are sampled.

    Args:
        columns: feature to its values ``(rows,)``: numbers (NaN: missing) or categories (None or "": missing).
        kinds: kind of each recording, ``(rows,)``.
        groups: speaker or session of each recording ``(rows,)``; no fold trains and tests on the same one.
        least: AUC that the lower bound must exceed.
        seed: of the sampling and the folds.
    """
    comparisons = list(_comparisons(columns, np.asarray(kinds).astype(str), np.asarray(groups), seed))
    found: dict[str, list[Confound]] = {}
    for comparison in comparisons:
        auc, low, high = _cross_validated(comparison, 1 - FALSE_ALARMS / (2 * len(comparisons)))
        if low > least:
            confound = _describe(comparison, auc, low, high)
            found.setdefault(comparison.feature, []).append(confound)
    clearest = [_merge(alike) for alike in found.values()]
    return sorted(clearest, key=lambda confound: -confound.low)


def auc_interval(
    scores: np.ndarray, positive: np.ndarray, groups: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Area under the ROC curve with the bounds of its interval, for rows that come in groups.

    The variance is that of the placement values (E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 1988), summed over
    groups (N. Obuchowski, Biometrics 1997); Student's t with a degree less than groups, since groups may be few. As far
    as groups hold one class only, each class counts one group more, at chance: three speakers told from three others
    without an error do not prove an area of 1, as they do where each speaker has recordings of both classes.

    Args:
        scores: ``(rows,)``, larger for positives.
        positive: ``(rows,)`` bool, of both classes.
        groups: ``(rows,)`` group numbers from 0.
        confidence: one-sided, for instance 0.975.
    """
    ones, zeros = int(positive.sum()), int((~positive).sum())
    rank = rankdata(scores)
    within = np.empty(len(scores))
    within[positive], within[~positive] = rankdata(scores[positive]), rankdata(scores[~positive])
    # The share of the other class that a row is on the right side of.
    placement = np.where(positive, (rank - within) / zeros, 1 - (rank - within) / ones)
    auc = float(placement[positive].mean())
    share = np.where(positive, (placement - auc) / ones, (placement - auc) / zeros)
    sums = np.bincount(groups, share)
    count = len(np.unique(groups))
    each = [len(np.unique(groups[part])) for part in (positive, ~positive)]
    pure = 2 - sum(each) / count  # share of groups that hold one class only
    unseen = pure * sum(((auc - 0.5) / number) ** 2 for number in each)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum() + unseen))
    reach = float(t.ppf(confidence, count - 1)) * error
    return auc, max(0.0, auc - reach), min(1.0, auc + reach)


def _comparisons(
    columns: Mapping[str, np.ndarray], kinds: np.ndarray, groups: np.ndarray, seed: int
) -> Iterator[_Comparison]:
    """Live against each attack kind, and against all where there are several, for every column that varies."""
    live = np.flatnonzero(kinds == Kind.LIVE)
    attacks = [kind for kind in np.unique(kinds) if kind != Kind.LIVE]
    for kind in [*attacks, None][: len(attacks) + (len(attacks) > 1)]:
        rng = np.random.default_rng(seed)
        chosen = np.flatnonzero(kinds != Kind.LIVE if kind is None else kinds == kind)
        parts = [np.sort(rng.permutation(rows)[:MOST_ROWS]) for rows in (live, chosen)]
        rows = np.concatenate(parts)
        if min(len(part) for part in parts) < LEAST_ROWS:
            continue
        numbers = np.unique(groups[rows].astype(str), return_inverse=True)[1]
        if min(len(np.unique(part)) for part in np.split(numbers, [len(parts[0])])) < LEAST_GROUPS:
            continue
        attack = np.arange(len(rows)) >= len(parts[0])
        splitter = StratifiedGroupKFold(min(FOLDS, int(numbers.max()) + 1), shuffle=True, random_state=seed)
        folds = list(splitter.split(rows, attack, numbers))
        for feature, column in columns.items():
            values = _values(np.asarray(column)[rows])
            if len(np.unique(values)) > 1:  # NaN counts as one value
                yield _Comparison(feature, None if kind is None else str(kind), values, attack, numbers, folds)


def _values(column: np.ndarray) -> np.ndarray:
    """Numbers as float64 with NaN for what is missing or infinite, anything else as text."""
    if column.dtype.kind not in "OUSb":
        column = column.astype(np.float64)
        return np.where(np.isfinite(column), column, np.nan)
    return np.array(["" if value is None else str(value) for value in column])


def _cross_validated(comparison: _Comparison, confidence: float) -> tuple[float, float, float]:
    """AUC of predictions for groups that were left out, and its bounds."""
    attack, values = comparison.attack, comparison.values
    predict = _rates if values.dtype.kind == "U" else _tree
    scores = np.zeros(len(values))
    for train, test in comparison.folds:
        # Less the fold's own share of attacks, so that folds of other shares can be ranked together.
        scores[test] = predict(values[train], attack[train], values[test]) - attack[train].mean()
    return auc_interval(scores, attack, comparison.groups, confidence)


def _tree(values: np.ndarray, attack: np.ndarray, asked: np.ndarray) -> np.ndarray:
    least = max(LEAF_ROWS, round(LEAF_SHARE * len(values)))
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=least, random_state=0)
    chances = np.asarray(tree.fit(values[:, None], attack).predict_proba(asked[:, None]))
    return chances[:, -1] if attack.any() else np.zeros(len(asked))


def _rates(values: np.ndarray, attack: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Share of attacks in each category, drawn to the whole share by LEAF_ROWS; that of an unseen one is the whole."""
    names, numbers = np.unique(values, return_inverse=True)
    prior = attack.mean()
    rates = (np.bincount(numbers, attack) + LEAF_ROWS * prior) / (np.bincount(numbers) + LEAF_ROWS)
    place = np.minimum(np.searchsorted(names, asked), len(names) - 1)
    return np.where(names[place] == asked, rates[place], prior)


def _describe(comparison: _Comparison, auc: float, low: float, high: float) -> Confound:
    direction = _direction(comparison, auc)
    against = "all attacks" if comparison.kind is None else comparison.kind
    what = (
        f"The {comparison.feature} alone tells live from {against} with an AUC of {auc:.2f} ({low:.2f} to {high:.2f}; "
        f"chance is 0.5): {direction}."
    )
    kinds = () if comparison.kind is None else (comparison.kind,)
    return Confound(comparison.feature, auc, low, high, comparison.kind, kinds, direction, what)


def _direction(comparison: _Comparison, auc: float) -> str:
    """How the values of the attacks differ from those of live recordings, in words; ``auc`` is that of the tree."""
    values, attack = comparison.values, comparison.attack
    if values.dtype.kind == "U":
        names, numbers = np.unique(values, return_inverse=True)
        shares = [np.bincount(numbers[part], minlength=len(names)) / part.sum() for part in (attack, ~attack)]
        most = int(np.argmax(np.abs(shares[0] - shares[1])))
        name = names[most] or "none"
        return f"`{name}` in {shares[0][most]:.0%} of the attacks and {shares[1][most]:.0%} of live recordings"
    missing = [float(np.isnan(values[part]).mean()) for part in (attack, ~attack)]
    if abs(missing[0] - missing[1]) > 0.5 or max(missing) == 1.0:
        return f"missing in {missing[0]:.0%} of the attacks and {missing[1]:.0%} of live recordings"
    medians = [float(np.nanmedian(values[part])) for part in (attack, ~attack)]
    known = np.isfinite(values)
    plain, *_ = auc_interval(values[known], attack[known], comparison.groups[known], 0.5)
    # Where the plain order of values explains less than half of what the tree knows, they differ in another way.
    ordered = abs(plain - 0.5) > 0.5 * (auc - 0.5)
    word = ("higher" if plain > 0.5 else "lower") if ordered else "distributed otherwise"
    return f"{word} in the attacks, median {medians[0]:.4g} against {medians[1]:.4g}"


def _merge(alike: list[Confound]) -> Confound:
    """The clearest comparison of a feature, with all the kinds that the feature tells apart."""
    best = max(alike, key=lambda confound: confound.low)
    kinds = tuple(sorted(confound.kind for confound in alike if confound.kind is not None))
    return Confound(best.feature, best.auc, best.low, best.high, best.kind, kinds, best.direction, best.what)
