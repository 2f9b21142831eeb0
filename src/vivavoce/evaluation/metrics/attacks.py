"""Error rates of attack detection by species, as ISO/IEC 30107-3 names them.

An attack presentation is a recording of an attack, a species is a kind of attack, a bona fide presentation is a live
recording, and a non-response is a recording without a liveness score. Non-responses have rates of their own here, so
error rates of classification are of the presentations that got a response; what becomes of the user or attacker whom
the full system leaves without an answer shows in BPNRR and IAPAR.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.rates import Floats, between, checked_scores, error_rates_at

APCER_LIMITS = (0.01, 0.05, 0.10)  # the operating points that reports on attack detection commonly state BPCER at
# A rate is a quotient: 1 - 19 / 20 exceeds 0.05 by rounding alone; below one trial in any list that fits into memory.
ROUNDING = 1e-9


@dataclass(frozen=True)
class SpeciesRates:
    """One rate (0–1) of each species, and how many presentations it is of."""

    name: Literal["APCER", "IAPAR", "APNRR"]
    by_species: dict[str, float]
    presentations: dict[str, int]

    @property
    def worst(self) -> tuple[str, float]:
        """The species with the highest rate, and that rate."""
        return max(self.by_species.items(), key=lambda item: item[1])


@dataclass(frozen=True)
class BpcerAtApcer:
    """The share of live recordings rejected at the threshold that keeps every species' APCER to a limit."""

    value: float
    threshold: float
    limit: float
    apcer: SpeciesRates

    @property
    def label(self) -> str:
        """The metric's name with its parameter."""
        return f"BPCER@APCER={100 * self.limit:g}%"


def apcer(scores: Mapping[str, ArrayLike], threshold: float) -> SpeciesRates:
    """Give the share of each species' presentations that are taken for live (APCER), of those that got a response.

    Args:
        scores: liveness scores by species, each ``(presentations,)``; NaN: no response. Decisions may be given as
            1 for live and 0 for attack, with a threshold between.
        threshold: a presentation is taken for live where its score reaches it.

    Raises:
        UserError: there is no species, or one of them got no response at all.

    Source: attack presentation classification error rate, as ISO/IEC 30107-3 names it.
    """
    answered = {species: _answered(part, f"{species} attack") for species, part in _species(scores).items()}
    return _rates("APCER", {species: part >= threshold for species, part in answered.items()})


def bpcer(scores: ArrayLike, threshold: float) -> float:
    """Give the share of live recordings that are taken for attacks (BPCER), of those that got a response.

    Args:
        scores: liveness scores of live recordings, ``(presentations,)``; NaN: no response.
        threshold: a recording is taken for live where its score reaches it.

    Raises:
        UserError: no live recording got a response.

    Source: bona fide presentation classification error rate, as ISO/IEC 30107-3 names it.
    """
    return float(np.mean(_answered(scores, "live") < threshold))


def acer(attacks: SpeciesRates, bpcer: float) -> float:
    """Give the mean of the worst species' APCER and BPCER at the same threshold (ACER).

    The two rates mean different things, and their mean hides which of them is bad; literature gives it.

    Source: Boulkenafet et al., "OULU-NPU: a mobile face presentation attack database with real-world variations",
    FG 2017, section IV.
    """
    return (attacks.worst[1] + bpcer) / 2


