"""The simulated echo beside published levels; real phone recordings of a 20 kHz tone through the same code."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realism_articulation import load
from vivavoce.audio import read_audio
from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.articulation import articulate, draw_speaker
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.levels import ProbeLevels, probe_levels
from vivavoce.simulate.loudspeaker import SIZES, cone_motion, draw_loudspeaker
from vivavoce.simulate.plan import Corpus, Planned, plan
from vivavoce.simulate.posture import Posture, hand_motion
from vivavoce.simulate.render import samples_of
from vivavoce.simulate.scatter import Reflectors, ScatterConfig, draw_face, echo, moving_mouth
from vivavoce.simulate.speech import RATE_HZ
from vivavoce.simulate.tracks import read_tracks

DESIGN = "DESIGN §5"
TONES_HZ = np.array([18_200.0, 18_700.0, 19_200.0, 19_700.0])
DIRECT_M = 0.015
FACTOR_HZ = 300.0
AT_10_CM_DBC, TOLERANCE_DB = -26.0, 4.0
UTTERANCES = 60
# Area of a hand, cm², that gives the published −17…−20 dB at 10 cm; the other distances then follow.
HAND_CM2 = 20.0
# Tried on the measured mouths: a chin put on the axis leaves 5 cm where it is (−20.4), so the angle is not the reason
# there; it brings 20 and 40 cm inside (−41.4, −53.5).
NEARBY = "not explained: the chin's place below the axis was tried as a reason and is none"
FAR = "with the chin on the axis it is inside: from far away the path lies across the jaw's movement"
Figure = dict[str, Any]


def figures(data: Path) -> list[Figure]:
    """All echo figures, from the folder of shared recordings."""
    spoken = load(data / "speechocean_adult16k")[:UTTERANCES]
    corpus = Corpus([row for row, _, _ in spoken], {row.id: phones for row, _, phones in spoken}, {})
    return [
        *mouth_echo(corpus),
        *measured_mouth_echo(data / "articulatory"),
        *hand_echo(),
        *recorded(corpus),
        *phone_sway(),
        *cone(corpus),
        *real_phone(data / "ultrasense20k" / "audio"),
    ]


def row(
    figure: str, unit: str, ours: float, low: float, high: float, source: str, why: str = "", own: bool = False
) -> Figure:
    """One line of the table: inside where ``low <= ours <= high``; ``own``: the range is ours, not published."""
    published = f"{low:g}…{high:g}" if np.isfinite(low) else f"≤ {high:g}"
    published = f"none (own bound {published})" if own else published
    made = {"figure": figure, "unit": unit, "ours": float(ours), "published": published, "source": source}
    made["inside"] = bool(low <= ours <= high)
    return made | ({"why": why} if why and not made["inside"] else {})


def _moving_dbc(mouth: Reflectors, distance_m: float) -> float:
    """Power of a mouth's echo that does not stand still, against the direct path, dB, mean over tones."""
    factors = echo(mouth, np.array([[distance_m, 0.0, 0.0]]), TONES_HZ, DIRECT_M)
    return float(10 * np.log10(np.mean(np.abs(factors - factors.mean(axis=1, keepdims=True)) ** 2)))


def _distances(mouths: list[Reflectors], name: str) -> list[Figure]:
    levels = {cm: np.median([_moving_dbc(mouth, cm / 100) for mouth in mouths]) for cm in (5, 10, 20, 40)}
    made = []
    for cm, level in levels.items():
        wanted = AT_10_CM_DBC - 12 * np.log2(cm / 10)
        low, high = wanted - TOLERANCE_DB, wanted + TOLERANCE_DB
        source = f"{DESIGN}: −26 dBc at 10 cm, 12 dB per doubling"
        made.append(row(f"moving echo of {name}, {cm} cm", "dBc", level, low, high, source, NEARBY if cm < 10 else FAR))
    return made


def mouth_echo(corpus: Corpus) -> list[Figure]:
    """The simulated mouths alone, no phone: lips, chin and tongue."""
    rng = generator(0, "realism")
    mouths = []
    for source in corpus.rows:
        motion = articulate(corpus.phones[source.id], source.duration_s, draw_speaker(rng), rng)
        times = np.arange(int(source.duration_s * FACTOR_HZ)) / FACTOR_HZ
        mouths.append(moving_mouth(draw_face(rng, ScatterConfig()), motion, times))
    return _distances(mouths, "simulated mouths")


