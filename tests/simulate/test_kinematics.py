"""The measures give what is known of motions whose answer is known; measured tracks are read in any axes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audio import read_audio
from vivavoce.errors import UserError
from vivavoce.simulate import kinematics
from vivavoce.simulate.motion import POINTS, Motion
from vivavoce.simulate.tracks import read_tracks

RATE = 200.0


def test_speed_of_a_sine():
    at = np.arange(1000) / RATE
    positions = np.zeros((6, 1000, 3))
    positions[1, :, 1] = 0.005 * np.sin(2 * np.pi * 3.0 * at)
    speed = kinematics.speeds_cm_s(Motion(RATE, positions, np.zeros(1000)))
    assert speed[1].max() == pytest.approx(100 * 0.005 * 2 * np.pi * 3.0, rel=0.01)
    assert speed[0].max() == 0.0


@given(low=st.floats(2.0, 5.0), high=st.floats(7.0, 15.0))
@settings(max_examples=20, deadline=None)
def test_spectrum_points_of_two_tones(low, high):
    at = np.arange(4000) / RATE
    # Equal velocities: half the power in each tone.
    series = np.sin(2 * np.pi * low * at) / low + np.sin(2 * np.pi * high * at) / high
    quarter, three = kinematics.velocity_spectrum_points_hz([series], RATE, [0.25, 0.75])
    assert quarter == pytest.approx(low, abs=0.8)
    assert three == pytest.approx(high, abs=0.8)


def test_spectrum_refuses_what_is_too_short():
    with pytest.raises(ValueError, match="window"):
        kinematics.velocity_spectrum_points_hz([np.arange(10.0)], RATE)


@given(lag=st.integers(-25, 25))
@settings(max_examples=20, deadline=None)
def test_the_lag_of_a_delayed_envelope_is_found(lag):
    level = np.convolve(np.random.default_rng(0).standard_normal(700), np.hanning(20), "same")
    found = kinematics.envelope_correlation(np.roll(level, lag)[50:-50], level[50:-50], RATE)
    assert found.lag_ms == pytest.approx(5.0 * lag)
    assert found.best > 0.99
    assert found.zero <= found.best


def test_the_envelope_follows_the_sound_on_the_motion_grid():
    wave = np.full(16000, 1e-4)
    wave[8000:12000] = 0.1
    level = kinematics.log_envelope(wave, 16000, 200, RATE)
    assert level[125] == pytest.approx(-20.0, abs=1.0)
    assert level[40] == pytest.approx(-80.0, abs=1.0)
    heard = kinematics.sounding(level, RATE)
    assert heard[81:168].all()
    assert not heard[:70].any()


def test_predictability_across_speakers():
    rng = np.random.default_rng(0)
    mels = [rng.standard_normal((300, 6)) for _ in range(12)]
    speakers = [f"s{i // 2}" for i in range(12)]
    weights = rng.standard_normal(6)
    shared = [m @ weights for m in mels]
    # As many speakers turn the sign as keep it: perfectly predictable within each, not across.
    private = [s * (-1) ** (i // 2) for i, s in enumerate(shared)]
    noise = [rng.standard_normal(300) for _ in mels]
    targets = [np.stack(t, axis=1) for t in zip(shared, private, noise, strict=True)]
    r = kinematics.linear_predictability(mels, targets, speakers, context=1)
    assert r[0] > 0.95
    assert r[1] < 0.3
    assert abs(r[2]) < 0.15
    with pytest.raises(ValueError, match="two"):
        kinematics.linear_predictability(mels, targets, ["one"] * 12)


# --- measured tracks -------------------------------------------------------------------------------------------------


def tracks(seconds: float = 2.0, fs: float = 250.0, jaw: bool = True) -> dict:
    """A mouth in our own axes (forward, up, left), opening 10 mm at 3 Hz."""
    at = np.arange(round(seconds * fs)) / fs
    opening = 5.0 - 5.0 * np.cos(2 * np.pi * 3.0 * at)
    still = np.zeros_like(at)
    lower = np.stack([60.0 - 0.25 * opening, -10.0 - opening, still + 1.0], 1)
    upper = np.stack([61.0 + 0.1 * opening, still + 10.0, still + 1.0], 1)
    low = np.stack([48.0 - 0.2 * opening, -12.0 - 0.8 * opening, still + 1.0], 1)
    return {
        **{"fs": fs, "upper_lip_mm": upper, "lower_lip_mm": lower, "jaw_mm": low if jaw else np.zeros((0, 3))},
        "valid": np.ones(len(at), bool),
    }


def saved(path: Path, data: dict) -> Path:
    np.savez(path, **data)
    return path


@pytest.mark.parametrize("jaw", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_axes_are_found_whatever_the_file_calls_them(tmp_path, jaw, order, signs):
    data = tracks(jaw=jaw)
    plain = read_tracks(saved(tmp_path / "a.npz", data))
    for name in ("upper_lip_mm", "lower_lip_mm", "jaw_mm"):
        data[name] = data[name][:, order] * np.array(signs)
    turned = read_tracks(saved(tmp_path / "b.npz", data))
    np.testing.assert_allclose(turned.positions_m[..., :2], plain.positions_m[..., :2], atol=1e-9)
    lower = 1e3 * plain.positions_m[POINTS.index("lower_lip")]
    assert np.ptp(1e3 * plain.aperture_m) == pytest.approx(10.0, abs=0.3)
    assert np.corrcoef(lower[:, 1], plain.aperture_m)[0, 1] < -0.99  # down is negative
    assert np.corrcoef(lower[:, 0], plain.aperture_m)[0, 1] < -0.9  # opening goes back
    chin = 1e3 * plain.positions_m[POINTS.index("chin"), :, 1]
    assert np.ptp(chin) == pytest.approx(8.0 if jaw else 3.0, rel=0.05)
    assert plain.positions_m.shape == (6, 400, 3)


def test_gaps_are_bridged_marked_or_not(tmp_path):
    whole = read_tracks(saved(tmp_path / "a.npz", tracks()))
    data = tracks()
    data["valid"][100:110] = False
    data["lower_lip_mm"][100:110] = 1e6
    data["upper_lip_mm"][200:206] = np.nan
    data["jaw_mm"][300:306] = 0.0
    mended = read_tracks(saved(tmp_path / "b.npz", data))
    assert np.abs(mended.positions_m - whole.positions_m).max() < 1.5e-3


def test_sensor_noise_above_20_hz_is_removed(tmp_path):
    data = tracks()
    at = np.arange(len(data["valid"])) / 250.0
    data["lower_lip_mm"] = data["lower_lip_mm"] + 0.5 * np.sin(2 * np.pi * 60.0 * at)[:, None]
    noisy, clean = read_tracks(saved(tmp_path / "a.npz", data)), read_tracks(saved(tmp_path / "b.npz", tracks()))
    assert np.abs(noisy.positions_m - clean.positions_m)[:, 40:-40].max() < 5e-5


def without(name: str) -> dict:
    data = tracks()
    del data[name]
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (without("fs"), "lacks fs"),
        (without("lower_lip_mm"), "lacks lower_lip_mm"),
        (tracks() | {"fs": 5.0}, "fs is"),
        (tracks() | {"fs": "fast"}, "fs is"),
        (tracks(seconds=0.1), "at least"),
        (tracks() | {"upper_lip_mm": np.zeros((500, 2))}, "shape"),
        (tracks() | {"lower_lip_mm": np.zeros((500, 3))}, "missing"),
        (tracks() | {"lower_lip_mm": np.ones((500, 3))}, "do not move"),
        (tracks() | {"valid": np.ones(7, bool)}, "valid"),
        (tracks() | {"valid": np.zeros(500, bool)}, "missing"),
    ],
)
def test_wrong_tracks_are_refused_in_one_sentence(tmp_path, data, says):
    path = saved(tmp_path / "a.npz", data)
    with pytest.raises(UserError, match=says) as error:
        read_tracks(path)
    assert "a.npz" in str(error.value)


def test_files_that_are_no_tracks(tmp_path):
    with pytest.raises(UserError, match="no motion tracks"):
        read_tracks(tmp_path / "none.npz")
    for content in (b"", b"RIFF....", b"PK\x03\x04broken"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(UserError, match="not a readable"):
            read_tracks(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(UserError, match="not a readable"):
        read_tracks(tmp_path / "b.npy")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["emu_dfgspp_mo1_prosody_0020", "emu_dfgspp_mo1_prosody_0024", "emu_ERC_Polish1_0002"])
def test_real_ema_matches_what_was_published_of_it(shared_data, name):
    import json

    folder = shared_data / "articulatory"
    entry = next(e for e in json.loads((folder / "index.json").read_text()) if e["name"] == name)
    motion = read_tracks(folder / f"{name}.npz")
    wave, rate = read_audio(folder / f"{name}.wav")
    level = kinematics.log_envelope(wave, rate, len(motion.aperture_m), motion.rate_hz)
    speed = kinematics.speeds_cm_s(motion)[POINTS.index("lower_lip"), kinematics.sounding(level, motion.rate_hz)]
    assert motion.duration_s == pytest.approx(entry["dur"], abs=0.01)
    assert np.median(speed) == pytest.approx(entry["LL_speed_mm_s"]["median"] / 10, rel=0.15)
    assert np.percentile(speed, 95) == pytest.approx(entry["LL_speed_mm_s"]["p95"] / 10, rel=0.15)
    r = kinematics.envelope_correlation(motion.aperture_m, level, motion.rate_hz).zero
    assert r == pytest.approx(entry["r_aperture_logenv"][0], abs=0.15)
