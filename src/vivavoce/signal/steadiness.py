"""How much the phone itself moves, read from the probe alone.

Every path but the direct one changes its length as the phone moves, the static ones too: face, neck, torso, room.
A mouth moves faster, but is small in area against them. What turns the slow part of the I/Q (below about 12 Hz) is
therefore the phone: its mean Doppler shift, weighted by power, is the speed at which the scene and the phone approach.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vivavoce.signal.iq import IQ_RATE_HZ, SPEED_OF_SOUND

# 83 ms Hann: -6 dB at 12 Hz. Hand sway of 4 mm RMS turns the echo at 4 Hz RMS, lips at up to 54 Hz (DESIGN §5).
SLOW_FRAMES = 25
# Phase over 20 ms: unambiguous to ±25 Hz, and eight times less noisy than from one frame to the next.
LAG = 6
# Averaged over 0.2 s, in which a swaying hand (0.3–2.5 Hz) does not turn back.
MEAN_FRAMES = 61
# Root-mean-square frequency of motion that is spread evenly over 0.3–2.5 Hz, the band of hand sway (DESIGN §5).
SWAY_RMS_HZ = float(np.sqrt((2.5**3 - 0.3**3) / (3 * (2.5 - 0.3))))
SHORTEST_FRAMES = SLOW_FRAMES + LAG + MEAN_FRAMES


def sway_mm(moving: np.ndarray, tones_hz: np.ndarray) -> float:
    """Estimate the phone's sway toward the scene, mm RMS, as of a hand (0.3–2.5 Hz) that holds it.

    A mouth before a still phone reads as up to about 1.5 mm, for its own motion cannot be told from a small sway.

    Args:
        moving: I/Q of what moves relative to each carrier, ``(tones, frames)`` complex at 300 Hz.
        tones_hz: the tones, ``(tones,)``.

    Returns:
        The estimate; 0 where the recording is under 0.31 s.
    """
    if moving.shape[1] < SHORTEST_FRAMES:
        return 0.0
    window = np.hanning(SLOW_FRAMES + 2)[1:-1]
    slow = sliding_window_view(moving, SLOW_FRAMES, axis=1) @ (window / window.sum())
    power = np.mean(np.abs(slow) ** 2, axis=0)
    turned = np.mean(slow[:, LAG:] * slow[:, :-LAG].conj(), axis=0)
    about = np.hanning(MEAN_FRAMES + 2)[1:-1]
    turned = np.convolve(turned, about, "valid")
    weight = np.convolve(np.sqrt(power[LAG:] * power[:-LAG]), about, "valid")
    doppler_hz = np.angle(turned) * IQ_RATE_HZ / (2 * np.pi * LAG)
    rms_hz = np.sqrt(np.sum(weight * doppler_hz**2) / max(np.sum(weight), 1e-30))
    # An echo's path changes by twice the way: f = 2 v / wavelength; then speed to way in the band of a hand's sway.
    speed = rms_hz * SPEED_OF_SOUND / (2 * float(np.mean(tones_hz)))
    return float(1000 * speed / (2 * np.pi * SWAY_RMS_HZ))
