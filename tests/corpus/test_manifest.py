import json
import math
from dataclasses import replace
from pathlib import Path

import lhotse
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.manifest import Row, read_manifest, read_rows, write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError


def row(path, name="a", **changes) -> Row:
    fields = {"speaker": "s1", "text": "hi", "start_s": 0.0, "duration_s": 2.0, "sample_rate": 48_000, "channel": 0}
    return Row(id=name, path=path, meta=changes.pop("meta", Metadata()), **(fields | changes))


META = Metadata.model_validate(
    {
        "session": "1",
        "kind": "replay_stand",
        "sex": "F",
        "distance_cm": 10,
        "probe_hz": (18_000.0, 18_211.25),
        "emotion": "01",
        "nested": {"a": [1, None]},
    }
)


@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz"])
def test_rows_survive_a_round_trip(make_wav, tmp_path, name):
    mono, stereo = make_wav("x/mono.wav"), make_wav("stereo.wav", channels=2)
    rows = [
        row(mono, meta=META),
        row(stereo, "b", channel=1, start_s=0.1, duration_s=1.3, text=None),
        row(mono, "c", meta=Metadata(probe_hz=())),
    ]
    write_rows(rows, tmp_path / name)
    read = read_rows(tmp_path / name)
    assert [replace(r, file_samples=None, file_channels=None) for r in read] == rows
    assert [(r.file_samples, r.file_channels) for r in read] == [(96_000, 1), (96_000, 2), (96_000, 1)]
    assert read[0].meta.kind is Kind.REPLAY_STAND
    assert read[2].meta.probe_hz == ()


def test_the_same_rows_give_the_same_bytes(make_wav, tmp_path):
    rows = [row(make_wav(), meta=META)]
    write_rows(rows, tmp_path / "m.jsonl.gz")
    first = (tmp_path / "m.jsonl.gz").read_bytes()
    write_rows(read_rows(tmp_path / "m.jsonl.gz"), tmp_path / "m.jsonl.gz")
    assert (tmp_path / "m.jsonl.gz").read_bytes() == first


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40, deadline=None)
@given(text=st.none() | text, speaker=text.filter(bool), extra=st.dictionaries(st.from_regex(r"x_[a-z]+"), text))
def test_any_text_survives(tmp_path_factory, text, speaker, extra):
    folder = tmp_path_factory.mktemp("m")
    (folder / "a.wav").touch()
    given_row = row(folder / "a.wav", text=text, speaker=speaker, meta=Metadata.model_validate(extra))
    given_row = replace(given_row, file_samples=96_000, file_channels=1)
    write_rows([given_row], folder / "m.jsonl")
    assert read_rows(folder / "m.jsonl") == [given_row]


def test_what_we_write_is_a_lhotse_manifest(make_wav, tmp_path):
    path = make_wav(channels=2)
    write_rows([row(path, channel=1, start_s=0.5, duration_s=1.0, meta=META)], tmp_path / "m.jsonl.gz")
    cuts = lhotse.load_manifest(tmp_path / "m.jsonl.gz")
    assert isinstance(cuts, lhotse.CutSet)
    lhotse.validate(cuts)
    cut = read_manifest(tmp_path / "m.jsonl.gz")[0]
    lhotse.validate(cut, read_data=True)
    (supervision,) = cut.supervisions
    assert (supervision.speaker, supervision.text, supervision.gender) == ("s1", "hi", "F")
    assert supervision.custom["kind"] == "replay_stand"
    assert supervision.custom["emotion"] == "01"
    from vivavoce.audio import read_audio

    ours, _ = read_audio(path, channel=1, start_s=0.5, duration_s=1.0)
    assert (cut.load_audio()[0] == ours).all()


def test_read_manifest_is_lazy(make_wav, tmp_path):
    write_rows([row(make_wav())], tmp_path / "m.jsonl")
    cuts = read_manifest(tmp_path / "m.jsonl")
    assert cuts.is_lazy
    assert Path(next(iter(cuts)).recording.sources[0].source).is_absolute()


