"""The audit as one HTML page that needs nothing else, neither network nor scripts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vivavoce.audit.audit import AuditResult
from vivavoce.audit.found import FileRef
from vivavoce.audit.registry import CHECKS, Finding, Severity
from vivavoce.files import write_text
from vivavoce.pages import page_environment

TEMPLATE = "report.html.j2"
# Files of one finding in the page; a browser shows so many at once, and the JSON has them all.
MOST_FILES = 200
COUNTED = {"kinds": "Kind", "sexes": "Sex", "recordings_by_device": "Device"}


def write_report(result: AuditResult, path: Path | str) -> None:
    """Write the page, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    write_text(path, render_report(result))


def render_report(result: AuditResult, now: datetime | None = None) -> str:
    """Give the page as HTML text; everything from the corpus is escaped."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {"number": number, "value": value_text, "named": _named}
    concerned = {finding.check for finding in result.findings}
    return environment.get_template(TEMPLATE).render(
        r=result,
        date=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        severities=[(severity.value, _of(result.findings, severity)) for severity in Severity],
        tables=_tables(result.findings),
        most=MOST_FILES,
        quiet=[CHECKS[name] for name in result.checks if name not in concerned],
        left_out=[entry for name, entry in CHECKS.items() if name not in result.checks],
    )


def file_line(file: FileRef, unit: str = "") -> str:
    """Write a file of a finding on one line: id, figure, the other file, path."""
    parts = [file.id]
    if file.value is not None:
        parts.append(value_text(file.value, unit).removesuffix("."))
    if file.other is not None:
        parts.append(f"with {file.other}")
    return f"{', '.join(parts)}: {file.path}"


def value_text(value: float | str | None, unit: str = "") -> str:
    """Write a file's own figure with its unit; a reason in words as it is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    digits = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip().replace("-", "−")


def number(value: int) -> str:
    """Write a count with thin groups of three."""
    return f"{value:,}".replace(",", "\u202f")


def _named(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _of(findings: Sequence[Finding], severity: Severity) -> list[Finding]:
    return [finding for finding in findings if finding.severity is severity and finding.check != "counts"]


def _tables(findings: Sequence[Finding]) -> list[tuple[str, dict[str, int]]]:
    """What the corpus consists of, by the check that counts it."""
    values: dict[str, Any] = next((finding.values for finding in findings if finding.check == "counts"), {})
    return [(title, values[name]) for name, title in COUNTED.items() if values.get(name)]