def measured_mouth_echo(folder: Path) -> list[Figure]:
    """The same echo physics on measured mouths (EMA)."""
    mouths = []
    for path in sorted(folder.glob("*.npz")):
        motion = read_tracks(path)
        times = np.arange(int(motion.duration_s * FACTOR_HZ)) / FACTOR_HZ
        mouths += [moving_mouth(draw_face(generator(s, "face"), ScatterConfig()), motion, times) for s in range(5)]
    return _distances(mouths, "measured mouths (EMA)")


def hand_echo() -> list[Figure]:
    """A hand of one area at four distances."""
    published = {10: (-20, -17), 20: (-32, -28), 30: (-38, -35), 50: (-45, -37)}
    hand = Reflectors(np.zeros((1, 1, 3)), np.array([HAND_CM2 * 1e-4]), np.full((1, 1), 10 ** (-3 / 20)))
    made = []
    for cm, (low, high) in published.items():
        factors = echo(hand, np.array([[cm / 100, 0.0, 0.0]]), TONES_HZ, DIRECT_M)
        level = 20 * np.log10(np.abs(factors).mean())
        why = "one area fits 10–30 cm, 50 cm would need 24 cm² or more; why is not known"
        made.append(
            row(
                f"echo of a {HAND_CM2:g} cm² hand, {cm} cm{' (area chosen for it)' if cm == 10 else ''}",
                "dB",
                level,
                low,
                high,
                DESIGN,
                why,
            )
        )
    return made


def _levels(corpus: Corpus, config: SimulationConfig, kind: Kind) -> list[tuple[Planned, ProbeLevels]]:
    items = [item for item in plan(corpus, Path("out"), config) if item.job.kind is kind]
    return [
        (item, probe_levels(samples_of(item.job, config) / 32768, RATE_HZ, item.job.session.probe.tones_hz))
        for item in items
    ]


