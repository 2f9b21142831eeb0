import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from vivavoce.objectives.correlation import correlation_loss, frame_loss, pair_weights
from vivavoce.objectives.speaker import AamSoftmaxConfig, SoftmaxConfig


def test_without_a_margin_aam_is_scaled_cosine_softmax():
    torch.manual_seed(0)
    loss = AamSoftmaxConfig(margin=0.0, scale=20).build(8, 5)
    embeddings, labels = torch.randn(6, 8), torch.arange(6) % 5
    cosine = functional.normalize(embeddings) @ functional.normalize(loss.prototypes).T
    torch.testing.assert_close(loss(embeddings, labels), functional.cross_entropy(20 * cosine, labels))


def test_the_margin_widens_the_targets_angle():
    loss = AamSoftmaxConfig(margin=0.3, scale=10).build(2, 2)
    with torch.no_grad():
        loss.prototypes.copy_(torch.eye(2))
    angle = 0.5
    embedding = torch.tensor([[math.cos(angle), math.sin(angle)]])
    logits = torch.tensor([[10 * math.cos(angle + 0.3), 10 * math.sin(angle)]])
    torch.testing.assert_close(loss(embedding, torch.tensor([0])), functional.cross_entropy(logits, torch.tensor([0])))


@given(share=st.floats(0, 1))
def test_a_larger_share_of_the_margin_never_lowers_the_loss(share):
    torch.manual_seed(1)
    loss = AamSoftmaxConfig().build(8, 4)
    embeddings, labels = torch.randn(6, 8), torch.arange(6) % 4
    assert loss(embeddings, labels, 0.0) <= loss(embeddings, labels, share) + 1e-6
    assert loss(embeddings, labels, share) <= loss(embeddings, labels, 1.0) + 1e-6


@given(share=st.floats(0, 1))
def test_a_share_of_a_margin_is_a_smaller_margin(share):
    torch.manual_seed(2)
    whole, part = (AamSoftmaxConfig(margin=margin).build(8, 4) for margin in (0.4, 0.4 * share))
    part.load_state_dict(whole.state_dict())
    embeddings, labels = torch.randn(6, 8), torch.arange(6) % 4
    torch.testing.assert_close(whole(embeddings, labels, share), part(embeddings, labels))


def test_a_wider_angle_to_the_own_prototype_never_costs_less():
    loss = AamSoftmaxConfig(margin=0.5).build(3, 2)
    with torch.no_grad():
        loss.prototypes.copy_(torch.eye(3)[[0, 2]])  # embeddings turn in the plane of the first two axes
    angles = torch.linspace(0, math.pi, 200)
    embeddings = torch.stack([angles.cos(), angles.sin(), torch.zeros(200)], dim=1)
    costs = torch.stack([loss(embedding[None], torch.tensor([0])) for embedding in embeddings])
    assert (costs.diff() >= -1e-4).all()
    assert costs[-1] > 29


def test_angles_are_computed_in_float32():
    torch.manual_seed(3)
    loss = AamSoftmaxConfig().build(8, 4)
    coarse, labels = torch.randn(6, 8).bfloat16(), torch.arange(6) % 4
    value = loss(coarse, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(coarse.float(), labels))


@pytest.mark.parametrize("sign", [1, -1])
def test_gradients_stay_finite_where_the_angle_is_nought_or_pi(sign):
    loss = AamSoftmaxConfig().build(4, 3)
    embeddings = (sign * loss.prototypes.detach()).clone().requires_grad_()
    loss(embeddings, torch.arange(3)).backward()
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("config", [SoftmaxConfig(), AamSoftmaxConfig()])
def test_training_on_separable_embeddings_reaches_no_errors(config):
    torch.manual_seed(0)
    loss = config.build(6, 3)
    labels = torch.arange(60) % 3
    embeddings = functional.one_hot(labels, 6).float() + 0.1 * torch.randn(60, 6)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    first = loss(embeddings, labels).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss(embeddings, labels).backward()
        optimiser.step()
    assert loss(embeddings, labels).item() < 0.2 * first


def test_softmax_can_be_sure_of_embeddings_of_any_length():
    """Embeddings come with length one; logits of that size would never leave chance behind."""
    torch.manual_seed(0)
    loss = SoftmaxConfig().build(8, 4)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.eye(8)[:4])
        loss.classifier.bias.zero_()
    embeddings, labels = torch.eye(8)[:4], torch.arange(4)
    torch.testing.assert_close(loss(embeddings, labels), loss(7 * embeddings, labels))
    assert loss(embeddings, labels).item() < 1e-6


