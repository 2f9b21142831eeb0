import json
from pathlib import Path

import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.manifest import read_rows

from ..audit.corpus import changed, clean_rows, manifest_of
from ..tiny import Tiny, assert_refused, run_cli


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("audited")
    rows = clean_rows(folder, 8)
    return manifest_of(rows, folder / "m.jsonl.gz"), rows


def test_a_clean_corpus_ends_with_0(corpus: tuple[Path, list[Row]]) -> None:
    result = run_cli("audit", corpus[0], "--workers", 1)
    assert result.code == 0
    assert "0 errors, 0 warnings, 1 note." in result.out
    assert (corpus[0].parent / "m.audit.sqlite").is_file()


def test_errors_end_with_1_and_one_json_document(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    gone = [*corpus[1], changed(corpus[1][0], id="gone", path=tmp_path / "gone.wav")]
    manifest = manifest_of(gone, tmp_path / "m.jsonl.gz")
    result = run_cli("audit", manifest, "--workers", 1, "--json", "--html", tmp_path / "page.html")
    assert result.code == 1
    (finding,) = [one for one in result.json["findings"] if one["severity"] == "error"]
    assert finding["check"] == "missing_file"
    assert finding["files"] == [{"id": "gone", "path": str(tmp_path / "gone.wav")}]
    assert result.json["counts"]["error"] == 1
    assert "gone.wav" in (tmp_path / "page.html").read_text()


def test_people_see_the_first_files_and_the_count(corpus: tuple[Path, list[Row]]) -> None:
    words = ("audit", corpus[0], "--metadata-only", "--set", "min_duration_s=5", "--show", 2)
    result = run_cli(*words)
    assert result.code == 0
    assert "warning too_short" in result.out
    assert "clean001" in result.out
    assert "clean002" not in result.out
    assert "and 6 more" in result.out


def test_against_itself_everything_overlaps(corpus: tuple[Path, list[Row]]) -> None:
    result = run_cli("audit", corpus[0], "--against", corpus[0], "--metadata-only", "--json")
    assert result.code == 1
    assert {one["check"] for one in result.json["findings"]} >= {"overlap_speakers", "overlap_files"}


def test_the_checks_are_listed(corpus: tuple[Path, list[Row]]) -> None:
    result = run_cli("audit", "--list", "--json")
    assert result.code == 0
    names = [entry["check"] for entry in result.json]
    assert {"unreadable", "clipped", "near_duplicates", "confounds", "other_voice", "overlap_near"} <= set(names)
    assert all(entry["mend"] and entry["looks_for"] for entry in result.json)
    assert "near_duplicates" in run_cli("audit", "--list").out


def test_thresholds_from_a_file(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_text("skip: [counts]\nmin_speaker_recordings: 3\n")
    result = run_cli("audit", corpus[0], "--metadata-only", "--config", tmp_path / "audit.yaml", "--json")
    assert [one["check"] for one in result.json["findings"]] == ["imbalance"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--set", "min_duration=1"], ["min_duration", "did you mean min_duration_s?"]),
        (["--set", "max_clipped=2"], ["max_clipped"]),
        (["--set", "skip=[cliped]"], ["no check named cliped"]),
        (["--run", "nowhere", "--metadata-only"], ["--run", "--metadata-only"]),
        (["--run", "nowhere"], ["nowhere"]),
        (["--against", "none.jsonl.gz"], ["none.jsonl.gz"]),
        (["--config", "none.yaml"], ["none.yaml"]),
        (["--html", "{folder}/m.jsonl.gz/page.html"], ["page.html", "cannot be written"]),
        (["--state", "{folder}"], ["--state"]),
        (["--state", "{folder}/m.jsonl.gz"], ["--state"]),
    ],
)
def test_mistakes_end_in_one_sentence(corpus: tuple[Path, list[Row]], words: list[str], parts: list[str]) -> None:
    folder = str(corpus[0].parent)
    assert_refused(run_cli("audit", corpus[0], *[word.format(folder=folder) for word in words]), *parts)


def test_manifests_that_are_none(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    assert_refused(run_cli("audit"), "No manifest", "--list")
    assert_refused(run_cli("audit", tmp_path / "none.jsonl.gz"), "none.jsonl.gz")
    assert_refused(run_cli("audit", tmp_path / "table.csv"), "table.csv")
    (tmp_path / "empty.jsonl").touch()
    assert_refused(run_cli("audit", tmp_path / "empty.jsonl"), "empty.jsonl", "is empty")
    (tmp_path / "broken.jsonl").write_text('{"id": "a"')
    assert_refused(run_cli("audit", tmp_path / "broken.jsonl"), "broken.jsonl")


def test_a_run_listens_to_the_voices(tiny: Tiny, tmp_path: Path) -> None:
    words = ("audit", tiny.test, "--run", tiny.run, "--state", tmp_path / "s.sqlite", "--workers", 1, "--json")
    first = run_cli(*words)
    assert first.code in (0, 1), first.err
    assert "other_voice" in first.json["checks"]
    again = run_cli(*words)
    assert json.loads(again.out) | {"measured": 0} == json.loads(first.out) | {"measured": 0}
    assert first.json["measured"] == len(read_rows(tiny.test))
    assert again.json["measured"] == 0


def test_simulated_takes_of_one_recording_are_no_findings(tiny: Tiny, tmp_path: Path) -> None:
    result = run_cli("audit", tiny.train, "--state", tmp_path / "s.sqlite", "--workers", 1, "--json")
    checks = {one["check"] for one in result.json["findings"]}
    assert not checks & {"near_duplicates", "exact_duplicates", "two_speakers", "probe_missing", "probe_undeclared"}
    assert not [one for one in result.json["findings"] if one["severity"] == "error"], result.out
