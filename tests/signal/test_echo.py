import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.signal.bands import Resample
from vivavoce.signal.echo import Echo, EchoConfig
from vivavoce.signal.framing import sped_rate
from vivavoce.signal.iq import Demodulator
from vivavoce.signal.probe import Probe, draw_probe
from vivavoce.signal.voice import FbankConfig

RATES = [44_100, 48_000]
C = 343.0  # m/s
PROBE = draw_probe(np.random.default_rng(11), level_dbfs=-20)
# The echo as it is in the recording, for tests of the physics.
# Reflectors here move through decimetres, where no one set of phases fits: the mean of the powers.
RAW = EchoConfig(shared_gain=False, dropped_bins=1, floor_dbc=-70, combine="power")
EVERYTHING = EchoConfig(copies_hz=(3.0, 8.0), spectrum_gradient=True)


def moving(probe: Probe, rate: int, path_m: np.ndarray, echo_db: float = -26, noise_db: float = -110) -> torch.Tensor:
    """A direct path and one echo over ``path_m`` (from speaker to microphone), ``(1, samples)``."""
    time_s = np.arange(len(path_m)) / rate
    wave = probe.waveform(rate, len(path_m)).astype(np.float64)
    for hz, phase in zip(probe.tones_hz, probe.phases, strict=True):
        echo = np.cos(2 * np.pi * hz * (time_s - path_m / C) + phase)
        wave += probe.amplitude * 10 ** (echo_db / 20) * echo
    wave += np.random.default_rng(0).normal(size=len(wave)) * 10 ** (noise_db / 20)
    return torch.tensor(wave, dtype=torch.float32)[None]


def features_of(echo: Echo, wave: torch.Tensor, tones: torch.Tensor | None = None) -> dict[str, np.ndarray]:
    tones = torch.tensor([PROBE.tones_hz], dtype=torch.float64) if tones is None else tones
    features, lengths = echo(wave, torch.tensor([wave.shape[1]]), tones)
    assert features.shape[1:] == (int(lengths[0]), echo.num_channels)
    return {name: features[0, :, group].numpy() for name, group in echo.groups.items()}


@pytest.mark.parametrize("rate", RATES)
def test_iq_of_a_steady_probe_is_constant_with_its_amplitude_and_phase(rate: int) -> None:
    probe = Probe((18_123.4, 18_400.0, 19_777.7), (0.5, -2.0, 3.0), -20.0)
    wave = torch.tensor(probe.waveform(rate, rate))[None]
    iq = EchoConfig().build(rate).iq(wave, torch.tensor([rate]), torch.tensor([probe.tones_hz], dtype=torch.float64))
    inner = iq[0, :, 6:-6]
    expected = probe.amplitude * torch.exp(1j * torch.tensor(probe.phases))
    assert ((inner - expected[:, None]).abs() / probe.amplitude).max() < 10 ** (-60 / 20)


