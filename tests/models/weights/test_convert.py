import argparse
import hashlib

import pytest
import torch
from safetensors.torch import save_file

from tests.models.weights.peers import POOLED, XVECTOR_FAMILIES, xvector
from vivavoce.errors import UserError
from vivavoce.models.weights.checkpoint import COUNTER, read_checkpoint, write_checkpoint
from vivavoce.models.weights.convert import checkpoint_families, export_trunk, import_checkpoint
from vivavoce.models.weights.trunk_file import read_trunk_file
from vivavoce.models.xvector import XVectorConfig


def saved(folder, weights, name="peer.pt"):
    torch.save(weights, folder / name)
    return folder / name


@pytest.mark.parametrize("family", XVECTOR_FAMILIES)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
def test_in_and_out_again_every_bit_is_the_same(family: str, suffix: str, tmp_path):
    theirs = xvector(family)
    path = tmp_path / f"peer{suffix}"
    if suffix == ".safetensors":
        save_file(theirs, path)
    else:
        torch.save(theirs, path)
    import_checkpoint(path, family).trunk.write(tmp_path / "trunk.safetensors")
    file = read_trunk_file(tmp_path / "trunk.safetensors")
    assert file.info.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for out in ("back.pt", "back.safetensors"):
        write_checkpoint(tmp_path / out, export_trunk(file.info.trunk, file.weights, family))
        back = read_checkpoint(tmp_path / out).weights
        assert back.keys() == {key for key in theirs if not key.endswith(COUNTER)}
        assert all(torch.equal(value, theirs[key]) for key, value in back.items())


def wrapped_module(weights):
    return {f"module.{key}": value for key, value in weights.items()}


WRAPPED = {
    "state dict": (lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"state": {}}}, {"optimizer"}),
    "model": (lambda weights: {"model": {"state_dict": weights}}, set()),
    "data parallel": (wrapped_module, set()),
    "classifier": (lambda weights: {**weights, "projection.weight": torch.zeros(5, 12)}, {"projection.weight"}),
    "both": (lambda weights: {"model": {**wrapped_module(weights), "loss.w": torch.zeros(2)}}, {"loss.w"}),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wrappers_and_heads_are_taken_off_and_named(how: str, tmp_path):
    wrap, named = WRAPPED[how]
    plain = import_checkpoint(saved(tmp_path, xvector("wespeaker"), "plain.pt"), "wespeaker").trunk.weights
    imported = import_checkpoint(saved(tmp_path, wrap(xvector("wespeaker"))), "wespeaker")
    assert all(torch.equal(value, plain[key]) for key, value in imported.trunk.weights.items())
    assert set(imported.left_out) - {"epoch"} == named


def test_half_precision_becomes_float32_without_loss(tmp_path):
    half = {key: value.half() if value.is_floating_point() else value for key, value in xvector("speechbrain").items()}
    weights = import_checkpoint(saved(tmp_path, half), "speechbrain").trunk.weights
    assert weights["stem.conv.weight"].dtype == torch.float32
    assert torch.equal(weights["stem.conv.weight"].half(), half["blocks.0.conv.weight"])


def with_value(key, number):
    return lambda weights: weights[key].view(-1)[0].fill_(number)


def as_type(key, kind):
    return lambda weights: weights.update({key: weights[key].to(kind)})


def without(key):
    return lambda weights: weights.pop(key)


