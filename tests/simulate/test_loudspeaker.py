from dataclasses import replace

import numpy as np
import pytest

from vivavoce.simulate.draws import generator
from vivavoce.simulate.loudspeaker import SIZES, band, cone_motion, draw_loudspeaker, play

RATE = 48_000
SPEAKER = draw_loudspeaker(generator(0, "speaker"), "bookshelf")


def tone(hertz: float, amplitude: float = 0.1) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def line(wave: np.ndarray, hertz: int) -> float:
    return float(20 * np.log10(2 * np.abs(np.fft.rfft(wave.astype(np.float64) * np.hanning(RATE)))[hertz] / (RATE / 2)))


def test_band_is_3_db_down_at_its_edges() -> None:
    speaker = replace(SPEAKER, low_hz=150.0, high_hz=10_000.0)
    levels = 20 * np.log10(np.abs(band(speaker, np.array([150.0, 1200.0, 10_000.0, 20_000.0, 37.5]))))
    np.testing.assert_allclose(levels, [-3, 0, -3, -24, -24], atol=0.3)


def test_distortion_has_the_drawn_harmonics() -> None:
    speaker = replace(SPEAKER, low_hz=20.0, high_hz=24_000.0, second=10 ** (-40 / 20), third=10 ** (-50 / 20))
    played = play(speaker, tone(1000))
    assert line(played, 2000) - line(played, 1000) == pytest.approx(-40, abs=0.7)
    assert line(played, 3000) - line(played, 1000) == pytest.approx(-50, abs=0.7)


@pytest.mark.parametrize("level", [0.02, 0.3])
def test_cone_sidebands_are_as_published_whatever_the_level(level: float) -> None:
    speaker = replace(SPEAKER, cone=10 ** (-70 / 20))
    moved = cone_motion(speaker, tone(500, level), 0.1)
    # A factor m cos on a carrier: sidebands of m / 2.
    assert 20 * np.log10(np.abs(moved[4000:-4000]).max() / 2) == pytest.approx(-70, abs=0.3)
    far = cone_motion(speaker, tone(500, level), 0.2)
    assert np.abs(moved).max() / np.abs(far).max() == pytest.approx(4, rel=1e-3)


def test_cone_does_not_move_below_80_hz() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(cone_motion(SPEAKER, noise, 0.1) * np.hanning(RATE)))
    assert spectrum[:50].max() < 1e-3 * spectrum[90:300].max()


@pytest.mark.parametrize("size", SIZES)
def test_one_for_ultrasound_reaches_it(size) -> None:
    for seed in range(10):
        speaker = draw_loudspeaker(generator(seed, "s"), size, ultrasound=True)
        assert 20 * np.log10(np.abs(band(speaker, np.array([19_000.0])))[0]) > -3


def test_sizes_differ_in_band_distortion_and_cone() -> None:
    assert len(SIZES) >= 6
    drawn = {size: [draw_loudspeaker(generator(s, "size"), size) for s in range(20)] for size in SIZES}

    def median(size: str, name: str) -> float:
        return float(np.median([getattr(speaker, name) for speaker in drawn[size]]))

    # A phone has no bass: at 150 Hz it lies far below a monitor.
    levels = {s: np.median([np.abs(band(one, np.array([150.0])))[0] for one in ones]) for s, ones in drawn.items()}
    assert 20 * np.log10(levels["studio_monitor"] / levels["phone"]) > 12
    assert len({round(median(size, "low_hz")) for size in SIZES}) == len(SIZES)
    assert median("phone", "second") > 5 * median("studio_monitor", "second")
    assert median("phone", "cone") > median("pa", "cone")
    for ones in drawn.values():
        assert all(-75 <= 20 * np.log10(one.cone) <= -65 for one in ones)  # DESIGN §5
