"""Every fault that can be planted into a clean corpus is found in it, and no clean recording is accused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vivavoce.audio import write_wav
from vivavoce.audit.audit import AuditResult, audit
from vivavoce.audit.registry import Severity
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind

from .corpus import RATE, manifest_of, recording, row_of
from .plant import CONFOUNDS, FAULTS, OVERLAPS, Field, confound, plant, with_meta

SPARE = 34  # clean recordings that stay as they are
SPEAKERS = 8


def clean_rows(folder: Path, name: str, count: int, seed: int, seconds: float = 2.6) -> list[Row]:
    """Recordings of invented speakers with full metadata, kinds by chance."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        path = folder / f"{name}{number:03d}.wav"
        write_wav(path, recording(seed + number, seconds), RATE)
        kind = (Kind.LIVE, Kind.REPLAY_STAND)[rng.integers(2)]
        rows.append(replace(row_of(path, number, kind=kind), speaker=f"{name}{number % SPEAKERS}"))
    return rows


def named(result: AuditResult) -> dict[str, set[str]]:
    """Ids that each check names."""
    ids: dict[str, set[str]] = {}
    for finding in result.findings:
        ids.setdefault(finding.check, set()).update(file.id for file in finding.files)
    return ids


def embed(rows: Sequence[Row]) -> np.ndarray:
    """Voices by who really speaks, which the name of the clean file that a row was made of says."""
    speakers = [int(row.id.split("-")[0].removeprefix("ours")) % SPEAKERS for row in rows]
    noise = [np.random.default_rng(list(row.id.encode())).normal(size=16) for row in rows]
    vectors = 5 * np.eye(16)[speakers] + np.stack(noise) * 0.5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("planted")
    return folder, clean_rows(folder / "clean", "ours", len(FAULTS) + SPARE, 0)


def test_every_fault_is_found_and_nothing_clean_is_accused(clean: tuple[Path, list[Row]]) -> None:
    folder, rows = clean
    rng = np.random.default_rng(1)
    site = Field(folder / "faults", rng, {row.id: row for row in rows})
    touched = plant(site, FAULTS, 1, [rows[place] for place in rng.permutation(len(rows))])
    manifest = manifest_of(list(site.rows.values()), folder / "faults.jsonl.gz")
    with audit(manifest, state=folder / "state.sqlite", workers=1, embed=embed) as result:
        found = named(result)
    missed = [planted for planted in site.plants if not planted.ids & found.get(planted.check, set())]
    assert {planted.fault for planted in site.plants} == set(FAULTS)
    assert not missed
    accused = {check: ids - touched for check, ids in found.items() if ids - touched}
    assert not accused


def test_every_overlap_of_two_manifests_is_found_and_none_where_there_is_none(tmp_path: Path) -> None:
    rows = clean_rows(tmp_path / "ours", "ours", len(OVERLAPS) + 2, 500)
    others = [
        with_meta(replace(row, text=f"other {row.text}"), phrase=f"other {row.meta.phrase}")
        for row in clean_rows(tmp_path / "theirs", "theirs", 6, 900)
    ]
    site = Field(tmp_path / "copies", np.random.default_rng(2), {r.id: r for r in rows}, {r.id: r for r in others})

    def findings() -> tuple[dict[str, set[str]], AuditResult]:
        manifest = manifest_of(list(site.rows.values()), tmp_path / "ours.jsonl.gz")
        against = manifest_of(list(site.other.values()), tmp_path / "theirs.jsonl.gz")
        with audit(manifest, against, state=tmp_path / "state.sqlite", workers=1) as result:
            return named(result), result

    before, result = findings()
    assert not any(check.startswith("overlap") for check in before)
    assert not result.counts[Severity.ERROR]
    plant(site, OVERLAPS, 1, rows)
    found, _ = findings()
    assert not [planted for planted in site.plants if not planted.ids & found.get(planted.check, set())]
    assert {planted.fault for planted in site.plants} == set(OVERLAPS)
    assert not found.get("overlap_near", set()) & {row.id for row in rows[len(OVERLAPS) :]}


@pytest.mark.parametrize("feature", CONFOUNDS)
def test_a_confound_is_named_and_no_other(feature: str, clean: tuple[Path, list[Row]]) -> None:
    folder, rows = clean
    site = Field(folder / "confound", np.random.default_rng(3), {row.id: row for row in rows})
    confound(site, feature)
    manifest = manifest_of(list(site.rows.values()), folder / "confound.jsonl.gz")
    with audit(manifest, state=folder / "state.sqlite", workers=1) as result:
        features = {finding.values["feature"] for finding in result.findings if finding.check == "confounds"}
    assert features - {"noise floor"} == {feature} - {"noise floor"}  # a lower level lowers the floor as well
    assert feature in features


def test_a_clean_corpus_has_no_confound(clean: tuple[Path, list[Row]]) -> None:
    folder, rows = clean
    manifest = manifest_of(rows, folder / "clean.jsonl.gz")
    with audit(manifest, state=folder / "state.sqlite", workers=1) as result:
        assert [finding.check for finding in result.findings] == ["counts"]
