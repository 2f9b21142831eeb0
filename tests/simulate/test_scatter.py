import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.simulate.draws import generator
from vivavoce.simulate.motion import POINTS, Motion
from vivavoce.simulate.scatter import (
    AREAS_CM2,
    SPEED_OF_SOUND,
    Reflectors,
    ScatterConfig,
    at_times,
    draw_face,
    echo,
    echo_amplitude,
    moving_mouth,
)

TONES = np.array([18_000.0, 19_100.0, 20_000.0])
DIRECT_M = 0.015


def point(x_m: np.ndarray | float, area_m2: float = 1e-4) -> Reflectors:
    x = np.atleast_1d(x_m)
    places = np.stack([x, np.zeros_like(x), np.zeros_like(x)], axis=-1)[None]
    return Reflectors(places, np.array([area_m2]), np.ones((1, 1)))


@given(st.floats(0.05, 1.0), st.floats(1e-5, 2e-4))
def test_falls_12_db_per_doubling(distance: float, area: float) -> None:
    phone = np.array([[distance, 0.0, 0.0]])
    near = np.abs(echo(point(0.0, area), phone, TONES, DIRECT_M))
    far = np.abs(echo(point(0.0, area), 2 * phone, TONES, DIRECT_M))
    np.testing.assert_allclose(20 * np.log10(near / far), 20 * np.log10(4), atol=0.01)


def test_chin_at_10_cm_is_the_published_level() -> None:
    config = ScatterConfig(reflection_sigma=0.0)
    loss = 10 ** (config.reflection_db / 20)
    level = 20 * np.log10(loss * echo_amplitude(np.array(AREAS_CM2["chin"] * 1e-4), np.array(0.1), 19_000, DIRECT_M))
    assert level == pytest.approx(-24.6, abs=0.2)  # DESIGN §5: lips and chin about −26 dBc, dynamic part


@given(st.floats(0.02, 2.0), st.floats(1e-3, 1.0))
def test_area_never_beyond_the_first_fresnel_zone(distance: float, area: float) -> None:
    amplitude = echo_amplitude(np.array(area), np.array(distance), 20_000, DIRECT_M)
    assert amplitude <= np.pi * DIRECT_M / (2 * distance) * (1 + 1e-9)


@given(st.floats(-0.5, 0.5).filter(lambda v: abs(v) > 0.02))
def test_doppler_of_constant_speed(speed: float) -> None:
    rate = 600.0
    time = np.arange(600) / rate
    # A point that comes nearer (x grows toward the phone) shortens the path: the frequency rises by 2 v f / c.
    factors = echo(point(speed * time), np.array([[2.0, 0.0, 0.0]]), TONES, DIRECT_M)
    turning = np.diff(np.unwrap(np.angle(factors), axis=1), axis=1).mean(axis=1) * rate / (2 * np.pi)
    np.testing.assert_allclose(turning, 2 * speed * TONES / SPEED_OF_SOUND, rtol=2e-3)


def test_phone_toward_a_still_point_is_the_same_doppler_as_the_point_toward_the_phone() -> None:
    time = np.arange(300) / 600
    still = np.stack([0.5 - 0.1 * time, np.zeros(300), np.zeros(300)], axis=-1)
    moving_phone = echo(point(0.0), still, TONES, DIRECT_M)
    moving_point = echo(point(0.1 * time), np.array([[0.5, 0.0, 0.0]]), TONES, DIRECT_M)
    np.testing.assert_allclose(moving_phone, moving_point, atol=1e-6)


def mouth_at_rest(aperture_m: float, frames: int = 50) -> Motion:
    places = np.zeros((len(POINTS), frames, 3))
    places[:, :, 1] = np.linspace(-0.04, 0.01, len(POINTS))[:, None]
    return Motion(200.0, places, np.full(frames, aperture_m))


def test_static_mouth_has_no_doppler() -> None:
    face = draw_face(generator(0, "face"), ScatterConfig())
    mouth = moving_mouth(face, mouth_at_rest(0.01), np.arange(100) / 600)
    factors = echo(mouth, np.array([[0.1, 0.0, 0.0]]), TONES, DIRECT_M)
    assert np.abs(factors - factors[:, :1]).max() < 1e-7
    assert np.abs(factors[:, 0]).min() > 1e-3


def test_closed_lips_hide_the_tongue_and_nothing_else() -> None:
    face = draw_face(generator(0, "face"), ScatterConfig())
    times = np.arange(10) / 200
    shut, wide = (moving_mouth(face, mouth_at_rest(a), times).strength for a in (0.0, 0.02))
    tongue = POINTS.index("tongue")
    assert (shut[tongue] == 0).all()
    assert wide[tongue] == pytest.approx(face.moving_loss[tongue])
    others = [i for i in range(len(POINTS)) if i != tongue]
    np.testing.assert_array_equal(shut[others], wide[others])


def test_motion_is_interpolated_smoothly_and_held_outside() -> None:
    time = np.arange(200) / 200
    places = np.zeros((len(POINTS), 200, 3))
    places[:, :, 0] = 0.005 * np.sin(2 * np.pi * 5 * time)
    fine = np.linspace(0.1, 0.9, 481)
    found, _ = at_times(Motion(200.0, places, np.zeros(200)), fine)
    assert np.abs(found[0, :, 0] - 0.005 * np.sin(2 * np.pi * 5 * fine)).max() < 1e-7
    outside, _ = at_times(Motion(200.0, places, np.zeros(200)), np.array([-1.0, 5.0]))
    np.testing.assert_allclose(outside[0, :, 0], places[0, [0, -1], 0], atol=1e-12)


def test_loss_is_minus_3_db_with_lognormal_scatter() -> None:
    losses = np.concatenate([draw_face(generator(s, "f"), ScatterConfig()).moving_loss for s in range(400)])
    assert 20 * np.log10(np.median(losses)) == pytest.approx(-3, abs=0.3)
    assert np.log(losses).std() == pytest.approx(0.3, abs=0.03)
