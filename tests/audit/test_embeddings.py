from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vivavoce.audit.audit import audit
from vivavoce.audit.config import AuditConfig
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind

from .corpus import changed, clean_rows, manifest_of

QUICK = AuditConfig(skip=("near_duplicates", "two_speakers", "confounds"))


class Encoder:
    """Embeddings by file: the voice of `voices`, whatever the row's label says; counts what it was asked."""

    def __init__(self, voices: dict[str, str]) -> None:
        self.voices = voices
        self.asked: list[str] = []

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        self.asked += [row.id for row in rows]
        return np.stack([self.embedding(row) for row in rows])

    def embedding(self, row: Row) -> np.ndarray:
        voice = np.random.default_rng(sum(map(ord, self.voices[row.path.name]))).normal(size=32)
        vector = voice + 0.2 * np.random.default_rng(sum(map(ord, row.path.name))).normal(size=32)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, list[Row], Encoder]:
    rows = [changed(row, kind=Kind.LIVE, speaker="abcd"[n % 4] * 3) for n, row in enumerate(clean_rows(tmp_path, 16))]
    encoder = Encoder({row.path.name: row.speaker for row in rows})
    rows[6] = changed(rows[6], speaker="aaa")  # the voice is ccc's
    rows[9] = changed(rows[9], kind=Kind.REPLAY_STAND)
    return manifest_of(rows, tmp_path / "m.jsonl.gz"), rows, encoder


def test_a_label_on_anothers_voice_is_found(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, rows, encoder = corpus
    with audit(manifest, workers=1, config=QUICK, embed=encoder) as result:
        (finding,) = [one for one in result.findings if one.check == "other_voice"]
        assert [file.id for file in finding.files] == [rows[6].id]
        assert str(finding.files[0].value).startswith("like ccc")
    assert rows[9].id not in encoder.asked  # a loudspeaker changes a voice


def test_a_wrong_duration_does_not_stop_the_listening(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, rows, encoder = corpus
    manifest_of([replace(rows[0], duration_s=rows[0].duration_s + 30), *rows[1:]], manifest)
    heard: list[Row] = []
    with audit(manifest, workers=1, config=QUICK, embed=lambda asked: heard.extend(asked) or encoder(asked)) as result:
        assert "wrong_duration" in {one.check for one in result.findings}
    (first,) = [row for row in heard if row.id == rows[0].id]
    assert first.duration_s == pytest.approx(rows[0].duration_s)


def test_right_labels_are_no_finding(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, rows, encoder = corpus
    manifest_of([*rows[:6], changed(rows[6], speaker="ccc"), *rows[7:]], manifest)
    with audit(manifest, workers=1, config=QUICK, embed=encoder) as result:
        assert "other_voice" in result.checks
        assert "other_voice" not in {one.check for one in result.findings}


def test_a_named_model_hears_each_recording_once(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, rows, encoder = corpus
    found = []
    for _ in range(2):
        with audit(manifest, workers=1, config=QUICK, embed=encoder, model="m1") as result:
            found.append(result.to_dict()["findings"])
    assert found[0] == found[1]
    assert len(encoder.asked) == 15
    with audit(manifest, workers=1, config=QUICK, embed=encoder, model="m2"):
        assert len(encoder.asked) == 30
    rows[0].path.write_bytes(rows[4].path.read_bytes())
    with audit(manifest, workers=1, config=QUICK, embed=encoder, model="m1"):
        assert encoder.asked[30:] == [rows[0].id]


def test_an_unnamed_model_is_not_remembered(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, _, encoder = corpus
    for _ in range(2):
        audit(manifest, workers=1, config=QUICK, embed=encoder).close()
    assert len(encoder.asked) == 30


def test_without_live_recordings_nothing_is_said(corpus: tuple[Path, list[Row], Encoder]) -> None:
    manifest, rows, encoder = corpus
    manifest_of([changed(row, kind=Kind.TTS) for row in rows], manifest)
    with audit(manifest, workers=1, config=QUICK, embed=encoder) as result:
        assert "other_voice" not in {one.check for one in result.findings}
    assert encoder.asked == []
