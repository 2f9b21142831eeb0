from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.stats import multivariate_normal

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.backends import Averaged, members_of, singles
from vivavoce.evaluation.scoring.pairs import pair_scores
from vivavoce.evaluation.scoring.plda import Plda
from vivavoce.evaluation.scoring.plda_fitting import Covariances, PldaConfig, diagonalised, fit_two_covariances

DIMENSIONS = 4


def covariances(seed: int, dimensions: int = DIMENSIONS) -> Covariances:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, dimensions, dimensions))
    return Covariances(*(root @ root.T / dimensions + 0.1 * np.eye(dimensions) for root in roots))


def sampled(model: Covariances, speakers: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of a two-covariance model, and the code of each speaker; the number of recordings varies."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(speakers), rng.integers(2, 2 * each - 1, speakers))
    places = rng.multivariate_normal(np.zeros(len(model.within)), model.between, speakers)
    noise = rng.multivariate_normal(np.zeros(len(model.within)), model.within, len(codes))
    return places[codes] + noise, codes


def made(seed: int) -> tuple[Plda, Covariances]:
    """A model whose projection is a random one, and its covariances in the projected space."""
    rng, model = np.random.default_rng(seed), covariances(seed)
    between, transform = diagonalised(model)
    centre, projection = rng.normal(size=DIMENSIONS + 2), rng.normal(size=(DIMENSIONS + 2, DIMENSIONS))
    mean = rng.normal(size=DIMENSIONS)
    return Plda(centre, projection, np.array(True), mean, transform, between), model


def brute(plda: Plda, model: Covariances, enrolment: np.ndarray, test: np.ndarray) -> float:
    """Logarithm of the likelihoods' ratio, each of one large Gaussian over all recordings."""
    together = np.vstack([enrolment, test[None]])
    projected = (together / np.linalg.norm(together, axis=1, keepdims=True) - plda.centre) @ plda.projection
    placed = projected / np.linalg.norm(projected, axis=1, keepdims=True) * np.sqrt(DIMENSIONS) - plda.mean

    def log_likelihood(vectors: np.ndarray) -> float:
        count = len(vectors)
        shared = np.kron(np.ones((count, count)), model.between) + np.kron(np.eye(count), model.within)
        return float(multivariate_normal.logpdf(vectors.ravel(), np.zeros(shared.shape[0]), shared))

    return log_likelihood(placed) - log_likelihood(placed[:-1]) - log_likelihood(placed[-1:])


@given(st.integers(0, 200), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_ratios_are_those_of_the_whole_gaussians(seed, counts):
    plda, model = made(seed)
    embeddings = np.random.default_rng(seed + 1).normal(size=(sum(counts) + 3, DIMENSIONS + 2))
    ends = np.cumsum([0, *counts])
    own = [list(range(start, stop)) for start, stop in pairwise(ends.tolist())]
    enrolment, test = (places.ravel() for places in np.indices((len(own), 3)))
    ratios = pair_scores(
        plda.enrolled(embeddings, members_of(own, len(embeddings))), plda.tested(embeddings[-3:]), enrolment, test
    )
    for ratio, e, t in zip(ratios, enrolment, test, strict=True):
        assert ratio == pytest.approx(
            brute(plda, model, embeddings[own[e]], embeddings[len(embeddings) - 3 + t]), abs=1e-8
        )


@given(st.integers(0, 50))
def test_one_against_one_is_symmetric(seed):
    plda, _ = made(seed)
    embeddings = np.random.default_rng(seed).normal(size=(5, DIMENSIONS + 2))
    scores = plda.enrolled(embeddings, singles(5)) @ plda.tested(embeddings).T
    np.testing.assert_allclose(scores, scores.T, atol=1e-9)


def test_averaged_scores_are_means_of_ratios():
    plda, _ = made(1)
    embeddings = np.random.default_rng(2).normal(size=(4, DIMENSIONS + 2))
    right = plda.tested(embeddings[3:])
    averaged = Averaged(plda).enrolled(embeddings, members_of([[0, 1, 2]], 4)) @ right.T
    alone = plda.enrolled(embeddings, singles(4))[:3] @ right.T
    np.testing.assert_allclose(averaged[0], alone.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("seed", [3, 5, 7])
def test_the_fit_finds_the_covariances_that_made_the_data(seed):
    model = covariances(seed)
    data, codes = sampled(model, 4000, 5, seed=seed + 1)
    found, _ = fit_two_covariances(data - data.mean(axis=0), codes, 100)
    for estimate, true in zip(found, model, strict=True):
        assert np.linalg.norm(estimate - true) < 0.06 * np.linalg.norm(true)


@given(st.integers(0, 30))
def test_no_iteration_makes_the_data_less_likely(seed):
    data, codes = sampled(covariances(seed), 12, 3, seed)
    likelihoods = fit_two_covariances(data - data.mean(axis=0), codes, 12)[1]
    assert np.diff(likelihoods).min() > -1e-9


def test_the_likelihood_is_that_of_the_whole_gaussians():
    data, codes = sampled(covariances(5), 6, 3, seed=5)
    centred = data - data.mean(axis=0)
    before, likelihoods = fit_two_covariances(centred, codes, 1)[0], fit_two_covariances(centred, codes, 2)[1]
    total = 0.0
    for speaker in range(6):
        own = centred[codes == speaker]
        count = len(own)
        shared = np.kron(np.ones((count, count)), before.between) + np.kron(np.eye(count), before.within)
        total += multivariate_normal.logpdf(own.ravel(), np.zeros(shared.shape[0]), shared)
    assert likelihoods[1] == pytest.approx(total / len(centred))


def spoken(speakers: int, each: int, seed: int, noisy: float = 3.0) -> tuple[np.ndarray, list[str]]:
    """Embeddings whose last directions hold much noise and no speaker, which a cosine cannot know."""
    rng = np.random.default_rng(seed)
    weights = np.concatenate([np.ones(8), np.full(8, noisy)])
    places = np.concatenate([rng.normal(size=(speakers, 8)), np.zeros((speakers, 8))], axis=1)
    names = [f"s{seed}-{number:03d}" for number in range(speakers) for _ in range(each)]
    return np.repeat(places, each, axis=0) + 0.5 * rng.normal(size=(speakers * each, 16)) * weights, names


@pytest.mark.parametrize("config", [PldaConfig(), PldaConfig(projection="lda", dim=8), PldaConfig(length_norm=False)])
def test_a_fitted_model_tells_new_speakers_apart_better_than_the_cosine(config):
    plda = config.fit(*spoken(80, 8, seed=0))
    embeddings, names = spoken(40, 4, seed=1)
    same = np.array(names)[:, None] == np.array(names)
    other = ~np.eye(len(names), dtype=bool)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    rates = [
        eer(scores[same & other], scores[~same]).rate
        for scores in (plda.enrolled(embeddings, singles(len(names))) @ plda.tested(embeddings).T, unit @ unit.T)
    ]
    assert rates[0] < rates[1] / 2


def test_ratios_know_how_much_evidence_there_is():
    """On data of the model itself, pairs of one speaker and of two cost little as they are, without calibration."""
    plda = PldaConfig(length_norm=False).fit(*spoken(300, 6, seed=0))
    embeddings, names = spoken(100, 3, seed=1)
    same = np.array(names)[:, None] == np.array(names)
    ratios = plda.enrolled(embeddings, singles(len(names))) @ plda.tested(embeddings).T
    targets, nontargets = ratios[same & ~np.eye(len(names), dtype=bool)], ratios[~same]
    cost = (np.log2(1 + np.exp(-targets)).mean() + np.log2(1 + np.exp(nontargets)).mean()) / 2
    assert cost < 0.35


def test_a_model_comes_back_from_its_file_as_it_was(tmp_path):
    plda = PldaConfig().fit(*spoken(20, 5, seed=0))
    plda.write(tmp_path / "plda.safetensors")
    found = Plda.read(tmp_path / "plda.safetensors")
    embeddings = spoken(4, 2, seed=2)[0]
    for field in fields(Plda):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(plda, field.name))
    np.testing.assert_allclose(found.tested(embeddings), plda.tested(embeddings), atol=1e-12)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def without_mean(path):
    tensors = load(path.read_bytes())
    del tensors["mean"]
    path.write_bytes(save(tensors, {"format": "vivavoce-plda-1"}))


def other_format(path):
    path.write_bytes(save(load(path.read_bytes()), {"format": "of somebody else"}))


def other_shapes(path):
    tensors = load(path.read_bytes()) | {"between": np.ones(3)}
    path.write_bytes(save(tensors, {"format": "vivavoce-plda-1"}))


def no_numbers(path):
    tensors = load(path.read_bytes())
    tensors["mean"] = tensors["mean"] * np.nan
    path.write_bytes(save(tensors, {"format": "vivavoce-plda-1"}))


@pytest.mark.parametrize("spoil", [cut, without_mean, other_format, other_shapes, no_numbers])
def test_a_damaged_file_is_refused(tmp_path, spoil):
    path = tmp_path / "plda.safetensors"
    PldaConfig().fit(*spoken(20, 5, seed=0)).write(path)
    spoil(path)
    with pytest.raises(UserError, match="not a PLDA of vivavoce, or not a whole one"):
        Plda.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no PLDA"):
        Plda.read(tmp_path / "none.safetensors")


def test_embeddings_of_another_encoder_are_refused():
    plda = PldaConfig().fit(*spoken(20, 5, seed=0))
    with pytest.raises(UserError, match=r"of 16 dimensions, and these have 3"):
        plda.tested(np.ones((2, 3)))


def test_a_model_is_fitted_to_enough_speech():
    embeddings, names = spoken(20, 5, seed=0)
    for some, said in ((slice(0, 5), "5 of 1"), (slice(0, None, 5), "20 of 20")):
        with pytest.raises(UserError, match=f"several recordings each, not to {said}"):
            PldaConfig().fit(embeddings[some], names[some])
    with pytest.raises(UserError, match="Too few recordings to fit a PLDA of 14 dimensions"):
        PldaConfig().fit(embeddings[:15], names[:15])
    with pytest.raises(UserError, match="span 16 coordinates"):
        PldaConfig(dim=17).fit(embeddings, names)
    with pytest.raises(ValueError, match="99 embeddings have 100 speakers"):
        PldaConfig().fit(embeddings[:99], names)


def test_scores_do_not_depend_on_the_length_of_embeddings():
    plda = PldaConfig().fit(*spoken(20, 5, seed=0))
    embeddings = spoken(4, 2, seed=2)[0]
    np.testing.assert_allclose(plda.tested(embeddings * 7), plda.tested(embeddings), atol=1e-9)
    assert not np.allclose(replace(plda, length_norm=np.array(False)).tested(embeddings), plda.tested(embeddings))