def test_the_mix_of_classes_does_not_move_the_best_constant_logit():
    def best(live: int, attacks: int) -> float:
        logits = torch.linspace(-2, 2, 401)
        labels = torch.cat([torch.ones(live), torch.zeros(attacks)])
        losses = [correlation_loss(torch.full((live + attacks,), z.item()), labels).item() for z in logits]
        return logits[int(torch.tensor(losses).argmin())].item()

    assert best(3, 30) == pytest.approx(0.0, abs=0.02)
    assert best(30, 3) == pytest.approx(0.0, abs=0.02)


def test_correlation_loss_of_one_class_alone_is_half_its_mean():
    logits = torch.tensor([1.0, -2.0])
    expected = 0.5 * functional.binary_cross_entropy_with_logits(logits, torch.ones(2))
    torch.testing.assert_close(correlation_loss(logits, torch.ones(2)), expected)


def test_smoothing_makes_a_finite_logit_the_best():
    labels = torch.tensor([1.0, 0.0])
    sure = correlation_loss(torch.tensor([30.0, -30.0]), labels, label_smoothing=0.05)
    modest = correlation_loss(torch.tensor([3.0, -3.0]), labels, label_smoothing=0.05)
    assert modest < sure


@given(smoothing=st.floats(0.01, 0.4), live=st.sampled_from([0.0, 1.0]))
def test_the_best_logit_is_that_of_the_smoothed_label(smoothing, live):
    best = math.log((1 - smoothing) / smoothing) * (1 if live else -1)
    logit = torch.tensor([best], requires_grad=True)
    correlation_loss(logit, torch.tensor([live]), smoothing).backward()
    assert logit.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_an_example_counts_as_its_weight_says_within_its_class():
    logits = torch.tensor([2.0, -1.0, 3.0, 0.5])
    labels = torch.tensor([1.0, 0, 0, 0])
    each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    expected = 0.5 * each[0] + 0.5 * (0.2 * each[1] + 0.8 * each[2])
    weight = torch.tensor([7.0, 1.0, 4.0, 0.0])
    torch.testing.assert_close(correlation_loss(logits, labels, weight=weight), expected)


pairs = st.lists(st.sampled_from([(1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 1)]), min_size=1, max_size=20)


@given(pairs=pairs)
def test_weights_of_pairs_add_up_and_seams_weigh_alike_in_both_classes(pairs):
    live, made, partial = (torch.tensor(column) for column in zip(*pairs, strict=True))
    weight = pair_weights(live.float(), made.bool(), partial.bool())
    assert (weight >= 0).all()
    true, false = live == 1, live == 0
    for chosen in (true, false):
        if chosen.any() and (chosen & (partial == 0)).any():
            assert weight[chosen].sum().item() == pytest.approx(1.0, abs=1e-5)
    seams = [chosen & (partial == 1) for chosen in (true, false)]
    if all(chosen.any() for chosen in seams):
        assert weight[seams[0]].sum().item() == pytest.approx(weight[seams[1]].sum().item(), abs=1e-5)
    recorded, others = false & (made == 0), false & (made == 1)
    if recorded.any() and others.any():
        assert weight[recorded].sum().item() == pytest.approx(weight[others].sum().item(), abs=1e-5)


def test_the_loss_of_frames_is_that_of_its_definition():
    torch.manual_seed(0)
    logits = torch.randn(3, 4)
    labels = torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    weight = torch.tensor([0.5, 0.25, 0.75])
    sums, totals = [0.0, 0.0], [0.0, 0.0]
    for pair in range(3):
        for frame in range(4):
            if mask[pair, frame]:
                share = weight[pair].item() / int(mask[pair].sum())
                label = int(labels[pair, frame])
                sums[label] += share * functional.softplus((1 - 2 * label) * logits[pair, frame]).item()
                totals[label] += share
    found = frame_loss(logits, labels, mask, weight, 0.0)
    assert found.item() == pytest.approx(0.5 * sums[0] / totals[0] + 0.5 * sums[1] / totals[1], abs=1e-6)
    logits[~mask] = 1e3  # padding
    torch.testing.assert_close(frame_loss(logits, labels, mask, weight, 0.0), found)
