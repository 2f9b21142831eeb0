"""Which type the encoders compute in, and gradients that overflow."""

import platform
from types import SimpleNamespace

import pytest
import torch

from vivavoce.training.precision import autocast_type

CPU = torch.device("cpu")


class WithoutOneDnn:
    """Stands for the operators of a build without oneDNN: asking for any is an AttributeError."""


def test_a_build_without_onednn_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", WithoutOneDnn())
    assert autocast_type("auto", CPU) is None


@pytest.mark.parametrize(
    ("machine", "asked", "expected"),
    [
        ("x86_64", {"_is_avx512_bf16_supported": True}, torch.bfloat16),
        ("AMD64", {"_is_amx_tile_supported": True}, torch.bfloat16),
        ("x86_64", {}, None),
        ("x86_64", None, None),
        ("aarch64", {}, torch.bfloat16),
        ("arm64", {}, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_it_has_instructions_for_it(monkeypatch, machine, asked, expected):
    """On x86 oneDNN says yes wherever AVX-512 can emulate them, slower than float32; on ARM only where there are."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if asked is None:  # a version of PyTorch that has other names
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda name=name: asked.get(name, False), raising=False)
    assert autocast_type("auto", CPU) is expected


def test_an_old_gpu_that_emulates_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert autocast_type("auto", torch.device("cuda")) is None


@pytest.mark.parametrize(("name", "expected"), [("float32", None), ("bfloat16", torch.bfloat16)])
def test_a_precision_that_is_named_is_taken_as_it_is(name, expected):
    assert autocast_type(name, CPU) is expected
