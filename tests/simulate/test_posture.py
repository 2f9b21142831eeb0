import numpy as np
import pytest
from pydantic import ValidationError

from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.posture import SWAY_HZ, Posture, PostureConfig, PostureShares, band_noise, phone_path

RATE = 600.0


def test_band_noise_has_its_rms_and_band() -> None:
    noise = np.stack([band_noise(generator(s, "n"), 12_000, RATE, SWAY_HZ, 0.001) for s in range(60)])
    assert np.sqrt((noise**2).mean()) == pytest.approx(0.001, rel=0.05)
    power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).sum(axis=(0, 2))
    hertz = np.fft.rfftfreq(12_000, 1 / RATE)
    inside = (hertz >= SWAY_HZ[0] - 0.06) & (hertz <= SWAY_HZ[1] + 0.06)
    assert power[inside].sum() / power.sum() > 0.999


def paths_of(posture: Posture, distance_m: float = 0.1, count: int = 80, config: PostureConfig | None = None):
    config = config or PostureConfig()
    return [phone_path(generator(s, "p"), posture, distance_m, config, 6000, RATE) for s in range(count)]


def rms_of(posture: Posture) -> np.ndarray:
    return np.array([np.sqrt((path.own_m**2).mean()) for path in paths_of(posture)])


def test_hand_moves_by_millimetres_and_a_stand_by_micrometres() -> None:
    held = rms_of("handheld")
    assert np.median(held) == pytest.approx(0.001, rel=0.35)
    assert held.max() < 0.012
    assert held.min() > 0.0001
    assert rms_of("stand").max() < 10e-6
    assert rms_of("table").max() < 10e-6


def test_at_the_ear_the_hand_rests_on_the_head_and_both_move() -> None:
    own = rms_of("ear")
    assert 0.00002 < own.min() < own.max() < 0.0006
    carried = [np.sqrt((path.carried_m**2).mean()) for path in paths_of("ear")]
    assert np.median(carried) > 5 * np.median(own)
    for posture in ("stand", "table", "handheld"):
        assert not any(path.carried_m.any() for path in paths_of(posture, count=5))


@pytest.mark.parametrize("posture", ["stand", "table", "handheld", "ear"])
def test_phone_is_at_its_distance_and_its_first_axis_is_the_line_of_sight(posture: Posture) -> None:
    for path in paths_of(posture, 0.12, count=20):
        assert np.linalg.norm(path.rest_m) == pytest.approx(0.12)
        np.testing.assert_allclose(path.axes @ path.axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(path.axes[0], path.rest_m / 0.12, atol=1e-12)
        # Along the line of sight, the distance changes by what the motion says.
        distance = np.linalg.norm(path.before_scene_m, axis=1)
        np.testing.assert_allclose(distance - 0.12, path.own_m[:, 0], atol=0.5e-3)


def test_on_a_table_and_at_the_ear_the_distance_is_that_of_the_posture() -> None:
    config = SimulationConfig.model_validate(
        {"distance_cm": 10, "posture": {"table_cm": [30, 35, 40], "ear_cm": [4, 5, 6]}}
    )
    typical = {posture: config.distances_cm(posture).typical for posture in ("stand", "handheld", "table", "ear")}
    assert typical == {"stand": 10, "handheld": 10, "table": 35, "ear": 5}


def test_table_is_below_and_the_ear_beside_the_mouth() -> None:
    below = np.array([path.rest_m / 0.12 for path in paths_of("table", 0.12)])
    assert below[:, 1].max() < -0.5
    beside = np.array([path.rest_m / 0.12 for path in paths_of("ear", 0.12)])
    assert np.abs(beside[:, 2]).min() > 0.6
    assert set(np.sign(beside[:, 2])) == {-1.0, 1.0}
    ahead = np.array([path.rest_m / 0.12 for path in paths_of("stand", 0.12)])
    assert ahead[:, 0].min() > 0.85


def test_config_moves_the_sway() -> None:
    small = PostureConfig(sway_mm=0.3, sway_sigma=0.0, tremor_mm=0.0, tremor_limits_mm=(0.0, 0.0))
    paths = np.stack([path.own_m for path in paths_of("handheld", count=60, config=small)])
    assert np.sqrt((paths**2).mean()) == pytest.approx(0.0003, rel=0.1)


def test_shares_of_postures_are_kept_and_one_name_stands_for_all() -> None:
    rng = np.random.default_rng(0)
    shares = PostureShares(stand=1, table=0, handheld=2, ear=1)
    drawn = [shares.draw(rng) for _ in range(4000)]
    assert drawn.count("handheld") / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn.count("ear") / 4000 == pytest.approx(0.25, abs=0.03)
    assert "table" not in drawn
    assert {PostureShares.only("ear").draw(rng) for _ in range(50)} == {"ear"}
    with pytest.raises(ValidationError, match="share above 0"):
        PostureShares(stand=0, table=0, handheld=0, ear=0)
