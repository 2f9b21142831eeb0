"""Scores that hypothesis draws, and what a metric of rates must hold."""

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

# Whole numbers give many ties, which is where error rates go wrong.
scores = arrays(np.float64, st.integers(1, 40), elements=st.integers(-12, 12).map(float))


def assert_stacked(of: Callable[..., np.ndarray], rates: Sequence[np.ndarray], expected: float) -> None:
    """Check that a metric of rates gives ``expected`` of one curve, and of each curve in a stack."""
    np.testing.assert_allclose(of(*rates), expected, atol=1e-12)
    stacked = [np.tile(part, (2, 3, *[1] * np.ndim(part))) for part in rates]
    np.testing.assert_allclose(of(*stacked), np.full((2, 3), expected), atol=1e-12)
