"""Near copies, and what two manifests share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from vivavoce.audio import write_wav
from vivavoce.audit.audit import AuditResult, audit
from vivavoce.audit.found import FileRef
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind

from .corpus import PROBE, RATE, changed, clean_rows, low_passed, manifest_of, recording, row_of, voice

SECONDS = 3.0


def files(result: AuditResult, check: str) -> list[FileRef]:
    return [file for finding in result.findings if finding.check == check for file in finding.files]


def write(folder: Path, name: str, wave: np.ndarray, number: int = 0, rate: int = RATE, **meta: object) -> Row:
    folder.mkdir(exist_ok=True)
    write_wav(folder / f"{name}.wav", wave, rate)
    return row_of(folder / f"{name}.wav", number, **meta)


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gain": lambda wave: 0.3 * wave,
    "trimmed": lambda wave: wave[20_000:-10_000],
    "low-passed": lambda wave: low_passed(wave, 4_000),
    "resampled": lambda wave: soxr.resample(soxr.resample(wave, RATE, 16_000), 16_000, RATE),
}


@pytest.fixture
def originals(tmp_path: Path) -> list[Row]:
    rows = []
    for number in range(6):
        wave = voice(600 + number, SECONDS) + PROBE.waveform(RATE, round(SECONDS * RATE))
        rows.append(write(tmp_path / "originals", f"o{number}", wave, number))
    return rows


def copied(row: Row, name: str, folder: Path, **meta: object) -> Row:
    wave = voice(600 + int(row.id[1:]), SECONDS)
    made = write(folder, f"{name}-{row.id}", COPIES[name](wave), probe_hz=(), kind=Kind.PROBE_ABSENT)
    return changed(made, speaker=row.speaker, **meta)


@pytest.mark.parametrize("name", COPIES)
def test_a_near_copy_is_found_beside_its_original(name: str, originals: list[Row], tmp_path: Path) -> None:
    copy = copied(originals[1], name, tmp_path / "copies")
    with audit(manifest_of([*originals, copy], tmp_path / "m.jsonl.gz"), workers=1) as result:
        (file,) = files(result, "near_duplicates")
        assert {file.id, file.other} == {copy.id, originals[1].id}
        assert not files(result, "two_speakers")


def test_a_declared_copy_is_no_finding(originals: list[Row], tmp_path: Path) -> None:
    copy = copied(originals[1], "gain", tmp_path / "copies", source=originals[1].id)
    twin = copied(originals[1], "trimmed", tmp_path / "copies", source=originals[1].id)
    with audit(manifest_of([*originals, copy, twin], tmp_path / "m.jsonl.gz"), workers=1) as result:
        assert not files(result, "near_duplicates")


def test_a_near_copy_under_another_name_is_an_error(originals: list[Row], tmp_path: Path) -> None:
    copy = changed(copied(originals[1], "gain", tmp_path / "copies", source=originals[1].id), speaker="someone else")
    with audit(manifest_of([*originals, copy], tmp_path / "m.jsonl.gz"), workers=1) as result:
        assert {file.id for file in files(result, "two_speakers")} == {copy.id, originals[1].id}
        assert not result.clean


def test_two_manifests_with_nothing_in_common(originals: list[Row], tmp_path: Path) -> None:
    others = [
        changed(row, speaker=f"other {row.speaker}", text=f"other {row.text}", phrase=f"other {row.meta.phrase}")
        for row in clean_rows(tmp_path / "others", 4, seed=700)
    ]
    ours = manifest_of(originals, tmp_path / "a.jsonl.gz")
    with audit(ours, manifest_of(others, tmp_path / "b.jsonl.gz"), workers=1) as result:
        assert not [finding.check for finding in result.findings if finding.check.startswith("overlap")]
        assert "overlap_near" in result.checks


def test_what_two_manifests_share_is_found(originals: list[Row], tmp_path: Path) -> None:
    write_wav(tmp_path / "same.wav", voice(602, SECONDS) + PROBE.waveform(RATE, round(SECONDS * RATE)), RATE)
    theirs = [
        changed(row_of(tmp_path / "same.wav", 0), speaker="a stranger"),  # o2 under another name and path
        changed(copied(originals[3], "low-passed", tmp_path / "copies"), speaker="a second stranger"),
        changed(originals[4], id="renamed", speaker="a third stranger", start_s=1.0, duration_s=1.5),
        changed(write(tmp_path / "n", "n", recording(800)), speaker=originals[5].speaker, session="another"),
        changed(write(tmp_path / "n", "made", recording(801)), speaker="a fourth stranger", source="o0"),
    ]
    ours, other = manifest_of(originals, tmp_path / "a.jsonl.gz"), manifest_of(theirs, tmp_path / "b.jsonl.gz")
    with audit(ours, other, workers=1) as result:
        assert [(file.id, file.other) for file in files(result, "overlap_exact")] == [("o2", "same")]
        assert ("o3", theirs[1].id) in [(file.id, file.other) for file in files(result, "overlap_near")]
        assert {file.id for file in files(result, "overlap_near")} <= {"o3", "o4"}
        assert [(file.id, file.other) for file in files(result, "overlap_files")] == [("o4", "renamed")]
        assert {file.id for file in files(result, "overlap_speakers")} == {"o1", "o5"}  # speaker1 has two
        assert not files(result, "overlap_sessions")
        assert [file.id for file in files(result, "overlap_sources")] == ["o0"]
        (phrases,) = [finding for finding in result.findings if finding.check == "overlap_phrases"]
        assert phrases.values == {"phrases": 2, "of": 3}
        assert len(files(result, "near_duplicates")) == 0  # the other manifest's own faults are not this one's


def test_sessions_are_a_speakers_own(originals: list[Row], tmp_path: Path) -> None:
    theirs = [changed(write(tmp_path / "n", "n", recording(800)), speaker=originals[5].speaker)]
    ours, other = manifest_of(originals, tmp_path / "a.jsonl.gz"), manifest_of(theirs, tmp_path / "b.jsonl.gz")
    with audit(ours, other, metadata_only=True) as result:
        assert {file.id for file in files(result, "overlap_sessions")} == {"o1", "o5"}
    theirs = [changed(theirs[0], speaker="a stranger")]  # the session's name alone says nothing
    with audit(ours, manifest_of(theirs, other), metadata_only=True) as result:
        assert not files(result, "overlap_sessions")


def test_a_manifest_against_itself_overlaps_wholly(originals: list[Row], tmp_path: Path) -> None:
    ours = manifest_of(originals, tmp_path / "a.jsonl.gz")
    with audit(ours, ours, workers=1) as result:
        for check in ("overlap_speakers", "overlap_sessions", "overlap_files", "overlap_exact"):
            assert {file.id for file in files(result, check)} == {row.id for row in originals}
        assert not files(result, "overlap_near")
