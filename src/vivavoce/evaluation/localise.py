"""Which part of a recording was replaced: from the frames' liveness logits to spans in seconds.

A chain of two states (the mouth fits, it does not) with a price for every change between them; its best path is that of
Viterbi 1967. The head's frames look half a second around themselves, so that their logits cross the threshold near a
seam and stay beyond it in between: a path, unlike a threshold alone, does not break at one doubtful frame.
"""

from collections.abc import Sequence

import numpy as np

# The heads' frames, and the resolution of the answer (issue of the sensing: 0.1 s).
FRAME_S, CELL_S = 0.02, 0.1
FRAMES_A_CELL = round(CELL_S / FRAME_S)
# A single cell says no more than this many logits, however sure it is: one loud frame is no segment.
SUREST = 4.0

Span = tuple[float, float]


def cell_logits(frame_logits: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Mean logit above the threshold in each 0.1 s, ``(cells,)``, at most ±4; the last cell may be a shorter one.

    Args:
        frame_logits: one a 20 ms frame, ``(frames,)``, without padding.
        threshold: logit at which a frame is as likely live as not.
    """
    logits = np.asarray(frame_logits, dtype=np.float64)
    if not len(logits):
        return logits
    starts = np.arange(0, len(logits), FRAMES_A_CELL)
    counts = np.diff(np.append(starts, len(logits)))
    return np.clip(np.add.reduceat(logits, starts) / counts - threshold, -SUREST, SUREST)


def segments(
    frame_logits: np.ndarray, threshold: float = 0.0, change_cost: float = 3.0, shortest_s: float = 0.3
) -> list[Span]:
    """Spans in which voice and echo do not belong together.

    Args:
        frame_logits: ``Liveness.frames`` of one recording without its padding, ``(frames,)``.
        threshold: logit below which a frame speaks against a living mouth.
        change_cost: logits, added up over cells of 0.1 s, that a change of state must be worth.
        shortest_s: spans shorter than this are left out, s.

    Returns:
        Start and end of each span against the first frame, in s and in order, on a grid of 0.1 s; the last may end with
        the recording.
    """
    evidence = cell_logits(frame_logits, threshold)
    if not len(evidence):
        return []
    false = ~best_path(evidence, change_cost)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], false, [False]]).astype(np.int8)))
    ends_s = np.minimum(edges * CELL_S, len(frame_logits) * FRAME_S).round(3)
    spans = ends_s.reshape(-1, 2)
    # Half a millisecond of grace: 0.7 - 0.4 is less than 0.3 in binary.
    return [(start, end) for start, end in spans.tolist() if end - start >= shortest_s - 5e-4]


def best_path(evidence: np.ndarray, change_cost: float) -> np.ndarray:
    """Most likely states of a two-state chain, ``(cells,)`` bool: true where the evidence is for the first state.

    How far the first state leads obeys ``lead[t] = clip(lead[t - 1], -cost, cost) + evidence[t]``, and such steps can
    be composed in any grouping, so that a scan of log₂(cells) passes takes the place of a loop (Blelloch 1990). Going
    back, a state lasts until the lead was beyond the cost the other way.
    """
    shift, low, high = (np.array(part, dtype=np.float64) for part in _steps(evidence, change_cost))
    reach = 1
    while reach < len(evidence):
        before = (shift[:-reach], low[:-reach], high[:-reach])
        after = (shift[reach:], low[reach:], high[reach:])
        composed = _composed(before, after)
        for part, new in zip((shift, low, high), composed, strict=True):
            part[reach:] = new
        reach *= 2
    kept = np.clip(shift, low, high)  # every prefix applied to a lead of zero
    lead = np.append(0.0, kept[:-1]) + evidence
    decided = np.abs(lead) > change_cost
    decided[-1] = True
    at = np.where(decided, np.arange(len(lead)), len(lead) - 1)
    following = np.minimum.accumulate(at[::-1])[::-1]
    return lead[following] >= 0


def _steps(evidence: np.ndarray, cost: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each step as ``x → clip(x + shift, low, high)``."""
    return evidence, np.full(len(evidence), -cost), np.full(len(evidence), cost)


def _composed(
    before: tuple[np.ndarray, np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First the one step, then the other, as one such step."""
    low, high = (np.clip(bound + after[0], after[1], after[2]) for bound in before[1:])
    return before[0] + after[0], low, high


def intersection_over_union(found: Sequence[Span], truth: Sequence[Span]) -> float:
    """Length that both sets of spans cover over the length that either covers; 1 where both are empty."""
    edges = np.unique([edge for span in (*found, *truth) for edge in span])
    if len(edges) < 2:
        return float(not found and not truth)
    lengths, middles = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    inside, meant = _covered(found, middles), _covered(truth, middles)
    either = lengths[inside | meant].sum()
    return float(lengths[inside & meant].sum() / either) if either else 1.0


def _covered(spans: Sequence[Span], at: np.ndarray) -> np.ndarray:
    """Which of the times ``(times,)`` lie in one of the spans."""
    bounds = np.array(spans, dtype=np.float64).reshape(-1, 2)
    return np.any((bounds[:, :1] <= at) & (at < bounds[:, 1:]), axis=0)
