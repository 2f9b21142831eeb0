"""The curves: what each one changes, how its levels are named and ordered, and how they are brought about."""

from dataclasses import dataclass
from typing import Literal

from vivavoce.stress.codecs import Codec
from vivavoce.stress.config import APPLIED, CurveName, StressConfig, band_edges
from vivavoce.stress.noise import noise_of
from vivavoce.stress.sounds import AddNoise, Crop, Degradation, Gain, LimitBand, RecordAt

How = Literal["applied", "simulated", "grouped"]
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Curve:
    """What a curve is, in words.

    ``worse`` says on which side the bad levels lie; None: the levels have no order from mild to severe.
    """

    title: str
    unit: str
    axis: str
    worse: Literal["low", "high"] | None
    explanation: str


CURVES: dict[CurveName, Curve] = {
    "snr": Curve(
        "Noise",
        "dB",
        "signal-to-noise ratio, dB",
        "low",
        "Noise is added at the microphone over the full band, ultrasound included as far as its source holds any. The "
        "ratio is that of the voice band: active speech power (ITU-T P.56) against mean noise power below 8 kHz.",
    ),
    "duration": Curve(
        "Duration",
        "s",
        "length, s",
        "low",
        "The middle of each recording is kept; recordings that are no longer stay whole.",
    ),
    "rate": Curve(
        "Sample rate",
        "kHz",
        "sample rate, kHz",
        "low",
        "Each recording as a phone gives it that records at this rate. A rate below twice the probe's frequency holds "
        "no ultrasound, so the right answer is none.",
    ),
    "codec": Curve(
        "Codec",
        "",
        "codec",
        None,
        "Each recording is encoded and decoded: opus and mp3 at so many kbit/s, vorbis at a quality from 0 to 10, alaw "
        "and mulaw (G.711) and gsm as a call at 8 kHz. A codec that leaves the probe out must bring no answer.",
    ),
    "band": Curve(
        "Voice band",
        "Hz",
        "band that is left, Hz",
        None,
        "The voice band is narrowed; the ultrasound stays as it is. 300–3400 Hz is a telephone, 50–7000 Hz a wideband "
        "call.",
    ),
    "gain": Curve(
        "Recording level",
        "dB",
        "change of the level, dB",
        None,
        "The whole recording is turned up into clipping, or down toward the steps of 16 bits.",
    ),
    "distance": Curve("Distance", "cm", "mouth to phone, cm", "high", "How far the phone is from the mouth."),
    "sway": Curve(
        "Sway", "mm", "the phone's own motion, mm RMS", "high", "How much the phone itself moves toward the mouth."
    ),
    "posture": Curve("Posture", "", "posture", None, "How the phone is held."),
    "rolloff": Curve(
        "Ultrasound of the phone",
        "dB/kHz",
        "fall above 17 kHz, dB/kHz",
        "high",
        "How fast the response of the phone's microphone and loudspeaker falls above 17 kHz.",
    ),
    "device": Curve("Device", "", "device", None, "Which phone recorded."),
}
HOW_WORDS: dict[How, str] = {
    "applied": "Applied to the recordings: each level has the same trials, so its figures differ by the level alone.",
    "simulated": "Simulated anew at each level from the same utterances: each level has the same trials.",
    "grouped": "Grouped, not changed: each level holds other recordings, partly of other people, so that levels may "
    "differ by more than what they are named after.",
}
# How each curve's fixed level is written into a simulation's config; a device's name cannot be simulated.
SIMULATED: tuple[CurveName, ...] = ("distance", "sway", "posture", "rolloff")


def levels_of(name: CurveName, config: StressConfig) -> list[float | str]:
    """The levels of a curve, mild ones first where they are numbers."""
    levels: list[float | str] = list(getattr(config, name))
    if any(isinstance(level, str) for level in levels):
        return levels
    return sorted(levels, key=float, reverse=CURVES[name].worse == "low")


def named(name: CurveName, level: float | str) -> str:
    """A level with its unit."""
    if isinstance(level, str):
        text = level.replace("-", "–") if name == "band" else level
    else:
        text = f"{level / 1000 if name == 'rate' else level:g}".replace("-", "−")
    return f"{text} {CURVES[name].unit}".strip()


def degradation(name: CurveName, level: float | str, config: StressConfig) -> Degradation:
    """What a level of an applied curve does to a recording.

    Raises:
        UserError: the noise folder cannot be used.
        ValueError: the curve is not applied to recordings.
    """
    if name == "codec" and isinstance(level, str):
        return Codec.named(level)
    if name == "band" and isinstance(level, str):
        return LimitBand(*band_edges(level))
    if name not in APPLIED or isinstance(level, str):
        raise ValueError(f"{name} is not applied to recordings")
    if name == "snr":
        return AddNoise(level, noise_of(config.noise, config.made_noise))
    if name == "rate":
        return RecordAt(int(level))
    return Crop(level) if name == "duration" else Gain(level)
