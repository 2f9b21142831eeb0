import numpy as np
import pytest
import soxr
import torch
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.features.front_end import FrontEnd, FrontEndConfig, Wave, _passes, batch_features, prepare_wave
from vivavoce.features.warp import change_speed, mel_warp_matrix
from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS
from vivavoce.signal.deltas import with_deltas
from vivavoce.signal.probe import draw_probe

PROBE = draw_probe(np.random.default_rng(3))


@pytest.fixture(scope="module")
def front_end() -> FrontEnd:
    return FrontEndConfig().build().eval()


def speech(rate: int, seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    """The same syllables of filtered noise at any rate."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 0.05, round(seconds * 96_000))
    wave *= 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(len(wave)) / 96_000)
    voice = soxr.resample(soxr.resample(wave, 96_000, 7_000), 7_000, rate)
    return voice[: round(seconds * rate)].astype(np.float32)


def phone(rate: int, seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    """The voice, the probe, and microphone noise."""
    voice = speech(rate, seconds, seed)
    noise = np.random.default_rng(seed).normal(0, 1e-4, len(voice))
    return (voice + PROBE.waveform(rate, len(voice)) + noise).astype(np.float32)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("seconds", [1.0, 1.2345, 0.777])
def test_both_bands_share_one_grid(front_end, rate, seconds):
    wave = phone(rate, seconds) if rate > 16_000 else speech(rate, seconds)
    ((voice, echo),) = batch_features(front_end, [prepare_wave(wave, rate, None)])
    assert len(voice) == len(echo)
    assert abs(len(voice) - 100 * seconds) <= 1
    assert voice.shape[1] == front_end.voice_channels
    assert echo.shape[1] == front_end.echo_channels
    assert torch.isfinite(voice).all()
    assert torch.isfinite(echo).all()
    assert bool(echo.any()) == (rate > 16_000)


@pytest.mark.parametrize(("rate", "taken"), [(8_000, 16_000), (22_050, 16_000), (32_000, 16_000), (96_000, 48_000)])
def test_other_rates_are_brought_to_one_the_front_end_takes(front_end, rate, taken):
    wave = prepare_wave(speech(rate), rate, None)
    assert wave.rate == taken
    ((voice, _),) = batch_features(front_end, [wave])
    ((reference, _),) = batch_features(front_end, [prepare_wave(speech(16_000), 16_000, None)])
    assert abs(len(voice) - len(reference)) <= 1
    # Up to 3 kHz the voice is the same whatever it was recorded at; log-mels, nats.
    size = min(len(voice), len(reference))
    loud = reference[:size, 5:45] > reference[:size, 5:45].mean()
    assert (voice[:size, 5:45] - reference[:size, 5:45])[loud].abs().mean() < 0.3


def test_96_khz_keeps_its_ultrasound(front_end):
    wave = prepare_wave(phone(96_000), 96_000, None)
    assert wave.quality.present
    assert np.allclose(wave.tones_hz, PROBE.tones_hz, atol=0.5)
    assert batch_features(front_end, [wave])[0][1].any()


def test_a_voice_only_recording_has_no_echo_and_says_why(front_end):
    for rate in (8_000, 16_000, 22_050):
        wave = prepare_wave(speech(rate), rate, None)
        assert not wave.quality.present
        assert "no ultrasound band" in wave.quality.reason
        assert not batch_features(front_end, [wave])[0][1].any()
    silent = prepare_wave(speech(48_000), 48_000, None)
    assert not silent.quality.present
    assert silent.quality.reason == "no probe in the recording"


def test_tones_are_detected_where_they_are_not_known():
    found, told = prepare_wave(phone(48_000), 48_000, None), prepare_wave(phone(48_000), 48_000, PROBE.tones_hz)
    assert np.allclose(found.tones_hz, PROBE.tones_hz, atol=0.5)
    assert told.tones_hz == PROBE.tones_hz
    assert found.quality.present
    assert told.quality.present


def test_a_probe_known_to_be_absent_is_not_sought():
    wave = prepare_wave(phone(48_000), 48_000, ())
    assert not wave.quality.present
    assert wave.tones_hz == ()


def mixed() -> list[Wave]:
    waves = [
        (phone, 48_000, 1.3),
        (phone, 44_100, 0.9),
        (speech, 16_000, 1.1),
        (phone, 48_000, 0.6),
        (speech, 8_000, 1),
    ]
    return [prepare_wave(make(rate, s, seed), rate, None) for seed, (make, rate, s) in enumerate(waves)]


def test_a_batch_of_mixed_rates_equals_each_alone(front_end):
    waves = mixed()
    for wave, (voice, echo) in zip(waves, batch_features(front_end, waves), strict=True):
        ((own_voice, own_echo),) = batch_features(front_end, [wave])
        torch.testing.assert_close(voice, own_voice, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(echo, own_echo, atol=1e-4, rtol=1e-4)


def test_the_order_of_a_batch_does_not_matter(front_end):
    waves = mixed()
    forward, backward = batch_features(front_end, waves), batch_features(front_end, waves[::-1])[::-1]
    for (voice, echo), (other_voice, other_echo) in zip(forward, backward, strict=True):
        torch.testing.assert_close(voice, other_voice, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(echo, other_echo, atol=1e-4, rtol=1e-4)


def test_a_large_batch_goes_in_several_passes_and_each_item_is_as_alone(front_end):
    lengths_s = (2.5, 0.7, 3.1, 1.9, 2.2, 9.0, 0.3, 1.2)
    waves = [prepare_wave(phone(48_000, s, seed), 48_000, PROBE.tones_hz) for seed, s in enumerate(lengths_s)]
    passes = list(_passes(waves, np.ones(len(waves)), 400_000))
    assert sorted(index for _, _, members in passes for index in members) == list(range(len(waves)))
    assert len(passes) > 2
    for rate, speed, members in passes:
        assert (rate, speed) == (48_000, 1.0)
        longest = max(len(waves[index].samples) for index in members)
        assert len(members) == 1 or longest * len(members) <= 400_000
    for wave, (voice, echo) in zip(waves, batch_features(front_end, waves), strict=True):
        ((own_voice, own_echo),) = batch_features(front_end, [wave])
        torch.testing.assert_close(voice, own_voice, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(echo, own_echo, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "voice",
    [
        {"frame_shift_ms": 20.0},
        {"sample_rate": 8000},
        {"dither": 1.0},
        {"use_log_fbank": False},
        {"frame_shift_ms": 20.0, "type": "melspec"},
    ],
    ids=lambda voice: "-".join(voice),
)
def test_a_voice_grid_that_the_echo_cannot_follow_is_refused(voice):
    with pytest.raises(ValidationError, match=next(iter(voice))):
        FrontEndConfig.model_validate({"voice": voice})


def test_a_config_from_before_there_was_a_choice_is_log_mel():
    config = FrontEndConfig.model_validate({"voice": {"num_mel_bins": 40}})
    assert config.voice.type == "fbank"
    assert config.build().voice_channels == 40
    assert FrontEndConfig.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="'fbank', 'mfcc'"):
        FrontEndConfig.model_validate({"voice": {"type": "plp"}})


@pytest.mark.parametrize("deltas", [0, 1, 2])
def test_mfcc_and_deltas_are_the_voice_where_asked_for(front_end, deltas):
    own = FrontEndConfig.model_validate({"voice": {"type": "mfcc", "num_ceps": 20}, "deltas": deltas}).build().eval()
    wave = prepare_wave(phone(48_000), 48_000, PROBE.tones_hz)
    ((voice, echo),) = batch_features(own, [wave])
    assert voice.shape[1] == own.voice_channels == 20 * (1 + deltas)
    lengths = torch.tensor([len(voice)])
    torch.testing.assert_close(voice, with_deltas(voice[None, :, :20], lengths, deltas)[0])
    assert torch.equal(echo, batch_features(front_end, [wave])[0][1])


def test_only_plain_log_mels_can_be_warped():
    assert FrontEndConfig().warpable
    assert not FrontEndConfig.model_validate({"deltas": 1}).warpable
    assert not FrontEndConfig.model_validate({"voice": {"type": "mfcc"}}).warpable


@pytest.mark.parametrize("family", sorted(PEER_FRONT_ENDS))
def test_a_warp_of_other_toolkits_features_is_what_playing_faster_does(family):
    """Of what speed changes in the voice, the warp takes a good part, as with our own features."""
    config = FrontEndConfig.model_validate({"voice": PEER_FRONT_ENDS[family]})
    assert config.warpable
    voice, slow = config.voice.build().eval(), speech(16_000, 3.0)
    fast = soxr.resample(slow, 17_600, 16_000).astype(np.float32)
    own, sped = (voice(torch.tensor(wave)[None], torch.tensor([len(wave)]))[0] for wave in (slow, fast))
    high = config.voice.high_freq if config.voice.high_freq > 0 else 8_000
    bins, size = config.voice.num_mel_bins, sped.shape[1]

    def away(factor: float) -> float:
        warped = change_speed(own, mel_warp_matrix(bins, factor, config.voice.low_freq, high), size)
        # Up to 3 kHz, where there is sound at either speed.
        return float(((warped - warped.mean(dim=1)) - (sped - sped.mean(dim=1)))[..., :45].square().mean())

    assert away(1.1) < 0.7 * away(1.0)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("family", sorted(PEER_FRONT_ENDS))
@pytest.mark.parametrize("seconds", [0.1, 0.777, 1.2345])
def test_every_voice_frame_of_another_toolkit_has_the_nearest_echo_frame(front_end, rate, family, seconds):
    """No voice frame is dropped, since embeddings are to be the toolkit's; the echo follows."""
    own = FrontEndConfig.model_validate({"voice": PEER_FRONT_ENDS[family]}).build().eval()
    samples = phone(rate, seconds) if rate > 16_000 else speech(rate, seconds)
    wave = prepare_wave(samples, rate, PROBE.tones_hz if rate > 16_000 else None)
    ((voice, echo),) = batch_features(own, [wave])
    ((_, usual),) = batch_features(front_end, [wave])
    at_16k = -(-len(samples) * 16_000 // rate)
    centred = own.config.voice.type == "melspec"
    assert len(voice) == len(echo) == (at_16k // 160 + 1 if centred else (at_16k - 400) // 160 + 1)
    centres_ms = (0.0 if centred else 12.5) + 10 * np.arange(len(voice))
    grid_ms = 5.0 + 10 * np.arange(len(usual))
    nearest = np.abs(centres_ms[:, None] - grid_ms[None, :]).min(axis=1)
    kept = [np.flatnonzero((usual == frame).all(dim=1).numpy()) for frame in echo]
    if rate == 16_000:
        assert not echo.any()
        return
    for centre, least, frames in zip(centres_ms, nearest, kept, strict=True):
        assert np.abs(grid_ms[frames] - centre).min() == least


@pytest.mark.parametrize("family", sorted(PEER_FRONT_ENDS))
def test_batch_mates_change_no_feature_of_other_toolkits(family):
    own = FrontEndConfig.model_validate({"voice": PEER_FRONT_ENDS[family]}).build().eval()
    waves = [prepare_wave(phone(48_000, s, seed), 48_000, PROBE.tones_hz) for seed, s in enumerate((0.31, 1.0, 0.555))]
    for wave, (voice, echo) in zip(waves, batch_features(own, waves), strict=True):
        ((own_voice, own_echo),) = batch_features(own, [wave])
        torch.testing.assert_close(voice, own_voice, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(echo, own_echo, atol=1e-4, rtol=1e-4)


# Speeds up both bands of a recording: the test builds what a faster mouth would have given, and compares.

C = 343.0  # m/s


def mouth(path_m: np.ndarray, rate: int) -> np.ndarray:
    """The probe's direct path and one echo over ``path_m`` (from speaker to microphone), 20 dB down."""
    time_s = np.arange(len(path_m)) / rate
    wave = PROBE.waveform(rate, len(path_m)).astype(np.float64)
    for hz, phase in zip(PROBE.tones_hz, PROBE.phases, strict=True):
        wave += 0.1 * PROBE.amplitude * np.cos(2 * np.pi * hz * (time_s - path_m / C) + phase)
    return (wave + np.random.default_rng(0).normal(0, 1e-5, len(wave))).astype(np.float32)


def sped(front_end: FrontEnd, wave: np.ndarray, rate: int, speed: float) -> tuple[torch.Tensor, torch.Tensor]:
    told = torch.tensor([PROBE.tones_hz], dtype=torch.float64)
    lengths = torch.tensor([len(wave)])
    with torch.no_grad():
        voice, echo, frames = front_end(torch.from_numpy(wave)[None], lengths, rate, told, speed)
    assert voice.shape[1] == echo.shape[1] == int(frames[0])
    return voice[0], echo[0]


@pytest.mark.parametrize("rate", [48_000, 44_100])
@pytest.mark.parametrize("speed", [0.5, 0.9, 1.0, 1.1, 1.5, 2.0])
def test_a_click_and_an_echos_jump_fall_into_one_frame_at_any_speed(front_end, rate, speed):
    instant_s, samples = 0.6, round(1.2 * rate)
    at = round(instant_s * rate)
    wave = mouth(np.where(np.arange(samples) < at, 0.2, 0.2 + 0.004), rate)
    wave += np.where(np.arange(samples) == at, 0.5, 0).astype(np.float32)
    voice, echo = sped(front_end, wave, rate, speed)
    assert abs(len(voice) - 120 / speed) <= 1
    gradient = front_end.echoes[str(rate)].groups["gradient"]
    centres_s = 0.005 + 0.010 * np.arange(len(voice))
    heard, moved = voice[:, 20:].exp().sum(dim=1).numpy(), (10 ** (echo[:, gradient.start] / 10) - 1e-6).numpy()
    for energy in (heard.astype(float), moved.astype(float)):
        energy[:3] = energy[-3:] = 0  # the probe begins and ends with the recording, which is a click as well
        assert abs(np.sum(centres_s * energy**2) / np.sum(energy**2) - instant_s / speed) < 0.005


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.5])
@pytest.mark.parametrize("velocity", [-0.3, 0.3])
def test_doppler_grows_with_the_speed(speed, velocity):
    rate = 48_000
    # A gain that all tones share cannot be told from the mean of a steady echo: leave it in.
    front_end = FrontEndConfig.model_validate({"echo": {"shared_gain": False, "floor_dbc": -70}}).build().eval()
    _, echo = sped(front_end, mouth(0.8 - velocity * np.arange(2 * rate) / rate, rate), rate, speed)
    level_frequency_flux = front_end.echoes[str(rate)].groups["velocity"]
    middle = echo[len(echo) // 2, level_frequency_flux].numpy()
    np.testing.assert_allclose(middle[2:4] * 150, speed * velocity / C * np.mean(PROBE.tones_hz), atol=1.5)
    np.testing.assert_allclose(middle[:2], -20, atol=1.0)


@pytest.mark.parametrize("static", ["mean", "highpass"])
@pytest.mark.parametrize("speed", [0.8, 1.1, 1.5])
def test_sped_up_echo_is_that_of_a_mouth_that_moves_faster(speed, static):
    rate, seconds = 48_000, 3.0
    echo = {"static": static, "copies_hz": [5.0], "spectrum_gradient": True}
    front_end = FrontEndConfig.model_validate({"echo": echo}).build().eval()

    def motion(time_s):
        return 0.3 + 0.004 * np.sin(2 * np.pi * 2.5 * time_s) + 0.002 * np.sin(2 * np.pi * 6 * time_s)

    slow = mouth(motion(np.arange(round(seconds * rate)) / rate), rate)
    fast = mouth(motion(speed * np.arange(round(seconds / speed * rate)) / rate), rate)
    (_, made), (_, real) = sped(front_end, slow, rate, speed), sped(front_end, fast, rate, 1.0)
    size = min(len(made), len(real))
    made, real = made[20 : size - 20].numpy(), real[20 : size - 20].numpy()
    for name, group in front_end.echoes[str(rate)].groups.items():
        ours, theirs = made[:, group], real[:, group]
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99, name
    doppler = front_end.echoes[str(rate)].groups["doppler_170ms"]
    strong = real[:, doppler] > -45
    np.testing.assert_allclose(made[:, doppler][strong], real[:, doppler][strong], atol=1.0)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_a_sped_up_voice_is_the_same_voice_at_another_rate(front_end, rate):
    wave = speech(rate)
    fast, _ = sped(front_end, wave, rate, 1.1)
    real = speech(rate, 1.3)
    ((reference, _),) = batch_features(
        front_end, [prepare_wave(soxr.resample(real, round(1.1 * rate), rate).astype(np.float32), rate, ())]
    )
    size = min(len(fast), len(reference)) - 3  # both filters ring where the recording ends
    loud = reference[:size, 5:60] > reference[:size, 5:60].mean()
    assert (fast[:size, 5:60] - reference[:size, 5:60])[loud].abs().max() < 0.05


@pytest.mark.parametrize("speed", [0.4, 2.1, 1.00001])
def test_an_impossible_speed_is_refused(front_end, speed):
    with pytest.raises(UserError, match=r"cannot be sped up .* in steps of 0\.01"):
        sped(front_end, phone(48_000, 0.5), 48_000, speed)


class Louder:
    """An augmentation: the seed says the speed and the level."""

    def speeds(self, seeds: np.ndarray) -> np.ndarray:
        return np.array([0.9, 1.0, 1.1])[seeds % 3]

    def voice(self, wave16k: torch.Tensor, lengths: torch.Tensor, seeds: np.ndarray) -> torch.Tensor:
        assert wave16k.shape[0] == len(lengths) == len(seeds)
        return wave16k * torch.from_numpy(1 + seeds % 5)[:, None]


def test_augmented_features_depend_on_the_items_own_seed_alone(front_end):
    waves, seeds = mixed(), np.array([0, 1, 2, 4, 8])
    together = batch_features(front_end, waves, Louder(), seeds)
    order = [3, 1, 4, 0, 2]
    shuffled = batch_features(front_end, [waves[i] for i in order], Louder(), seeds[order])
    for index, (voice, echo) in enumerate(together):
        ((own_voice, own_echo),) = batch_features(front_end, [waves[index]], Louder(), seeds[[index]])
        assert (
            abs(len(voice) - 100 * len(waves[index].samples) / waves[index].rate / [0.9, 1, 1.1][seeds[index] % 3]) <= 1
        )
        for other_voice, other_echo in ((own_voice, own_echo), shuffled[order.index(index)]):
            torch.testing.assert_close(voice, other_voice, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(echo, other_echo, atol=1e-4, rtol=1e-4)


def test_a_voice_augmentation_never_touches_the_echo(front_end):
    waves, seeds = mixed(), np.array([1, 1, 1, 4, 4])
    plain, louder = batch_features(front_end, waves), batch_features(front_end, waves, Louder(), seeds)
    for seed, (voice, echo), (louder_voice, same_echo) in zip(seeds, plain, louder, strict=True):
        assert torch.equal(echo, same_echo)
        # Up to 2 kHz, which every recording holds.
        np.testing.assert_allclose((louder_voice - voice)[10:-10, :40].numpy(), 2 * np.log(1 + seed), atol=1e-3)


def test_an_augmentation_without_a_seed_for_each_is_refused(front_end):
    with pytest.raises(ValueError, match="one seed"):
        batch_features(front_end, mixed(), Louder(), np.arange(2))