@pytest.mark.parametrize("rate", RATES)
def test_lowpass_passes_the_mouth_and_stops_the_neighbour_tone(rate: int) -> None:
    taps = Demodulator(rate).lowpass.double().numpy() / 2
    response = 20 * np.log10(np.abs(np.fft.rfft(taps, n=rate)) + 1e-12)  # 1 Hz bins
    assert np.abs(response[:71]).max() < 1
    assert response[200 : rate // 2].max() < -60
    # What folds back into ±70 Hz at 300 samples a second comes from 230 Hz on.
    assert response[230 : rate // 2].max() < -65


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("speed", [-0.4, -0.2, 0.2, 0.4])
def test_doppler_shows_speed_sign_and_level_of_a_reflector(rate: int, speed: float) -> None:
    # A path that shrinks raises the frequency: Doppler f = -f0 dr/dt / c.
    path = 0.3 - speed * np.arange(2 * rate) / rate
    echo = RAW.build(rate)
    out = features_of(echo, moving(PROBE, rate, path))
    doppler = out["doppler_170ms"][100]
    expected_hz = speed / C * np.mean(PROBE.tones_hz)
    assert abs(echo.bins_hz[1][int(doppler.argmax())] - expected_hz) < 6
    assert doppler.max() == pytest.approx(-26, abs=1.5)
    other_side = doppler[np.sign(echo.bins_hz[1]) != np.sign(speed)]
    assert other_side.max() < -60
    frequency = out["velocity"][100, 2:4] * 150
    np.testing.assert_allclose(frequency, expected_hz, atol=2)
    assert np.all(np.sign(out["velocity"][100, 4:6]) == np.sign(speed))
    np.testing.assert_allclose(out["velocity"][100, :2], -26, atol=0.3)
    assert np.all(np.sign(out["gradient"][100, 4:]) == np.sign(speed))


def test_gradient_levels_are_those_of_the_differences() -> None:
    speed, rate = 0.3, 48_000
    out = features_of(RAW.build(rate), moving(PROBE, rate, 0.3 - speed * np.arange(2 * rate) / rate))
    step = np.pi * speed / C * np.asarray(PROBE.tones_hz)  # half the phase step per second
    first = [np.sin(step * span) ** 2 for span in (0.010, 0.030)]
    second = [(0.5 * (np.cos(step * span) - np.cos(step * 1 / 300))) ** 2 for span in (0.010, 0.030)]
    expected = [-26 + 10 * np.log10(np.mean(power)) for power in (*first, *second)]
    np.testing.assert_allclose(out["gradient"][100, :4], expected, atol=1.0)


@pytest.mark.parametrize("static", ["mean", "highpass"])
def test_without_motion_everything_rests_on_the_floor(static: str) -> None:
    config = EchoConfig(static=static, copies_hz=(5.0,), spectrum_gradient=True)  # pyright: ignore[reportArgumentType]
    out = features_of(config.build(48_000), moving(PROBE, 48_000, np.full(96_000, 0.2)))
    for name in ("doppler_80ms", "doppler_170ms", "copy_5hz"):
        np.testing.assert_allclose(out[name], config.floor_dbc, atol=1.0)
    np.testing.assert_allclose(out["spectrum_gradient"], 0, atol=0.5)
    np.testing.assert_allclose(out["velocity"][:, 2:4], 0, atol=0.1)


def test_the_phones_response_and_level_drop_out() -> None:
    rate = 48_000
    time_s = np.arange(2 * rate) / rate
    path = 0.2 + 0.004 * np.sin(2 * np.pi * 4 * time_s)
    wave = moving(PROBE, rate, path, noise_db=-140)
    echo = EchoConfig(weight_tones=False).build(rate)
    plain, quieter = features_of(echo, wave), features_of(echo, 0.01 * wave)
    for name, values in plain.items():
        np.testing.assert_allclose(quieter[name], values, atol=2e-2, err_msg=name)


def test_noisy_tones_weigh_less() -> None:
    rate = 48_000
    path = 0.2 + 0.004 * np.sin(2 * np.pi * 4 * np.arange(2 * rate) / rate)
    wave = moving(PROBE, rate, path)
    # An absent tone: its "carrier" is noise, and its Doppler therefore at about 0 dBc.
    tones = torch.tensor([[*PROBE.tones_hz[:-1], PROBE.tones_hz[-1] - 100]], dtype=torch.float64)
    clean = features_of(EchoConfig().build(rate), wave)["velocity"][:, :2]
    weighted = features_of(EchoConfig().build(rate), wave, tones)["velocity"][:, :2]
    equal = features_of(EchoConfig(weight_tones=False).build(rate), wave, tones)["velocity"][:, :2]
    assert np.abs(weighted - clean)[20:-20].mean() < 0.1 * np.abs(equal - clean)[20:-20].mean()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("instant_s", [0.4, 0.503, 0.6072])
def test_click_and_phase_step_at_one_instant_fall_into_one_frame(rate: int, instant_s: float) -> None:
    samples = rate
    at = round(instant_s * rate)
    wave = PROBE.waveform(rate, samples).astype(np.float64)
    stepped = Probe(PROBE.tones_hz, tuple(p + 0.3 for p in PROBE.phases), PROBE.level_dbfs)
    wave[at:] = stepped.waveform(rate, samples)[at:]
    click = np.zeros(samples)
    click[at] = 0.5
    lengths = torch.tensor([samples])
    voice16k = Resample(rate, 16_000)(torch.tensor(wave + click, dtype=torch.float32)[None], lengths)
    mel, mel_lengths = FbankConfig(use_log_fbank=False).build()(*voice16k)
    # The gradient's energy is symmetric around the step: its centre of mass tells the time better than a frame.
    out = features_of(EchoConfig().build(rate), torch.tensor(wave, dtype=torch.float32)[None])
    assert mel_lengths.tolist() == [len(out["gradient"])]
    centres_s = 0.005 + 0.010 * np.arange(len(out["gradient"]))
    voice = mel[0, :, 10:].sum(dim=1).double().numpy()
    step = 10 ** (out["gradient"][:, 0] / 10) - 1e-7
    voice_s, step_s = (np.sum(centres_s * x**2) / np.sum(x**2) for x in (voice, step))
    assert abs(step_s - instant_s) < 0.003
    assert abs(voice_s - instant_s) < 0.005
    assert abs(step_s - voice_s) < 0.005


@settings(max_examples=20, deadline=None)
@given(
    data=st.data(),
    rate=st.sampled_from(RATES),
    static=st.sampled_from(["mean", "highpass"]),
    combine=st.sampled_from(["power", "phase"]),
    seed=st.integers(0, 999),
)
def test_padding_and_batch_mates_never_matter(
    data: st.DataObject, rate: int, static: str, combine: str, seed: int
) -> None:
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 2_000) | st.integers(0, 20_000), min_size=1, max_size=3)))
    rng = np.random.default_rng(seed)
    probes = [draw_probe(rng, tones=4) for _ in lengths]
    samples = int(lengths.max()) + data.draw(st.integers(0, 5_000))
    wave = torch.tensor(np.stack([probe.waveform(rate, samples) for probe in probes])) * 0.3
    wave += 1e-3 * torch.tensor(rng.normal(size=wave.shape), dtype=torch.float32)
    tones = torch.tensor([probe.tones_hz for probe in probes], dtype=torch.float64)
    tones[0, 1] = data.draw(st.sampled_from([0.0, float("nan"), float(tones[0, 1])]))
    spoilt = torch.where(torch.arange(samples) < lengths[:, None], wave, torch.nan)
    echo = EVERYTHING.model_copy(update={"static": static, "combine": combine}).build(rate)
    speed = data.draw(st.sampled_from([1.0, 0.9, 1.5]))
    features, frame_lengths = echo(spoilt, lengths, tones, speed)
    mel_lengths = FbankConfig().build()(*Resample(sped_rate(rate, speed), 16_000)(wave, lengths))[1]
    assert torch.equal(frame_lengths, mel_lengths)
    for item, n in enumerate(lengths.tolist()):
        alone, (frames,) = echo(wave[item : item + 1, :n], lengths[item : item + 1], tones[item : item + 1], speed)
        assert frames == frame_lengths[item]
        assert torch.isfinite(alone).all()
        torch.testing.assert_close(features[item, :frames], alone[0], rtol=1e-5, atol=1e-5)
        assert not features[item, frames:].any()


