"""ECAPA-TDNN weights of other toolkits give the embeddings that they give there."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.models.weights import reference_ecapa
from tests.models.weights.reference_ecapa import CHECKPOINTS, EMBEDDING, MELS, embed
from vivavoce.errors import UserError
from vivavoce.models.ecapa_tdnn import EcapaConfig, EcapaTdnn
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.weights.convert import export_trunk, import_checkpoint
from vivavoce.models.weights.ecapa import LAYOUTS

COUNTER = "num_batches_tracked"
every_checkpoint = pytest.mark.parametrize(
    ("family", "options"),
    CHECKPOINTS,
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)


def checkpoint(family: str, **options: bool) -> dict[str, Tensor]:
    """In double precision, so that nothing but a difference in arithmetic shows."""
    weights = reference_ecapa.checkpoint(family, **options)
    return {key: value.double() if value.is_floating_point() else value for key, value in weights.items()}


def without_counters(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.endswith(COUNTER)}


def taken_over(family: str, weights: dict[str, Tensor]) -> EcapaTdnn:
    layout = LAYOUTS[family]
    config = layout.config(weights)
    assert isinstance(config, EcapaConfig)
    trunk = config.build(layout.mels(weights)).double()
    missing, unexpected = trunk.load_state_dict(layout.to_ours(weights), strict=False)
    assert all(key.endswith(COUNTER) for key in missing)
    assert not unexpected
    return trunk.eval()


def speech_like(batch: int, frames: int, seed: int = 0) -> Tensor:
    """Log-mel frames ``(batch, mels, frames)`` that change slowly, as speech does."""
    generator = torch.Generator().manual_seed(seed)
    slow = functional.avg_pool1d(torch.randn(batch, MELS, frames + 8, generator=generator), 9, stride=1)
    return (6 * slow + torch.randn(batch, MELS, frames, generator=generator)).double()


@torch.no_grad()
@every_checkpoint
def test_embeddings_are_those_of_the_toolkit(family, options):
    weights = checkpoint(family, **options)
    x = speech_like(3, 70)
    torch.testing.assert_close(taken_over(family, weights)(x), embed(family, weights, x), atol=1e-8, rtol=1e-8)


@torch.no_grad()
@every_checkpoint
def test_padded_utterances_have_the_embedding_the_toolkit_gives_them_alone(family, options):
    weights = checkpoint(family, **options)
    trunk = taken_over(family, weights)
    lengths = torch.tensor([61, 33, 17])
    alone = [speech_like(1, int(length), seed=int(length)) for length in lengths]
    padded = torch.cat([functional.pad(x, (0, 61 - x.shape[2]), value=50.0) for x in alone])
    theirs = torch.cat([embed(family, weights, x) for x in alone])
    torch.testing.assert_close(trunk(padded, frame_mask(lengths, 61)), theirs, atol=1e-8, rtol=1e-8)


@every_checkpoint
def test_a_round_trip_loses_no_key_and_no_digit(family, options):
    weights = without_counters(checkpoint(family, **options))
    layout = LAYOUTS[family]
    back = layout.to_theirs(layout.to_ours(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)
    assert layout.recognises(weights.keys())


@pytest.mark.parametrize(
    ("family", "sizes", "parameters", "keys"),
    [
        ("speechbrain", {}, 6.194, 231),
        ("speechbrain", {"channels": 1024, "pooled_channels": 3072}, 20.768, 231),
        ("wespeaker", {}, 6.191, 221),
        ("wespeaker", {"channels": 1024}, 14.657, 221),
        ("tao", {}, 6.978, 231),
        ("tao", {"channels": 1024}, 15.445, 231),
    ],
)
def test_published_sizes(family, sizes, parameters, keys):
    with torch.device("meta"):
        trunk = EcapaConfig.preset(family, **sizes).build(80)
    assert sum(p.numel() for p in trunk.parameters()) / 1e6 == pytest.approx(parameters, abs=5e-4)
    ours = trunk.state_dict()
    theirs = LAYOUTS[family].to_theirs(without_counters(ours))
    # A toolkit counts the batches of every norm, as we do.
    assert len(theirs) + sum(key.endswith(COUNTER) for key in ours) == keys
    assert LAYOUTS[family].config(theirs) == EcapaConfig.preset(family, **sizes)


def test_what_shapes_cannot_tell_is_fixed_by_the_layout():
    for family in ("speechbrain", "wespeaker", "tao"):
        preset = dict(EcapaConfig.preset(family))
        assert LAYOUTS[family].variant.items() <= preset.items()
        assert LAYOUTS[family].variant["aggregate_norm"] is (family == "speechbrain")
    assert LAYOUTS["speechbrain"].variant["padding"] == LAYOUTS["3dspeaker"].variant["padding"] == "reflect"
    assert LAYOUTS["wespeaker"].variant["identity"] == LAYOUTS["tao"].variant["identity"] == "last"


def test_an_export_names_every_setting_at_once_that_the_toolkit_has_otherwise():
    ours = EcapaConfig.preset("wespeaker", channels=8, pooled_channels=8, bottleneck=4, embedding_dim=4)
    with pytest.raises(UserError) as caught:
        export_trunk(ours, ours.build(MELS).state_dict(), "speechbrain")
    for setting in ("padding is zero", "identity is last", "aggregate_norm is false", "scorer is tanh", "1e-12"):
        assert setting in str(caught.value)


def test_no_layout_takes_anothers_checkpoint():
    for family, options in CHECKPOINTS:
        keys = checkpoint(family, **options).keys()
        same = {"speechbrain", "3dspeaker"} if family in ("speechbrain", "3dspeaker") else {family}
        assert {name for name, layout in LAYOUTS.items() if layout.recognises(keys)} == same


def test_taos_own_loading_finds_every_weight_of_an_export(tmp_path):
    def inside(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        beside = {"torchfbank.0.flipped_filter": torch.tensor([[[-0.97, 1.0]]])}
        network = {f"speaker_encoder.{key}": value for key, value in {**beside, **weights}.items()}
        return {**network, "speaker_loss.weight": torch.zeros(5, EMBEDDING)}

    trained = reference_ecapa.checkpoint("tao")
    torch.save(inside(trained), tmp_path / "model.model")
    imported = import_checkpoint(tmp_path / "model.model", "tao")
    assert set(imported.left_out) == {"speaker_loss.weight", "torchfbank.0.flipped_filter"}
    exported = export_trunk(imported.trunk.info.trunk, imported.trunk.weights, "tao")
    state = inside(reference_ecapa.checkpoint("tao", seed=1))
    # As ECAPAModel.load_parameters does: it passes over what it does not know and keeps what it is not given.
    loaded = {**state, **{key: value for key, value in exported.items() if key in state}}
    for key, value in inside(without_counters(trained)).items():
        assert torch.equal(loaded[key], value), key
