"""Lists of VoxCeleb and ASVspoof. The lines are in the form of the databases' own README files, with other names."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import read_trials, read_trials_of, write_trials
from vivavoce.evaluation.trials.formats import ListFormat
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trial, Trials, references

VOXCELEB, ASVSPOOF = ListFormat.VOXCELEB, ListFormat.ASVSPOOF
FILES = ["/d/id1/x/00001.wav", "/d/id1/y/00001.wav", "/d/id2/x/00002.wav"]
LA2019 = ["LA_1 LA_D_3 bonafide target", "LA_1 LA_D_4 bonafide nontarget", "LA_1 LA_D_5 A07 spoof"]
PA2019 = ["PA_1 LA_D_3 aaa bonafide target", "PA_1 LA_D_4 bcc bonafide nontarget", "PA_1 LA_D_5 aaa AB spoof"]
LA2021 = [
    "LA_1-alaw-ita_tx LA_D_3 alaw ita_tx bonafide target notrim eval",
    "LA_1-alaw-ita_tx LA_D_4 alaw ita_tx bonafide nontarget notrim progress",
    "LA_1-alaw-ita_tx LA_D_5 alaw ita_tx A07 spoof notrim eval",
]
TRACK2 = ["D_1 LA_D_3 F bonafide target", "D_1 LA_D_4 F bonafide nontarget", "D_1 LA_D_5 F A11 spoof"]
KEYS = [
    "spk\tfilename\tcm-label\tasv-label",
    "D_1\tLA_D_5\tspoof\tspoof",
    "D_1\tLA_D_3\tbonafide\ttarget",
    "D_1\tLA_D_4\tbonafide\tnontarget",
]


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(path: str, speaker: str, kind: Kind = Kind.LIVE) -> Row:
    return Row(path, Path(path), speaker, None, 0.0, 3.0, 48_000, 0, Metadata(kind=kind))


def test_a_voxceleb_list_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "veri_test.txt", "1 id1/x/00001.wav id1/y/00001.wav", "0 id1/x/00001.wav id2/x/00002.wav")
    assert list(read_trials(path)) == [
        Trial(("id1/x/00001.wav",), "id1/y/00001.wav", TARGET),
        Trial(("id1/x/00001.wav",), "id2/x/00002.wav", NONTARGET),
    ]
    assert list(read_trials(path, FILES)) == [
        Trial((FILES[0],), FILES[1], TARGET),
        Trial((FILES[0],), FILES[2], NONTARGET),
    ]


@pytest.mark.parametrize(
    ("name", "beside", "lines", "attack"),
    [
        ("A.LA.asv.dev.female.trl.txt", "A.LA.asv.dev.female.trn.txt", LA2019, "tts"),
        ("A.PA.asv.dev.gi.trl.txt", "A.PA.asv.dev.male.trn.txt", PA2019, "replay_stand"),
        ("trial_metadata.txt", "trial_metadata.enrol.txt", LA2021, "tts"),
        ("A5.dev.track_2.trial.tsv", "A5.dev.track_2.enroll.tsv", TRACK2, "tts"),
    ],
    ids=["2019 LA", "2019 PA", "2021 LA", "5"],
)
def test_asvspoof_lists_are_read(tmp_path: Path, name: str, beside: str, lines: list[str], attack: str) -> None:
    model = lines[0].split()[0]
    _write(tmp_path / beside, f"{model} LA_D_1,LA_D_2", "Z LA_D_9")
    found = read_trials(_write(tmp_path / name, *lines))
    enrol = ("LA_D_1", "LA_D_2")
    expected = [Trial(enrol, "LA_D_3", TARGET), Trial(enrol, "LA_D_4", NONTARGET), Trial(enrol, "LA_D_5", attack)]
    assert list(found) == expected
    assert found.speakers == (model,)
    known = [f"/d/flac/LA_D_{number}.flac" for number in range(9)]
    assert [trial.test for trial in read_trials(tmp_path / name, known)] == known[3:6]


def test_a_key_file_takes_kinds_of_attacks_from_the_manifest(tmp_path: Path) -> None:
    _write(tmp_path / "key.enrol.tsv", "D_1 LA_D_1,LA_D_2")
    path = _write(tmp_path / "key.tsv", *KEYS)
    kinds = {f"LA_D_{number}": "live" for number in range(1, 5)} | {"LA_D_5": "mouthing"}
    assert read_trials(path, kinds, kinds).labels.tolist() == ["mouthing", TARGET, NONTARGET]
    with pytest.raises(UserError, match="line 2: the list does not say what kind of attack"):
        read_trials(path, kinds)
    with pytest.raises(UserError, match="line 2: the list calls LA_D_5 an attack, and the manifest says live"):
        read_trials(path, kinds, kinds | {"LA_D_5": "live"})


def test_an_attack_on_a_voxceleb_list_is_one_if_the_manifest_says_so(tmp_path: Path) -> None:
    rows = [_row("/d/a1.wav", "a"), _row("/d/a2.wav", "a"), _row("/d/a3.wav", "a", Kind.TTS)]
    path = _write(tmp_path / "t.txt", "1 a1.wav a2.wav", "0 a1.wav a3.wav")
    assert read_trials(path).labels.tolist() == [TARGET, NONTARGET]
    found = read_trials_of(path, rows)
    assert found.labels.tolist() == [TARGET, "tts"]
    assert (found.speakers, found.test_speakers) == (("a",), ("a", "a"))


SPEAKERS = st.lists(st.integers(3, 8), min_size=2, max_size=5)


def _corpus(sizes: list[int], nested: bool) -> list[Row]:
    folder = "/data/{speaker}/{take}/{number}.wav" if nested else "/data/{speaker}_{take}_{number}.flac"
    return [
        _row(folder.format(speaker=f"s{speaker}", take=kind.value, number=number), f"s{speaker}", kind)
        for speaker, size in enumerate(sizes)
        for kind, count in ((Kind.LIVE, size), (Kind.TTS, 2), (Kind.PROBE_JAMMED, 1))
        for number in range(count)
    ]


@settings(deadline=None)
@given(SPEAKERS, st.booleans(), st.integers(1, 2), st.booleans())
def test_asvspoof_lists_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], nested: bool, enrol: int, whole: bool
) -> None:
    rows, folder = _corpus(sizes, nested), tmp_path_factory.mktemp("asvspoof")
    trials, known = make_trials(rows, enrol), references(rows)
    files = write_trials(trials, folder / "t.txt", ASVSPOOF, known if whole else None)
    assert files == [folder / "t.txt", folder / "t.enrol.txt"]
    for found in (read_trials(files[0], known), read_trials_of(files[0], rows)):
        assert found == trials
        assert found.speakers == trials.speakers


@settings(deadline=None)
@given(SPEAKERS, st.booleans())
def test_voxceleb_lists_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], nested: bool
) -> None:
    rows, folder = _corpus(sizes, nested), tmp_path_factory.mktemp("voxceleb")
    trials, known = make_trials(rows, 1), references(rows)
    trials = trials.take(trials.is_target | trials.is_nontarget)
    assert write_trials(trials, folder / "t.txt", VOXCELEB, known) == [folder / "t.txt"]
    assert read_trials(folder / "t.txt", known) == trials


def test_speakers_with_several_enrolments_have_several_models(tmp_path: Path) -> None:
    trials = Trials([("/d/1.wav",), ("/d/2.wav",)], ["/d/3.wav"], [0, 1], [0, 0], [0, 0], None, ["An na", "An na"])
    write_trials(trials, tmp_path / "t.txt", ASVSPOOF)
    assert (tmp_path / "t.enrol.txt").read_text() == "An_na-1 1\nAn_na-2 2\n"
    assert list(read_trials(tmp_path / "t.txt", ["/d/1.wav", "/d/2.wav", "/d/3.wav"])) == list(trials)


ONE = Trial(("/d/a.wav",), "/d/b.wav", TARGET)


@pytest.mark.parametrize(
    ("form", "trials", "words"),
    [
        (VOXCELEB, [Trial(("a", "b", "c"), "d", TARGET)], "up to 3; enrol with one"),
        (VOXCELEB, [ONE, Trial(("/d/a.wav",), "/d/c.wav", "tts")], "knows no attacks, and 1 of these"),
        (VOXCELEB, [Trial(("/d/a b.wav",), "/d/c.wav", TARGET)], "/d/a b.wav holds a space or a comma"),
        (ASVSPOOF, [Trial(("/d/a.wav",), "/d/c,d.wav", TARGET)], "/d/c,d.wav holds a space or a comma"),
    ],
)
def test_what_a_form_cannot_hold_is_refused_and_nothing_written(
    tmp_path: Path, form: ListFormat, trials: list[Trial], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        write_trials(trials, tmp_path / "t.txt", form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("lines", "words"), [
    (["1 00001.wav 00002.wav"], "line 1: 00001.wav may be /d/id1/x/00001.wav or /d/id1/y/00001.wav; write more of"),
    (["1 y/00001.wav 00003.wav"], "line 1: 00003.wav is not a recording of the manifest"),
    (["1 y/00001.wav 00002.wav", "2 a b"], "line 2: 2 a b is not a label"),
    (["1 y/00001.wav 00002.wav", "0 a b c"], "line 2: 0 a b c is not a label"),
    (["1 y/00001.wav 00002.wav", "0 y/00001.wav 00002"], "line 2: this enrolment and test already stand on line 1"),
    (["1 y/00001.wav ./y/00001.wav"], "part of its own enrolment"),
    (["1 00002 target"], "may be a list of VoxCeleb .* or of ASVspoof"),
    (["m 00002 bonafide target", "m y/00001 A07 fake"], "line 2: the key .* is missing"),
    (["m 00002 bonafide target", "m y/00001"], "line 2: the key .* is missing"),
    (["m 00002 bonafide target", "n y/00001 bonafide target"], "line 2: the list .*t.enrol.txt does not say .* n;"),
])  # fmt: skip
def test_a_wrong_list_is_one_clear_sentence(tmp_path: Path, lines: list[str], words: str) -> None:
    _write(tmp_path / "t.enrol.txt", "m x/00001")
    with pytest.raises(UserError, match=words):
        read_trials(_write(tmp_path / "t.txt", *lines), FILES)


def test_a_model_enrolled_twice_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "t.enrol.txt", "m a,b", "m a,b", "m a")
    with pytest.raises(UserError, match=r"t.enrol.txt, line 3: m was enrolled otherwise before"):
        read_trials(_write(tmp_path / "t.txt", "m c bonafide target"))


def test_an_enrolment_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.enrol.txt").write_bytes(b"RIFF\xff\xfe\x00\x80")
    with pytest.raises(UserError, match=r"t.enrol.txt is not a text file"):
        read_trials(_write(tmp_path / "t.txt", "m c bonafide target"))


def test_a_list_without_its_enrolment_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"line 1: the list .*x\.gi\.trn\.txt or .*x\.female\.trn\.txt or .*does not say"
    ):
        read_trials(_write(tmp_path / "x.gi.trl.txt", *LA2019))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("b/x.wav", "/d/b/x.wav"),  # below the common folder, though /d/a/b/x.wav ends so, too
        ("a/b/x.m4a", "/d/a/b/x.wav"),
        ("b/y.1", "/d/a/b/y.1.wav"),
        ("segment-7", "segment-7"),
        ("/d/a/b/y.1.wav", "/d/a/b/y.1.wav"),
    ],
)
def test_names_are_found_by_the_end_of_their_paths(tmp_path: Path, text: str, found: str) -> None:
    known = ["/d/b/x.wav", "/d/a/b/x.wav", "/d/a/b/y.1.wav", "segment-7"]
    path = _write(tmp_path / "t.txt", f"1 {text} other.wav")
    assert read_trials(path, [*known, "/d/c/other.wav"])[0].enrol == (found,)
