"""The mouth's motion beside simulated live recordings."""

from pathlib import Path

import numpy as np
import pytest

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.motion import POINTS, Motion
from vivavoce.simulate.mouth_file import CHANNELS, mouth_frames

from .utterances import write_corpus

NONE = dict.fromkeys(SimulationConfig().kinds.model_dump(), 0)


def test_each_frame_shows_the_mouth_at_its_middle():
    rate, seconds = 200.0, 2.0
    times_s = np.arange(int(rate * (seconds + 1))) / rate
    positions = np.zeros((len(POINTS), len(times_s), 3))
    positions[1, :, 1] = 0.004 * np.sin(2 * np.pi * 2 * times_s)
    motion = Motion(rate, positions, 0.01 + positions[1, :, 1])
    frames = mouth_frames(motion, from_s=-0.25, seconds=seconds)
    expected = 4 * np.sin(2 * np.pi * 2 * (np.arange(200) / 100 + 0.005 + 0.25))
    assert frames.shape == (200, CHANNELS)
    assert frames[:, 3] == pytest.approx(expected, abs=1e-2)
    assert frames[:, 12] == pytest.approx(10 + expected, abs=0.05)
    assert not np.delete(frames, [3, 12], axis=1).any()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("mouths")
    rows, phones = write_corpus(folder, each=2, seconds=2.0)
    config = SimulationConfig.model_validate({"kinds": NONE | {"live": 1, "shifted": 1}, "mouth_motion": True})

    def simulate() -> Path:
        return simulate_dataset(rows, folder / "out", config, phones, workers=1)

    manifest = simulate()
    made = read_rows(manifest)
    lost = next(row for row in made if row.meta.mouth_motion)
    file = lost.path.parent / str(lost.meta.mouth_motion)
    before = file.read_bytes()
    file.unlink()
    simulate()
    assert file.read_bytes() == before
    return manifest, made


def test_live_recordings_have_it_and_a_lost_one_is_made_again(simulated: tuple[Path, list[Row]]):
    _, rows = simulated
    assert {row.meta.kind for row in rows} == {Kind.LIVE, Kind.SHIFTED}
    for row in rows:
        assert (row.meta.mouth_motion is not None) == (row.meta.kind is Kind.LIVE)
        if row.meta.mouth_motion:
            with np.load(row.path.parent / row.meta.mouth_motion) as file:
                assert file["mouth_mm"].shape == (int(row.duration_s * 100), CHANNELS)
                assert np.ptp(file["mouth_mm"][:, -1]) > 1.0
