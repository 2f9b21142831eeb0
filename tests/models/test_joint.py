from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vivavoce.models.joint import NAMED, JointModel, ModelConfig

MELS, ECHO = 80, 24
SMALL = {
    "xvector": {"channels": 32, "pooled_channels": 48, "embedding_dim": 16},
    "ecapa": {"channels": 32, "pooled_channels": 48, "embedding_dim": 16, "bottleneck": 16},
    "campplus": {
        **{"stem_channels": 4, "channels": 16, "layers": [2, 2, 1], "growth": 8, "bottleneck": 16},
        "embedding_dim": 16,
    },
}
HEAD = {
    "linear": {"channels": 16, "groups": 4},
    "lstm": {"channels": 16, "groups": 4},
    "ridge": {"targets": 4, "context_step": 4},
    "attention": {"channels": 16},
    "sync": {"channels": 16, "embedding": 8},
    "fused": {"channels": 16, "groups": 4, "embedding": 8},
}
HEAD_PARTS = {
    "linear": ("join", "judge"),
    "lstm": ("join", "judge", "temporal"),
    "ridge": ("line", "axes_share", "frames_of_one"),
    "attention": ("attention", "expected", "norms", "join", "around", "judge"),
    "sync": ("sync", "gate"),
    "fused": ("sync", "gate", "join", "temporal", "judge"),
}

NORMS = [
    {"type": "none"},
    {"type": "utterance", "variance": True},
    {"type": "sliding", "window_s": 0.5},
    {"type": "minmax"},
    {"type": "zscore"},
]


def small_model(name: str, seed: int = 0, **more: object) -> JointModel:
    trunk = SMALL[NAMED[name]["trunk"]["type"]]
    head = HEAD[NAMED[name]["head"]["type"]]
    config = ModelConfig.model_validate({"name": name, "trunk": trunk, "head": head, **more})
    torch.manual_seed(seed)
    model = config.build(MELS, ECHO)
    model.fit_statistics([(torch.randn(500, MELS) * 3 + 5, torch.randn(500, ECHO) * 8 - 50)])
    # Batch norm with statistics other than 0 and 1, as after training.
    model.train()
    with torch.no_grad():
        model.embed(torch.randn(8, 120, MELS))
    model.eval().fit_head(crops(seed + batch) for batch in range(6))
    return model


class Crops(NamedTuple):
    voice: torch.Tensor
    echo: torch.Tensor
    voice_lengths: torch.Tensor
    echo_lengths: torch.Tensor
    voice_of: torch.Tensor
    echo_of: torch.Tensor
    lengths: torch.Tensor
    live: torch.Tensor


def crops(seed: int, count: int = 8, frames: int = 200) -> Crops:
    """A batch whose live echoes follow their voices; the second half of the pairs joins what is not of one piece."""
    generator = torch.Generator().manual_seed(seed)
    level = functional.avg_pool1d(torch.randn(count, 1, frames + 20, generator=generator), 21, stride=1)[:, 0] * 5
    spread = torch.Generator().manual_seed(99)
    voice = 5 + level[..., None] * torch.randn(MELS, generator=spread)
    echo = -50 + 4 * level[..., None] * torch.randn(ECHO, generator=spread)
    own = torch.arange(count)
    return Crops(
        voice=voice + torch.randn(voice.shape, generator=generator),
        echo=echo + 2 * torch.randn(echo.shape, generator=generator),
        voice_lengths=torch.full((count,), frames),
        echo_lengths=torch.full((count,), frames),
        lengths=torch.full((2 * count,), frames),
        voice_of=torch.cat([own, own]),
        echo_of=torch.cat([own, own.roll(1)]),
        live=torch.cat([torch.ones(count), torch.zeros(count)]),
    )


@pytest.fixture(params=sorted(NAMED))
def model(request) -> JointModel:
    return small_model(request.param)


def features(lengths: list[int], seed: int, fill: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    voice = torch.full((len(lengths), max(lengths), MELS), fill)
    echo = torch.full((len(lengths), max(lengths), ECHO), fill)
    for index, length in enumerate(lengths):
        voice[index, :length] = torch.randn(length, MELS, generator=generator) * 3 + 5
        echo[index, :length] = torch.randn(length, ECHO, generator=generator) * 8 - 50
    return voice, echo, torch.tensor(lengths)


@torch.no_grad()
def test_batch_mates_and_padding_change_no_score(model):
    voice, echo, lengths = features([151, 60, 97, 33], seed=1, fill=1e3)
    together = model.embed(voice, lengths), model.liveness(voice, echo, lengths)
    for index, length in enumerate(lengths.tolist()):
        own_voice, own_echo = voice[index : index + 1, :length], echo[index : index + 1, :length]
        torch.testing.assert_close(together[0][index], model.embed(own_voice)[0], atol=1e-5, rtol=1e-4)
        alone = model.liveness(own_voice, own_echo)
        torch.testing.assert_close(together[1].utterance[index], alone.utterance[0], atol=1e-4, rtol=1e-4)
        frames = alone.frames.shape[1]
        torch.testing.assert_close(together[1].frames[index, :frames], alone.frames[0], atol=1e-4, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(20, 90), min_size=1, max_size=4), fill=st.sampled_from([0.0, -1e4, 1e4]))
