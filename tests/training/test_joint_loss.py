"""The loss of a step against its definition, computed one recording and one pairing at a time."""

import pytest
import torch
from torch.nn import functional

from vivavoce.features.batch import LivenessBatch, SpeakerBatch
from vivavoce.models.liveness_head import centred
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.objectives.speaker import AamSoftmaxConfig
from vivavoce.objectives.sync import SyncLoss
from vivavoce.training.step import JointLoss, pair_up

from ..synthetic import CHANNELS, MELS, small_model

FRAMES = 120
LIVE = [0, 1, 1, 0, 1]
LENGTHS, SHIFTED_LENGTHS = [120, 90, 120, 77, 61], [120, 45, 100]


@pytest.fixture(scope="module")
def model():
    model = small_model()
    with torch.no_grad():
        model.head.judge.weight.mul_(50.0)  # untrained logits hardly differ from one pairing to another
    return model


@pytest.fixture(scope="module")
def batch() -> LivenessBatch:
    generator = torch.Generator().manual_seed(4)

    def features(lengths: list[int], channels: int, level: float) -> torch.Tensor:
        x = level + 5 * torch.randn(len(lengths), FRAMES, channels, generator=generator)
        return x * (torch.arange(FRAMES)[None, :, None] < torch.tensor(lengths)[:, None, None])

    of = torch.nonzero(torch.tensor(LIVE))[:, 0]
    return LivenessBatch(
        features(LENGTHS, MELS, 5.0),
        features(LENGTHS, CHANNELS, -40.0),
        torch.tensor(LENGTHS),
        torch.tensor(LIVE, dtype=torch.float32),
        of,
        features(SHIFTED_LENGTHS, CHANNELS, -40.0),
        torch.tensor(SHIFTED_LENGTHS),
    )


@pytest.fixture(scope="module")
def speakers() -> SpeakerBatch:
    return SpeakerBatch(
        5 + 3 * torch.randn(6, 100, MELS, generator=torch.Generator().manual_seed(5)), torch.arange(6) % 3
    )


def joint_loss(model, **options) -> JointLoss:
    torch.manual_seed(0)
    speaker = AamSoftmaxConfig(margin=0.4).build(model.trunk.embedding_dim, 3)
    return JointLoss(speaker, CorrelationConfig.model_validate(options), swaps=1, replacements=1)


def alone(model, batch: LivenessBatch):
    """Streams of each recording, encoded by itself and without padding: (1, channels, half the frames) each."""
    stem = [model.stem(voice[None, :n], None) for voice, n in zip(batch.voice, LENGTHS, strict=True)]
    echoes = [*zip(batch.echo, LENGTHS, strict=True), *zip(batch.shifted_echo, SHIFTED_LENGTHS, strict=True)]
    return (
        [model.head.voice(x) for x in stem],
        [model.head.echo(model.standardise(echo[None, :n])) for echo, n in echoes],
    )


@torch.no_grad()
def test_each_pairing_is_judged_as_if_alone_and_each_group_counts_alike(model, batch, speakers):
    loss = joint_loss(model, label_smoothing=0.1)
    voices, echoes = alone(model, batch)
    pairing = pair_up(batch, swaps=1, replacements=1)
    costs = []
    for voice, echo, live in zip(pairing.voice, pairing.echo, pairing.live, strict=True):
        streams = voices[voice], echoes[echo]
        common = min(stream.shape[2] for stream in streams)
        logit = model.head.compare(*(stream[:, :, :common] for stream in streams)).utterance
        costs.append(functional.binary_cross_entropy_with_logits(logit, torch.tensor([0.9 if live else 0.1])))
    costs, recorded = torch.stack(costs), torch.tensor(LIVE)
    made = costs[len(LIVE) :].mean()
    expected = costs[: len(LIVE)][recorded == 1].mean() / 2 + (costs[: len(LIVE)][recorded == 0].mean() + made) / 4
    assert costs.std() > 0.1
    found = loss(model, speakers, batch, 1.0, bfloat16=False).liveness
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_synchrony_loss_is_that_of_the_live_recordings_whole_windows(model, batch, speakers):
    loss = joint_loss(model, sync_window_s=0.2)
    streams = []
    for parts in alone(model, batch):
        live = [centred(part, None)[0] for part, alive in zip(parts, LIVE, strict=False) if alive]
        streams.append(torch.stack([functional.pad(x, (0, FRAMES // 2 - x.shape[1])) for x in live]))
    lengths = torch.tensor([-(-n // 2) for n, alive in zip(LENGTHS, LIVE, strict=True) if alive])
    expected = SyncLoss(10)(*streams, lengths)
    found = loss(model, speakers, batch, 1.0, bfloat16=False).sync
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_total_is_the_weighted_sum_and_the_margin_grows(model, batch, speakers, share):
    loss = joint_loss(model, weight=3.0, sync_weight=0.5)
    found = loss(model, speakers, batch, share, bfloat16=False)
    speaker = loss.speaker(model.embed(speakers.voice), speakers.speakers, share)
    torch.testing.assert_close(found.speaker, speaker)
    torch.testing.assert_close(found.total, speaker + 3 * (found.liveness + 0.5 * found.sync))
    assert found.sync > 0


@torch.no_grad()
def test_without_its_weight_there_is_no_synchrony_loss(model, batch, speakers):
    with_it, without = (
        joint_loss(model, sync_weight=weight)(model, speakers, batch, 1.0, bfloat16=False) for weight in (0.25, 0.0)
    )
    assert without.sync == 0
    torch.testing.assert_close(without.liveness, with_it.liveness)
    torch.testing.assert_close(without.total, without.speaker + without.liveness)


def test_gradients_are_added_up_in_order(model, batch, speakers):
    """No step of the backward pass adds by several threads in whatever order they come: losses repeat to the digit."""
    seen, waiting = set(), [joint_loss(model)(model, speakers, batch, 1.0, False).total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    names = {type(node).__name__ for node in seen}
    assert "IndexSelectBackward0" in names
    assert not names & {"IndexBackward0", "IndexPutBackward0", "IndexPutImplBackward0"}
