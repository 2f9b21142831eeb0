import torch
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.features.batch import LivenessBatch
from vivavoce.training.step import pair_up


def make_batch(live: list[int], shifts: int) -> LivenessBatch:
    labels = torch.tensor(live, dtype=torch.float32)
    of = torch.nonzero(labels)[:, 0].repeat_interleave(shifts)
    size = len(live)
    nothing = torch.zeros(len(of), 10, 3)
    return LivenessBatch(
        torch.zeros(size, 10, 4), torch.zeros(size, 10, 3), torch.full((size,), 10), labels, of, nothing,
        torch.full((len(of),), 10),
    )  # fmt: skip


@given(
    live=st.lists(st.integers(0, 1), min_size=1, max_size=12),
    swaps=st.integers(0, 3),
    replacements=st.integers(0, 3),
    shifts=st.integers(0, 2),
)
def test_only_a_recordings_own_pairing_is_ever_live(live, swaps, replacements, shifts):
    batch = make_batch(live, shifts)
    pairing = pair_up(batch, swaps, replacements)
    size, voices, attacks = len(live), sum(live), len(live) - sum(live)
    assert pairing.voice[:size].tolist() == pairing.echo[:size].tolist() == list(range(size))
    assert pairing.live[:size].tolist() == live
    assert not pairing.live[size:].any()
    assert (pairing.voice[size:] != pairing.echo[size:]).all()
    made = voices * (min(swaps, max(voices - 1, 0)) + min(replacements, attacks) + shifts)
    assert len(pairing.live) == size + made
    # Every negative that is made has the voice of a living mouth.
    assert all(live[index] for index in pairing.voice[size:].tolist())


def test_each_kind_of_negative_takes_its_own_echoes():
    batch = make_batch([1, 0, 1, 0, 1], shifts=1)
    pairing = pair_up(batch, swaps=1, replacements=1)
    made = list(zip(pairing.voice[5:].tolist(), pairing.echo[5:].tolist(), strict=True))
    assert made[:3] == [(0, 4), (2, 0), (4, 2)]
    assert made[3:6] == [(0, 1), (2, 3), (4, 1)]
    assert made[6:] == [(0, 5), (2, 6), (4, 7)]