@torch.no_grad()
def test_what_lies_in_the_padding_is_never_looked_at(lengths, fill):
    model = small_model("ecapa-lstm")
    clean, dirty = features(lengths, 3, 0.0), features(lengths, 3, fill)
    torch.testing.assert_close(model.embed(clean[0], clean[2]), model.embed(dirty[0], dirty[2]), atol=1e-5, rtol=1e-4)
    a, b = model.liveness(*clean[:2], clean[2]), model.liveness(*dirty[:2], dirty[2])
    torch.testing.assert_close(a.utterance, b.utterance, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_weights_sum_to_one_and_padding_has_neither_weight_nor_logit(model):
    voice, echo, lengths = features([80, 41], seed=2, fill=0.0)
    answer = model.liveness(voice, echo, lengths)
    assert answer.frames.shape == answer.weights.shape == (2, 40)
    torch.testing.assert_close(answer.weights.sum(dim=1), torch.ones(2))
    assert answer.weights[1, 21:].abs().max() == answer.frames[1, 21:].abs().max() == 0
    if model.config.head.type in ("linear", "lstm", "attention"):
        torch.testing.assert_close((answer.frames * answer.weights).sum(dim=1), answer.utterance)


@torch.no_grad()
def test_embeddings_have_unit_length_and_forget_a_constant_channel(model):
    voice, _, lengths = features([70, 50], seed=4, fill=0.0)
    embeddings = model.embed(voice, lengths)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    coloured = voice + torch.linspace(-4, 4, MELS)
    torch.testing.assert_close(model.embed(coloured, lengths), embeddings, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_liveness_depends_on_how_the_streams_fit_in_time(model):
    voice, echo, lengths = features([100], seed=5, fill=0.0)
    as_is = model.liveness(voice, echo, lengths).utterance
    assert not torch.allclose(as_is, model.liveness(voice, echo.roll(30, dims=1), lengths).utterance)
    assert not torch.allclose(as_is, model.liveness(voice.roll(30, dims=1), echo, lengths).utterance)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_state_dict_keys_are_pinned(name):
    keys = sorted(small_model(name).state_dict())
    assert {
        "echo_stats.mean",
        "echo_stats.std",
        "trunk.stem.conv.weight",
        "trunk.embedding.weight",
    } <= set(keys)
    parts = {".".join(key.split(".")[:2]) for key in keys if not key.startswith("echo_stats")}
    trunk = {"trunk.stem", "trunk.blocks", "trunk.embedding"}
    if name.startswith("ecapa"):
        trunk |= {"trunk.aggregate", "trunk.aggregate_norm", "trunk.pooling", "trunk.pooled_norm"}
    if name.startswith("campplus"):
        trunk |= {"trunk.downsample", "trunk.transits", "trunk.norm", "trunk.embedding_norm"}
    head = {f"head.{part}" for part in ("voice", "echo", *HEAD_PARTS[NAMED[name]["head"]["type"]])}
    assert parts == trunk | head


def test_published_sizes():
    # Desplanques et al. 2020, table 1: 6.2 M parameters at C=512, without the classifier.
    trunk = ModelConfig.model_validate({"name": "ecapa-lstm"}).trunk.build(80)
    assert sum(p.numel() for p in trunk.parameters()) == pytest.approx(6.2e6, rel=0.01)
    # Snyder et al. 2018, table 1, segment6 left out, with 80 mels: 4.2 M.
    trunk = ModelConfig.model_validate({"name": "xvector-lstm"}).trunk.build(24)
    assert sum(p.numel() for p in trunk.parameters()) == pytest.approx(4.2e6, rel=0.05)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_heads_stay_under_a_million_parameters(name):
    model = ModelConfig.model_validate({"name": name}).build(MELS, ECHO)
    assert sum(p.numel() for p in model.head.parameters()) < 1_000_000


def test_every_parameter_of_a_head_is_trained(model):
    voice, echo, lengths = features([80, 41], seed=2, fill=0.0)
    model.train()
    answer = model.liveness(voice, echo, lengths)
    (answer.utterance.square().sum() + answer.frames.square().sum()).backward()
    assert {name for name, p in model.head.named_parameters() if p.grad is None} == set()


def test_an_unknown_name_and_a_foreign_part_are_refused():
    with pytest.raises(ValueError, match="allowed: xvector-linear"):
        ModelConfig.model_validate({"name": "resnet"})
    with pytest.raises(ValueError, match="the trunk of ecapa-lstm is 'ecapa', not 'xvector'"):
        ModelConfig.model_validate({"name": "ecapa-lstm", "trunk": {"type": "xvector"}})


def test_a_config_survives_its_own_dump():
    config = ModelConfig.model_validate({"name": "xvector-linear", "trunk": {"channels": 64}})
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm["type"])
@torch.no_grad()
def test_batch_mates_change_no_score_under_any_normalisation(norm):
    model = small_model("xvector-linear", voice_norm=norm, echo_norm=norm)
    voice, echo, lengths = features([151, 60, 97], seed=1, fill=1e3)
    together = model.embed(voice, lengths), model.liveness(voice, echo, lengths).utterance
    for index, length in enumerate(lengths.tolist()):
        own_voice, own_echo = voice[index : index + 1, :length], echo[index : index + 1, :length]
        torch.testing.assert_close(together[0][index], model.embed(own_voice)[0], atol=1e-5, rtol=1e-4)
        alone = model.liveness(own_voice, own_echo).utterance
        torch.testing.assert_close(together[1][index], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm["type"])
@torch.no_grad()
def test_a_normalised_model_survives_saving(norm):
    model, other = (small_model("xvector-linear", seed, voice_norm=norm, echo_norm=norm) for seed in (0, 1))
    voice, echo, lengths = features([80, 50], seed=2, fill=0.0)
    assert not torch.equal(model.embed(voice, lengths), other.embed(voice, lengths))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.embed(voice, lengths), other.embed(voice, lengths))
    assert torch.equal(model.liveness(voice, echo, lengths).utterance, other.liveness(voice, echo, lengths).utterance)


