import pytest
import torch
import yaml

from tests.models.weights.peers import MELS, embed, xvector
from tests.models.weights.test_trunk_file import spoil
from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.pretrained import load_pretrained
from vivavoce.models.weights.trunk_file import fragment_path

HEAD = {"channels": 16, "groups": 4, "embedding": 8, "hidden": 8, "dilations": [1]}


@pytest.fixture
def trunk(tmp_path):
    torch.save(xvector("wespeaker"), tmp_path / "peer.pt")
    path = tmp_path / "trunk.safetensors"
    import_checkpoint(tmp_path / "peer.pt", "wespeaker").trunk.write(path)
    return path


def configured(trunk, **changes):
    """The configuration that the fragment begins, with keys ``section__key`` changed."""
    tree = yaml.safe_load(fragment_path(trunk).read_text())
    tree["data"] = {"train": "a", "validation": "b"}
    tree["model"]["head"] = HEAD
    tree["training"] = {"speed_factors": [1.0]}
    for key, value in changes.items():
        inner = tree
        *sections, last = key.split("__")
        for section in sections:
            inner = inner[section]
        inner[last] = value
    return ExperimentConfig.model_validate(tree)


def built(config):
    front_end = config.front_end.build()
    return config.model.build(front_end.voice_channels, front_end.echo_channels)


def loaded(config):
    model = built(config)
    load_pretrained(model, config.model.pretrained, config.front_end)
    return model.eval()


def test_the_fragment_beside_the_file_trains_on_from_it(trunk):
    config = configured(trunk)
    assert config.model.pretrained == trunk
    assert config.front_end.voice.window == "hamming"
    model = loaded(config)
    voice = torch.randn(2, 60, MELS)
    expected = embed("wespeaker", xvector("wespeaker"), (voice - voice.mean(dim=1, keepdim=True)).transpose(1, 2))
    with torch.no_grad():
        torch.testing.assert_close(model.embed(voice), torch.nn.functional.normalize(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"model__trunk__padding": "zero"}, "--set model.trunk.padding=none"),
        ({"model__trunk__affine": True}, "--set model.trunk.affine=false"),
        ({"model__voice_norm": {"type": "sliding"}}, "--set model.voice_norm.type=utterance"),
        ({"front_end__voice__window": "povey"}, "--set front_end.voice.window=hamming"),
        ({"front_end__voice__num_mel_bins": 24}, f"--set front_end.voice.num_mel_bins={MELS}"),
        ({"front_end__deltas": 1}, "--set front_end.deltas=0"),
    ],
)
def test_another_trunk_or_other_features_are_refused_with_what_to_set(trunk, changes: dict, wanted: str):
    with pytest.raises(UserError) as caught:
        loaded(configured(trunk, **changes))
    assert wanted in str(caught.value)
    assert str(trunk) in str(caught.value)


def test_where_much_differs_the_fragment_is_pointed_to(trunk):
    config = configured(trunk, model__name="ecapa-linear", model__trunk={}, model__head={})
    with pytest.raises(UserError, match=r"model\.name.*begin with .*trunk\.yaml, which has them all"):
        loaded(config)


def test_what_is_no_trunk_file_is_refused(trunk, tmp_path):
    config = configured(trunk)
    for name in ("peer.pt", "absent.safetensors"):
        with pytest.raises(UserError, match=r"not a trunk file|There is no file"):
            load_pretrained(built(config), tmp_path / name, config.front_end)


def test_a_damaged_trunk_file_is_refused(trunk):
    config, model = configured(trunk), built(configured(trunk))
    spoil(trunk, lambda _, weights: weights.update({"embedding.bias": torch.zeros(7)}))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"trunk\.safetensors is damaged .*embedding\.bias has the shape \(7,\)"):
        load_pretrained(model, trunk, config.front_end)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
