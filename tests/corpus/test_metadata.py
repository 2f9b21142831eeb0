import pytest

from vivavoce.corpus.metadata import Metadata


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
