import pytest
from pydantic import ValidationError

from vivavoce.corpus.metadata import HELD_OUT_KINDS, SEEN_KINDS, Kind, Metadata


@pytest.mark.parametrize(
    "name", ["sr", "SR", "Sample-Rate", " duration s ", "num_samples", "filename", "md5", "SNR (dB)"]
)
def test_properties_of_the_file_do_not_pass_to_another_recording(name):
    assert name not in Metadata.model_validate({name: "1"}).of_what_is_said()


@pytest.mark.parametrize(
    "name", ["age", "emotion", "statement", "repetition", "source", "accent", "length of stay", "name", "level"]
)
def test_what_is_said_and_by_whom_does(name):
    assert Metadata.model_validate({name: "1"}).of_what_is_said()[name] == "1"


def test_our_own_fields_pass():
    meta = Metadata.model_validate({"session": "a", "kind": "tts", "sex": "F", "probe_hz": [18_000.0]})
    assert Metadata.model_validate(meta.of_what_is_said()) == meta


def test_spans_of_splices_come_from_a_table_and_from_json_alike() -> None:
    from_table = Metadata.model_validate({"splices": "0.5-1.25 2-2.75"})
    assert from_table.splices == ((0.5, 1.25), (2.0, 2.75))
    assert Metadata.model_validate_json(from_table.model_dump_json()) == from_table
    for wrong in ("0.5", "a-b", "0.5-1-2"):
        with pytest.raises(ValidationError, match="splices"):
            Metadata.model_validate({"splices": wrong})


def test_held_out_species_are_attacks_and_the_rest_is_seen() -> None:
    assert set(HELD_OUT_KINDS) == {Kind.REPLAY_MOVING, Kind.MOUTHING, Kind.TTS, Kind.SPLICED}
    assert all(kind.is_spoof and kind.readable for kind in HELD_OUT_KINDS)
    assert {*SEEN_KINDS, *HELD_OUT_KINDS} == {*Kind}
    assert not {*SEEN_KINDS} & {*HELD_OUT_KINDS}