BROKEN = {
    "missing": (without("frame_3.bn.running_var"), ("lacks frame_3.bn.running_var",)),
    "missing bias": (without("seg_2.bias"), ("lacks seg_2.bias",)),
    "unknown": (lambda weights: weights.update(extra=torch.zeros(2)), ("has extra", "no place")),
    "shape": (
        lambda weights: weights.update({"seg_1.weight": torch.zeros(12, 7)}),
        ("seg_1.weight has the shape (12, 7)", f"(12, {2 * POOLED})"),
    ),
    "sizes": (lambda weights: weights.update({"frame_1.conv_1d.weight": torch.zeros(4, 20, 5)}), ("shapes that no",)),
    "dimensions": (lambda weights: weights.update({"frame_1.conv_1d.weight": torch.zeros(())}), ("shapes that no",)),
    "NaN": (with_value("frame_2.bn.running_var", torch.nan), ("in frame_2.bn.running_var", "no finite numbers")),
    "infinite": (with_value("seg_2.weight", torch.inf), ("in seg_2.weight", "from before training failed")),
    "beyond float32": (
        lambda weights: weights.update({"seg_2.bias": torch.full((12,), 1e300, dtype=torch.float64)}),
        ("in seg_2.bias",),
    ),
    "complex": (as_type("seg_1.bias", torch.complex64), ("seg_1.bias as complex64", "plain float32")),
    "whole numbers": (as_type("seg_1.bias", torch.int8), ("seg_1.bias as int8",)),
    "mels": (
        lambda weights: weights.update({"frame_1.conv_1d.weight": torch.zeros(16, 2, 5)}),
        ("shapes that no xvector of WeSpeaker has",),
    ),
    "architecture": (lambda weights: (weights.clear(), weights.update(a=torch.zeros(2))), ("begin with a", "xvector")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_checkpoint_that_does_not_fit_is_refused(what: str, tmp_path):
    spoil, parts = BROKEN[what]
    weights = xvector("wespeaker")
    spoil(weights)
    with pytest.raises(UserError) as caught:
        import_checkpoint(saved(tmp_path, weights), "wespeaker")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_the_wrong_toolkit_is_told_the_right_one(tmp_path):
    path = saved(tmp_path, xvector("3dspeaker"))
    with pytest.raises(
        UserError, match=r"not those of any network of WeSpeaker but of xvector of 3D-Speaker \(--from 3dspeaker"
    ):
        import_checkpoint(path, "wespeaker")
    assert checkpoint_families(path) == ["3dspeaker"]


def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path):
    whole = saved(tmp_path, xvector("wespeaker")).read_bytes()
    contents = {"text.pt": b"hello world", "empty.pt": b"", "half.pt": whole[: len(whole) // 2], "a.safetensors": b"{}"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="no checkpoint that can be read"):
            read_checkpoint(tmp_path / name)
    # Pickles over which torch.load fails with an IndexError, a TypeError and a KeyError.
    for pickled in (b"\x80\x02.", b"\x80\x02ccollections\nOrderedDict\nN\x85R.", b"\x80\x02h\x05."):
        (tmp_path / "pickle.pt").write_bytes(pickled)
        with pytest.raises(UserError, match=r"pickle\.pt is no checkpoint that can be read; give a whole one"):
            read_checkpoint(tmp_path / "pickle.pt")
    within: dict = {}
    within["model"] = within
    with pytest.raises(UserError, match="holds no weights"):
        read_checkpoint(saved(tmp_path, within))
    with pytest.raises(UserError, match="holds no weights"):
        read_checkpoint(saved(tmp_path, {"epoch": 3}))
    with pytest.raises(UserError, match="There is no file"):
        read_checkpoint(tmp_path / "absent.pt")


@pytest.mark.filterwarnings("ignore:torch.quantize")
@pytest.mark.parametrize(
    "change",
    [torch.Tensor.to_sparse, lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)],
    ids=["sparse", "quantised"],
)
def test_tensors_that_are_no_plain_ones_are_refused(change, tmp_path):
    weights = xvector("wespeaker")
    path = saved(tmp_path, {**weights, "seg_1.weight": change(weights["seg_1.weight"])})
    for read in (read_checkpoint, checkpoint_families, lambda path: import_checkpoint(path, "wespeaker")):
        with pytest.raises(UserError, match=r"holds seg_1\.weight as a quantised, sparse or empty tensor"):
            read(path)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    with pytest.raises(UserError, match="Python objects besides tensors"):
        read_checkpoint(saved(tmp_path, {"state_dict": xvector("wespeaker"), "args": argparse.Namespace(seed=1)}))


@pytest.mark.parametrize(
    ("family", "setting", "parts"),
    [
        ("wespeaker", {"padding": "zero"}, ("model.trunk.padding is zero and there none",)),
        ("wespeaker", {"affine": True}, ("model.trunk.affine is true and there false",)),
        ("speechbrain", {"std": "unbiased"}, ("model.trunk.std is unbiased and there unbiased_offset",)),
        ("3dspeaker", {"segment_layers": 2}, ("model.trunk.segment_layers is 2 and there 1",)),
    ],
)
def test_an_export_names_the_setting_that_the_toolkit_does_not_have(family: str, setting: dict, parts: tuple[str, ...]):
    sizes = {"channels": 16, "pooled_channels": 24, "embedding_dim": 12}
    fitting = XVectorConfig.preset(family, **sizes)  # pyright: ignore[reportArgumentType]
    assert export_trunk(fitting, fitting.build(20).state_dict(), family)
    other = fitting.model_copy(update=setting)
    with pytest.raises(UserError) as caught:
        export_trunk(other, other.build(20).state_dict(), family)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_toolkit_without_the_architecture_is_refused():
    with pytest.raises(UserError, match="no xvector whose layout is known; choose --to wespeaker"):
        export_trunk(XVectorConfig(), {}, "tao")
