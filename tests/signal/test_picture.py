import numpy as np
import pytest

from vivavoce.errors import UserError
from vivavoce.signal.picture import doppler_spectrogram

from .test_echo import PROBE, RATES, C, moving


@pytest.mark.parametrize("rate", RATES)
def test_picture_shows_the_motion_where_and_when_it_is(rate: int) -> None:
    time_s = np.arange(3 * rate) / rate
    speed = np.where((time_s > 1) & (time_s < 2), 0.5, 0.0)
    path = 0.8 - np.cumsum(speed) / rate
    wave = moving(PROBE, rate, path, noise_db=-90)[0].numpy()
    times_s, freqs_hz, db = doppler_spectrogram(wave, rate, PROBE.tones_hz)
    assert db.shape == (len(freqs_hz), len(times_s))
    assert freqs_hz.min() >= -150
    assert freqs_hz.max() <= 150
    during, before = db[:, np.abs(times_s - 1.5).argmin()], db[:, np.abs(times_s - 0.5).argmin()]
    assert freqs_hz[during.argmax()] == pytest.approx(0.5 / C * np.mean(PROBE.tones_hz), abs=5)
    assert during.max() > before[np.abs(freqs_hz) > 15].max() + 30


def test_picture_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="No Doppler picture"):
        doppler_spectrogram(np.zeros(48_000), 48_000, ())
    with pytest.raises(UserError, match="No Doppler picture"):
        doppler_spectrogram(np.zeros(1_000), 48_000, PROBE.tones_hz)
