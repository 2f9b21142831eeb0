"""What the voice's sidebands around the tones are worth: which recordings show them, and from which bend on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from shortcut_sounds import bands
from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.sidebands import FOUND_DB, VoiceSidebands
from vivavoce.simulate.device import DeviceConfig, draw_device
from vivavoce.simulate.draws import decibels
from vivavoce.simulate.recording import Emission, record
from vivavoce.simulate.speech import RATE_HZ

BENDS_DB = (-60, -55, -50, -45, -40)  # DESIGN §5: α2 −60…−40 dB
STILL = np.ones((1, 1), dtype=np.complex64)


def sideband_rows(
    live: Sequence[Row], twins: Sequence[Row], spliced: Sequence[Row], attacks: Sequence[Row], seed: int
) -> list[dict[str, Any]]:
    """Share of recordings in which they are found: by what was done to them, then by how much a microphone bends."""
    played = [row for row in attacks if row.meta.kind in (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.TTS)]
    swaps = [row for row in spliced if row.meta.kind is Kind.SWAPPED_MOUTH]
    shifts = [row for row in spliced if row.meta.kind is Kind.SHIFTED]
    named = {
        "live": live,
        "live, re-spliced": twins,
        "replayed by a loudspeaker": played,
        "voice put in digitally (spliced swaps)": swaps,
        "voice put in digitally (spliced shifts)": shifts,
    }
    rows = [_row(name, [_level_db(*_read(row)) for row in part]) for name, part in named.items() if part]
    voices = [_read(row)[:2] for row in live if row.sample_rate == RATE_HZ]
    for bend_db in BENDS_DB if voices else ():
        levels = [_level_db(*_bent(wave, bend_db, seed + number)) for number, (wave, _) in enumerate(voices)]
        rows.append(_row(f"live, α2 = {bend_db} dB", levels))
    return rows


def _row(name: str, levels: list[float]) -> dict[str, Any]:
    found = np.array(levels) > FOUND_DB
    return {
        "recordings": name,
        "count": len(levels),
        "found": float(found.mean()),
        "level_db": [float(value) for value in np.nanpercentile(levels, (5, 50, 95))],
    }


def _read(row: Row) -> tuple[np.ndarray, int, tuple[float, ...]]:
    wave, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    return wave, rate, row.meta.probe_hz or ()


def _level_db(wave: np.ndarray, rate: int, tones_hz: tuple[float, ...]) -> float:
    tones = torch.tensor([tones_hz or (0.0,)], dtype=torch.float64)
    return float(VoiceSidebands(rate)(torch.from_numpy(wave)[None], torch.tensor([len(wave)]), tones).level_db)


def _bent(wave: np.ndarray, bend_db: float, seed: int) -> tuple[np.ndarray, int, tuple[float, ...]]:
    """Record a voice band once more, with a still probe, by a phone that bends so much and has no gain control."""
    rng = np.random.default_rng(seed)
    device = draw_device(rng, DeviceConfig(), "phone", RATE_HZ)
    device = replace(device, alpha2=decibels(bend_db), gain_control=None)
    probe = draw_probe(rng)
    voice, _ = bands(wave, RATE_HZ)
    made = record(rng, voice, np.ones(1, dtype=np.float32), Emission(probe, STILL), device)
    return made.astype(np.float32) / 32768, RATE_HZ, probe.tones_hz
