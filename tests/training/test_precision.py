"""Which type the encoders compute in, and gradients that overflow."""

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


@pytest.mark.parametrize(("name", "expected"), [("float32", None), ("bfloat16", torch.bfloat16)])
def test_a_precision_that_is_named_is_taken_as_it_is(name, expected):
    assert autocast_type(name, CPU) is expected
