"""Checks for one sound that is there more than once: sample by sample, or after coding, resampling, gain, trimming."""

import tempfile
from collections.abc import Iterator

import numpy as np

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import MAIN, OTHER, Data, recordings
from vivavoce.audit.duplicates import FingerprintIndex
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check

# Two rows that name one source recording are declared copies (simulated takes, augmented copies), kept together by the
# split; between two manifests they are reported all the same.
UNDECLARED = "(a.source IS NULL OR b.source IS NULL OR a.source <> b.source)"
UNDECLARED += " AND coalesce(a.source, '') <> b.id AND coalesce(b.source, '') <> a.id"


def seek_near(data: Data, config: AuditConfig) -> None:
    """Fill the table ``near`` with pairs of contents that sound alike, and ``heads`` with rows that stand for them.

    Done once an audit, by the first check that asks.
    """
    if data.one("SELECT count(*) FROM temp.sqlite_master WHERE name = 'heads'"):
        return
    data.db.execute(
        "CREATE TEMP TABLE heads AS SELECT side, content, speaker, source, id, number FROM (SELECT *, row_number() OVER"
        " (PARTITION BY side, content, speaker, source ORDER BY id, path, start_s) AS place FROM rows"
        " WHERE content NOT NULL) WHERE place = 1"
    )
    data.db.execute("CREATE INDEX temp.heads_content ON heads (content, side)")
    with tempfile.TemporaryDirectory(prefix="vivavoce-audit-") as folder:
        index = FingerprintIndex(folder, similarity=config.min_similarity)
        _add(index, data, MAIN)
        _save_pairs(data, index, across=False)
        if data.against is not None:
            _add(index, data, OTHER)
            _save_pairs(data, index, across=True)


def _add(index: FingerprintIndex, data: Data, side: int) -> None:
    contents = data.db.execute(
        "SELECT c.id, f.hashes FROM content c JOIN main.fingerprint f ON f.measurement = c.measured"
        " WHERE c.id IN (SELECT content FROM rows WHERE side = ?) ORDER BY c.id",
        (side,),
    )
    for content, hashes in contents:
        index.add(content, np.frombuffer(hashes, np.uint64), other=side == OTHER)


def _save_pairs(data: Data, index: FingerprintIndex, across: bool) -> None:
    # A content that is on both sides is an exact duplicate, which is another check's.
    rows = (
        (pair.first, pair.second, pair.similarity, int(across))
        for pair in index.pairs(across=across)
        if pair.first != pair.second
    )
    data.db.executemany("INSERT INTO near VALUES (?, ?, ?, ?)", rows)


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="recordings with the very same samples",
    mend="Keep one of each group: copies count twice in training and leak when a split parts them.",
)
def exact_duplicates(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose decoded samples are equal, beside the first of each group."""
    files = data.files(
        "SELECT number, NULL, first FROM (SELECT *, first_value(number) OVER (PARTITION BY content ORDER BY id, path,"
        " start_s) AS first FROM listed WHERE content IN (SELECT content FROM listed WHERE content NOT NULL"
        " GROUP BY content HAVING count(DISTINCT measured) > 1)) WHERE number <> first ORDER BY id, path"
    )
    if files:
        what = f"The same samples as in another recording: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.WARNING,
    Needs.SOUND,
    looks_for="recordings of one sound that differ in coding, rate, gain or trimming",
    mend="Keep one of each group, or name its original in `source`, so that a split keeps them together.",
    unit="similar",
)
def near_duplicates(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows that sound like another one which is not their declared source."""
    seek_near(data, config)
    files = data.files(
        "SELECT number, similarity, other FROM (SELECT b.number, n.similarity, a.number AS other, b.id, b.path,"
        " row_number() OVER (PARTITION BY b.number ORDER BY n.similarity DESC, a.id) AS place"
        " FROM near n JOIN heads a ON a.content = n.first AND a.side = 0 JOIN listed b ON b.content = n.second"
        f" WHERE n.across = 0 AND {UNDECLARED}) WHERE place = 1 ORDER BY similarity DESC, id, path"
    )
    if files:
        what = f"The same sound as in another recording, coded, resampled, trimmed or louder: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files), "limit": config.min_similarity})


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="one sound under the names of two speakers",
    mend="Find out who speaks and correct the label, or take both recordings out.",
    unit="similar",
)
def two_speakers(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose sound, or one that sounds the same, carries another speaker's name elsewhere."""
    seek_near(data, config)
    pairs = (
        "SELECT content AS one, content AS two, 1.0 AS similarity FROM heads WHERE side = 0 GROUP BY content"
        " HAVING count(DISTINCT speaker) > 1 UNION ALL SELECT first, second, similarity FROM near WHERE across = 0"
        " UNION ALL SELECT second, first, similarity FROM near WHERE across = 0"
    )
    files = data.files(
        "SELECT number, similarity, other FROM (SELECT b.number, p.similarity, a.number AS other, b.id, b.path,"
        " row_number() OVER (PARTITION BY b.number ORDER BY p.similarity DESC, a.id) AS place"
        f" FROM ({pairs}) p JOIN heads a ON a.content = p.one AND a.side = 0 JOIN listed b ON b.content = p.two"
        " WHERE a.speaker <> b.speaker) WHERE place = 1 ORDER BY similarity DESC, id, path"
    )
    if files:
        what = f"The same sound under two speakers: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})


@check(
    Severity.ERROR,
    Needs.SOUND,
    looks_for="the very same samples under two kinds, for instance live and replayed",
    mend="Correct the kind; no detector can learn from a recording that is called both.",
)
def two_kinds(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find rows whose samples carry another kind elsewhere."""
    again = "SELECT content FROM listed WHERE content NOT NULL GROUP BY content HAVING count(DISTINCT kind) > 1"
    files = data.files(f"SELECT number, kind, NULL FROM listed WHERE content IN ({again}) ORDER BY content, id, path")
    if files:
        what = f"The same samples under two kinds: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files)})
