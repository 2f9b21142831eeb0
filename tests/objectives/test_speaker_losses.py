"""Losses of the speaker task against their formulas; more of AAM and softmax is in `test_losses`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.objectives.speaker import (
    AamSoftmaxConfig,
    AmSoftmaxConfig,
    Ge2eLoss,
    PrototypicalLoss,
    SpeakerLossConfig,
    SubcentreAamConfig,
)
from vivavoce.objectives.speaker.margin import MarginLoss

MARGINS = ("am", "aam", "subcentre_aam")
TYPES = (*MARGINS, "softmax", "ge2e", "prototypical")


def made(name: str, dim: int = 8, speakers: int = 4, seed: int = 0, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    return TypeAdapter(SpeakerLossConfig).validate_python({"type": name, **options}).build(dim, speakers)


def batch(seed: int = 1, speakers: int = 4, each: int = 3, dim: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(speakers * each, dim, generator=generator), torch.arange(speakers).repeat(each)


@pytest.mark.parametrize("name", MARGINS)
def test_without_a_margin_all_are_scaled_cosine_softmax(name: str) -> None:
    loss = made(name, margin=0.0, scale=20, **({"centres": 1} if name == "subcentre_aam" else {}))
    embeddings, labels = batch()
    assert isinstance(loss, MarginLoss)
    cosine = functional.normalize(embeddings) @ functional.normalize(loss.prototypes).T
    torch.testing.assert_close(loss(embeddings, labels), functional.cross_entropy(20 * cosine, labels))


def test_am_takes_the_margin_off_the_targets_cosine() -> None:
    loss = AmSoftmaxConfig(margin=0.3, scale=10).build(2, 2)
    with torch.no_grad():
        loss.prototypes.copy_(torch.eye(2))
    embedding = torch.tensor([[0.6, 0.8]])
    logits = torch.tensor([[10 * (0.6 - 0.3), 10 * 0.8]])
    torch.testing.assert_close(loss(embedding, torch.tensor([0])), functional.cross_entropy(logits, torch.tensor([0])))


@given(share=st.floats(0, 1))
def test_with_one_centre_sub_centre_aam_is_aam(share: float) -> None:
    one = SubcentreAamConfig(margin=0.4, centres=1).build(8, 4)
    plain = AamSoftmaxConfig(margin=0.4).build(8, 4)
    plain.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(*batch(), share), plain(*batch(), share), atol=0, rtol=0)


def test_the_nearest_centre_of_a_speaker_counts() -> None:
    loss = SubcentreAamConfig(margin=0.0, scale=10, centres=2).build(2, 2)
    with torch.no_grad():
        loss.prototypes.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    embedding = torch.tensor([[0.6, 0.8]])  # 0.8 from the second centre of the first, -0.6 from the first of the second
    expected = functional.cross_entropy(torch.tensor([[8.0, -6.0]]), torch.tensor([0]))
    torch.testing.assert_close(loss(embedding, torch.tensor([0])), expected)


@pytest.mark.parametrize("name", MARGINS)
def test_the_margins_share_is_clamped(name: str) -> None:
    loss = made(name, margin=0.4)
    embeddings, labels = batch()
    costs = [loss(embeddings, labels, share).item() for share in (-1.0, 0.0, 0.5, 1.0, 7.0)]
    assert costs[0] == costs[1] < costs[2] < costs[3] == costs[4]


ANGLES = [0.0, 1e-6, 1e-4, 1e-3, 0.01, 1.0, math.pi - 0.3, math.pi - 1e-3, math.pi - 1e-6, math.pi]


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("angle", ANGLES)
def test_gradients_are_bounded_at_every_angle(name: str, dtype: torch.dtype, angle: float) -> None:
    """No cosine of unit vectors has a gradient above 1, so that none of the loss's exceeds twice the scale."""
    loss = made(name, dim=3, speakers=3, margin=0.5, scale=30)
    assert isinstance(loss, MarginLoss)
    with torch.no_grad():
        centres = len(loss.prototypes) // 3
        loss.prototypes.copy_(torch.eye(3).repeat_interleave(centres, dim=0))
    plane = torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        cost = loss(plane, torch.tensor([0]))
    cost.backward()
    assert cost.dtype == torch.float32
    assert torch.isfinite(cost)
    for gradient in (plane.grad, loss.prototypes.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient.float().norm() <= 2 * 30 * 1.02


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_cost_what_they_cost_in_float32(name: str, dtype: torch.dtype) -> None:
    loss = made(name)
    embeddings, labels = batch()
    coarse = embeddings.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(coarse, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(coarse.float(), labels), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["am", "aam", "softmax", "ge2e"])
def test_gradients_are_those_of_the_formula(name: str) -> None:
    loss = made(name, **({"scale": 5} if name in MARGINS else {}))
    embeddings, labels = batch()
    x = embeddings.requires_grad_()
    loss(x, labels).backward()
    generator = torch.Generator().manual_seed(9)
    assert x.grad is not None
    for _ in range(5):
        way = torch.randn(x.shape, generator=generator)
        with torch.no_grad():
            numeric = (loss(x + 1e-2 * way, labels) - loss(x - 1e-2 * way, labels)) / 2e-2
        torch.testing.assert_close((x.grad * way).sum(), numeric, atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("name", TYPES)
def test_the_order_of_speakers_and_their_numbers_change_nothing(name: str) -> None:
    """Speakers are turned as wholes: the prototypical loss alone asks which utterance of one comes last."""
    loss = made(name)
    embeddings, labels = batch()
    turned = torch.cat([torch.nonzero(labels == speaker)[:, 0] for speaker in (2, 0, 3, 1)])
    torch.testing.assert_close(loss(embeddings[turned], labels[turned]), loss(embeddings, labels))
    if name in ("ge2e", "prototypical"):
        torch.testing.assert_close(loss(embeddings, 100 - 7 * labels), loss(embeddings, labels))


def test_ge2e_does_not_ask_for_the_order_within_a_speaker() -> None:
    loss = Ge2eLoss()
    embeddings, labels = batch()
    turned = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss(embeddings[turned], labels[turned]), loss(embeddings, labels))


def test_ge2e_is_that_of_its_equations() -> None:
    """Wan et al. 2018, eq. 5, 6, 8 and 9, one utterance at a time, in a batch of unequal speakers."""
    embeddings, _ = batch(speakers=4, each=2)
    labels = torch.tensor([5, 5, 5, 2, 2, 9, 2, 9])
    unit = functional.normalize(embeddings)
    costs = []
    for j, label in enumerate(labels):
        scores = []
        for other in labels.unique():
            members = [i for i in range(8) if labels[i] == other and i != j]
            centroid = unit[members].mean(dim=0)
            scores.append(10 * functional.cosine_similarity(unit[j], centroid, dim=0) - 5)
        own = labels.unique().tolist().index(label)
        costs.append(-scores[own] + torch.stack(scores).logsumexp(dim=0))
    torch.testing.assert_close(Ge2eLoss()(embeddings, labels), torch.stack(costs).mean())


def test_prototypical_is_that_of_its_equations() -> None:
    """Chung et al. 2020, section 2.2: the last utterance of each speaker against the means of the others."""
    embeddings, labels = batch(speakers=3, each=3)
    unit = functional.normalize(embeddings)
    means = [unit[labels == speaker][:-1].mean(dim=0) for speaker in range(3)]
    costs = []
    for speaker in range(3):
        query = unit[labels == speaker][-1]
        scores = torch.stack([10 * functional.cosine_similarity(query, mean, dim=0) - 5 for mean in means])
        costs.append(-scores[speaker] + scores.logsumexp(dim=0))
    torch.testing.assert_close(PrototypicalLoss()(embeddings, labels), torch.stack(costs).mean())


@pytest.mark.parametrize("loss", [Ge2eLoss(), PrototypicalLoss()])
def test_speakers_apart_cost_nothing_and_mixed_ones_a_guess(loss: nn.Module) -> None:
    labels = torch.arange(6).repeat(4)
    apart = torch.eye(6)[labels] * torch.linspace(0.5, 2, 24)[:, None]
    assert loss(apart, labels).item() < 6 * math.exp(-10)
    alike = torch.ones(24, 5)
    assert loss(alike, labels).item() == pytest.approx(math.log(6), abs=1e-5)


@pytest.mark.parametrize("loss", [Ge2eLoss(), PrototypicalLoss()])
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0]])
def test_where_nothing_can_be_compared_the_loss_is_zero_with_gradients(loss: nn.Module, labels: list[int]) -> None:
    embeddings = torch.randn(4, 5).requires_grad_()
    cost = loss(embeddings, torch.tensor(labels))
    cost.backward()
    assert cost == 0
    assert embeddings.grad is not None
    assert (embeddings.grad == 0).all()