def test_the_default_normalises_as_ever():
    # The voice loses each utterance's mean, the echo is in units of the training set's spread.
    model = small_model("ecapa-lstm")
    assert sorted(key for key in model.state_dict() if "stats" in key) == ["echo_stats.mean", "echo_stats.std"]
    voice, echo, _ = features([70], seed=4, fill=0.0)
    torch.testing.assert_close(model.voice_stats(voice), voice - voice.mean(dim=1, keepdim=True))
    mean, std = (model.state_dict()[f"echo_stats.{name}"] for name in ("mean", "std"))
    assert torch.equal(model.standardise(echo), ((echo - mean) / std).transpose(1, 2))


def test_statistics_come_from_what_was_given_and_nothing_is_asked_for_in_vain():
    echo = torch.randn(300, ECHO) * 8 - 50
    model = ModelConfig.model_validate({"name": "xvector-linear", "voice_norm": {"type": "zscore"}}).build(MELS, ECHO)
    voice = torch.randn(300, MELS) * 3 + 5
    model.fit_statistics(zip(voice.split(70), echo.split(70), strict=True))
    torch.testing.assert_close(model.voice_stats.mean, voice.mean(dim=0))
    torch.testing.assert_close(model.echo_stats.std, echo.std(dim=0, correction=0))

    def never():
        raise AssertionError("no statistics are needed")
        yield

    none = {"name": "xvector-linear", "echo_norm": {"type": "sliding"}}
    ModelConfig.model_validate(none).build(MELS, ECHO).fit_statistics(never())


@torch.no_grad()
def test_values_outside_the_training_range_are_counted_by_stream():
    model = small_model("xvector-linear", echo_norm={"type": "minmax"})
    assert model.out_of_range == {"echo": 0}
    voice, echo, lengths = features([80, 50], seed=2, fill=1e6)
    echo = echo.clamp(-60, -40)
    model.liveness(voice, echo, lengths)
    assert model.out_of_range == {"echo": 0}
    echo[1, :10] = 100
    model.liveness(voice, echo, lengths)
    assert model.out_of_range["echo"] == pytest.approx(10 / 260)
    model.reset_out_of_range()
    assert model.out_of_range == {"echo": 0}
    assert small_model("xvector-linear").out_of_range == {}


def test_only_a_head_with_a_closed_form_is_fitted():
    def never():
        raise AssertionError("nothing is to be fitted")
        yield

    for name in NAMED:
        head = small_model(name).head
        assert head.needs_fit is name.endswith("ridge")
        if not head.needs_fit:
            small_model(name).fit_head(never())
    with pytest.raises(ValueError, match="live recordings"):
        small_model("xvector-ridge").fit_head([crops(0)._replace(live=torch.zeros(16))])


def test_a_model_with_a_range_exports():
    model = small_model("xvector-linear", voice_norm={"type": "minmax"}, echo_norm={"type": "minmax"})
    _, echo, _ = features([80, 50], seed=2, fill=0.0)
    stats = model.echo_stats
    exported = torch.export.export(stats, (echo, None)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(echo, None), stats(echo))
