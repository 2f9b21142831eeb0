import os
from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile as sf

from vivavoce.corpus.folders import read_folders
from vivavoce.corpus.importers import Draft, finish
from vivavoce.corpus.kaldi import read_kaldi
from vivavoce.corpus.lhotse_import import read_lhotse
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.table import read_table
from vivavoce.errors import UserError


def one_sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def table(folder: Path, text: str, name: str = "index.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# --- table


def test_every_column_of_a_table_arrives(make_wav, tmp_path):
    make_wav("w/a.wav", seconds=3.0, channels=2)
    make_wav("w/b.flac")
    file = table(
        tmp_path,
        "file,speaker,session,kind,text,phrase,device,distance_cm,probe_hz,start_s,duration_s,channel,sex,posture,accent\n"
        'w/a.wav,s1,2,replay_stand,"yes, I am",p1,phone,12.5,18000 18211.25,0.5,1.25,1,F,stand,01\n'
        "w/b.flac,s2,,,,,,,,,,,,,\n",
    )
    imported = finish(read_table(file), tmp_path)
    write_rows(imported.rows, tmp_path / "m.jsonl.gz")
    full, bare = read_rows(tmp_path / "m.jsonl.gz")
    assert (full.id, full.speaker, full.text, full.start_s, full.duration_s) == ("w/a", "s1", "yes, I am", 0.5, 1.25)
    assert (full.channel, full.sample_rate, full.file_samples) == (1, 48_000, 144_000)
    meta = full.meta
    assert (meta.session, meta.kind, meta.phrase, meta.device) == ("2", Kind.REPLAY_STAND, "p1", "phone")
    assert (meta.distance_cm, meta.probe_hz, meta.sex, meta.posture) == (12.5, (18_000.0, 18_211.25), "F", "stand")
    assert meta.model_extra == {"accent": "01"}
    assert (bare.id, bare.text, bare.start_s, bare.duration_s, bare.channel) == ("w/b", None, 0.0, 2.0, 0)
    assert bare.meta.probe_hz is None
    assert bare.meta.kind is Kind.LIVE
    assert bare.meta.model_extra == {}


def test_tabs_root_and_another_speaker_column(make_wav, tmp_path):
    make_wav("audio/a.wav")
    (tmp_path / "lists").mkdir()
    file = table(tmp_path / "lists", "\ufeffpath\twho\n\na.wav\tAnn, B.\n", "index.tsv")
    (draft,) = read_table(file, tmp_path / "audio", speaker_column="who")
    assert draft.speaker == "Ann, B."
    (row,) = finish([draft], tmp_path / "audio").rows
    assert (row.path, row.id) == (tmp_path / "audio" / "a.wav", "a")


TABLES = [
    ("path,talker,sex\na.wav,s,F\n", r"no column `speaker`; its columns are `path`, `talker`, `sex`"),
    ("name,speaker\na.wav,s\n", r"no column `path` or `file`; its columns are `name`, `speaker`"),
    ("", "its columns are none"),
    ("path,speaker,sex,sex\na.wav,s,F,F\n", "the column `sex` twice"),
    ("path,speaker,\na.wav,s,x\n", "without a name, number 3"),
    ("path,speaker\na.wav,s\na.wav,\n", r"^Line 3 of .* empty cell `speaker`"),
    ("path,speaker\n,s\n", r"^Line 2 of .* empty cell `path`"),
    ("path,speaker\na.wav,s,more\n", r"^Line 2 of .* 3 cells for 2 columns"),
    ("path,speaker,kind\na.wav,s,fake\n", r"^Line 2 of .* wrong `kind`, 'fake'.*'live'"),
    ("path,speaker,distance_cm\na.wav,s,-3\n", "wrong `distance_cm`, '-3'"),
    ("path,speaker,probe_hz\na.wav,s,18k\n", "wrong `probe_hz`, '18k'"),
    ("path,speaker,start_s\na.wav,s,soon\n", "wrong `start_s`, 'soon'"),
    ("path,speaker,duration_s\na.wav,s,nan\n", "wrong `duration_s`, 'nan'"),
    ("path,speaker,channel\na.wav,s,0.5\n", "wrong `channel`, '0.5'"),
    ('path,speaker\n"a.wav,s\n', "not a table in UTF-8"),
]


@pytest.mark.parametrize(("text", "words"), TABLES)
def test_wrong_tables(tmp_path, text, words):
    with pytest.raises(UserError, match=words) as error:
        read_table(table(tmp_path, text))
    assert "index.csv" in one_sentence(error)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "index.csv").write_bytes(b"path,speaker\n\xff\xfe,s\n")
    with pytest.raises(UserError, match="not a table in UTF-8"):
        read_table(tmp_path / "index.csv")
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "other.csv")
    with pytest.raises(UserError, match="is not a folder"):
        read_table(tmp_path / "index.csv", tmp_path / "nowhere")


