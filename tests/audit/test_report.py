import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vivavoce.audit.audit import AuditResult, audit
from vivavoce.audit.found import FileRef
from vivavoce.audit.report import MOST_FILES, file_line, render_report, value_text, write_report
from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError

from .corpus import changed, manifest_of


@pytest.fixture
def result(clean: tuple[Path, list[Row]], tmp_path: Path) -> AuditResult:
    rows = [changed(row, id=f"<b>{row.id}", session=None if number else "s1") for number, row in enumerate(clean[1])]
    rows[3] = changed(rows[3], speaker="<script>alert(1)</script>")
    many = [changed(rows[5], id=f"many{number}", start_s=number / 1000, duration_s=0.2) for number in range(250)]
    return audit(manifest_of([*rows, *many], tmp_path / "a & b.jsonl.gz"), metadata_only=True)


def test_the_page_needs_no_network_and_no_script(result: AuditResult) -> None:
    page = render_report(result)
    assert not re.search(r"(src|href)\s*=|url\(|@import|https?://|<script|<link", page)
    assert "prefers-color-scheme: dark" in page


def test_the_page_escapes_what_the_corpus_says(result: AuditResult) -> None:
    page = render_report(result)
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>clean" not in page
    assert "a &amp; b.jsonl.gz" in page


def test_the_page_names_every_finding_and_every_other_check(result: AuditResult) -> None:
    page = render_report(result, datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    for finding in result.findings:
        if finding.check != "counts":
            assert finding.mend.split("'")[0] in page
    for name in ("Clipped", "Overlap speakers", "Mixed rates", "Too short"):
        assert name in page
    assert "2026-01-02 03:04 UTC" in page


def test_the_page_shows_the_first_files_of_many(result: AuditResult) -> None:
    page = render_report(result)
    (short,) = [finding for finding in result.findings if finding.check == "too_short"]
    assert len(short.files) == 250 > MOST_FILES
    assert f"250 recordings, the first {MOST_FILES} of them" in page
    assert page.count('<td class="id">many') >= MOST_FILES


def test_a_clean_corpus_gives_a_page_too(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    with audit(clean[0], metadata_only=True) as result:
        write_report(result, tmp_path / "page.html")
    assert "Is this corpus fit to train on?" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_refused(result: AuditResult, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_report(result, tmp_path / "file" / "page.html")


@pytest.mark.parametrize(
    ("file", "unit", "line"),
    [
        (FileRef("a", "a.wav"), "s", "a: a.wav"),
        (FileRef("a", "a.wav", -61.234), "dBFS", "a, −61.2 dBFS: a.wav"),
        (FileRef("a", "a.wav", 44_100), "Hz", "a, 44100 Hz: a.wav"),
        (FileRef("a", "a.wav", 0.91, "b"), "similar", "a, 0.91 similar, with b: a.wav"),
        (FileRef("a", "a.wav", "The file is empty."), "", "a, The file is empty: a.wav"),
    ],
)
def test_a_file_on_one_line(file: FileRef, unit: str, line: str) -> None:
    assert file_line(file, unit) == line


def test_no_figure_is_no_text() -> None:
    assert value_text(None, "s") == ""


def test_files_are_a_sequence(result: AuditResult) -> None:
    (short,) = [finding for finding in result.findings if finding.check == "too_short"]
    everything = list(short.files)
    assert [short.files[0], short.files[-1], short.files[249]] == [everything[0], everything[-1], everything[249]]
    assert short.files[3:9:2] == everything[3:9:2]
    assert short.files[::-1] == everything[::-1]
    with pytest.raises(IndexError):
        short.files[250]
