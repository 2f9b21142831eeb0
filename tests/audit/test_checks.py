"""Every check finds what was planted for it, and nothing else; on a clean corpus none says anything."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from vivavoce.audio import audio_info, write_wav
from vivavoce.audit.audit import AuditResult, audit
from vivavoce.audit.config import AuditConfig
from vivavoce.audit.registry import CHECKS, Severity, chosen_checks
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError

from .corpus import PROBE, RATE, SECONDS, changed, clean_rows, low_passed, manifest_of, recording, row_of, voice


def found(result: AuditResult) -> dict[str, set[str]]:
    """Ids of the files of each check that found something."""
    ids: dict[str, set[str]] = {}
    for finding in result.findings:
        ids.setdefault(finding.check, set()).update(file.id for file in finding.files)
    return ids


def test_a_clean_corpus_has_nothing_but_its_counts(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    with audit(clean[0], state=tmp_path / "s.sqlite", workers=1) as result:
        assert [finding.check for finding in result.findings] == ["counts"]
        assert result.clean
        assert result.measured == result.recordings == 16


@dataclass
class Planted:
    """Rows with faults, and the ids that each check should name."""

    folder: Path
    rows: list[Row] = field(default_factory=list)
    truth: dict[str, set[str]] = field(default_factory=dict)

    def add(self, check: str, wave: np.ndarray, name: str = "", rate: int = RATE, **meta: object) -> Row:
        """A sound with a fault."""
        name = name or f"{check}{len(self.truth.get(check, ()))}"
        path = self.folder / f"{name}.wav"
        sf.write(path, wave.astype(np.float32), rate, subtype="PCM_16")
        row = row_of(path, len(self.rows), **meta)
        self.rows.append(row)
        self.truth.setdefault(check, set()).add(row.id)
        return row

    def change(self, check: str, row: Row, **values: object) -> None:
        """Change a row that is already there."""
        self.rows[self.rows.index(row)] = changed(row, **values)
        self.truth.setdefault(check, set()).add(str(values.get("id", row.id)))


def plant_sound(plant: Planted) -> None:
    seeds = iter(range(1000, 2000))

    no_probe = {"probe_hz": (), "kind": Kind.PROBE_ABSENT}

    def wave(seconds: float = SECONDS) -> np.ndarray:
        return recording(next(seeds), seconds)

    plant.add("clipped", np.clip(12 * voice(next(seeds)), -1, 1), **no_probe)
    plant.add("clipped", 0.3 * np.clip(12 * voice(next(seeds)), -1, 1), **no_probe)  # turned down afterwards
    plant.add("dc_offset", wave() + 0.03)
    plant.add("dc_offset", wave() - 0.02)
    plant.add("low_level", 0.01 * voice(next(seeds)), **no_probe)
    plant.add("silent", np.zeros(RATE), **no_probe)
    plant.add("silent", 3e-5 * np.random.default_rng(0).normal(size=RATE), **no_probe)
    plant.add("too_short", wave(0.4)[:18_000])  # too short to tell whether its probe is there
    gap = wave()
    gap[30_000:31_000] = 0
    plant.add("dropouts", gap)
    early = np.concatenate([2e-4 * np.random.default_rng(1).normal(size=round(2.05 * RATE)), voice(next(seeds))])
    plant.add("edge_silence", early + PROBE.waveform(RATE, len(early)))
    plant.add("edge_silence", early[::-1] + PROBE.waveform(RATE, len(early)))


def plant_probe(plant: Planted) -> None:
    rng = np.random.default_rng(7)
    plant.add("probe_missing", low_passed(recording(2000), 15_000))
    plant.add("probe_missing", soxr.resample(recording(2007), RATE, 16_000), rate=16_000)
    plant.add("probe_undeclared", recording(2001), probe_hz=(), kind=Kind.PROBE_ABSENT)
    weak = voice(2002) + 0.003 * PROBE.waveform(RATE, round(SECONDS * RATE)) + 1e-4 * rng.normal(size=RATE * 8 // 5)
    plant.add("probe_weak", weak)
    plant.truth["between_tones"] = {"probe_weak0"}  # so weak that the noise between the tones is as strong
    time_s = np.arange(round(SECONDS * RATE)) / RATE
    gap_hz = next(f + 100 for f, after in pairwise(PROBE.tones_hz) if after - f >= 200)
    plant.add("between_tones", recording(2003) + 0.02 * np.cos(2 * np.pi * gap_hz * time_s))
    other = sum(np.cos(2 * np.pi * f * (1 + 30e-6) * time_s) for f in PROBE.tones_hz) * PROBE.amplitude
    plant.add("probe_clock", voice(2004) + other, kind=Kind.LIVE)
    plant.add("fine", voice(2005) + other, kind=Kind.REPLAY_STAND)  # an attack's clock may be anybody's
    plant.add("fine", low_passed(recording(2006), 15_000), kind=Kind.PROBE_ABSENT)


def plant_files(plant: Planted) -> None:
    for number in range(3):
        row = plant.add("truncated", recording(3000 + number), name=f"truncated{number}")
        row.path.write_bytes(row.path.read_bytes()[: -2000 * (number + 1)])
    row = plant.add("unreadable", recording(3010), name="truncated-by-name")
    row.path.write_bytes(b"this is no sound " * 100)
    row = plant.add("unreadable", recording(3011))
    row.path.write_bytes(b"")
    row = plant.add("missing_file", recording(3012))
    row.path.unlink()
    row = plant.add("wrong_duration", recording(3013))
    write_wav(row.path, recording(3013)[:60_000], RATE)  # the file was cut after the import
    row = plant.add("wrong_duration", recording(3014))
    write_wav(row.path, np.concatenate([recording(3014), recording(3014)]), RATE)
    row = plant.add("wrong_duration", recording(3015))
    plant.change("wrong_duration", row, start_s=5.0)  # outside of the file
    row = plant.add("wrong_rate", recording(3016))
    write_wav(row.path, soxr.resample(recording(3016), RATE, 44_100), 44_100)


def plant_rows(plant: Planted) -> None:
    row = plant.add("mixed_rates", voice(4000, rate=16_000), rate=16_000, probe_hz=None)
    plant.truth["mixed_rates"].add("probe_missing1")
    plant.truth["metadata_gaps"] = {row.id}
    row = plant.add("metadata_gaps", recording(4001))
    plant.change("metadata_gaps", row, session=None)
    twin = plant.add("repeated_spans", recording(4002))
    plant.rows.append(replace(twin, id="again"))
    plant.truth["repeated_spans"] = {"again"}
    plant.change("too_long", plant.add("too_long", recording(4003, 4.0)))


def plant_copies(plant: Planted) -> None:
    original = recording(5000)
    row = plant.add("original", original)
    copy = plant.add("exact_duplicates", original, name="zz-copy")
    plant.change("same speaker", copy, speaker=row.speaker, kind=row.meta.kind)
    first = plant.add("two_speakers", recording(5001), kind=Kind.LIVE)
    second = plant.add("two_speakers", recording(5001), kind=Kind.LIVE)
    plant.change("two_speakers", second, speaker=f"not {first.speaker}")
    plant.truth["exact_duplicates"].add(second.id)
    live = plant.add("two_kinds", recording(5002), kind=Kind.LIVE)
    replayed = plant.add("two_kinds", recording(5002), kind=Kind.REPLAY_STAND)
    plant.change("two_kinds", replayed, speaker=live.speaker)
    plant.truth["exact_duplicates"].add(replayed.id)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    plant = Planted(folder, clean_rows(folder, 8))
    plant_sound(plant)
    plant_probe(plant)
    plant_files(plant)
    plant_rows(plant)
    plant_copies(plant)
    manifest_of(plant.rows, folder / "m.jsonl.gz")
    return plant


@pytest.fixture(scope="module")
def result(planted: Planted) -> AuditResult:
    return audit(planted.folder / "m.jsonl.gz", workers=1, config=AuditConfig(max_duration_s=3.9))


FILE_CHECKS = sorted({
    "clipped", "dc_offset", "low_level", "silent", "too_short", "too_long", "dropouts", "edge_silence", "mixed_rates",
    "probe_missing", "probe_undeclared", "probe_weak", "between_tones", "probe_clock", "truncated", "unreadable",
    "missing_file", "wrong_duration", "wrong_rate", "metadata_gaps", "repeated_spans", "exact_duplicates",
    "two_speakers", "two_kinds",
})  # fmt: skip


@pytest.mark.parametrize("check", FILE_CHECKS)
def test_a_check_finds_exactly_what_was_planted(check: str, planted: Planted, result: AuditResult) -> None:
    assert found(result).get(check, set()) == planted.truth[check]


def test_findings_are_sorted_by_severity_and_say_how_to_mend(result: AuditResult) -> None:
    order = [list(Severity).index(finding.severity) for finding in result.findings]
    assert order == sorted(order)
    assert not result.clean
    for finding in result.findings:
        assert finding.what.endswith(".")
        assert finding.mend.endswith(".")
        assert "{" not in finding.what
        assert finding.severity is CHECKS[finding.check].severity


def test_files_come_worst_first_with_their_figure(result: AuditResult) -> None:
    for check in ("clipped", "dc_offset", "edge_silence"):
        (finding, *_) = [one for one in result.findings if one.check == check]
        values = [file.value for file in finding.files]
        assert values == sorted(values, reverse=True)
        assert finding.values["worst"] == values[0]
    (finding,) = [one for one in result.findings if one.check == "low_level"]
    assert finding.files[0].value == pytest.approx(finding.values["worst"])


def test_a_copy_names_its_original(result: AuditResult) -> None:
    (finding,) = [one for one in result.findings if one.check == "exact_duplicates"]
    assert {file.id: file.other for file in finding.files}["zz-copy"] == "original0"


def rows_with(rows: list[Row], change: Callable[[int, Row], Row]) -> list[Row]:
    return [change(number, row) for number, row in enumerate(rows)]


def audit_rows(rows: list[Row], folder: Path, **options: object) -> AuditResult:
    manifest = manifest_of(rows, folder / "m.jsonl.gz")
    return audit(manifest, metadata_only=True, **options)  # pyright: ignore[reportArgumentType]


def test_repeated_ids(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    rows = rows_with(clean[1], lambda number, row: changed(row, id="same") if number < 3 else row)
    with audit_rows(rows, tmp_path) as result:
        (finding,) = [one for one in result.findings if one.check == "repeated_ids"]
        assert [file.id for file in finding.files] == ["same"] * 3


def test_imbalance_names_rare_speakers_and_kinds(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    rows = [changed(row, id=f"{row.id}-{copy}", start_s=copy * 0.01) for row in clean[1] for copy in range(8)]
    rows[0] = changed(rows[0], speaker="hermit")
    rows[1] = changed(rows[1], kind=Kind.TTS)
    with audit_rows(rows, tmp_path) as result:
        findings = [one for one in result.findings if one.check == "imbalance"]
        assert [one.values.get("speakers") for one in findings] == [["hermit"], None]
        assert findings[1].values["kinds"] == {"tts": 1}
    rows = [changed(row, speaker="many" if number > 8 else row.id) for number, row in enumerate(rows)]
    with audit_rows(rows, tmp_path) as result:
        assert "many" in " ".join(one.what for one in result.findings if one.check == "imbalance")


def test_fields_that_no_row_has_are_one_finding_without_files(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    rows = rows_with(clean[1], lambda _, row: changed(row, device=None, posture=None))
    with audit_rows(rows, tmp_path) as result:
        (finding,) = [one for one in result.findings if one.check == "metadata_gaps"]
        assert finding.values["fields"] == ["device", "posture"]
        assert len(finding.files) == 0


def test_thresholds_come_from_the_config(clean: tuple[Path, list[Row]], tmp_path: Path) -> None:
    config = AuditConfig(min_duration_s=SECONDS + 0.1)
    with audit(clean[0], metadata_only=True, config=config) as result:
        assert found(result)["too_short"] == {row.id for row in clean[1]}
    with audit(clean[0], metadata_only=True, config=AuditConfig(skip=("counts",))) as result:
        assert result.findings == []
        assert "counts" not in result.checks


def test_an_unknown_check_to_skip_is_refused(clean: tuple[Path, list[Row]]) -> None:
    with pytest.raises(UserError, match=r"no check named clip .*clipped"):
        audit(clean[0], metadata_only=True, config=AuditConfig(skip=("clip",)))


def test_metadata_only_reads_no_sound(tmp_path: Path, clean: tuple[Path, list[Row]]) -> None:
    rows = rows_with(clean[1], lambda _, row: changed(row, path=tmp_path / "gone" / row.path.name))
    with audit_rows(rows, tmp_path) as result:
        assert result.clean
        assert result.measured == 0
    assert not list(tmp_path.glob("*.sqlite*"))


def test_the_registry_says_what_each_check_is_for() -> None:
    for name, entry in CHECKS.items():
        assert entry.name == name
        assert entry.looks_for
        assert entry.mend.endswith(".")
    assert len(chosen_checks((), set())) == 0


def test_measured_lengths_are_those_of_the_files(planted: Planted) -> None:
    assert audio_info(planted.rows[0].path).duration_s == pytest.approx(SECONDS)
