"""What measured lips say about the limits of the liveness answer (docs/liveness.md, "What limits it")."""

from pathlib import Path

import numpy as np
import pytest

from vivavoce.simulate.tracks import read_tracks

pytestmark = pytest.mark.realdata


def likeness_after(path: Path, lag_s: float) -> float:
    """Correlation of the lip opening of a measured utterance with itself ``lag_s`` later."""
    motion = read_tracks(path)
    opening, lag = motion.aperture_m, round(lag_s * motion.rate_hz)
    return float(np.corrcoef(opening[:-lag], opening[lag:])[0, 1])


def test_lips_are_half_like_themselves_after_200_ms_and_less_so_after_600(shared_data: Path) -> None:
    tracks = sorted((shared_data / "articulatory").glob("*.npz"))
    assert tracks
    soon, late = (np.array([likeness_after(path, lag_s) for path in tracks]) for lag_s in (0.2, 0.6))
    assert soon.min() > 0.4
    assert soon.max() < 0.75
    assert (late < soon - 0.1).all()
