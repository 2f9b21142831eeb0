"""What all mouths share: lips close for labials, protrude for rounded vowels, open for open ones; no one is a robot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.simulate import kinematics
from vivavoce.simulate.articulation import ArticulationConfig, articulate, draw_speaker
from vivavoce.simulate.motion import POINTS, RATE_HZ
from vivavoce.simulate.phonemes import PHONEMES, Phone, espeak_to_arpabet
from vivavoce.simulate.targets import CHANNELS, DOMINANCE, TARGETS_MM


def spoken(*names: str, each_s: float = 0.12, before_s: float = 0.5) -> tuple[list[Phone], float]:
    at = before_s
    phones = [Phone("SIL", 0.0, at)]
    for name in names:
        phones.append(Phone(name, at, at + each_s))
        at += each_s
    return [*phones, Phone("SIL", at, at + 0.5)], at + 0.5


def middle(phone: Phone) -> int:
    return round((phone.start_s + phone.end_s) / 2 * RATE_HZ)


def mean_at(vowel: str, point: str, axis: int, consonant: str = "K") -> float:
    """A point's mean place in mm in the middle of a vowel between two consonants, over 30 speakers."""
    phones, duration = spoken(consonant, vowel, consonant)
    values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        motion = articulate(phones, duration, draw_speaker(rng), rng)
        values.append(1e3 * motion.positions_m[POINTS.index(point), middle(phones[2]), axis])
    return float(np.mean(values))


@pytest.mark.parametrize("labial", ["P", "B", "M"])
def test_labials_close_the_lips_of_every_speaker(labial):
    phones, duration = spoken("AA", labial, "AA")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        opening = 1e3 * articulate(phones, duration, draw_speaker(rng), rng).aperture_m
        around = slice(middle(phones[2]) - 12, middle(phones[2]) + 13)
        assert opening[around].min() < 2.0
        assert opening[middle(phones[1])] > 3 * opening[around].min() + 2.0


def test_rounded_vowels_protrude_and_narrow():
    assert mean_at("UW", "lower_lip", 0) > mean_at("IY", "lower_lip", 0) + 2.0
    assert mean_at("UW", "corner_left", 2) < mean_at("IY", "corner_left", 2) - 4.0


def test_open_vowels_lower_the_jaw():
    assert mean_at("AA", "chin", 1) < mean_at("IY", "chin", 1) - 3.0


def test_coronals_raise_the_tongue_tip():
    phones, duration = spoken("AA", "T", "AA")
    rng = np.random.default_rng(0)
    tongue = 1e3 * articulate(phones, duration, draw_speaker(rng), rng).positions_m[POINTS.index("tongue"), :, 1]
    assert tongue[middle(phones[2])] > tongue[middle(phones[1])] + 5.0


def test_the_mouth_opens_before_the_first_sound():
    phones, duration = spoken("AA", "K", "AA", before_s=0.8)
    config = ArticulationConfig(residual_mm=0.0, token_sd=0.0)
    ahead = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        opening = articulate(phones, duration, draw_speaker(rng, config), rng).aperture_m
        rest, full = opening[20], opening[middle(phones[1])]
        began = np.flatnonzero(opening[20:] > rest + 0.5 * (full - rest))[0] + 20
        ahead.append(0.8 - began / RATE_HZ)
    assert 0.05 < np.mean(ahead) < 0.35
    assert np.std(ahead) > 0.02


names = st.lists(st.sampled_from(PHONEMES), min_size=0, max_size=30)


@settings(max_examples=60, deadline=None)
@given(names=names, each=st.floats(0.01, 0.3), seed=st.integers(0, 2**32 - 1))
def test_any_phones_give_a_plausible_mouth(names, each, seed):
    phones, duration = spoken(*names, each_s=each)
    rng = np.random.default_rng(seed)
    motion = articulate(phones, duration, draw_speaker(rng), rng)
    frames = round(duration * RATE_HZ)
    assert motion.positions_m.shape == (len(POINTS), frames, 3)
    assert motion.aperture_m.shape == (frames,)
    assert np.isfinite(motion.positions_m).all()
    assert motion.aperture_m.min() >= 0
    assert motion.aperture_m.max() < 0.05
    upper, lower = (1e3 * motion.positions_m[POINTS.index(p), :, 1] for p in ("upper_lip", "lower_lip"))
    assert (upper > lower).all()
    # Faster than any mouth ever measured (46 cm/s, DESIGN §5) by a factor is a fault, not a talker.
    assert kinematics.speeds_cm_s(motion).max() < 150


def test_same_seed_same_motion_and_two_tokens_differ():
    phones, duration = spoken("B", "IY", "M", "AW")
    speaker = draw_speaker(np.random.default_rng(1))
    one, same = (articulate(phones, duration, speaker, np.random.default_rng(2)) for _ in range(2))
    other = articulate(phones, duration, speaker, np.random.default_rng(3))
    np.testing.assert_array_equal(one.positions_m, same.positions_m)
    assert np.abs(one.positions_m - other.positions_m).max() > 1e-4


def test_speakers_share_the_mapping_but_are_not_alike():
    phones, duration = spoken(*["B", "AA", "T", "UW", "M", "IY", "S", "AO", "P", "EH"])
    tracks = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tracks.append(articulate(phones, duration, draw_speaker(rng), rng).aperture_m)
    r = np.corrcoef(np.stack(tracks))[np.triu_indices(20, 1)]
    assert 0.6 < np.median(r) < 0.97


def test_without_phones_the_mouth_rests_but_lives():
    rng = np.random.default_rng(0)
    speed = kinematics.speeds_cm_s(articulate([], 3.0, draw_speaker(rng), rng))
    assert 0.05 < np.median(speed) < 2.5


def test_the_residual_has_its_size_and_band():
    rng = np.random.default_rng(0)
    config = ArticulationConfig(residual_mm=2.0, offset_sd_mm=0.0, smooth_ms=0.0, gain_sd=0.0)
    heights = [
        1e3 * articulate([], 20.0, draw_speaker(rng, config), rng).positions_m[POINTS.index("chin"), :, 1]
        for _ in range(10)
    ]
    assert np.mean([h.std() for h in heights]) == pytest.approx(2.0, rel=0.25)
    assert kinematics.velocity_spectrum_points_hz(heights, RATE_HZ, [0.99])[0] < 4.0


def test_the_table_is_whole():
    assert TARGETS_MM.shape == DOMINANCE.shape == (len(PHONEMES), len(CHANNELS))
    assert ((DOMINANCE > 0) & (DOMINANCE <= 1)).all()


@pytest.mark.parametrize(
    "wrong", [{"width_ms": (30.0, 20.0)}, {"width_ms": (0.0, 20.0)}, {"gain_sd": -0.1}, {"unknown": 1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        ArticulationConfig(**wrong)


@pytest.mark.parametrize(
    ("mnemonic", "names"), [("'i:", ("IY",)), ("_:", ("SIL",)), ("@L", ("AH", "L")), ("%aI", ("AY",)), (";", ())]
)
def test_espeak_mnemonics(mnemonic, names):
    assert espeak_to_arpabet(mnemonic) == names