def recorded(corpus: Corpus) -> list[Figure]:
    """Whole recordings at 10 cm with all that phones do: carrier, noise, moving part of each kind."""
    corpus = replace(corpus, rows=corpus.rows[: UTTERANCES // 3])
    made: list[Figure] = []

    def moving(kind: Kind, posture: Posture) -> tuple[float, list[ProbeLevels]]:
        kinds = dict.fromkeys(SimulationConfig().kinds.model_dump(), 0) | {kind.value: 1}
        settings = {"kinds": kinds, "distance_cm": 10, "postures": posture, "pools": {"devices": 24}}
        levels = [found for _, found in _levels(corpus, SimulationConfig.model_validate(settings), kind)]
        return float(np.median([level.dynamic_dbc for level in levels])), levels

    live, levels = moving(Kind.LIVE, "stand")
    carrier = np.array([level.carrier_dbfs for level in levels])
    noise = np.array([level.noise_dbc_hz for level in levels])
    clutter = "gain control lowers it, and still echoes add to the direct path or take from it"
    made.append(
        row("direct carrier, p10 (drawn from it)", "dBFS", np.quantile(carrier, 0.1), -25, -17, DESIGN, clutter)
    )
    made.append(
        row("direct carrier, p90 (drawn from it)", "dBFS", np.quantile(carrier, 0.9), -25, -17, DESIGN, clutter)
    )
    made.append(row("noise between the tones, median (drawn from it)", "dBc/Hz", np.median(noise), -85, -60, DESIGN))
    made.append(
        row("recorded moving part, live, stand", "dBc", live, -30, -20, f"{DESIGN}: mouth, and gain control", own=True)
    )
    still = moving(Kind.REPLAY_STAND, "stand")[0]
    made.append(
        row("… replay_stand against live", "dB", still - live, -np.inf, -5, "what is left is gain control", own=True)
    )
    swapped = moving(Kind.SWAPPED_MOUTH, "stand")[0]
    made.append(
        row("… swapped_mouth, stand, against live", "dB", swapped - live, -3, 3, "a mouth as any other", own=True)
    )
    held = moving(Kind.LIVE, "handheld")[0]
    made.append(
        row(
            "… live, handheld, against stand",
            "dB",
            held - live,
            0,
            15,
            f"{DESIGN}: handheld is the hard part",
            own=True,
        )
    )
    replay = moving(Kind.REPLAY_HANDHELD, "handheld")[0]
    made.append(
        row(
            "… replay_handheld against live handheld",
            "dB",
            replay - held,
            -6,
            6,
            f"{DESIGN}: energy is no liveness",
            own=True,
        )
    )
    return made


def phone_sway() -> list[Figure]:
    """Motion of a held phone, and the Doppler it gives."""
    config = SimulationConfig().posture
    paths = [hand_motion(generator(s, "sway"), config, 6000, 600.0) for s in range(200)]
    rms = np.array([np.sqrt((path**2).mean()) for path in paths]) * 1000
    speed = np.concatenate([np.abs(np.diff(path[:, 0])) * 600 for path in paths])
    return [
        row("hand sway and tremor, median", "mm RMS", np.median(rms), 0.7, 1.4, f"{DESIGN}: 0.2–5 (1)", own=True),
        row("… p2", "mm RMS", np.quantile(rms, 0.02), 0.15, 0.5, DESIGN, own=True),
        row("… p98", "mm RMS", np.quantile(rms, 0.98), 2, 5.5, DESIGN, own=True),
        row(
            "… Doppler at 20 kHz, p99",
            "Hz",
            2 * np.quantile(speed, 0.99) * 20_000 / 343,
            0,
            20,
            "slower than lips",
            own=True,
        ),
    ]


def cone(corpus: Corpus) -> list[Figure]:
    """Sidebands of the loudspeaker's cone: at 500 Hz, and inside the Doppler band."""
    at_500, inside = [], []
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = (0.05 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    window = np.blackman(len(time))
    for seed in range(40):
        speaker = draw_loudspeaker(generator(seed, "cone"), tuple(SIZES)[seed % len(SIZES)])
        line = np.abs(np.fft.rfft(cone_motion(speaker, tone, 0.1) * window)) / window.sum()
        at_500.append(20 * np.log10(line[1000]))
        noise = generator(seed, "noise").standard_normal(len(time)).astype(np.float32)
        spectrum = np.abs(np.fft.rfft(cone_motion(speaker, noise, 0.1) * window)) ** 2
        inside.append(10 * np.log10(spectrum[:100].mean() / spectrum[160:1000].mean()))
    return [
        row("cone sideband at 500 Hz, least (drawn from it)", "dBc", min(at_500), -75, -65, DESIGN),
        row("cone sideband at 500 Hz, most (drawn from it)", "dBc", max(at_500), -75, -65, DESIGN),
        row(
            "cone, inside ±50 Hz against 80–500 Hz",
            "dB",
            max(inside),
            -np.inf,
            -40,
            f"{DESIGN}: never inside ±50 Hz",
            own=True,
        ),
    ]


def real_phone(folder: Path) -> list[Figure]:
    """UltraSense: a Galaxy S3, 44.1 kHz, one tone at 20 kHz, hands and bodies in motion; the same measuring code."""
    found = {}
    for path in sorted(folder.rglob("*.wav")):
        wave, rate = read_audio(path)
        found[path.relative_to(folder).as_posix()] = probe_levels(wave, rate, (20_000.0,))
    carriers = np.array([level.carrier_dbfs for level in found.values()])
    noises = np.array([level.noise_dbc_hz for level in found.values()])
    hands = [level.dynamic_dbc for name, level in found.items() if name.startswith(("swipe/", "wave/wave_stationary"))]
    walks = [level.dynamic_dbc for name, level in found.items() if name.startswith("walk")]
    source = f"UltraSense, {len(found)} recordings"
    return [
        row("real phone: carrier, median", "dBFS", np.median(carriers), -25, -17, source),
        row("real phone: noise, median", "dBc/Hz", np.median(noises), -85, -60, source),
        row(
            "real phone: moving part, hand near",
            "dBc",
            np.median(hands),
            -35,
            -10,
            f"{source}; hand −17…−45 dB",
            own=True,
        ),
        row(
            "real phone: moving part, someone walks",
            "dBc",
            np.median(walks),
            -60,
            -20,
            f"{source}; farther than a hand",
            own=True,
        ),
    ]