@pytest.mark.parametrize("offset_hz", [-0.4, -0.03, 0.03, 0.2])
@pytest.mark.parametrize("seconds", [1, 4])
def test_a_carrier_beside_its_nominal_frequency_is_still_static(offset_hz: float, seconds: int) -> None:
    rate = 48_000
    wave = moving(PROBE, rate, np.full(seconds * rate, 0.2), noise_db=-140)
    told = torch.tensor([PROBE.tones_hz], dtype=torch.float64) + offset_hz
    out = features_of(EchoConfig().build(rate), wave, told)
    np.testing.assert_allclose(out["doppler_170ms"][20:-20], -60, atol=1.0)
    np.testing.assert_allclose(out["velocity"][20:-20, 0], -60, atol=1.0)
    if abs(offset_hz * seconds) > 0.1:
        left = features_of(EchoConfig(drift=False).build(rate), wave, told)["velocity"][20:-20, 0]
        assert left.max() > -20


@pytest.mark.parametrize("hertz", [2.0, 5.0])
def test_a_moving_mouth_is_not_taken_for_drift(hertz: float) -> None:
    rate = 48_000
    path = 0.2 + 0.004 * np.sin(2 * np.pi * hertz * np.arange(3 * rate) / rate)
    wave = moving(PROBE, rate, path)
    kept, raw = (features_of(EchoConfig(drift=flag).build(rate), wave)["velocity"][20:-20, 0] for flag in (True, False))
    assert np.abs(kept - raw).mean() < 1.0


