"""The path of the mouth's points through one utterance."""

from dataclasses import dataclass

import numpy as np

POINTS = ("upper_lip", "lower_lip", "corner_left", "corner_right", "chin", "tongue")
RATE_HZ = 200.0


@dataclass(frozen=True)
class Motion:
    """The path of the mouth's points: ``positions_m`` (points, frames, 3) in metres at ``rate_hz``, in POINTS' order.

    Origin at the resting mouth's centre; x forward, y up, z to the speaker's left. ``aperture_m`` (frames,) is the
    opening between the lips in metres, never negative; it gates the tongue's echo.
    """

    rate_hz: float
    positions_m: np.ndarray
    aperture_m: np.ndarray

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.positions_m.shape[1] / self.rate_hz
