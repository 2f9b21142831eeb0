"""What all trained heads must be able to do: learn in seconds which streams belong together, alike each time."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from vivavoce.models.heads.base import Liveness
from vivavoce.models.joint import HEADS

TRAINED = sorted(set(HEADS) - {"ridge"})
VOICE, ECHO, FRAMES = 10, 6, 200
SMALL = {"channels": 16, "dilations": [1, 2], "dropout": 0.0}
MORE = {
    "linear": {"groups": 4},
    "lstm": {"groups": 4, "hidden": 16},
    "fused": {"groups": 4, "hidden": 16, "embedding": 8},
    "sync": {"embedding": 8},
    "attention": {"heads": 2},
}


def build(name: str) -> Any:
    torch.manual_seed(0)
    return HEADS[name].model_validate({"type": name, **SMALL, **MORE[name]}).build(VOICE, ECHO)


def pairs(seed: int, count: int = 24) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Voices, echoes that follow the same motion, and echoes that follow another's."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(2, VOICE + ECHO, generator=torch.Generator().manual_seed(99))
    motion = functional.avg_pool1d(torch.randn(count, 2, FRAMES + 16, generator=generator), 17, stride=1) * 4
    both = torch.einsum("bkt,kc->bct", motion, spread)
    both = both + 0.5 * torch.randn(both.shape, generator=generator)
    return both[:, :VOICE], both[:, VOICE:], both[:, VOICE:].roll(1, dims=0)


def judged(head: Any, seed: int) -> tuple[Liveness, torch.Tensor]:
    voice, echo, other = pairs(seed)
    answer = head(torch.cat([voice, voice]), torch.cat([echo, other]))
    return answer, torch.cat([torch.ones(len(voice)), torch.zeros(len(voice))])


def trained(name: str, steps: int) -> Any:
    head = build(name)
    optimiser = torch.optim.AdamW(head.parameters(), 5e-3)
    for step in range(steps):
        answer, labels = judged(head, step)
        loss = functional.binary_cross_entropy_with_logits(answer.utterance, labels)
        every = labels[:, None].expand_as(answer.frames)
        loss = loss + 0.5 * functional.binary_cross_entropy_with_logits(answer.frames, every)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_head_learns_which_streams_belong_together(name):
    head = trained(name, steps=60)
    with torch.no_grad():
        answer, labels = judged(head, seed=10_000)
        voice, echo, other = pairs(20_000)
        spliced = torch.cat([echo[..., :100], other[..., 100:]], dim=2)
        frames = head(voice, spliced).frames
    assert ((answer.utterance > 0) == (labels > 0)).float().mean() >= 0.9
    # Frames know which half was replaced.
    assert (frames[:, 10:40].mean(dim=1) > frames[:, 60:90].mean(dim=1)).float().mean() >= 0.9


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_repeat_to_the_last_digit(name):
    head = build(name)
    found = []
    for _ in range(2):
        head.zero_grad()
        answer, _ = judged(head, 1)
        (answer.utterance.sum() + answer.frames.square().sum()).backward()
        found.append([parameter.grad.clone() for parameter in head.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


@pytest.mark.parametrize("name", TRAINED)
def test_one_encoding_serves_all_pairings(name):
    head = build(name).eval()
    voice, _, other = pairs(2, count=3)
    with torch.no_grad():
        encoded = head.compare(head.voice(voice), head.echo(other))
        torch.testing.assert_close(encoded.utterance, head(voice, other).utterance)
        assert encoded.frames.shape == (3, FRAMES // 2)


@torch.no_grad()
@pytest.mark.parametrize("name", TRAINED)
def test_a_gate_vetoes_and_never_vouches(name):
    head = build(name).eval()
    voice, echo, other = pairs(5)
    answer = head(voice, echo)
    assert (answer.moves is not None) == (name in ("sync", "fused"))
    if answer.moves is not None:
        assert (answer.utterance <= answer.moves).all()
        torch.testing.assert_close(answer.moves, head(voice.flip(0), echo).moves)  # the voice has no say
        assert not torch.allclose(answer.moves, head(voice, other).moves)


@pytest.mark.parametrize("name", TRAINED)
def test_encoders_in_bfloat16_change_little(name):
    head = build(name).eval()
    voice, echo, _ = pairs(3)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            streams = head.voice(voice), head.echo(echo)
        cast = head.compare(*(stream.float() for stream in streams))
        exact = head(voice, echo)
    assert cast.utterance.dtype == torch.float32
    assert (cast.utterance - exact.utterance).abs().max() < 0.1 * max(1.0, exact.utterance.abs().max().item())
