import numpy as np
import pytest
import torch
from torch.nn import functional

from vivavoce.corpus.manifest import read_rows
from vivavoce.encoders import base, trunk
from vivavoce.encoders.registry import load_encoder
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.voice import read_voice
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extractor import Extractor, hear, in_memory
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.verifier import Verifier, load_run

from ..models.weights.peers import xvector
from ..tiny import Tiny


@pytest.fixture(scope="module")
def trunk_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trunk")
    torch.save(xvector("wespeaker"), folder / "peer.pt")
    import_checkpoint(folder / "peer.pt", "wespeaker").trunk.write(folder / "trunk.safetensors")
    return folder / "trunk.safetensors"


def waves(count: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.normal(size=6_000 + 2_500 * number)).astype(np.float32) for number in range(count)]


@pytest.mark.parametrize("most", [1, 20_000, 10**6])
def test_batch_mates_change_no_embedding(trunk_file, monkeypatch, most):
    encoder = load_encoder(f"weights:{trunk_file}")
    monkeypatch.setattr(trunk, "by_length", lambda given: base.by_length(given, most))
    found = encoder.embed(waves())
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for wave, vector in zip(waves(), found, strict=True):
        np.testing.assert_allclose(encoder.embed([wave])[0], vector, atol=1e-5)


def test_a_trunk_reads_the_features_that_its_weights_expect(trunk_file):
    from vivavoce.models.weights.trunk_file import read_trunk_file

    file, wave = read_trunk_file(trunk_file), torch.from_numpy(waves(1)[0])
    network = file.info.trunk.build(file.info.mels)
    network.load_state_dict(file.weights, strict=False)
    frames = file.info.voice.build().eval()(wave[None], torch.tensor([len(wave)]))[0]
    with torch.no_grad():
        alone = functional.normalize(network.eval()((frames - frames.mean(dim=1)).transpose(1, 2), None), dim=1)
    found = load_encoder(f"weights:{trunk_file}").embed([wave.numpy()])
    np.testing.assert_allclose(found, alone.numpy(), atol=1e-5)


def test_the_fingerprint_is_that_of_the_weights(trunk_file, tmp_path):
    torch.save(xvector("wespeaker", seed=1), tmp_path / "peer.pt")
    import_checkpoint(tmp_path / "peer.pt", "wespeaker").trunk.write(tmp_path / "trunk.safetensors")
    prints = [load_encoder(f"weights:{path}").fingerprint for path in (trunk_file, tmp_path / "trunk.safetensors")]
    assert prints[0] != prints[1]
    assert prints[0] == load_encoder(f"weights:{trunk_file}").fingerprint


def test_another_network_is_no_campplus(tmp_path):
    torch.save(xvector("wespeaker"), tmp_path / "peer.pt")
    with pytest.raises(UserError, match="not those of any campplus of 3D-Speaker"):
        load_encoder(f"campplus:{tmp_path / 'peer.pt'}")


def test_a_run_embeds_as_the_verifier_does(tiny: Tiny):
    rows = read_rows(tiny.test)[:3]
    encoder = load_encoder(f"run:{tiny.run}")
    found = encoder.embed([read_voice(row) for row in rows])
    for row, vector in zip(rows, found, strict=True):
        alone = Verifier.load(tiny.run).enrol([row.path]).enrolment
        assert alone is not None
        np.testing.assert_allclose(vector, alone.numpy(), atol=1e-4)


def test_a_run_judges_liveness_of_the_whole_recording(tiny: Tiny, monkeypatch):
    monkeypatch.setattr(trunk, "ROWS_AT_ONCE", 4)
    rows, run = read_rows(tiny.test)[:9], load_run(tiny.run)
    found = trunk.load_run_encoder(tiny.run).liveness(rows)
    extractor = Extractor(run.config.front_end, AugmentConfig())
    store = in_memory([extractor.original(hear(row)) for row in rows])
    np.testing.assert_allclose(found, score_recordings(run.model, store).liveness, atol=1e-4)
    assert np.isfinite(found).any()