@pytest.mark.parametrize("second", ["a.wav", "./a.wav", "link.wav"])
def test_a_recording_twice(make_wav, tmp_path, second):
    make_wav()
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    file = table(tmp_path, f"path,speaker\na.wav,s1\n{second},s2\n")
    with pytest.raises(UserError, match=r"^Line 3 of .* the same recording as Line 2") as error:
        finish(read_table(file), tmp_path, skip_bad=True)
    one_sentence(error)


def test_spans_and_channels_of_one_file_are_recordings_of_their_own(make_wav, tmp_path):
    make_wav(channels=2)
    file = table(
        tmp_path, "path,speaker,start_s,duration_s,channel\na.wav,s,0,1,0\na.wav,s,1,1,0\na.wav,s,0,1,1\na.wav,s,1,,1\n"
    )
    rows = finish(read_table(file), tmp_path).rows
    assert [(r.id, r.start_s, r.duration_s, r.channel) for r in rows] == [
        ("a", 0.0, 1.0, 0),
        ("a-2", 1.0, 1.0, 0),
        ("a-3", 0.0, 1.0, 1),
        ("a-4", 1.0, 1.0, 1),
    ]


def test_ids_never_collide(make_wav, tmp_path):
    for name in ("a.wav", "a.flac", "a-2.wav", "b.wav"):
        make_wav(name, seconds=0.1)
    file = table(tmp_path, "path,speaker,id\na.wav,s,\na.flac,s,\na-2.wav,s,\nb.wav,s,a\n")
    ids = [row.id for row in finish(read_table(file), tmp_path).rows]
    assert len(set(ids)) == 4
    assert ids[3] == "a"
    file = table(tmp_path, "path,speaker,id\na.wav,s,x\nb.wav,s,x\n")
    with pytest.raises(UserError, match="id x is used twice"):
        finish(read_table(file), tmp_path)


# --- the check of sound files