def test_gain_control_that_follows_the_voice_does_not_look_like_a_mouth() -> None:
    rate = 48_000
    time_s = np.arange(3 * rate) / rate
    gain = 10 ** (3 * np.sin(2 * np.pi * 4 * time_s) / 20)
    still = moving(PROBE, rate, np.full(3 * rate, 0.2), noise_db=-140)
    swung = still * torch.tensor(gain, dtype=torch.float32)
    kept = features_of(EchoConfig(shared_gain=False).build(rate), swung)["velocity"][20:-20, 0]
    assert kept.mean() > -20
    for wave in (still, swung):
        np.testing.assert_allclose(features_of(EchoConfig().build(rate), wave)["velocity"][20:-20, 0], -60, atol=1.0)


@pytest.mark.parametrize("speed", [-0.3, 0.3])
def test_taking_the_shared_gain_out_leaves_the_motion_in(speed: float) -> None:
    rate = 48_000
    wave = moving(PROBE, rate, 0.8 - speed * np.arange(2 * rate) / rate)
    out = features_of(EchoConfig(combine="power").build(rate), wave)
    assert out["velocity"][100, 0] == pytest.approx(-26, abs=1.5)
    assert np.sign(out["velocity"][100, 4]) == np.sign(speed)
    # One tone cannot tell its gain from its echo: it is left as it is.
    alone = torch.tensor([[PROBE.tones_hz[3]]], dtype=torch.float64)
    raw, cleaned = (features_of(EchoConfig(shared_gain=flag).build(rate), wave, alone) for flag in (False, True))
    np.testing.assert_array_equal(raw["doppler_170ms"], cleaned["doppler_170ms"])


def test_unused_tones_change_nothing() -> None:
    rate = 48_000
    wave = moving(PROBE, rate, 0.2 + 0.003 * np.sin(2 * np.pi * 3 * np.arange(rate) / rate))
    echo = EchoConfig().build(rate)
    tones = torch.tensor([PROBE.tones_hz], dtype=torch.float64)
    padded = torch.cat([tones, torch.tensor([[0.0, float("nan")]], dtype=torch.float64)], dim=1)
    plain, more = features_of(echo, wave, tones), features_of(echo, wave, padded)
    for name, values in plain.items():
        np.testing.assert_allclose(more[name], values, rtol=1e-5, atol=1e-5)
    nothing = features_of(echo, wave, torch.zeros(1, 3, dtype=torch.float64))
    np.testing.assert_allclose(nothing["doppler_170ms"], -60)


