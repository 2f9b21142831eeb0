"""The loss of a step against its definition, computed one recording and one pair at a time."""

import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional

from vivavoce.corpus.metadata import Kind
from vivavoce.features.batch import LivenessBatch, Origin, SpeakerBatch
from vivavoce.models.heads.base import centred
from vivavoce.objectives.correlation import CorrelationConfig, correlation_loss, frame_loss, pair_weights
from vivavoce.objectives.multitask import Multitask, MultitaskConfig, Terms
from vivavoce.objectives.speaker import AamSoftmaxConfig, SpeakerLossConfig
from vivavoce.objectives.sync import SyncLoss
from vivavoce.training.crops import Batches
from vivavoce.training.step import JointLoss, encode_streams, shared_parameters, stream_frames

from ..synthetic import CHANNELS, MELS, small_model

FRAMES = 120
VOICES, ECHOES = [120, 90, 120, 77, 61, 100], [120, 90, 120, 77, 61, 110, 45, 100, 100]
# Voice, echo, judged frames, live, how it came about.
PAIRS = [
    (0, 0, 120, 0, Origin.RECORDED),
    (1, 1, 90, 1, Origin.RECORDED),
    (2, 2, 104, 1, Origin.RECORDED),
    (3, 3, 77, 0, Origin.RECORDED),
    (4, 4, 61, 1, Origin.RECORDED),
    (1, 0, 90, 0, Origin.REPLACE),
    (2, 1, 90, 0, Origin.SWAP),
    (2, 5, 110, 0, Origin.SHIFT),
    (4, 6, 45, 0, Origin.SHIFT),
    (5, 7, 100, 1, Origin.PARTIAL),
    (5, 8, 100, 0, Origin.PARTIAL),
]
STILL = 3  # the attack in which nothing moves; another one is a hand's
KINDS = [Kind.REPLAY_HANDHELD, Kind.LIVE, Kind.LIVE, Kind.REPLAY_STAND, Kind.LIVE]  # of the recordings as they are
SPAN = slice(10, 30)  # of the false partial pair, 20 ms frames


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

    voice_of, echo_of, lengths, live, origin = (torch.tensor(column) for column in zip(*PAIRS, strict=True))
    frame_live = live.float()[:, None].repeat(1, FRAMES // 2)
    frame_live[-1] = 1.0
    frame_live[-1, SPAN] = 0.0
    voice, echo = features(VOICES, MELS, 5.0), features(ECHOES, CHANNELS, -40.0)
    streams = (voice, echo, torch.tensor(VOICES), torch.tensor(ECHOES))
    kind = torch.tensor([list(Kind).index(kind) for kind in KINDS] + [-1] * (len(PAIRS) - len(KINDS)))
    untaught = (torch.empty(0, dtype=torch.long), torch.empty(0, streams[0].shape[1], 0))
    return LivenessBatch(*streams, voice_of, echo_of, lengths, live.float(), frame_live, origin, kind, *untaught)


@pytest.fixture(scope="module")
def speakers() -> SpeakerBatch:
    return SpeakerBatch(
        5 + 3 * torch.randn(6, 100, MELS, generator=torch.Generator().manual_seed(5)), torch.arange(6) % 3
    )


def joint_loss(model, **options) -> JointLoss:
    torch.manual_seed(0)
    speaker = AamSoftmaxConfig(margin=0.4).build(model.trunk.embedding_dim, 3)
    return JointLoss(speaker, CorrelationConfig.model_validate(options))


def alone(model, batch: LivenessBatch):
    """Streams encoded one by one and without padding: (1, channels, half the frames) each."""
    stem = [model.stem(voice[None, :n], None) for voice, n in zip(batch.voice, VOICES, strict=True)]
    echoes = zip(batch.echo, ECHOES, strict=True)
    return (
        [model.head.voice(x) for x in stem],
        [model.head.echo(model.standardise(echo[None, :n])) for echo, n in echoes],
    )


@torch.no_grad()
def test_each_pair_and_each_frame_is_judged_as_if_alone(model, batch, speakers):
    loss = joint_loss(model, label_smoothing=0.1)
    voices, echoes = alone(model, batch)
    weight = pair_weights(batch.live, batch.origin != Origin.RECORDED, batch.origin == Origin.PARTIAL)
    whole, frames, totals = torch.zeros(2), torch.zeros(2), torch.zeros(2)
    for pair, (voice, echo, count, live, _) in enumerate(PAIRS):
        half = -(-count // 2)
        result = model.head.compare(voices[voice][:, :, :half], echoes[echo][:, :, :half])
        cost = functional.binary_cross_entropy_with_logits
        whole[live] += weight[pair] * cost(result.utterance, torch.tensor([0.1 + 0.8 * live]))
        for logit, label in zip(result.frames[0], batch.frame_live[pair], strict=False):
            frames[int(label)] += weight[pair] / half * cost(logit, 0.1 + 0.8 * label)
            totals[int(label)] += weight[pair] / half
    found = loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    torch.testing.assert_close(found.liveness, whole.mean(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.frames, (frames / totals).mean(), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_synchrony_loss_is_that_of_the_live_recordings_whole_windows(model, batch, speakers):
    loss = joint_loss(model, sync_window_s=0.2)
    live = [pair for pair, (*_, alive, origin) in enumerate(PAIRS) if alive and origin is Origin.RECORDED]
    streams = []
    for parts in alone(model, batch):
        own = [centred(parts[pair], None)[0] for pair in live]
        streams.append(torch.stack([functional.pad(x, (0, FRAMES // 2 - x.shape[1])) for x in own]))
    lengths = torch.tensor([-(-VOICES[pair] // 2) for pair in live])
    expected = SyncLoss(10)(*streams, lengths)
    found = loss(model, Batches(speakers, batch), 1.0, 0.0, None).sync
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_gate_is_taught_by_live_and_still_recordings_alone(batch, speakers):
    model = small_model(name="ecapa-sync", head={"channels": 8})
    loss = joint_loss(model, gate_weight=0.5)
    voices, echoes = alone(model, batch)
    costs = {0: [], 1: []}
    for pair, (voice, echo, count, live, origin) in enumerate(PAIRS):
        if origin is Origin.RECORDED and (live or pair == STILL):
            half = -(-count // 2)
            moves = model.head.compare(voices[voice][:, :, :half], echoes[echo][:, :, :half]).moves
            costs[live].append(functional.binary_cross_entropy_with_logits(moves, torch.tensor([float(live)])))
    expected = torch.stack([torch.stack(part).mean() for part in costs.values()]).mean()
    found = loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    torch.testing.assert_close(found.gate, expected, atol=1e-4, rtol=1e-4)
    hands = torch.where(batch.kind == batch.kind[STILL], batch.kind[0], batch.kind)
    moving = batch._replace(kind=hands)
    assert loss(model, Batches(speakers, moving), 1.0, 0.0, None).gate == 0
    unweighted = joint_loss(model)(model, Batches(speakers, batch), 1.0, 0.0, None)
    assert unweighted.gate == 0
    torch.testing.assert_close(found.total - unweighted.total, 0.5 * found.gate, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("form", [{"type": "bce"}, {"type": "mse"}])
def test_each_kind_has_the_cross_entropy_of_its_recordings_as_they_are(model, batch, speakers, form):
    voices, echoes = alone(model, batch)
    sums, counts = torch.zeros(len(Kind)), torch.zeros(len(Kind))
    for kind, (voice, echo, count, live, _) in zip(KINDS, PAIRS, strict=False):
        half = -(-count // 2)
        logit = model.head.compare(voices[voice][:, :, :half], echoes[echo][:, :, :half]).utterance
        sums[list(Kind).index(kind)] += functional.softplus(-logit if live else logit).item()
        counts[list(Kind).index(kind)] += 1
    found = joint_loss(model, loss=form)(model, Batches(speakers, batch), 1.0, 0.0, None).kinds
    torch.testing.assert_close(found, torch.stack([sums, counts]), atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_total_is_the_weighted_sum_and_the_margin_grows(model, batch, speakers, share):
    loss = joint_loss(model, weight=3.0, sync_weight=0.5, frame_weight=0.7)
    found = loss(model, Batches(speakers, batch), share, 0.0, None)
    speaker = loss.speaker(model.embed(speakers.voice), speakers.speakers, share)
    torch.testing.assert_close(found.speaker, speaker)
    torch.testing.assert_close(found.total, speaker + 3 * (found.liveness + 0.7 * found.frames + 0.5 * found.sync))
    assert found.sync > 0


@torch.no_grad()
@pytest.mark.parametrize("name", ["sync", "frames"])
def test_a_loss_without_weight_is_none(model, batch, speakers, name):
    weight = {"sync": "sync_weight", "frames": "frame_weight"}[name]
    whole, without = (
        joint_loss(model, **options)(model, Batches(speakers, batch), 1.0, 0.0, None) for options in ({}, {weight: 0.0})
    )
    assert getattr(without, name) == 0
    assert getattr(whole, name) > 0
    torch.testing.assert_close(without.liveness, whole.liveness)


@torch.no_grad()
def test_each_task_alone_costs_what_it_costs_beside_the_other(model, batch, speakers):
    loss = joint_loss(model)
    both, speaker, liveness = (
        loss(model, batches, 1.0, 0.0, None)
        for batches in (Batches(speakers, batch), Batches(speakers, None), Batches(None, batch))
    )
    torch.testing.assert_close(both.total, speaker.total + liveness.total)
    torch.testing.assert_close(speaker.total, both.speaker)
    assert liveness.speaker == speaker.liveness == speaker.frames == speaker.sync == 0


@torch.no_grad()
def test_what_stands_in_padding_or_behind_the_judged_end_changes_nothing(model, batch, speakers):
    loss = joint_loss(model)
    expected = loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    voice, echo, frame_live = batch.voice.clone(), batch.echo.clone(), batch.frame_live.clone()
    for stream, lengths in ((voice, VOICES), (echo, ECHOES)):
        for item, length in enumerate(lengths):
            stream[item, length:] = 99.0
    for pair, (*_, count, _, _) in enumerate(PAIRS):
        frame_live[pair, -(-count // 2) :] = 1 - frame_live[pair, -(-count // 2) :]
    spoilt = batch._replace(voice=voice, echo=echo, frame_live=frame_live)
    torch.testing.assert_close(loss(model, Batches(speakers, spoilt), 1.0, 0.0, None), expected)


FORMS = ("sum", "weighted", "scale_matched", "late_focus", "uncertainty", "gradient_norm")


def joined(model, name: str, **options) -> JointLoss:
    torch.manual_seed(0)
    speaker = AamSoftmaxConfig(margin=0.4).build(model.trunk.embedding_dim, 3)
    form = TypeAdapter(MultitaskConfig).validate_python({"type": name, **options}).build()
    return JointLoss(speaker, CorrelationConfig(), multitask=form)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_joins_the_two_losses_of_the_step(model, batch, speakers, name):
    loss, alone = joined(model, name), joined(model, name).multitask
    for progress in (0.0, 1.0):
        found = loss(model, Batches(speakers, batch), 1.0, progress, None)
        parts = joint_loss(model)(model, Batches(speakers, batch), 1.0, 0.0, None)
        expected = alone(parts.speaker, parts.total - parts.speaker, progress, shared_parameters(model))
        torch.testing.assert_close(found.total, expected, atol=1e-5, rtol=1e-4)
    found.total.backward()


def test_late_focus_follows_the_run(model, batch, speakers):
    loss = joined(model, "late_focus", speaker_weight=0.0)
    with torch.no_grad():
        begin, end = (loss(model, Batches(speakers, batch), 1.0, progress, None) for progress in (0.0, 1.0))
    torch.testing.assert_close(end.total, 2 * (begin.total - begin.speaker))


def test_the_balancer_makes_both_tasks_pull_alike_at_the_stem(model, batch, speakers):
    loss = joined(model, "gradient_norm", memory=0.0, every=1)
    loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    weights = loss.multitask.weights()
    found = loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    parts = joint_loss(model)(model, Batches(speakers, batch), 1.0, 0.0, None)
    shared, norms = shared_parameters(model), []
    assert len(shared) == 4  # of one convolution and one norm
    for part in (parts.speaker, parts.total - parts.speaker):
        gradients = torch.autograd.grad(part, shared, retain_graph=True)
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    torch.testing.assert_close(weights[0] * norms[0], weights[1] * norms[1])
    torch.testing.assert_close(found.total, weights[0] * parts.speaker + weights[1] * (parts.total - parts.speaker))


def test_a_head_that_reads_raw_features_shares_nothing():
    assert shared_parameters(small_model(name="xvector-ridge", trunk={}, head={})) == []


class NotAsked(Multitask):
    def terms(self, *_) -> Terms:
        raise AssertionError("a single task was joined with another")


@torch.no_grad()
def test_a_task_alone_is_not_joined(model, batch, speakers):
    speaker = AamSoftmaxConfig().build(model.trunk.embedding_dim, 3)
    loss = JointLoss(speaker, CorrelationConfig(weight=0.5), multitask=NotAsked())
    spoken = loss(model, Batches(speakers, None), 1.0, 0.5, None)
    assert spoken.total == spoken.speaker
    judged = loss(model, Batches(None, batch), 1.0, 0.5, None)
    torch.testing.assert_close(judged.total, 0.5 * (judged.liveness + 0.5 * judged.frames + 0.25 * judged.sync))
    with pytest.raises(AssertionError, match="joined"):
        loss(model, Batches(speakers, batch), 1.0, 0.5, None)


@torch.no_grad()
@pytest.mark.parametrize("name", ["two_logit", "mse", "focal"])
def test_the_form_of_the_correlation_loss_is_that_of_wholes_and_frames(model, batch, speakers, name):
    loss = joint_loss(model, loss={"type": name}, label_smoothing=0.1)
    if name == "two_logit":
        loss.judge.log_scale.fill_(0.5)
    mask = stream_frames(batch.lengths, FRAMES // 2)
    voice, echo = encode_streams(model, batch, None)
    result = model.head.compare(voice[batch.voice_of], echo[batch.echo_of], mask)
    weight = pair_weights(batch.live, batch.origin != Origin.RECORDED, batch.origin == Origin.PARTIAL)
    found = loss(model, Batches(speakers, batch), 1.0, 0.0, None)
    torch.testing.assert_close(found.liveness, correlation_loss(result.utterance, batch.live, 0.1, weight, loss.judge))
    torch.testing.assert_close(
        found.frames, frame_loss(result.frames, batch.frame_live, mask, weight, 0.1, loss.judge), atol=1e-5, rtol=1e-4
    )
    assert (
        found.liveness != joint_loss(model, label_smoothing=0.1)(model, Batches(None, batch), 1.0, 0.0, None).liveness
    )


@torch.no_grad()
def test_losses_can_be_had_of_encodings_apart(model, batch, speakers):
    loss, batches = joint_loss(model), Batches(speakers, batch)
    encodings = loss.encode(model, batches, None)
    assert encodings.embeddings.shape == (6, model.trunk.embedding_dim)
    assert (len(encodings.voice), len(encodings.echo)) == (len(VOICES), len(ECHOES))
    found = loss.losses_of(encodings, model, batches, 0.5, 0.3)
    torch.testing.assert_close(found, loss(model, batches, 0.5, 0.3, None), atol=0, rtol=0)
    assert loss.encode(model, Batches(None, batch), None).embeddings is None
    assert loss.encode(model, Batches(speakers, None), None)[1:] == (None, None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("speaker", ["aam", "am", "subcentre_aam", "softmax", "ge2e", "prototypical"])
def test_losses_stay_in_float32_under_autocast(model, batch, speakers, dtype, speaker):
    torch.manual_seed(0)
    judge = TypeAdapter(SpeakerLossConfig).validate_python({"type": speaker}).build(model.trunk.embedding_dim, 3)
    loss = JointLoss(judge, CorrelationConfig())
    found, plain = (loss(model, Batches(speakers, batch), 1.0, 0.0, autocast) for autocast in (dtype, None))
    assert {part.dtype for part in found} == {torch.float32}
    torch.testing.assert_close(found.total, plain.total, atol=0.1, rtol=0.05)
    assert found.total != plain.total
    model.zero_grad()
    found.total.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize("name", FORMS)
def test_gradients_are_added_up_in_order(model, batch, speakers, name):
    """No step of the backward pass adds by several threads in whatever order they come: losses repeat to the digit."""
    total = joined(model, name)(model, Batches(speakers, batch), 1.0, 0.0, None).total
    seen, waiting = set(), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    names = {type(node).__name__ for node in seen}
    assert "IndexSelectBackward0" in names
    assert not names & {"IndexBackward0", "IndexPutBackward0", "IndexPutImplBackward0"}
