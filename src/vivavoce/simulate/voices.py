"""Synthetic speakers with their phonemes' times, so that a quickstart needs neither corpus nor alignment."""

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from vivavoce.audio import write_wav
from vivavoce.errors import UserError
from vivavoce.files import write_text
from vivavoce.progress import track
from vivavoce.simulate.espeak import VoiceSettings, restart, synthesize
from vivavoce.simulate.phonemes import SILENCE, Phone
from vivavoce.simulate.sentences import PASS_PHRASE, SENTENCES

TABLE = "index.csv"
PHONES = "phones.jsonl"

# espeak-ng's voice variants that sound like a person (no robot, whisper or croak), by sex; of variants whose long-term
# spectra nearly agree only one is here.
_VARIANTS = {
    "F": ("f1", "f2", "f3", "f4", "f5", "Andrea", "Alicia", "Annie", "anika", "belinda", "linda", "steph", "shelby"),
    "M": (
        *("m1", "m7", "Andy", "Diogo", "Marco", "benjamin", "boris", "caleb"),
        *("ian", "iven2", "marcelo", "norbert", "pablo", "sandro", "travis"),
    ),
}
_ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-029", "en-gb-x-gbclan")
# Pitch in espeak's units around the variant's own, and the length of the vocal tract as a factor on all formants
# (women's formants lie about 15 % above men's, Peterson & Barney 1952; the variants carry a part of it already).
_PITCH = {"F": (38, 72), "M": (28, 66)}
_FORMANTS = {"F": (0.98, 1.12), "M": (0.90, 1.04)}
_WORDS_PER_MINUTE = (138, 168)
_PITCH_RANGE = (35, 65)
_TILT = (-0.25, 0.35)
_SILENCE_S = (0.3, 0.5)  # before and after: room for the mouth to prepare (DESIGN §5: onsets lead by 100–300 ms)
_LEVEL_DBFS = (-26.0, -21.0)  # RMS of the speech, as phones record it
_NOISE_DBFS = -68.0  # a quiet room; digital silence occurs in no recording
_PEAK = 0.9


@dataclass(frozen=True)
class SyntheticSpeaker:
    """One invented speaker: espeak's settings, factor on the formants, spectral tilt (one-pole coefficient)."""

    name: str
    sex: str
    settings: VoiceSettings
    formants: float
    tilt: float