def test_a_folder_with_its_manifest_can_be_moved(make_wav, tmp_path, monkeypatch):
    make_wav("old/wavs/a.wav")
    outside = make_wav("outside.wav")
    rows = [row(tmp_path / "old/wavs/a.wav"), row(outside, "b")]
    write_rows(rows, tmp_path / "old/m.jsonl")
    (tmp_path / "old").rename(tmp_path / "new")
    read = read_rows(tmp_path / "new/m.jsonl")
    assert [r.path for r in read] == [tmp_path / "new/wavs/a.wav", outside]
    monkeypatch.chdir(tmp_path / "new")
    assert read_rows("m.jsonl") == read


def test_moved_files_are_named(make_wav, tmp_path):
    paths = [make_wav(f"{n}.wav") for n in "abc"]
    write_rows([row(path, path.stem) for path in paths], tmp_path / "m.jsonl")
    paths[1].rename(tmp_path / "elsewhere.wav")
    paths[2].unlink()
    with pytest.raises(UserError, match=r"^2 of the 3 sound files .*b\.wav"):
        read_rows(tmp_path / "m.jsonl")


def broken(make_wav, tmp_path):
    good = tmp_path / "good.jsonl"
    write_rows([row(make_wav())], good)
    cut = json.loads(good.read_text())
    yield "missing.jsonl", None, "does not exist"
    yield "a.txt", "", r"named \*\.jsonl"
    yield "a.jsonl", "", "is empty"
    yield "b.jsonl", good.read_text()[:-30], r"not a whole Lhotse manifest \(see line 1\)"
    yield "c.jsonl.gz", "plain", "not a whole"
    yield "d.jsonl", "[1]\n", "not a whole"
    yield "e.jsonl", json.dumps(cut | {"supervisions": []}), "no supervision"
    yield "f.jsonl", json.dumps(cut | {"type": "MixedCut"}), "MixedCut"
    yield "g.jsonl", json.dumps(cut | {"recording": None}), "no recording"
    yield "h.jsonl", json.dumps({key: cut[key] for key in cut if key != "duration"}), "not a whole Lhotse cut"
    yield "i.jsonl", json.dumps(cut["recording"]), "no cut"
    speaker = cut["supervisions"][0]
    yield "j.jsonl", json.dumps(cut | {"supervisions": [speaker | {"speaker": None}]}), "without a speaker"
    custom = [speaker | {"custom": {"kind": "fake"}}]
    yield "k.jsonl", json.dumps(cut | {"supervisions": custom}), "wrong `kind`, 'fake'"
    source = cut["recording"] | {"sources": [{"type": "command", "channels": [0], "source": "cat a.wav"}]}
    yield "l.jsonl", json.dumps(cut | {"recording": source}), "from a command"
    speed = cut["recording"] | {"transforms": [{"name": "Speed", "kwargs": {"factor": 1.1}}]}
    yield "m.jsonl", json.dumps(cut | {"recording": speed}), "transforms"
    yield "n.jsonl", json.dumps(cut | {"channel": 3}), "channel 3"
    yield "o.jsonl", json.dumps(cut | {"supervisions": [speaker | {"start": 9}]}), "outside of its cut"


def test_broken_manifests_end_in_one_sentence(make_wav, tmp_path):
    for name, content, words in broken(make_wav, tmp_path):
        if content is not None:
            (tmp_path / name).write_text(content)
        for read in (read_rows, read_manifest):
            with pytest.raises(UserError, match=words) as error:
                read(tmp_path / name)
            assert name in str(error.value)
            assert "\n" not in str(error.value)


def test_an_id_used_twice(make_wav, tmp_path):
    path = make_wav()
    write_rows([row(path), row(path, start_s=0.5, duration_s=1.0)], tmp_path / "m.jsonl")
    with pytest.raises(UserError, match="the id a twice"):
        read_rows(tmp_path / "m.jsonl")