def bpcer_at_apcer(live: ArrayLike, attacks: Mapping[str, ArrayLike], limit: float) -> BpcerAtApcer:
    """Give BPCER at the lowest threshold where no species' APCER exceeds a limit (BPCER@APCER).

    There is no line between operating points here, since a limit is to be kept by a threshold that exists.

    Args:
        live: liveness scores of live recordings, ``(live,)``; NaN: no response.
        attacks: liveness scores by species, each ``(presentations,)``; NaN: no response.
        limit: highest APCER allowed, inside [0, 1).

    Raises:
        UserError: there is no species, or a class or species got no response at all.
        ValueError: ``limit`` is not inside [0, 1).

    Source: BPCER at a fixed APCER, as reports in the terms of ISO/IEC 30107-3 commonly give it.
    """
    if not 0 <= limit < 1:
        raise ValueError(f"an APCER of {limit} is no limit; it must lie inside [0, 1)")
    answered = _answered(live, "live")
    species = {name: _answered(part, f"{name} attack") for name, part in _species(attacks).items()}
    thresholds = np.append(np.unique(np.concatenate([answered, *species.values()])), np.inf)
    rates = [error_rates_at(thresholds, answered, part) for part in species.values()]
    worst = np.max([np.asarray(rate.p_fa) for rate in rates], axis=0)
    value = bpcer_at_apcer_of(np.asarray(rates[0].p_miss), worst, limit)
    threshold = between(thresholds, int(np.argmax(worst <= limit + ROUNDING)))
    return BpcerAtApcer(float(value), threshold, limit, apcer(species, threshold))


def bpcer_at_apcer_of(p_miss: Floats, p_fa: Floats, limit: float) -> Floats:
    """Give BPCER@APCER of each curve.

    Args:
        p_miss: rates of live recordings taken for attacks, from accepting all to rejecting all, ``(..., points)``.
        p_fa: APCER of the worst species at the same points, falling from 1 to 0, ``(..., points)``.
        limit: highest APCER allowed.

    Returns:
        ``(...,)``; NaN where a class had no presentation.
    """
    first = np.argmax(p_fa <= limit + ROUNDING, axis=-1)
    value = np.take_along_axis(p_miss, first[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(p_fa).any(axis=-1), np.nan, value)


def iapar(accepted: Mapping[str, ArrayLike]) -> SpeciesRates:
    """Give the share of each species' presentations that the full system accepts as the user (IAPAR).

    Elsewhere also IAPMR. A presentation without an answer is not accepted, and counts.

    Args:
        accepted: by species, whether each presentation was accepted, ``(presentations,)``.

    Raises:
        UserError: there is no species, or one of them has no presentation.

    Source: impostor attack presentation accept rate, as ISO/IEC 30107-3 names it.
    """
    return _rates("IAPAR", {species: np.asarray(part, bool).ravel() for species, part in _species(accepted).items()})


def apnrr(scores: Mapping[str, ArrayLike]) -> SpeciesRates:
    """Give the share of each species' presentations without a response (APNRR), whose score is NaN.

    Raises:
        UserError: there is no species, or one of them has no presentation.

    Source: attack presentation non-response rate, as ISO/IEC 30107-3 names it.
    """
    return _rates("APNRR", {species: np.isnan(_flat(part)) for species, part in _species(scores).items()})


def bpnrr(scores: ArrayLike) -> float:
    """Give the share of live recordings without a response (BPNRR), whose score is NaN: users who must try again.

    Raises:
        UserError: there is no live recording.

    Source: bona fide presentation non-response rate, as ISO/IEC 30107-3 names it.
    """
    flat = _flat(scores)
    if not flat.size:
        raise UserError("There is no live recording to compute a non-response rate from; add some.")
    return float(np.isnan(flat).mean())


def _species(parts: Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    if not parts:
        raise UserError("There is no attack to compute error rates by species from; add recordings of attacks.")
    return parts


def _answered(scores: ArrayLike, name: str) -> Floats:
    flat = _flat(scores)
    return checked_scores(flat[~np.isnan(flat)], name)


def _flat(scores: ArrayLike) -> Floats:
    return np.asarray(scores, dtype=np.float64).ravel()


def _rates(name: Literal["APCER", "IAPAR", "APNRR"], wrong: Mapping[str, np.ndarray]) -> SpeciesRates:
    empty = [species for species, part in wrong.items() if not part.size]
    if empty:
        raise UserError(f"There is no {empty[0]} attack to compute {name} from; add such recordings.")
    by_species = {species: float(part.mean()) for species, part in wrong.items()}
    return SpeciesRates(name, by_species, {species: part.size for species, part in wrong.items()})
