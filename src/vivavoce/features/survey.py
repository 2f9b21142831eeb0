"""What is known of recordings once each was heard: which tones their probe plays, and how well it can be read.

Online training asks for it before the first step; kept in a file, it need not be found anew when a run goes on.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.features.front_end import Probe
from vivavoce.features.sources import stamps
from vivavoce.features.spec import FEATURES_VERSION, span_digests
from vivavoce.features.store import Qualities
from vivavoce.files import atomic_path


@dataclass(frozen=True)
class Survey:
    """The probes of a list of recordings."""

    tones_hz: np.ndarray  # (recordings, most tones), 0 behind a recording's own
    quality: Qualities

    @classmethod
    def collect(cls, probes: Sequence[Probe]) -> "Survey":
        """Take the arrays out of single probes."""
        tones = np.zeros((len(probes), max((len(probe.tones_hz) for probe in probes), default=0)))
        for row, probe in zip(tones, probes, strict=True):
            row[: len(probe.tones_hz)] = probe.tones_hz
        return cls(tones, Qualities.collect(probe.quality for probe in probes))

    def probe(self, item: int) -> Probe:
        """The probe of one recording."""
        return Probe(tuple(hz for hz in self.tones_hz[item].tolist() if hz), self.quality[item])


def keep_survey(survey: Survey, rows: Sequence[Row], path: Path) -> None:
    """Write a survey of ``rows``, atomically."""
    quality, buffer = survey.quality, io.BytesIO()
    np.savez(
        buffer,
        key=np.array(_key(rows)),
        tones_hz=survey.tones_hz,
        present=quality.present,
        level_dbfs=quality.level_dbfs,
        snr_db=quality.snr_db,
        reason=quality.reason,
        reasons=np.array(quality.reasons),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_survey(rows: Sequence[Row], path: Path) -> Survey | None:
    """Read a survey; None where there is none, or not of these very recordings as they are now."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            if str(kept["key"]) != _key(rows):
                return None
            judged = (kept["present"], kept["level_dbfs"], kept["snr_db"], kept["reason"])
            return Survey(kept["tones_hz"], Qualities(*judged, kept["reasons"].tolist()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _key(rows: Sequence[Row]) -> str:
    said = json.dumps([FEATURES_VERSION, [row.id for row in rows]])
    return hashlib.sha256(said.encode() + span_digests(rows).tobytes() + stamps(rows).tobytes()).hexdigest()