def test_writing_refuses_missing_audio_and_odd_names(make_wav, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        write_rows([row(make_wav()), row(tmp_path / "no.wav", "b")], tmp_path / "m.jsonl")
    with pytest.raises(UserError, match="named"):
        write_rows([row(make_wav())], tmp_path / "m.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_cuts_made_by_lhotse_become_rows(make_wav, tmp_path):
    path = make_wav("long.wav", seconds=4.0, channels=2)
    recording = lhotse.Recording.from_file(path)
    supervisions = [
        lhotse.SupervisionSegment("u1", recording.id, 0.5, 1.0, channel=1, speaker="s1", text="one", gender="M"),
        lhotse.SupervisionSegment("u2", recording.id, 2.0, 1.5, channel=1, speaker="s2", custom={"accent": "x"}),
    ]
    whole = lhotse.MonoCut("cut", 0, 4.0, 1, supervisions, recording=recording)
    single = whole.truncate(offset=0.25, duration=1.5).with_id("single")
    lhotse.CutSet.from_cuts([whole, single]).to_file(tmp_path / "m.jsonl.gz")
    rows = read_rows(tmp_path / "m.jsonl.gz")
    assert [(r.id, r.speaker, r.text, r.start_s, r.duration_s) for r in rows] == [
        ("cut-0", "s1", "one", 0.5, 1.0),
        ("cut-1", "s2", None, 2.0, 1.5),
        ("single", "s1", "one", 0.5, 1.0),
    ]
    assert {r.channel for r in rows} == {1}
    assert rows[0].meta.sex == "M"
    assert rows[1].meta.model_extra == {"accent": "x"}
    assert {r.path for r in rows} == {path}


def test_a_supervision_that_reaches_over_its_cut_is_trimmed_to_it(make_wav, tmp_path):
    recording = lhotse.Recording.from_file(make_wav())
    segment = lhotse.SupervisionSegment("u", recording.id, -0.2, 3.0, speaker="s")
    cut = lhotse.MonoCut("c", 0.3, 1.1, 0, [segment], recording=recording)
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "m.jsonl")
    (read,) = read_rows(tmp_path / "m.jsonl")
    assert (read.start_s, read.duration_s) == (0.3, 1.1)


def test_a_recording_with_one_file_a_channel(make_wav, tmp_path):
    left, right = make_wav("l.wav"), make_wav("r.wav")
    sources = [lhotse.audio.AudioSource("file", [n], str(path)) for n, path in enumerate((left, right))]
    recording = lhotse.Recording("pair", sources, 48_000, 96_000, 2.0)
    supervision = lhotse.SupervisionSegment("u", "pair", 0, 2.0, channel=1, speaker="s")
    cut = lhotse.MonoCut("c", 0, 2.0, 1, [supervision], recording=recording)
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "m.jsonl")
    (read,) = read_rows(tmp_path / "m.jsonl")
    assert (read.path, read.channel, read.file_channels) == (right, 0, 1)


@settings(max_examples=50, deadline=None)
@given(cut=st.tuples(st.floats(0, 1), st.floats(1, 2)), supervision=st.tuples(st.floats(0, 0.5), st.floats(0.1, 0.5)))
def test_trimming_agrees_with_lhotse(tmp_path_factory, cut, supervision):
    folder = tmp_path_factory.mktemp("m")
    (folder / "a.wav").touch()
    recording = lhotse.Recording(
        "r", [lhotse.audio.AudioSource("file", [0], str(folder / "a.wav"))], 16_000, 48_000, 3.0
    )
    segment = lhotse.SupervisionSegment("u", "r", supervision[0], supervision[1], speaker="s")
    made = lhotse.MonoCut("c", cut[0], cut[1], 0, [segment], recording=recording)
    lhotse.CutSet.from_cuts([made]).to_file(folder / "m.jsonl")
    (ours,) = read_rows(folder / "m.jsonl")
    (theirs,) = made.trim_to_supervisions(keep_overlapping=False)
    assert math.isclose(ours.start_s, theirs.start, abs_tol=1e-4)
    assert math.isclose(ours.duration_s, theirs.duration, abs_tol=1e-4)
