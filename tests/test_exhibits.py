import base64
import io

import numpy as np
import pytest
import soundfile as sf

from vivavoce import exhibits
from vivavoce.corpus.manifest import read_rows
from vivavoce.evaluation.report.results import WorstError
from vivavoce.exhibits import LONGEST_S, audio_uri, exhibit
from vivavoce.features.front_end import VOICE_HZ

from .tiny import Tiny


def _heard(uri: str) -> tuple[np.ndarray, int]:
    return sf.read(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.mark.parametrize("formats", [None, {}], ids=["as this machine has it", "no MP3"])
def test_a_voice_is_heard_again(formats, monkeypatch: pytest.MonkeyPatch) -> None:
    if formats is not None:
        monkeypatch.setattr(exhibits.sf, "available_formats", lambda: formats)
    voice = 0.01 * np.sin(2 * np.pi * 440 * np.arange(VOICE_HZ) / VOICE_HZ)
    uri = audio_uri(voice)
    assert uri.startswith("data:audio/wav" if formats == {} else "data:audio/mpeg")
    heard, rate = _heard(uri)
    assert rate == VOICE_HZ
    assert abs(len(heard) - len(voice)) < 0.2 * VOICE_HZ
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(np.argmax(spectrum) * rate / len(heard) - 440) < 2
    assert 0.5 < np.abs(heard).max() < 0.9, "a quiet recording can be heard"


def test_silence_and_long_recordings_pass() -> None:
    heard, rate = _heard(audio_uri(np.zeros(round(2 * LONGEST_S * VOICE_HZ))))
    assert abs(len(heard) / rate - LONGEST_S) < 0.2
    assert np.abs(heard).max() < 1e-3


def test_an_error_gets_its_picture_and_its_voice(tiny: Tiny) -> None:
    rows = read_rows(tiny.test)
    row = next(row for row in rows if row.meta.kind == "live")
    error = WorstError(truth="target", verdict="not_live", recording=row.id, margin=1.0)
    (found,) = exhibit([error], rows)
    assert found.picture.startswith("<svg")
    assert "Doppler" in found.picture
    assert found.audio.startswith("data:audio/")
    assert "audio" not in found.model_dump(), "the JSON stays small"