def damage(make_wav, tmp_path) -> list[tuple[str, str]]:
    make_wav("good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound" * 100)
    sf.write(tmp_path / "zero.wav", np.zeros(0), 16_000)
    sf.write(tmp_path / "slow.wav", np.zeros(100), 7_999)
    make_wav("two.wav", channels=2)
    for name in ("cut.wav", "cut.flac", "cut.ogg"):
        path = make_wav(name)
        os.truncate(path, path.stat().st_size // 2)
    return [
        ("gone.wav", "does not exist"),
        ("empty.wav", "is empty"),
        ("text.wav", "is not a sound file"),
        ("zero.wav", "zero length"),
        ("slow.wav", "7999 Hz"),
        ("two.wav", "2 channels; choose one"),
        ("cut.wav", "truncated"),
        ("cut.flac", "truncated"),
        ("cut.ogg", "truncated"),
    ]


def test_each_bad_file_is_named_with_its_line_and_counted(make_wav, tmp_path):
    cases = damage(make_wav, tmp_path)
    for name, words in cases:
        file = table(tmp_path, f"path,speaker\ngood.wav,s\n{name},s\n")
        with pytest.raises(UserError, match=words) as error:
            finish(read_table(file), tmp_path)
        assert one_sentence(error).startswith(f"Line 3 of {file}: ")
        assert name in str(error.value)
        assert "the only bad one of 2 recordings" in str(error.value)
    file = table(tmp_path, "path,speaker\ngood.wav,s\n" + "".join(f"{name},s\n" for name, _ in cases))
    with pytest.raises(UserError, match=r"^Line 3 .*gone\.wav.*first of 9 bad ones among 10 recordings"):
        finish(read_table(file), tmp_path)
    imported = finish(read_table(file), tmp_path, skip_bad=True)
    assert [row.id for row in imported.rows] == ["good"]
    for sentence, (name, words) in zip(imported.skipped, cases, strict=True):
        assert name in sentence
        assert words in sentence


def test_nothing_good_or_nothing_at_all(tmp_path):
    with pytest.raises(UserError, match="Not one of the 1 recordings"):
        finish([Draft("Line 2", tmp_path / "no.wav", "s")], tmp_path, skip_bad=True)
    with pytest.raises(UserError, match="no recordings"):
        finish([], tmp_path)


@pytest.mark.parametrize(("span", "words"), [("3,1", "no span"), ("0,9", "no span"), ("-1,1", "no span")])
def test_spans_outside_the_file(make_wav, tmp_path, span, words):
    make_wav()
    file = table(tmp_path, f"path,speaker,start_s,duration_s\na.wav,s,{span}\n")
    with pytest.raises(UserError, match=words) as error:
        finish(read_table(file), tmp_path)
    assert one_sentence(error).startswith("Line 2 of ")


def test_a_channel_for_all_files(make_wav, tmp_path):
    make_wav("two.wav", channels=2)
    file = table(tmp_path, "path,speaker\ntwo.wav,s\n")
    assert finish(read_table(file, channel=1), tmp_path).rows[0].channel == 1
    with pytest.raises(UserError, match="no channel 2; it has channels 0 to 1"):
        finish(read_table(file, channel=2), tmp_path)


def test_samples_are_checked_on_demand(make_wav, tmp_path):
    make_wav("good.wav")
    sf.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    sf.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    sf.write(tmp_path / "loud.wav", np.sign(np.sin(np.arange(16_000))), 16_000)
    names = ["silent", "nan", "loud", "good"]
    file = table(tmp_path, "path,speaker\n" + "".join(f"{name}.wav,s\n" for name in names))
    assert len(finish(read_table(file), tmp_path).rows) == 4
    imported = finish(read_table(file), tmp_path, skip_bad=True, check_samples=True)
    assert [row.id for row in imported.rows] == ["good"]
    for sentence, words in zip(imported.skipped, ("every sample is zero", "NaN", "clipped"), strict=True):
        assert words in sentence
        assert sentence.startswith("Line ")


# --- folders


def test_folders(make_wav, tmp_path):
    for name in ("s2/b.wav", "s1/x/deep/a.flac", "s1/c.OGG", "s1/.hidden.wav", ".git/x.wav"):
        make_wav(f"root/{name}", seconds=0.2)
    (tmp_path / "root/s1/notes.txt").touch()
    rows = finish(read_folders(tmp_path / "root"), tmp_path / "root").rows
    assert [(r.id, r.speaker) for r in rows] == [("s1/c", "s1"), ("s1/x/deep/a", "s1"), ("s2/b", "s2")]


def test_wrong_folders(make_wav, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_folders(tmp_path / "no")
    with pytest.raises(UserError, match="no wav, flac or ogg"):
        read_folders(tmp_path)
    make_wav("a.wav")
    with pytest.raises(UserError, match="no speaker's folder"):
        read_folders(tmp_path)


# --- Kaldi


@pytest.fixture
def kaldi(make_wav, tmp_path) -> Path:
    make_wav("data/w/r1.wav", seconds=3.0)
    make_wav("data/w/r2.flac", seconds=2.0)
    files = {
        "wav.scp": "r1 w/r1.wav\nr2 w/r2.flac\n",
        "utt2spk": "u1 s1\nu2 s1\nu3 s2\n",
        "segments": "u1 r1 0.0 1.25\nu2 r1 1.25 -1\nu3 r2 0.5 2.01\n",
        "text": "u1 hello  there\nu2\n",
        "spk2gender": "s1 f\n",
    }
    for name, content in files.items():
        (tmp_path / "data" / name).write_text(content)
    return tmp_path / "data"


def test_kaldi_segments(kaldi):
    rows = finish(read_kaldi(kaldi), kaldi).rows
    assert [(r.id, r.speaker, r.start_s, r.duration_s) for r in rows] == [
        ("u1", "s1", 0.0, 1.25),
        ("u2", "s1", 1.25, 1.75),
        ("u3", "s2", 0.5, 1.5),  # cut to the end of the file: rounding of time stamps
    ]
    assert [r.text for r in rows] == ["hello  there", "", None]
    assert [r.meta.sex for r in rows] == ["F", "F", None]


def test_kaldi_without_segments(kaldi):
    (kaldi / "segments").unlink()
    (kaldi / "utt2spk").write_text("r1 s1\nr2 s2\n")
    rows = finish(read_kaldi(kaldi), kaldi).rows
    assert [(r.id, r.speaker, r.duration_s) for r in rows] == [("r1", "s1", 3.0), ("r2", "s2", 2.0)]


def test_kaldi_paths_from_a_root_or_where_we_run(kaldi, tmp_path, monkeypatch):
    (kaldi / "w").rename(tmp_path / "w")
    assert read_kaldi(kaldi, tmp_path)[0].path == tmp_path / "w/r1.wav"
    monkeypatch.chdir(tmp_path)
    assert len(finish(read_kaldi(kaldi), kaldi).rows) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("wav.scp", "r1 sox a.wav -t wav - |\nr2 w/r2.flac\n", r"^Line 1 of .*wav\.scp is a command"),
        ("wav.scp", "r1 all.ark:42\nr2 w/r2.flac\n", "into the archive all.ark"),
        ("wav.scp", "r1 w/r1.wav\nr1 w/r2.flac\n", r"^Line 2 of .* repeats the key r1"),
        ("wav.scp", "r1\n", "without a value"),
        ("wav.scp", "r1 w/r1.wav\n", "r2, which is not in wav.scp"),
        ("wav.scp", None, "does not exist"),
        ("utt2spk", "u1 s1\n", "no speaker for the utterance u2"),
        ("utt2spk", None, "does not exist"),
        ("segments", "u1 r1 zero 1\n", r"^Line 1 of .*segments is not"),
        ("segments", "u1 r1 0\n", "is not `utterance recording start end`"),
    ],
)
def test_wrong_kaldi_folders(kaldi, name, content, words):
    if content is None:
        (kaldi / name).unlink()
    else:
        (kaldi / name).write_text(content)
    with pytest.raises(UserError, match=words) as error:
        read_kaldi(kaldi)
    one_sentence(error)


