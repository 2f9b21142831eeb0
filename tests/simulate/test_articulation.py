"""What all mouths share: lips close for labials, protrude for rounded vowels, open for open ones; no one is a robot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.simulate import articulation_features, articulation_tasks, kinematics
from vivavoce.simulate.articulation import ArticulationConfig, articulate, draw_speaker
from vivavoce.simulate.motion import POINTS, RATE_HZ, Motion
from vivavoce.simulate.phonemes import PHONEMES, Phone, espeak_to_arpabet
from vivavoce.simulate.targets import CHANNELS, DOMINANCE, TARGETS_MM

FAMILIES = ("table", "features", "tasks")
# Opening and height of the lower lip, mm, every 0.3 s, of the test that pins them: recorded when "table" was alone.
DEFAULT_MM = (
    (4.1400343, 0.0003931, 1.0220028, 10.9729573, 1.3946934, 2.0601667),
    (-7.5990198, -3.5509851, -4.8683241, -13.5570953, -5.1991394, -5.7835792),
)
in_all_families = pytest.mark.parametrize("family", FAMILIES)


def spoken(*names: str, each_s: float = 0.12, before_s: float = 0.5) -> tuple[list[Phone], float]:
    at = before_s
    phones = [Phone("SIL", 0.0, at)]
    for name in names:
        phones.append(Phone(name, at, at + each_s))
        at += each_s
    return [*phones, Phone("SIL", at, at + 0.5)], at + 0.5


def middle(phone: Phone) -> int:
    return round((phone.start_s + phone.end_s) / 2 * RATE_HZ)


def moved(phones: list[Phone], duration: float, seed: int, family: str = "table", **settings: float) -> Motion:
    """One speaker of a family, one token."""
    rng = np.random.default_rng(seed)
    config = ArticulationConfig.model_validate({"family": family, **settings})
    return articulate(phones, duration, draw_speaker(rng, config), rng)


def mean_at(vowel: str, point: str, axis: int, family: str, consonant: str = "K") -> float:
    """A point's mean place in mm in the middle of a vowel between two consonants, over 30 speakers."""
    phones, duration = spoken(consonant, vowel, consonant)
    values = []
    for seed in range(30):
        motion = moved(phones, duration, seed, family)
        values.append(1e3 * motion.positions_m[POINTS.index(point), middle(phones[2]), axis])
    return float(np.mean(values))


@in_all_families
@pytest.mark.parametrize("labial", ["P", "B", "M"])
def test_labials_close_the_lips_of_every_speaker(labial, family):
    phones, duration = spoken("AA", labial, "AA")
    for seed in range(40):
        opening = 1e3 * moved(phones, duration, seed, family).aperture_m
        around = slice(middle(phones[2]) - 12, middle(phones[2]) + 13)
        assert opening[around].min() < 2.0
        assert opening[middle(phones[1])] > 3 * opening[around].min() + 2.0


@in_all_families
def test_rounded_vowels_protrude_and_narrow(family):
    assert mean_at("UW", "lower_lip", 0, family) > mean_at("IY", "lower_lip", 0, family) + 2.0
    assert mean_at("UW", "corner_left", 2, family) < mean_at("IY", "corner_left", 2, family) - 4.0


@in_all_families
def test_open_vowels_lower_the_jaw(family):
    assert mean_at("AA", "chin", 1, family) < mean_at("IY", "chin", 1, family) - 2.5


@in_all_families
def test_coronals_raise_the_tongue_tip(family):
    phones, duration = spoken("AA", "T", "AA")
    tongue = 1e3 * moved(phones, duration, 0, family).positions_m[POINTS.index("tongue"), :, 1]
    assert tongue[middle(phones[2])] > tongue[middle(phones[1])] + 5.0


@in_all_families
def test_the_mouth_opens_before_the_first_sound(family):
    phones, duration = spoken("AA", "K", "AA", before_s=0.8)
    ahead = []
    for seed in range(20):
        opening = moved(phones, duration, seed, family, residual_mm=0.0, token_sd=0.0).aperture_m
        rest, full = opening[20], opening[middle(phones[1])]
        began = np.flatnonzero(opening[20:] > rest + 0.5 * (full - rest))[0] + 20
        ahead.append(0.8 - began / RATE_HZ)
    assert 0.05 < np.mean(ahead) < 0.35
    assert np.std(ahead) > 0.02


names = st.lists(st.sampled_from(PHONEMES), min_size=0, max_size=30)


@settings(max_examples=60, deadline=None)
@given(names=names, each=st.floats(0.01, 0.3), seed=st.integers(0, 2**32 - 1), family=st.sampled_from(FAMILIES))
def test_any_phones_give_a_plausible_mouth(names, each, seed, family):
    phones, duration = spoken(*names, each_s=each)
    motion = moved(phones, duration, seed, family)
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


@in_all_families
def test_same_seed_same_motion_and_two_tokens_differ(family):
    phones, duration = spoken("B", "IY", "M", "AW")
    speaker = draw_speaker(np.random.default_rng(1), ArticulationConfig(family=family))
    one, same = (articulate(phones, duration, speaker, np.random.default_rng(2)) for _ in range(2))
    other = articulate(phones, duration, speaker, np.random.default_rng(3))
    np.testing.assert_array_equal(one.positions_m, same.positions_m)
    assert np.abs(one.positions_m - other.positions_m).max() > 1e-4


