"""Checks of the sound files themselves, from their measurements."""

from collections.abc import Iterator

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check


def _with_problem(data: Data, problem: str, what: str) -> Iterator[Found]:
    files = data.files(
        "SELECT number, nullif(message, ''), NULL FROM heard WHERE problem = ? ORDER BY path, start_s, channel, id",
        problem,
    )
    if files:
        yield Found(files, f"{what}: {recordings(len(files))}.", {"recordings": len(files)})


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="sound files that are not there",
    mend="Move the files back to where the manifest says, or import the recordings again.",
)
def missing_file(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows without a file."""
    yield from _with_problem(data, "missing", "No sound file where the manifest says")


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="sound files that cannot be decoded",
    mend="Export them again as wav, flac or ogg, or take them out of the manifest.",
)
def unreadable(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find files that are empty, no sound, hold NaN, or may not be read."""
    yield from _with_problem(data, "unreadable", "Cannot be read")
    yield from _with_problem(data, "too_long", "Too long to be read at once")


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="sound files that hold less than their header promises",
    mend="Copy them again from where they were recorded; the upload or the disk broke off.",
)
def truncated(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find truncated or damaged files."""
    yield from _with_problem(data, "truncated", "Truncated or damaged")


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="a length in the manifest that the decoded sound does not have",
    mend="Import the recordings again: the files were changed after the manifest was made.",
    unit="s",
)
def wrong_duration(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose span or whose file is not as long as the manifest says."""
    yield from _with_problem(data, "outside", "Outside of the sound file that the row names")
    away = "max(abs(duration_s - decoded_s), abs(coalesce(listed_file_s, file_s) - file_s))"
    what = "Length differs from the manifest's by more than {limit:g} s (most: {worst:.3g} s)"
    yield from data.flag(f"{away} > ?", config.duration_tolerance_s, figure=away, what=what)


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="a sample rate in the manifest that the file does not have",
    mend="Import the recordings again: the files were resampled after the manifest was made.",
    unit="Hz",
)
def wrong_rate(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find files of another sample rate than their row says."""
    files = data.files("SELECT number, rate, NULL FROM heard WHERE rate <> sample_rate ORDER BY path, start_s, id")
    if files:
        what = f"Another sample rate than the manifest says: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="recordings without sound",
    mend="Record them again with the microphone switched on, or take them out.",
    unit="dBFS",
)
def silent(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings whose peak is below ``silent_peak_dbfs``."""
    what = "Silent, the peak is below {limit:g} dBFS"
    yield from data.flag("peak_dbfs < ?", config.silent_peak_dbfs, figure="peak_dbfs", what=what, lowest=True)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="samples cut off at full scale, or flat tops of clipping that was turned down later",
    mend="Record them again with a lower gain; clipping spreads the voice's harmonics into the probe's band.",
    unit="of the samples",
)
def clipped(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings with a share of clipped samples above ``max_clipped``."""
    what = "More than {limit:.2%} of the samples clipped (most: {worst:.1%})"
    yield from data.flag("clipped > ?", config.max_clipped, figure="clipped", what=what)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="samples whose mean is not zero",
    mend="Take the mean out, or mend the sound card: an offset differs by device and gives the device away.",
    unit="of full scale",
)
def dc_offset(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings whose mean is above ``max_dc``."""
    what = "DC offset above {limit:g} of full scale (largest: {worst:.3f})"
    yield from data.flag("abs(dc) > ?", config.max_dc, figure="abs(dc)", what=what)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="speech so quiet that the noise of 16 bits comes near",
    mend="Record them again closer to the microphone or with more gain; amplifying the file does not bring back what "
    "was not recorded.",
    unit="dBFS",
)
def low_level(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings whose active speech level is below ``min_active_dbfs``; silent ones are another check's."""
    what = "Speech below {limit:g} dBFS in the voice band (lowest: {worst:.0f} dBFS)"
    limits = config.min_active_dbfs, config.silent_peak_dbfs
    yield from data.flag("active_dbfs < ? AND peak_dbfs >= ?", *limits, figure="active_dbfs", what=what, lowest=True)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="runs of exact zeros that cut speech off: lost packets, overrun buffers",
    mend="Record them again; a loaded phone or a network dropped buffers, and the echo breaks with the voice.",
    unit="s",
)
def dropouts(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings with dropouts."""
    what = "Dropouts, runs of zeros inside the speech (longest: {worst:.3f} s)"
    yield from data.flag("dropouts > 0", figure="longest_dropout_s", what=what)


@check(
    Severity.NOTE,
    Needs.SOUND,
    looks_for="long silence before or after the speech",
    mend="Trim them to the speech; crops of silence teach nothing, and its length may tell kinds apart.",
    unit="s",
)
def edge_silence(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find leading and trailing silence over ``max_edge_silence_s``; silent recordings are another check's."""
    for edge, word in (("leading_s", "before"), ("trailing_s", "after")):
        what = f"More than {{limit:g}} s of silence {word} the speech (longest: {{worst:.1f}} s)"
        yield from data.flag(
            f"{edge} > ? AND peak_dbfs >= ?", config.max_edge_silence_s, config.silent_peak_dbfs, figure=edge, what=what
        )