# --- Lhotse


def test_lhotse_cuts_and_pairs_give_the_same_rows(make_wav, tmp_path, monkeypatch):
    make_wav("w/a.wav", seconds=3.0)
    monkeypatch.chdir(tmp_path)
    recording = lhotse.Recording.from_file("w/a.wav", recording_id="a")
    segments = [
        lhotse.SupervisionSegment("a-0", "a", 0.5, 1.0, speaker="s1", text="one", gender="F"),
        lhotse.SupervisionSegment("a-1", "a", 1.5, 1.0, speaker="s2"),
    ]
    (tmp_path / "lists").mkdir()
    recordings, supervisions, cuts = (Path("lists") / f"{name}.jsonl.gz" for name in ("recordings", "sup", "cuts"))
    lhotse.RecordingSet.from_recordings([recording]).to_file(recordings)
    lhotse.SupervisionSet.from_segments(segments).to_file(supervisions)
    lhotse.CutSet.from_cuts([lhotse.MonoCut("a", 0, 3.0, 0, segments, recording=recording)]).to_file(cuts)
    from_cuts = finish(read_lhotse(cuts), tmp_path).rows
    from_pair = finish(read_lhotse(recordings, supervisions), tmp_path).rows
    assert from_cuts == from_pair
    assert [(r.id, r.speaker, r.start_s, r.duration_s, r.meta.sex) for r in from_cuts] == [
        ("a-0", "s1", 0.5, 1.0, "F"),
        ("a-1", "s2", 1.5, 1.0, None),
    ]
    write_rows(from_cuts, tmp_path / "m.jsonl")
    monkeypatch.chdir("/")
    assert [r.path for r in read_rows(tmp_path / "m.jsonl")] == [tmp_path / "w/a.wav"] * 2
    root = read_lhotse(tmp_path / cuts, audio_root=tmp_path)
    assert root[0].path == tmp_path / "w/a.wav"
    with pytest.raises(UserError, match="no cut"):
        read_lhotse(tmp_path / recordings)
    with pytest.raises(UserError, match="not a recording"):
        read_lhotse(tmp_path / cuts, tmp_path / supervisions)
    with pytest.raises(UserError, match="not a supervision"):
        read_lhotse(tmp_path / recordings, tmp_path / cuts)


@pytest.mark.realdata
def test_real_tables(shared_data):
    for name, recordings, speakers in (("speechocean_adult16k", 1137, 128), ("ravdess48k", 576, 24)):
        rows = finish(read_table(shared_data / name / "index.csv"), shared_data / name).rows
        assert len(rows) == recordings
        assert len({row.speaker for row in rows}) == speakers
        assert {row.meta.sex for row in rows} == {"F", "M"}
