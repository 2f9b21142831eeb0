"""The audit: measure what is new, run the checks, give the findings sorted by severity."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vivavoce.audit.checks  # noqa: F401 - importing it fills the registry
from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data
from vivavoce.audit.embeddings import Embed, embed_rows
from vivavoce.audit.registry import Check, Finding, Needs, Severity, chosen_checks
from vivavoce.audit.scan import measure_all
from vivavoce.audit.state import default_state, open_state
from vivavoce.corpus.manifest import check_name
from vivavoce.progress import progress_bar


@dataclass
class AuditResult:
    """What an audit found.

    The files of the findings are read from disk as they are asked for; close the result, or use it as a context, when
    it is no longer needed.

    Attributes:
        manifest: what was audited.
        against: the manifest it was compared with.
        findings: errors first, then warnings, then notes.
        checks: names of the checks that ran.
        recordings: rows of the manifest.
        hours: their length in all, as the manifest says.
        measured: recordings that had to be decoded; the others were known from an earlier audit.
    """

    manifest: Path
    against: Path | None
    findings: list[Finding]
    checks: list[str]
    recordings: int
    hours: float
    measured: int
    _open: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each severity."""
        seen = Counter(finding.severity for finding in self.findings)
        return {severity.value: seen[severity] for severity in Severity}

    @property
    def clean(self) -> bool:
        """Nothing of severity error was found."""
        return not self.counts[Severity.ERROR.value]

    def close(self) -> None:
        """Let go of the state; the files of the findings cannot be read any more."""
        self._open.close()

    def __enter__(self) -> "AuditResult":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def to_dict(self) -> dict[str, Any]:
        """Return everything, with all files, as plain values."""
        return {
            "manifest": str(self.manifest),
            "against": str(self.against) if self.against else None,
            "recordings": self.recordings,
            "hours": round(self.hours, 4),
            "measured": self.measured,
            "checks": self.checks,
            "counts": self.counts,
            "findings": [
                {
                    "check": finding.check,
                    "severity": finding.severity.value,
                    "what": finding.what,
                    "mend": finding.mend,
                    "values": finding.values,
                    "unit": finding.unit,
                    "files": [
                        {name: value for name, value in file._asdict().items() if value is not None}
                        for file in finding.files
                    ],
                }
                for finding in self.findings
            ],
        }


def audit(
    manifest: Path | str,
    against: Path | str | None = None,
    *,
    state: Path | None = None,
    workers: int = 2,
    config: AuditConfig | None = None,
    metadata_only: bool = False,
    embed: Embed | None = None,
    model: str = "",
) -> AuditResult:
    """Look for everything that is wrong with a corpus.

    Args:
        manifest: what to audit.
        against: another manifest, which must not overlap with it.
        state: where measurements are kept; None: beside the manifest. It is not used by ``metadata_only``.
        workers: processes that measure.
        config: thresholds.
        metadata_only: read the manifests alone, no sound file.
        embed: gives unit-length voice embeddings ``(rows, dimensions)`` of rows, for the check of other voices.
        model: name of what ``embed`` computes with; embeddings are kept under it. Empty: they are not kept.

    Raises:
        UserError: a manifest cannot be read, the state cannot be written, or the config names an unknown check.
    """
    manifest, against = Path(manifest), None if against is None else Path(against)
    config = config or AuditConfig()
    checks = chosen_checks(config.skip, _at_hand(against is not None, metadata_only, embed is not None))
    check_name(manifest)
    with ExitStack() as opened:
        db = opened.enter_context(open_state(None if metadata_only else state or default_state(manifest)))
        data = Data(db, manifest, against)
        measured = 0 if metadata_only else measure_all(data, workers)
        if any(entry.needs is Needs.VOICES for entry in checks) and embed is not None:
            data.embeddings = opened.enter_context(embed_rows(data, embed, model))
        findings = list(_run(checks, data, config))
        recordings, seconds = data.one("SELECT count(*), sum(duration_s) FROM listed")
        return AuditResult(
            manifest, against, findings, [entry.name for entry in checks], recordings, seconds / 3600, measured,
            opened.pop_all(),
        )  # fmt: skip


def _at_hand(against: bool, metadata_only: bool, voices: bool) -> set[Needs]:
    given = {Needs.MANIFEST}
    if against:
        given.add(Needs.OTHER)
    if not metadata_only:
        given |= {Needs.SOUND} | ({Needs.OTHER_SOUND} if against else set()) | ({Needs.VOICES} if voices else set())
    return given


def _run(checks: Sequence[Check], data: Data, config: AuditConfig) -> Iterator[Finding]:
    with progress_bar("Checking", len(checks)) as advance:
        for entry in checks:
            yield from entry.run(data, config)
            data.db.commit()  # lets go of the state, which another audit may be waiting to write
            advance(1)
