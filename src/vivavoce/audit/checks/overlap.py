"""Checks of what two manifests share that should share nothing, such as training and test."""

from collections.abc import Iterator

from vivavoce.audit.checks.copies import seek_near
from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import MAIN, OTHER, Data, counted, joined, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check

SHOWN = 20
APART = "Split again with `vivavoce split`, which keeps them apart; figures on such a test split promise too much."


def _shared(data: Data, columns: str, word: str) -> Iterator[Found]:
    both = (
        f"SELECT {columns} FROM rows WHERE side = {MAIN} AND {columns.split(', ')[-1]} NOT NULL INTERSECT"
        f" SELECT {columns} FROM rows WHERE side = {OTHER}"
    )
    count = data.one(f"SELECT count(*) FROM ({both})")
    if not count:
        return
    some = [" ".join(map(str, names)) for names in data.all(f"{both} ORDER BY {columns} LIMIT {SHOWN}")]
    files = data.files(
        f"SELECT number, NULL, NULL FROM listed WHERE ({columns}) IN ({both}) ORDER BY speaker, id, path"
    )
    shown = joined(some) if count <= SHOWN else f"{', '.join(some[:5])} and {count - 5} more"
    what = f"{counted(count, word)} in both manifests ({shown}): {recordings(len(files))}."
    yield Found(files, what, {f"{word}s": count, "names": some, "recordings": len(files)})


@check(Severity.ERROR, Needs.OTHER, looks_for="speakers that are in both manifests", mend=APART)
def overlap_speakers(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find speakers of both manifests."""
    yield from _shared(data, "speaker", "speaker")


@check(Severity.ERROR, Needs.OTHER, looks_for="sessions of a speaker that are in both manifests", mend=APART)
def overlap_sessions(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find sessions of both manifests; a session is a speaker's own, so that names such as s1 may repeat."""
    yield from _shared(data, "speaker, session", "session")


@check(
    Severity.NOTE,
    Needs.OTHER,
    looks_for="phrases that are in both manifests",
    mend="Nothing, where all speak the same phrases; else keep some phrases for the test alone.",
)
def overlap_phrases(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Count phrases, or texts where phrases are not named, of both manifests."""
    sides = "SELECT DISTINCT coalesce(phrase, text) FROM rows WHERE side = {} AND coalesce(phrase, text) NOT NULL"
    both = data.one(f"SELECT count(*) FROM ({sides.format(MAIN)} INTERSECT {sides.format(OTHER)})")
    if both:
        total = data.one(f"SELECT count(*) FROM ({sides.format(MAIN)})")
        what = f"In both manifests: {both} of {counted(total, 'phrase')}."
        yield Found(data.no_files(), what, {"phrases": both, "of": total})


@check(Severity.ERROR, Needs.OTHER, looks_for="spans of one sound file in both manifests", mend=APART)
def overlap_files(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows that share a part of a channel of a sound file with a row of the other manifest."""
    files = data.files(
        "SELECT a.number, NULL, min(b.number) FROM listed a JOIN rows b ON b.path = a.path AND b.channel = a.channel"
        f" WHERE b.side = {OTHER} AND a.start_s < b.start_s + b.duration_s AND b.start_s < a.start_s + a.duration_s"
        " GROUP BY a.number ORDER BY a.id, a.path"
    )
    if files:
        what = f"The same part of a sound file in both manifests: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(Severity.ERROR, Needs.OTHER, looks_for="recordings made from one source in both manifests", mend=APART)
def overlap_sources(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose declared source, or whose copies, are in the other manifest."""
    made = "SELECT coalesce(source, id) FROM rows WHERE side = ?"
    files = data.files(
        f"SELECT number, source, NULL FROM listed WHERE source IN ({made}) OR id IN"
        " (SELECT source FROM rows WHERE side = ? AND source NOT NULL) ORDER BY id, path",
        OTHER,
        OTHER,
    )
    if files:
        what = f"Made from a recording that the other manifest also holds or was made from: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(Severity.ERROR, Needs.OTHER_SOUND, looks_for="the very same samples in both manifests", mend=APART)
def overlap_exact(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose samples are in the other manifest, whatever the file is called."""
    files = data.files(
        "SELECT number, NULL, other FROM (SELECT a.number, b.number AS other, a.id, a.path, row_number() OVER"
        " (PARTITION BY a.number ORDER BY b.id, b.path) AS place FROM listed a JOIN rows b ON b.content = a.content"
        f" WHERE b.side = {OTHER}) WHERE place = 1 ORDER BY id, path"
    )
    if files:
        what = f"The same samples in both manifests: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.ERROR,
    Needs.OTHER_SOUND,
    looks_for="recordings of one sound in both manifests that differ in coding, rate, gain or trimming",
    mend=APART,
    unit="similar",
)
def overlap_near(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows that sound like one of the other manifest."""
    seek_near(data, config)
    files = data.files(
        "SELECT number, similarity, other FROM (SELECT a.number, n.similarity, b.number AS other, a.id, a.path,"
        " row_number() OVER (PARTITION BY a.number ORDER BY n.similarity DESC, b.id) AS place"
        f" FROM near n JOIN listed a ON a.content = n.first JOIN heads b ON b.content = n.second AND b.side = {OTHER}"
        " WHERE n.across = 1) WHERE place = 1 ORDER BY similarity DESC, id, path"
    )
    if files:
        what = f"The same sound, coded, resampled, trimmed or louder, in both manifests: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files), "limit": config.min_similarity})
