import pytest
import torch

from tests.models.weights.peers import EMBEDDING, MELS, POOLED, WIDTH, XVECTOR_FAMILIES, embed, xvector
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.xvector import LAYOUTS
from vivavoce.models.xvector import XVectorConfig


@pytest.mark.parametrize("family", XVECTOR_FAMILIES)
def test_an_imported_trunk_computes_what_the_toolkit_does(family: str, tmp_path):
    theirs, speechbrain = xvector(family), family == "speechbrain"
    torch.save(theirs, tmp_path / "peer.pt")
    file = import_checkpoint(tmp_path / "peer.pt", family).trunk
    trunk = file.info.trunk.build(file.info.mels).eval()
    trunk.load_state_dict(file.weights, strict=False)
    x = torch.randn(3, MELS, 45, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = trunk(x)
    torch.testing.assert_close(ours, embed(family, theirs, x), atol=1e-4, rtol=1e-4)
    # What shapes do not tell is known by the toolkit: another's settings with the same weights give something else.
    for setting in ({"padding": "zero"}, {"std": "floored"}, {"rectifier": "relu" if speechbrain else "leaky_relu"}):
        other = file.info.trunk.model_copy(update=setting).build(file.info.mels).eval()
        other.load_state_dict(file.weights, strict=False)
        with torch.no_grad():
            assert not torch.allclose(other(x), ours, atol=1e-4, rtol=1e-4), setting


@pytest.mark.parametrize("family", XVECTOR_FAMILIES)
def test_sizes_come_from_the_weights(family: str):
    layout, weights = LAYOUTS[family], xvector(family)
    assert layout.mels(weights) == MELS
    assert layout.config(weights) == XVectorConfig.preset(
        family,  # pyright: ignore[reportArgumentType]
        channels=WIDTH,
        pooled_channels=POOLED,
        embedding_dim=EMBEDDING,
    )


def test_each_toolkit_is_told_from_the_others_by_its_keys():
    for family in XVECTOR_FAMILIES:
        assert [name for name, layout in LAYOUTS.items() if layout.recognises(xvector(family))] == [family]