def make_voices(out_dir: Path | str, speakers: int = 24, sentences: int = 8, seed: int = 0) -> Path:
    """Make recordings of synthetic speakers in two sessions each; returns the table's path.

    Writes ``<speaker>/<number>.wav`` (22.05 kHz, 4–6 s), ``index.csv`` (file, speaker, sex, session, text, phrase) and
    ``phones.jsonl`` (a line per file: phoneme times, for ``AlignmentCache.add_file``). Every session begins with the
    same pass phrase; a speaker repeats no other sentence. The same seed gives the same files.

    Raises:
        UserError: espeak-ng is missing, the counts are impossible, or the folder cannot be written.
    """
    if speakers < 1 or not 2 <= sentences <= len(SENTENCES):
        raise UserError(
            f"{speakers} speakers with {sentences} sentences each cannot be made; "
            f"ask for at least 1 speaker and 2 to {len(SENTENCES)} sentences."
        )
    out_dir = Path(out_dir)
    restart()  # the same seed gives the same files, whatever was spoken before
    people = draw_speakers(speakers, seed)
    rows: list[dict[str, str]] = []
    lines: list[str] = []
    for person, number in track([(p, n) for p in range(speakers) for n in range(sentences)], "making voices"):
        speaker = people[person]
        rng = np.random.default_rng([seed, person, number])
        session, phrase = _plan(sentences, seed, person, number)
        text = PASS_PHRASE if phrase == 0 else SENTENCES[phrase - 1]
        wave, rate, phones = say(text, _in_session(speaker, seed, person, session), rng)
        name = f"{speaker.name}/{number:03d}.wav"
        write_wav(out_dir / name, wave, rate)
        rows.append(
            {
                **{"file": name, "speaker": speaker.name, "sex": speaker.sex},
                **{"session": f"{speaker.name}-{session + 1}", "text": text, "phrase": f"p{phrase:02d}"},
            }
        )
        times = [[p.name, round(p.start_s, 6), round(p.end_s, 6)] for p in phones]
        lines.append(json.dumps({"file": name, "phones": times}))
    write_text(out_dir / PHONES, "\n".join(lines) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # The table last: a folder with a table is complete.
    write_text(out_dir / TABLE, table.getvalue())
    return out_dir / TABLE


def draw_speakers(count: int, seed: int = 0) -> list[SyntheticSpeaker]:
    """Draw ``count`` clearly different speakers, women and men in turn.

    Variants are used up before one comes again; pitch, formants, rate and accent are spread evenly, not drawn freely,
    so that no two speakers fall together by chance.
    """
    rng = np.random.default_rng([seed, 10_000_019])
    people: list[SyntheticSpeaker] = []
    for sex in ("F", "M"):
        total = (count + (sex == "F")) // 2
        if total == 0:
            continue
        variants = [v for _ in range(-(-total // len(_VARIANTS[sex]))) for v in rng.permutation(_VARIANTS[sex])]
        formants, pitch = _spread(rng, _FORMANTS[sex], total), _spread(rng, _PITCH[sex], total)
        speed, span = _spread(rng, _WORDS_PER_MINUTE, total), _spread(rng, _PITCH_RANGE, total)
        tilt = _spread(rng, _TILT, total)
        for i in range(total):
            accent = _ACCENTS[int(rng.integers(len(_ACCENTS)))]
            settings = VoiceSettings(f"{accent}+{variants[i]}", round(speed[i]), round(pitch[i]), round(span[i]))
            name = f"v{2 * i + (sex == 'M'):03d}"
            people.append(SyntheticSpeaker(name, sex, settings, float(formants[i]), float(tilt[i])))
    return sorted(people, key=lambda person: person.name)


def draw_speaker_of(sex: str, rng: np.random.Generator) -> SyntheticSpeaker:
    """Draw one speaker of a sex (``F`` or ``M``), freely within the ranges of `draw_speakers`."""
    voice = f"{_ACCENTS[int(rng.integers(len(_ACCENTS)))]}+{_VARIANTS[sex][int(rng.integers(len(_VARIANTS[sex])))]}"
    speed, pitch, span = (round(rng.uniform(*bounds)) for bounds in (_WORDS_PER_MINUTE, _PITCH[sex], _PITCH_RANGE))
    settings = VoiceSettings(voice, speed, pitch, span)
    return SyntheticSpeaker("synthetic", sex, settings, float(rng.uniform(*_FORMANTS[sex])), float(rng.uniform(*_TILT)))


def say(text: str, speaker: SyntheticSpeaker, rng: np.random.Generator) -> tuple[np.ndarray, int, list[Phone]]:
    """Speak one sentence as this speaker, never twice alike: float32 samples, rate in Hz, phones that cover them."""
    factor = speaker.formants * float(np.exp(rng.normal(0.0, 0.006)))
    own = speaker.settings
    settings = replace(
        own,
        # Raising the formants by resampling also shortens; the rate takes that back.
        words_per_minute=round(own.words_per_minute / factor * float(np.exp(rng.normal(0.0, 0.03)))),
        pitch=int(np.clip(own.pitch + rng.integers(-2, 3), 0, 99)),
        pitch_range=int(np.clip(own.pitch_range + rng.integers(-5, 6), 0, 99)),
    )
    dry, rate, phones = synthesize(text, settings)
    wave = soxr.resample(dry, rate * factor, rate)
    wave = np.concatenate([wave[:1], wave[1:] - speaker.tilt * wave[:-1]])
    before, after = (round(s * rate) for s in rng.uniform(*_SILENCE_S, size=2))
    level = 10 ** (rng.uniform(*_LEVEL_DBFS) / 20) / max(float(np.sqrt(np.mean(wave**2))), 1e-9)
    wave = np.concatenate(
        [np.zeros(before), wave * min(level, _PEAK / max(float(np.abs(wave).max()), 1e-9)), np.zeros(after)]
    )
    wave += 10 ** (_NOISE_DBFS / 20) * rng.standard_normal(len(wave))
    shift, end = before / rate, len(wave) / rate
    moved = [Phone(p.name, shift + p.start_s / factor, shift + p.end_s / factor) for p in phones]
    padded = [Phone(SILENCE, 0.0, shift), *moved, Phone(SILENCE, moved[-1].end_s if moved else shift, end)]
    return wave.astype(np.float32), rate, padded


def _spread(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> np.ndarray:
    """Give one value from each of ``count`` equal parts of the range, in random order."""
    parts = (np.arange(count) + rng.uniform(0.2, 0.8, size=count)) / count
    return rng.permutation(bounds[0] + parts * (bounds[1] - bounds[0]))


def _plan(sentences: int, seed: int, person: int, number: int) -> tuple[int, int]:
    """Say which session (0, 1) and phrase (0 = pass phrase) an utterance is."""
    first = (sentences + 1) // 2
    session, place = (0, number) if number < first else (1, number - first)
    if place == 0:
        return session, 0
    order = np.random.default_rng([seed, person, 10_000_079]).permutation(len(SENTENCES))
    return session, int(order[number]) + 1


def _in_session(speaker: SyntheticSpeaker, seed: int, person: int, session: int) -> SyntheticSpeaker:
    """Let a speaker be a little different on another day: pitch, rate and timbre."""
    rng = np.random.default_rng([seed, person, 10_000_103, session])
    own = speaker.settings
    settings = replace(
        own,
        pitch=int(np.clip(own.pitch + rng.integers(-3, 4), 0, 99)),
        words_per_minute=round(own.words_per_minute * float(np.exp(rng.normal(0.0, 0.03)))),
    )
    return replace(speaker, settings=settings, tilt=speaker.tilt + float(rng.normal(0.0, 0.03)))
