"""Draw docs/liveness.png: a live recording beside every attack, as the two bands of a phone's recording hold them.

    python benchmarks/pictures.py

Speaks two sentences with an invented voice (espeak-ng), simulates one recording of each kind on a stand at 10 cm, and
draws of each the voice's envelope over the signed Doppler spectrogram of the echo. Needs no recordings; half a minute.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from shortcut_sounds import bands
from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.evaluation.report.figure import BLUE, STYLE
from vivavoce.files import atomic_path
from vivavoce.signal.picture import doppler_spectrogram
from vivavoce.simulate.config import AttackConfig, KindCounts, SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.posture import PostureShares
from vivavoce.simulate.voices import draw_speakers, say

HERE = Path(__file__).resolve().parent
TEXTS = ("my voice is my key, open the door", "we both like warm bread and blue boats")
SHOWN_S = 2.6
DOPPLER_HZ = 40.0
LEVELS_DBC = (-58.0, -24.0)  # from the noise of a good phone to the strongest gesture at 10 cm
ENVELOPE_S = 0.02
PAPER = "#ffffff"
DARK = "#1b1f24"

TITLES = {
    Kind.LIVE: "live: lips and jaw move with the words",
    Kind.SWAPPED_MOUTH: "swapped_mouth: a mouth that says other words",
    Kind.SHIFTED: "shifted: the right mouth at the wrong time",
    Kind.MOUTHING: "mouthing: an attacker mouths along",
    Kind.REPLAY_STAND: "replay_stand: nothing moves",
    Kind.REPLAY_HANDHELD: "replay_handheld: only the hand moves",
    Kind.REPLAY_MOVING: "replay_moving: the loudspeaker is waved",
    Kind.TTS: "tts: a synthetic voice, no mouth",
    Kind.RECORDED_ULTRASOUND: "recorded_ultrasound: yesterday's probe",
    Kind.SPLICED: "spliced: part of the words replaced",
    Kind.PROBE_JAMMED: "probe_jammed: no answer",
    Kind.PROBE_ABSENT: "probe_absent: no answer",
}


def speak(folder: Path, seed: int) -> tuple[list[Row], dict[str, list[Phone]]]:
    """Let one invented speaker say the sentences; rows and their phones."""
    person = draw_speakers(1, seed)[0]
    rows, phones = [], {}
    for number, text in enumerate(TEXTS):
        wave, rate, spoken = say(text, person, np.random.default_rng([seed, number]))
        path = folder / f"{number}.wav"
        write_wav(path, wave, rate)
        row = Row(str(number), path, person.name, text, 0.0, len(wave) / rate, rate, 0, Metadata(session="s1"))
        rows.append(replace(row, meta=row.meta.model_copy(update={"sex": person.sex})))
        phones[row.id] = list(spoken)
    return rows, phones


def simulate(folder: Path, seed: int) -> list[Row]:
    """Simulate one recording of every kind of the first sentence, all in one session."""
    rows, phones = speak(folder, seed)
    config = SimulationConfig(
        seed=seed,
        kinds=KindCounts(**dict.fromkeys(KindCounts.model_fields, 1.0)),
        postures=PostureShares(**{name: float(name == "stand") for name in PostureShares.model_fields}),
        distance_cm=10,
        distance_jitter=0,
        attack=AttackConfig(same_speaker_share=1.0, shift_ms=(450.0, 500.0), tts_in_hand_share=0.0),
    )
    made = read_rows(simulate_dataset(rows, folder / "made", config, phones, workers=1))
    first = {row.meta.kind: row for row in made if (row.meta.model_extra or {}).get("source") == rows[0].id}
    return [first[kind] for kind in TITLES]


def draw(rows: list[Row], target: Path) -> None:
    """Draw small multiples, three a line, on paper of their own: they look the same on a dark page."""
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), DARK)
    with mpl.rc_context({**STYLE, **ink, "font.size": 9}):
        figure = Figure(figsize=(11, 10), dpi=100, layout="constrained", facecolor=PAPER)
        above, below = figure.subfigures(2, 1, height_ratios=(16, 1))
        below.set_facecolor(PAPER)
        images = []
        for number, (part, row) in enumerate(zip(above.subfigures(4, 3).ravel(), rows, strict=True)):
            part.set_facecolor(PAPER)
            upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
            weight = "bold" if row.meta.kind is Kind.LIVE else "normal"
            part.suptitle(TITLES[row.meta.kind], fontsize=10, fontweight=weight)
            images.append(panel(upper, lower, row))
            if number % 3 == 0:
                upper.set_ylabel("voice\ndBFS")
                lower.set_ylabel("Doppler, Hz")
            if number >= len(rows) - 3:
                lower.set_xlabel("time, s")
        image = next(image for image in images if image is not None)
        scale = below.subplots(1, 3, width_ratios=(1, 2, 1))
        for axis in (scale[0], scale[2]):
            axis.set_axis_off()
        figure.colorbar(image, cax=scale[1], orientation="horizontal", label="echo against its carrier, dB")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        with atomic_path(target) as temporary:
            # 128 colours are a third of the bytes, and nobody sees the difference.
            picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
            picture.quantize(128, dither=Image.Dither.NONE).save(temporary, optimize=True)


def panel(upper: Axes, lower: Axes, row: Row):
    """Draw one recording: envelope of the voice band above, Doppler of the probe's own tones below."""
    wave, rate = read_audio(row.path)
    wave = wave[: round(SHOWN_S * rate)]
    voice, _ = bands(wave, rate)
    size = round(ENVELOPE_S * rate)
    power = (voice[: len(voice) // size * size].reshape(-1, size) ** 2).mean(axis=1)
    level = 10 * np.log10(power + 1e-8)
    upper.plot((np.arange(len(level)) + 0.5) * ENVELOPE_S, level, color=BLUE, linewidth=1)
    upper.set(ylim=(-65, -10), xlim=(0, SHOWN_S))
    upper.tick_params(labelbottom=False)
    lower.set(ylim=(-DOPPLER_HZ, DOPPLER_HZ))
    for start, end in getattr(row.meta, "splices", None) or ():
        upper.axvspan(start, end, color="#E69F00", alpha=0.35, linewidth=0)
    tones = row.meta.probe_hz or ()
    if not tones:
        lower.text(SHOWN_S / 2, 0, "no probe in the recording", ha="center", va="center")
        return None
    times, hz, level = doppler_spectrogram(wave, rate, tones)
    extent = (times[0], times[-1], hz[0], hz[-1])
    low, high = LEVELS_DBC
    return lower.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="cividis", vmin=low, vmax=high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "liveness.png")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(simulate(Path(folder), arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
