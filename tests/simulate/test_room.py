import numpy as np
import pytest

from vivavoce.simulate.draws import generator
from vivavoce.simulate.room import Room, RoomConfig, ambience, critical_distance_m, draw_room, impulse_response
from vivavoce.simulate.scatter import ScatterConfig

RATE = 48_000


def a_room(rt60_s: float = 0.4) -> Room:
    clutter = draw_room(generator(0, "r"), RoomConfig(), ScatterConfig(), "room1").clutter
    return Room("room1", rt60_s, 40.0, clutter)


@pytest.mark.parametrize("rt60", [0.2, 0.4, 0.6])
def test_reverberation_time_by_schroeder_integration(rt60: float) -> None:
    response = impulse_response(generator(1, "ir"), a_room(rt60), 0.1, RATE).astype(np.float64)
    response[0] = 0  # the direct sound is no part of the decay
    level = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2) + 1e-12)
    first, last = np.argmax(level < -5), np.argmax(level < -25)
    slope = np.polyfit(np.arange(first, last) / RATE, level[first:last], 1)[0]
    assert -60 / slope == pytest.approx(rt60, rel=0.15)


def test_direct_against_reverberant_sound_follows_the_critical_distance() -> None:
    room = a_room()
    for distance in (0.04, 0.1, 0.4):
        response = impulse_response(generator(1, "ir"), room, distance, RATE).astype(np.float64)
        reverberant = np.sum(response[1:] ** 2)
        assert reverberant == pytest.approx((distance / critical_distance_m(room)) ** 2, rel=0.1)
        assert response[0] == pytest.approx(1.0, abs=0.05)


def test_rooms_stay_within_their_ranges() -> None:
    rooms = [draw_room(generator(s, "room"), RoomConfig(), ScatterConfig(), "room1") for s in range(100)]
    times = np.array([room.rt60_s for room in rooms])
    assert times.min() >= 0.2
    assert times.max() <= 0.6
    assert times.std() > 0.03


def test_noise_of_a_room_has_its_level_and_falls_with_frequency() -> None:
    config = RoomConfig.model_validate({"ambient_snr_db": 20, "ambient_slope": 1})
    samples = 10 * RATE
    wave = np.fft.irfft(ambience(generator(0, "noise"), config, 0.1, samples, RATE), samples)
    assert 20 * np.log10(np.sqrt(np.mean(wave**2))) == pytest.approx(-40, abs=0.5)
    power = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(samples, 1 / RATE)
    low, high = (10 * np.log10(power[(hertz > f) & (hertz < 2 * f)].mean()) for f in (200, 3200))
    assert low - high == pytest.approx(12, abs=0.7)  # pink: 3 dB an octave
    assert power[hertz > 12_100].max() < 1e-9 * power.max()


@pytest.mark.parametrize("samples", [20_000, 96_000])
def test_noise_of_a_room_has_one_level_whatever_the_length(samples: int) -> None:
    config = RoomConfig.model_validate({"ambient_snr_db": 30, "ambient_slope": 0.7})
    waves = [np.fft.irfft(ambience(generator(s, "n"), config, 1.0, samples, RATE), samples) for s in range(20)]
    assert 10 * np.log10(np.mean(np.square(waves))) == pytest.approx(-30, abs=0.5)
