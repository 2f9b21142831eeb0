"""Checks of the probe, in recordings that declare one, and in those that declare none."""

from collections.abc import Iterator

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check
from vivavoce.signal.tones import SHORTEST_S

# Kinds whose probe is spoilt by design (`corpus.metadata.Kind.readable`), and tones that were declared.
DECLARED = "probe_hz NOT IN ('', '[]')"
READABLE = f"{DECLARED} AND kind NOT IN ('probe_absent', 'probe_jammed')"


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="declared tones that are not in the recording",
    mend="Check that the phone played the probe and that no codec or resampling cut the ultrasound off; a recording "
    "without it belongs to the kind probe_absent with an empty probe_hz.",
    unit="dB",
)
def probe_missing(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings that declare a probe and hold none, or whose rate cannot; under 0.5 s nobody can tell."""
    files = data.files(
        f"SELECT number, probe_snr_db, NULL FROM sound WHERE {READABLE} AND coalesce(probe_present, 0) = 0"
        " AND decoded_s >= ? ORDER BY id, path",
        SHORTEST_S,
    )
    if files:
        what = f"The declared tones are not in the recording: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="tones in a recording that is declared to have none",
    mend="Correct probe_hz, or find the other phone that was playing in the room.",
)
def probe_undeclared(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find tones where ``probe_hz`` is empty."""
    files = data.files(
        "SELECT number, NULL, NULL FROM sound WHERE probe_hz = '[]' AND probe_present = 1 ORDER BY id, path"
    )
    if files:
        what = f"Tones between 17 and 22 kHz, though declared to have no probe: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="a probe too weak, or too noisy, for the echo of lips",
    mend="Turn the phone's volume up or choose other tones: the phone's loudspeaker or its processing takes them away.",
    unit="dB",
)
def probe_weak(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find probes of low SNR or level, of the median tone or of single tones."""
    present = f"{READABLE} AND probe_present = 1"
    what = "Probe less than {limit:g} dB above the noise of its Doppler band (least: {worst:.0f} dB)"
    yield from data.flag(
        f"probe_snr_db < ? AND {present}", config.min_probe_snr_db, figure="probe_snr_db", what=what, lowest=True
    )
    what = "Probe below {limit:g} dBFS a tone (lowest: {worst:.0f} dBFS)"
    yield from data.flag(
        f"probe_dbfs < ? AND {present}", config.min_probe_dbfs, figure="probe_dbfs", what=what, lowest=True
    )
    what = "Single tones of the probe less than {limit:g} dB above the noise (least: {worst:.0f} dB)"
    yield from data.flag(
        f"weakest_snr_db < ? AND probe_snr_db >= ? AND {present}",
        config.min_tone_snr_db,
        config.min_probe_snr_db,
        figure="weakest_snr_db",
        what=what,
        lowest=True,
    )


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="energy between the tones: noise, another device, a non-linear loudspeaker",
    mend="Record in another place or with a lower volume; a network may learn the energy between the tones instead of "
    "the echo, so test with it notched out.",
    unit="dBc",
)
def between_tones(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings with power between the tones above ``max_between_dbc``."""
    what = "More than {limit:g} dB between the tones, relative to the tones (most: {worst:.0f} dB)"
    condition = f"between_dbc > ? AND {READABLE} AND probe_present = 1"
    yield from data.flag(condition, config.max_between_dbc, figure="between_dbc", what=what)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="tones of a live recording that were played by another clock than the one that recorded",
    mend="Check that one phone both played and recorded, and that probe_hz is what it played: a second device is an "
    "attack, not a live recording.",
    unit="ppm",
)
def probe_clock(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find live recordings with a clock offset above ``max_clock_ppm``."""
    what = "Labelled live, and the tones are more than {limit:g} ppm off (most: {worst:.0f} ppm)"
    condition = "abs(clock_ppm) > ? AND kind = 'live' AND probe_present = 1"
    yield from data.flag(condition, config.max_clock_ppm, figure="abs(clock_ppm)", what=what)
