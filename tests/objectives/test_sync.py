import math

import pytest
import torch

from vivavoce.objectives.sync import SyncLoss

LIVE, CHANNELS, WINDOW = 5, 8, 10


def streams(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    voice = torch.randn(LIVE, CHANNELS, 3 * WINDOW, generator=generator)
    return voice, voice + 0.1 * torch.randn(voice.shape, generator=generator)


LENGTHS = torch.full((LIVE,), 3 * WINDOW)


def test_streams_that_belong_together_cost_little_and_strangers_what_guessing_costs():
    loss = SyncLoss(WINDOW)
    voice, echo = streams()
    together = loss(voice, echo, LENGTHS)
    assert together < 0.1
    stranger = torch.stack([loss(voice, streams(seed)[1], LENGTHS) for seed in range(1, 6)]).mean()
    assert stranger > math.log(3 * LIVE)


@pytest.mark.parametrize("lengths", [[30, 29, 20, 9, 0], [30, 30, 30, 30, 30], [10, 0, 0, 0, 10]])
def test_the_loss_is_that_of_its_definition(lengths):
    loss = SyncLoss(WINDOW)
    voice, echo = streams()[0], streams(9)[1]
    spans = [(item, slice(end - WINDOW, end)) for item, n in enumerate(lengths) for end in range(WINDOW, n + 1, WINDOW)]
    of_voice, of_echo = (
        [stream[item, :, span].flatten() / stream[item, :, span].norm() for item, span in spans]
        for stream in (voice, echo)
    )
    cosines = torch.tensor([[10 * float(v @ e) for e in of_echo] for v in of_voice])  # the scale it starts from
    rows = -cosines.log_softmax(dim=1).diagonal().mean()  # a voice window among all echo windows
    columns = -cosines.log_softmax(dim=0).diagonal().mean()  # an echo window among all voice windows
    assert abs(rows - columns) > 1e-4
    torch.testing.assert_close(loss(voice, echo, torch.tensor(lengths)), (rows + columns) / 2)


def test_the_scale_is_learnt_up_to_its_bound():
    loss = SyncLoss(WINDOW)
    voice, echo = streams()
    loss(voice, echo, LENGTHS).backward()
    assert loss.log_scale in set(loss.parameters())
    assert loss.log_scale.grad < 0, "streams that belong together ask for a larger scale"
    voice, echo = streams()[0], streams(9)[1]
    values = []
    for scale in (90.0, 100.0, 1000.0):
        with torch.no_grad():
            loss.log_scale.fill_(math.log(scale))
        values.append(loss(voice, echo, LENGTHS).item())
    assert values[0] < values[1] == pytest.approx(values[2])


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_a_shift_in_time_costs(shift):
    loss = SyncLoss(WINDOW)
    voice, echo = streams()
    assert loss(voice, echo.roll(shift, dims=2), LENGTHS) > 10 * loss(voice, echo, LENGTHS)


def test_only_whole_windows_of_an_utterance_count():
    loss = SyncLoss(WINDOW)
    voice, echo = streams()
    lengths = torch.tensor([30, 29, 20, 9, 0])
    expected = loss(voice, echo, lengths)
    for item, length in enumerate(lengths.tolist()):
        whole = length // WINDOW * WINDOW
        voice[item, :, whole:], echo[item, :, whole:] = 1e3, -1e3
    torch.testing.assert_close(loss(voice, echo, lengths), expected)


def test_the_level_of_a_stream_does_not_matter():
    loss = SyncLoss(WINDOW)
    voice, echo = streams()
    torch.testing.assert_close(loss(5 * voice, 0.01 * echo, LENGTHS), loss(voice, echo, LENGTHS))


def test_without_two_windows_there_is_nothing_to_match_and_still_a_gradient():
    loss = SyncLoss(WINDOW)
    voice = torch.randn(2, CHANNELS, 15, requires_grad=True)
    value = loss(voice, voice, torch.tensor([15, 4]))
    value.backward()
    assert value == 0
    assert torch.equal(voice.grad, torch.zeros_like(voice))