@in_all_families
def test_speakers_share_the_mapping_but_are_not_alike(family):
    phones, duration = spoken(*["B", "AA", "T", "UW", "M", "IY", "S", "AO", "P", "EH"])
    tracks = [moved(phones, duration, seed, family).aperture_m for seed in range(20)]
    r = np.corrcoef(np.stack(tracks))[np.triu_indices(20, 1)]
    assert 0.6 < np.median(r) < 0.97


def sentence(seed: int) -> tuple[list[Phone], float]:
    """Twenty phonemes at the pace of speech, vowels and consonants in turn."""
    rng = np.random.default_rng(seed)
    consonants = [n for n in PHONEMES[1:] if n in articulation_tasks._CONSONANTS]
    vowels = [n for n in PHONEMES[1:] if n not in consonants]
    drawn = [str(rng.choice(group)) for _ in range(10) for group in (consonants, vowels)]
    return spoken(*drawn, each_s=0.1)


@in_all_families
def test_lips_move_as_fast_as_measured_ones(family):
    motions = [moved(*sentence(seed), seed, family) for seed in range(30)]
    speed = np.concatenate([kinematics.speeds_cm_s(m)[POINTS.index("lower_lip"), 100:-100] for m in motions])
    # DESIGN §5: 3.3, 8.8, 16 cm/s; phonemes in random order move the lips more than words do.
    middle_speed, fast, fastest = np.percentile(speed, [50, 90, 99])
    assert 2.0 < middle_speed < 6.0
    assert 6.5 < fast < 15.0
    assert 12.0 < fastest < 24.0
    half, most = kinematics.velocity_spectrum_points_hz([m.aperture_m for m in motions], RATE_HZ)
    assert 2.5 < half < 5.5
    assert 6.0 < most < 11.0


def test_families_move_the_same_phones_in_ways_of_their_own():
    def velocity(number: int, seed: int, family: str) -> np.ndarray:
        return np.diff(moved(*sentence(number), seed, family).positions_m[POINTS.index("lower_lip"), 100:-100, 1])

    def likeness(one: str, other: str) -> float:
        """How alike two speakers' lips move for the same phones, median of 20 sentences."""
        pairs = [(velocity(i, i, one), velocity(i, i + 1000, other)) for i in range(20)]
        return float(np.median([kinematics.correlation(*pair) for pair in pairs]))

    own = {family: likeness(family, family) for family in FAMILIES}
    for one, other in (("table", "features"), ("table", "tasks"), ("features", "tasks")):
        assert 0.3 < likeness(one, other) < (own[one] + own[other]) / 2 - 0.03


def test_no_family_takes_the_targets_of_another():
    tables = (TARGETS_MM, articulation_features.TARGETS_MM, articulation_tasks.TARGETS_MM)
    for i, one in enumerate(tables):
        for other in tables[:i]:
            assert np.abs(one - other)[1:, :3].mean() > 0.5


def test_the_default_family_moves_as_it_always_did():
    phones, duration = spoken("B", "IY", "M", "AW", "S", "UW")
    motion = moved(phones, duration, 5)
    seen = 1e3 * np.array([motion.aperture_m[::60], motion.positions_m[POINTS.index("lower_lip"), ::60, 1]])
    np.testing.assert_allclose(seen, DEFAULT_MM, atol=1e-6)


def test_springs_rest_where_consonants_alone_are_spoken():
    phones = [Phone("T", 0.0, 0.3), Phone("S", 0.3, 0.6)]
    motion = moved(phones, 0.6, 0, "tasks", residual_mm=0.0, offset_sd_mm=0.0)
    assert np.abs(1e3 * motion.positions_m[POINTS.index("corner_left"), :, 2] - 25.0).max() < 6.0
    assert 1e3 * motion.aperture_m.max() < 6.0


@in_all_families
def test_what_follows_much_later_changes_nothing_before(family):
    settings = {"residual_mm": 0.0, "token_sd": 0.0, "timing_sd_ms": 0.0, "width_sd": 0.0, "smooth_ms": 0.0}
    phones, duration = spoken("B", "AA", "M", each_s=0.1)
    speaker = draw_speaker(np.random.default_rng(0), ArticulationConfig.model_validate({"family": family, **settings}))
    short, long = (articulate(phones, d, speaker, np.random.default_rng(0)) for d in (duration, duration + 3.0))
    frames = short.aperture_m.size - 60
    np.testing.assert_allclose(long.aperture_m[:frames], short.aperture_m[:frames], atol=5e-5)


@in_all_families
def test_without_phones_the_mouth_rests_but_lives(family):
    speed = kinematics.speeds_cm_s(moved([], 3.0, 0, family))
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


@pytest.mark.parametrize(
    ("targets", "dominance"),
    [(TARGETS_MM, DOMINANCE), (articulation_features.TARGETS_MM, articulation_features.DOMINANCE)],
)
def test_the_table_is_whole(targets, dominance):
    assert targets.shape == dominance.shape == (len(PHONEMES), len(CHANNELS))
    assert ((dominance > 0) & (dominance <= 1)).all()


@pytest.mark.parametrize(
    "wrong", [{"width_ms": (30.0, 20.0)}, {"width_ms": (0.0, 20.0)}, {"gain_sd": -0.1}, {"unknown": 1}, {"family": "x"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        ArticulationConfig(**wrong)


@pytest.mark.parametrize(
    ("mnemonic", "names"), [("'i:", ("IY",)), ("_:", ("SIL",)), ("@L", ("AH", "L")), ("%aI", ("AY",)), (";", ())]
)
def test_espeak_mnemonics(mnemonic, names):
    assert espeak_to_arpabet(mnemonic) == names