def test_a_copy_high_passed_above_the_sway_loses_it() -> None:
    rate = 48_000
    time_s = np.arange(3 * rate) / rate
    # The phone sways 2 mm at 0.5 Hz against a strong static echo: slow, but large (DESIGN §5).
    wave = moving(PROBE, rate, 0.3 + 0.004 * np.sin(2 * np.pi * 0.5 * time_s), echo_db=-10)
    out = features_of(EchoConfig(copies_hz=(5.0,), dropped_bins=0).build(rate), wave)
    sway = slice(out["doppler_80ms"].shape[1], None)
    power = 10 ** (out["doppler_170ms"][50:-50] / 10)
    copied = 10 ** (out["copy_5hz"][50:-50, sway] / 10)
    assert copied.sum() < 0.1 * power.sum()


def test_spectrum_gradient_is_the_central_difference_of_the_log_doppler() -> None:
    rate = 48_000
    wave = moving(PROBE, rate, 0.2 + 0.003 * np.sin(2 * np.pi * 3 * np.arange(rate) / rate))
    out = features_of(EchoConfig(spectrum_gradient=True).build(rate), wave)
    levels = np.concatenate([out["doppler_80ms"], out["doppler_170ms"]], axis=1)
    np.testing.assert_allclose(out["spectrum_gradient"][1:-1], np.gradient(levels, axis=0)[1:-1], atol=1e-4)
    assert np.abs(out["spectrum_gradient"]).max() > 1
    # Beyond the ends the first and the last frame are repeated.
    ends = out["spectrum_gradient"][[0, -1]]
    np.testing.assert_allclose(ends, 0.5 * (levels[[1, -1]] - levels[[0, -2]]), atol=1e-4)


def test_groups_cover_the_channels_once_and_follow_the_options() -> None:
    for config in (EchoConfig(), EVERYTHING, EchoConfig(gradient=False, velocity=False, windows_ms=(100.0,))):
        echo = config.build(48_000)
        covered = [channel for group in echo.groups.values() for channel in range(group.start, group.stop)]
        assert covered == list(range(echo.num_channels))
        wave = torch.randn(1, 9_600)
        features, _ = echo(wave, torch.tensor([9_600]), torch.tensor([PROBE.tones_hz]))
        assert features.shape == (1, 20, echo.num_channels)
    assert 40 <= EchoConfig().build(48_000).num_channels <= 90
    assert list(EVERYTHING.build(48_000).groups) == [
        "doppler_80ms",
        "doppler_170ms",
        "copy_3hz",
        "copy_8hz",
        "spectrum_gradient",
        "velocity",
        "gradient",
    ]


@pytest.mark.parametrize("rate", [8_000, 16_000, 32_000, 44_000])
def test_rates_without_the_probes_band_are_refused(rate: int) -> None:
    with pytest.raises(UserError, match=f"not {rate} Hz"):
        EchoConfig().build(rate)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError):
        EchoConfig.model_validate({"window": 80})


def test_no_buffer_belongs_to_the_saved_weights() -> None:
    assert not EVERYTHING.build(48_000).state_dict()


@pytest.mark.parametrize("kept", ["velocity", "gradient", "spectrum_gradient"])
def test_one_group_of_features_alone_is_that_group_of_all(kept):
    wave, tones = torch.randn(1, 24_000) * 1e-3, torch.tensor([[18_200.0, 18_700, 19_300]])
    wave = wave + 0.1 * torch.cos(2 * torch.pi * tones[0, :, None] * torch.arange(24_000) / 48_000).sum(dim=0)
    every = EchoConfig(spectrum_gradient=True).build(48_000)
    off = dict.fromkeys(("doppler", "velocity", "gradient", "spectrum_gradient"), False)
    alone = EchoConfig(**(off | {kept: True})).build(48_000)
    whole, _ = every(wave, torch.tensor([24_000]), tones)
    part, _ = alone(wave, torch.tensor([24_000]), tones)
    assert list(alone.groups) == [kept]
    assert torch.equal(part, whole[:, :, every.groups[kept]])


def test_no_features_at_all_are_refused():
    with pytest.raises(ValueError, match="there are no echo features"):
        EchoConfig(doppler=False, velocity=False, gradient=False)