def test_a_lone_recording_is_a_rival_for_others_alone() -> None:
    embeddings = torch.tensor([[1.0, 0.1, 0], [1.0, -0.1, 0], [0, 0.1, 1.0], [0, -0.1, 1.0], [0, 1.0, 0]])
    labels, loss = torch.tensor([0, 0, 1, 1, 2]), Ge2eLoss()
    with_rival, without = loss(embeddings, labels), loss(embeddings[:4], labels[:4])
    assert without < with_rival < 1e-2
    prototypical = PrototypicalLoss()
    torch.testing.assert_close(prototypical(embeddings, labels), prototypical(embeddings[:4], labels[:4]))


@pytest.mark.parametrize("name", TYPES)
def test_training_on_separable_embeddings_reaches_no_errors(name: str) -> None:
    loss, labels = made(name, dim=6, speakers=3), torch.arange(30) % 3
    noisy = functional.one_hot(labels, 6).float() + 0.1 * torch.randn(30, 6)
    layer = nn.Linear(6, 6)
    optimiser = torch.optim.Adam([*loss.parameters(), *layer.parameters()], lr=0.05)
    first = loss(layer(noisy), labels).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss(layer(noisy), labels).backward()
        optimiser.step()
    assert loss(layer(noisy), labels).item() < 0.2 * first


@pytest.mark.parametrize("name", TYPES)
def test_a_loss_is_restored_from_its_state(name: str) -> None:
    loss, other = made(name, seed=0), made(name, seed=1)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    loss(*batch()).backward()
    optimiser.step()
    other.load_state_dict(loss.state_dict())
    assert other(*batch()).item() == loss(*batch()).item()
