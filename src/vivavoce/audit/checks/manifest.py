"""Checks of what a manifest says, without its sound files."""

from collections.abc import Iterator

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import OPTIONAL, Data, counted, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check


@check(
    Severity.ERROR,
    Needs.MANIFEST,
    looks_for="one id for several recordings",
    mend="Give every recording its own id; nothing else can tell them apart.",
)
def repeated_ids(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find ids that several rows use."""
    again = "SELECT id FROM listed GROUP BY id HAVING count(*) > 1"
    files = data.files(f"SELECT number, NULL, NULL FROM listed WHERE id IN ({again}) ORDER BY id, path, start_s")
    if files:
        ids = data.one(f"SELECT count(*) FROM ({again})")
        what = f"Not unique: {counted(ids, 'id')} of {recordings(len(files))}."
        yield Found(files, what, {"ids": ids, "recordings": len(files)})


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="one span of one sound file listed more than once",
    mend="Take the repeated rows out: they count twice in training and make trials of a recording with itself.",
)
def repeated_spans(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows that name the same span of the same channel of the same file."""
    span = "path, channel, start_s, duration_s"
    files = data.files(
        f"SELECT b.number, NULL, a.number FROM listed b JOIN (SELECT min(number) AS number, {span} FROM listed"
        f" GROUP BY {span} HAVING count(*) > 1) a USING ({span}) WHERE b.number <> a.number ORDER BY b.path, b.id"
    )
    if files:
        what = f"A span of sound that an earlier row already names: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="several sample rates in one manifest",
    mend="Resample all recordings to one rate, or keep the rates equally frequent in every kind and split: a model "
    "tells the rates apart by the missing upper band.",
    unit="Hz",
)
def mixed_rates(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find more than one sample rate; the files are those that do not have the most frequent one."""
    rates = dict(data.all("SELECT sample_rate, count(*) FROM listed GROUP BY sample_rate ORDER BY 2 DESC, 1 DESC"))
    if len(rates) < 2:
        return
    usual = next(iter(rates))
    rest = data.files(
        "SELECT number, sample_rate, NULL FROM listed WHERE sample_rate <> ? ORDER BY sample_rate, id, path", usual
    )
    shares = ", ".join(f"{count} at {rate} Hz" for rate, count in rates.items())
    yield Found(rest, f"The recordings have {len(rates)} sample rates: {shares}.", {"rates_hz": _named(rates)})


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="recordings too short to hold a word",
    mend="Take them out, or lower min_duration_s if they are meant to be so short.",
    unit="s",
)
def too_short(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings under ``min_duration_s``."""
    what = "Shorter than {limit:g} s (the shortest: {worst:.3g} s)"
    limit = config.min_duration_s
    yield from data.flag("duration_s < ?", limit, figure="duration_s", what=what, table="listed", lowest=True)


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="recordings too long for a phrase",
    mend="Cut them into utterances, or raise max_duration_s if they are meant to be so long.",
    unit="s",
)
def too_long(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find recordings over ``max_duration_s``."""
    what = "Longer than {limit:g} s (the longest: {worst:.1f} s)"
    yield from data.flag("duration_s > ?", config.max_duration_s, figure="duration_s", what=what, table="listed")


@check(
    Severity.NOTE,
    Needs.MANIFEST,
    looks_for="metadata that is missing in all or in some recordings",
    mend="Fill the fields in from the recording protocol: splits are grouped by session, reports broken down by "
    "device, sex, posture and distance, and attacks judged by the declared probe.",
)
def metadata_gaps(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find fields that rows lack; where only some lack one, these are the files."""
    counts = ", ".join(f"sum({name} IS NULL OR {name} = '')" for name in OPTIONAL)
    total, *missing = data.one(f"SELECT count(*), {counts} FROM listed")
    nowhere = [name for name, lacking in zip(OPTIONAL, missing, strict=True) if lacking == total]
    if nowhere:
        what = f"No recording says its {', '.join(nowhere)}."
        yield Found(data.no_files(), what, {"fields": nowhere, "recordings": total})
    for name, lacking in zip(OPTIONAL, missing, strict=True):
        if 0 < lacking < total:
            files = data.files(
                f"SELECT number, NULL, NULL FROM listed WHERE {name} IS NULL OR {name} = '' ORDER BY id, path"
            )
            what = f"No {name}: {lacking} of {total} recordings."
            yield Found(files, what, {"fields": [name], "recordings": lacking, "share": round(lacking / total, 4)})


def _named(counts: dict[int, int]) -> dict[str, int]:
    return {str(name): count for name, count in counts.items()}
