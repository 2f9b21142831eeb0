"""ONNX encoders: what a file may take, with a stand-in for the runtime; and a real one where the runtime is."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vivavoce.encoders.onnx import load_onnx
from vivavoce.encoders.registry import load_encoder
from vivavoce.errors import UserError
from vivavoce.models.weights.families import FAMILIES

WAVE = (0.1 * np.random.default_rng(0).normal(size=16_000)).astype(np.float32)


class Session:
    """Stands in for onnxruntime's: keeps what it was given, and returns two numbers of it."""

    inputs = (("input", [1, "samples"], "tensor(float)"),)
    outputs = ("embedding", "other")
    given: np.ndarray

    def __init__(self, path: str, providers: list[str]) -> None:
        if Path(path).read_text() == "no model":
            raise RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF\nmore")

    def get_inputs(self):
        return [SimpleNamespace(name=name, shape=shape, type=kind) for name, shape, kind in self.inputs]

    def get_outputs(self):
        return [SimpleNamespace(name=name) for name in self.outputs]

    def run(self, names, feed):
        (Session.given,) = feed.values()
        if Session.given.shape[1] == 333:
            raise RuntimeError("Got invalid dimensions for input")
        scale = 1.0 if names == ["embedding"] else -1.0
        return [np.array([[3.0 * scale, 4.0]])]


@pytest.fixture
def model(monkeypatch, tmp_path) -> Path:
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))
    (tmp_path / "m.onnx").write_text("a model")
    return tmp_path / "m.onnx"


def takes(monkeypatch, *inputs) -> None:
    monkeypatch.setattr(Session, "inputs", inputs)


def test_a_matrix_is_a_waveform(model):
    encoder = load_encoder(f"onnx:{model}")
    np.testing.assert_allclose(encoder.embed([WAVE]), [[0.6, 0.8]])
    np.testing.assert_array_equal(Session.given, WAVE[None])
    assert encoder.sample_rate == 16_000


def test_rate_and_output_are_options(model):
    encoder = load_encoder(f"onnx:{model}?rate=48000&output=other")
    np.testing.assert_allclose(encoder.embed([WAVE]), [[-0.6, 0.8]])
    assert encoder.sample_rate == 48_000
    assert encoder.fingerprint != load_encoder(f"onnx:{model}").fingerprint


@pytest.mark.parametrize(
    ("shape", "query", "family", "mels"),
    [
        (["batch", "frames", 80], "", "wespeaker", 80),
        ([1, "frames", 40], "", "wespeaker", 40),
        ([1, "frames", "mels"], "?mels=24&input=3dspeaker", "3dspeaker", 24),
        ([1, "frames", "mels"], "?input=speechbrain", "speechbrain", 80),
    ],
)
def test_three_dimensions_are_frames_as_a_toolkit_makes_them(model, monkeypatch, shape, query, family, mels):
    takes(monkeypatch, ("feats", shape, "tensor(float)"))
    encoder = load_encoder(f"onnx:{model}{query}")
    encoder.embed([WAVE])
    frames = FAMILIES[family].voice_config(mels).build().eval()(torch.from_numpy(WAVE)[None], torch.tensor([16_000]))[0]
    np.testing.assert_allclose(Session.given, (frames - frames.mean(dim=1)).numpy(), atol=1e-4)
    assert Session.given.shape[2] == mels


@pytest.mark.parametrize(
    ("inputs", "query", "said"),
    [
        ((("x", [1], "tensor(float)"),), {}, "takes x [1] tensor(float)"),
        ((("x", [1, 2], "tensor(int64)"),), {}, "tensor(int64)"),
        ((("x", [1, 2], "tensor(float)"), ("n", [1], "tensor(int64)")), {}, "n [1] tensor(int64)"),
        ((("x", [1, "t"], "tensor(float)"),), {"input": "wespeaker"}, "input=wespeaker asks for another"),
        ((("x", [1, "t", 80], "tensor(float)"),), {"input": "wave"}, "input=wave asks for another"),
        ((("x", [1, "t"], "tensor(float)"),), {"output": "z"}, "has no output z; it has embedding, other"),
        ((("x", [1, "t"], "tensor(float)"),), {"input": "mfcc"}, "no option input=mfcc"),
        ((("x", [1, "t"], "tensor(float)"),), {"colour": "red"}, "no option colour=red"),
        ((("x", [1, "t"], "tensor(float)"),), {"rate": "7"}, "no option rate=7"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(model, monkeypatch, inputs, query, said):
    takes(monkeypatch, *inputs)
    with pytest.raises(UserError) as caught:
        load_onnx(model, query)
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_file_that_is_no_model_is_refused(model):
    model.write_text("no model")
    with pytest.raises(UserError, match=r"m\.onnx is not an ONNX model that runs here .*INVALID_PROTOBUF\); export"):
        load_onnx(model, {})
    model.unlink()
    with pytest.raises(UserError, match="There is no ONNX file"):
        load_onnx(model, {})


def test_an_input_that_the_model_refuses_is_said(model):
    with pytest.raises(UserError, match=r"refused an input of shape \(1, 333\) \(Got invalid dimensions for input\)"):
        load_onnx(model, {}).embed([WAVE[:333]])


def test_a_real_model_embeds_what_it_is_made_to(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("ReduceMean", ["feats", "axes"], ["mean"], keepdims=0)]
    nodes += [helper.make_node("MatMul", ["mean", "weights"], ["embedding"])]
    weights = np.random.default_rng(1).normal(size=(80, 6)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("feats", kind, ["batch", "frames", 80])],
        [helper.make_tensor_value_info("embedding", kind, ["batch", 6])],
        [onnx.numpy_helper.from_array(weights, "weights"), onnx.numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "tiny.onnx")
    encoder = load_encoder(f"onnx:{tmp_path / 'tiny.onnx'}")
    found = encoder.embed([WAVE, WAVE[:9_000]])
    assert found.shape == (2, 6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.embed([WAVE[:9_000]])[0], found[1], atol=1e-6)
