"""Checks of what the corpus consists of, and how even it is."""

from collections.abc import Iterator
from statistics import median

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data, counted, joined, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check

# Names of speakers in the figures of a finding; there may be a hundred thousand.
SHOWN = 20


@check(
    Severity.NOTE,
    Needs.MANIFEST,
    looks_for="how many recordings, hours, speakers, sessions, devices and kinds there are",
    mend="Nothing to mend; compare it with what you expect.",
)
def counts(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Count what there is."""
    rows, hours, speakers, devices = data.one(
        "SELECT count(*), sum(duration_s) / 3600, count(DISTINCT speaker), count(DISTINCT device) FROM listed"
    )
    sessions = data.one("SELECT count(*) FROM (SELECT DISTINCT speaker, session FROM listed WHERE session NOT NULL)")
    by = {
        name: dict(data.all(f"SELECT {name}, count(*) FROM listed WHERE {name} NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"))
        for name in ("kind", "sex", "device")
    }
    values = {"recordings": rows, "hours": round(hours, 3), "speakers": speakers, "sessions": sessions}
    values |= {"devices": devices, "kinds": by["kind"], "sexes": by["sex"]}
    if 0 < devices <= 50:
        values["recordings_by_device"] = by["device"]
    kinds = joined((f"{count} {kind}" for kind, count in by["kind"].items()), most=12)
    what = (
        f"{recordings(rows)} ({kinds}), {hours:.2f} h, of {counted(speakers, 'speaker')} in "
        f"{counted(sessions, 'named session')} with {counted(devices, 'named device')}."
    )
    yield Found(data.no_files(), what, values)


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="speakers with far more or fewer recordings than the others, and rare kinds",
    mend="Record more of the rare ones, or let the sampler balance speakers and kinds; a speaker with one recording "
    "can be no target trial.",
)
def imbalance(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find speakers with many times the median or too few recordings, and kinds with a small share."""
    speakers = data.all("SELECT speaker, count(*) FROM listed GROUP BY speaker ORDER BY 2 DESC, 1")
    middle = median(count for _, count in speakers)
    many = [name for name, count in speakers if count > config.max_speaker_ratio * middle]
    if many:
        most = speakers[0][1]
        what = (
            f"More than {config.max_speaker_ratio:g} times the median of {middle:g} recordings: "
            f"{counted(len(many), 'speaker')}, {joined(many)} (most: {most})."
        )
        yield Found(data.no_files(), what, {"speakers": many[:SHOWN], "median": middle, "most": most})
    few = [name for name, count in speakers if count < config.min_speaker_recordings]
    if few:
        what = f"Fewer than {config.min_speaker_recordings} recordings: {counted(len(few), 'speaker')}, {joined(few)}."
        files = data.files(
            "SELECT number, NULL, NULL FROM listed WHERE speaker IN"
            " (SELECT speaker FROM listed GROUP BY speaker HAVING count(*) < ?) ORDER BY speaker, id",
            config.min_speaker_recordings,
        )
        yield Found(files, what, {"speakers": few[:SHOWN], "recordings": len(files)})
    kinds = data.all("SELECT kind, count(*) FROM listed GROUP BY kind ORDER BY 2, 1")
    total = sum(count for _, count in kinds)
    rare = {kind: count for kind, count in kinds if count < config.min_kind_share * total}
    if rare:
        named = joined(f"{kind} ({count})" for kind, count in rare.items())
        what = f"Less than {config.min_kind_share:.0%} of the recordings: {counted(len(rare), 'kind')}, {named}."
        yield Found(data.no_files(), what, {"kinds": rare, "recordings": total})
