"""The ridge head against scikit-learn, and what its score means."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge

from vivavoce.evaluation.localise import intersection_over_union, segments
from vivavoce.models.heads.fitting import Streams
from vivavoce.models.heads.ridge import RidgeHead, RidgeHeadConfig
from vivavoce.models.heads.ridge_fit import frames_of_one, logistic_line

VOICE, ECHO = 12, 5
SPREAD = torch.randn(3, VOICE + ECHO, generator=torch.Generator().manual_seed(99))


def streams(seed: int, count: int = 6, frames: int = 301, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Voices and echoes that follow the same three slow motions."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(count, 3, frames + 20, generator=generator)
    motion = torch.nn.functional.avg_pool1d(rough, 21, stride=1) * 5
    both = torch.einsum("bkt,kc->bct", motion, SPREAD)
    both = both + noise * torch.randn(both.shape, generator=generator)
    return both[:, :VOICE], both[:, VOICE:]


def batch(seed: int, count: int = 6, frames: int = 301) -> Streams:
    voice, echo = streams(seed, count, frames)
    mask = torch.ones(count, frames, dtype=torch.bool)
    mask[0, frames // 2 :] = False
    own, live = torch.arange(count), torch.ones(count)
    return Streams(
        voice, echo, mask, mask, own.repeat(2), torch.cat([own, own.roll(1)]),
        torch.cat([mask, mask & mask.roll(1, dims=0)]), torch.cat([live, 0 * live]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def head() -> RidgeHead:
    head = RidgeHead(RidgeHeadConfig(targets=3, context_s=0.08, penalty=0.01), VOICE, ECHO)
    head.fit(batch(seed) for seed in range(9))
    return head.eval()


def test_the_prediction_is_that_of_scikit_learn(head):
    # Batch 5 of 9 (seed 4) draws the line from score to logit; all others fit the regression.
    used = [batch(seed) for seed in (0, 1, 2, 3, 5, 6, 7, 8)]
    context = torch.cat([head.voice.context(b.voice, b.voice_mask) for b in used]).double().numpy()
    seen = torch.cat([head.echo.context(b.echo, b.echo_mask) for b in used]).double().numpy()
    axes = np.asarray(PCA(3).fit(seen).components_)
    alpha = float(0.01 * np.mean(np.diag(context.T @ context)))
    expected = Ridge(alpha=alpha, fit_intercept=False).fit(context, seen @ axes.T)
    test = batch(77)
    predicted = head.voice(test.voice, test.voice_mask)[test.voice_mask[:, None, ::2].expand(-1, 3, -1)]
    told = expected.predict(head.voice.context(test.voice, test.voice_mask).double().numpy())
    own = test.voice_mask[:, ::2].sum(dim=1).tolist()
    told = np.concatenate([part.T.ravel() for part in np.split(told, np.cumsum(own)[:-1])])
    mine = predicted.double().numpy()
    # The signs of principal axes are a matter of taste.
    np.testing.assert_allclose(np.abs(mine), np.abs(told), atol=2e-3 * np.abs(told).max())


def test_it_tells_true_from_swapped_and_early_from_late(head):
    voice, echo = streams(500, count=40)
    with torch.no_grad():
        true, swapped = head(voice, echo).utterance, head(voice, echo.roll(1, dims=0)).utterance
        assert (true > 0).float().mean() > 0.95 > 0.5 > (swapped > 0).float().mean()
        means = [head(voice[..., 80:-80], echo[..., 80 + k : 221 + k]).utterance.mean() for k in (0, 6, 14, 20, 30)]
    assert abs(means[0] - means[1]) < 0.2 * abs(means[0] - means[-1])  # within ±60 ms the best lag is taken
    assert means[1] > means[2] > means[3]


def test_unrelated_streams_score_in_units_of_their_spread(head):
    # One lag of one unrelated pair has mean 0 and variance 1; the best of a few smooth lags is somewhat more.
    voice, echo = streams(600, count=300)
    with torch.no_grad():
        z = head.scores(head.voice(voice), head.echo(echo.roll(1, dims=0)))[0]
    assert 0 < z.mean() < 0.7
    assert 0.4 < z.std() < 1.1


def test_a_replaced_second_is_found(head):
    voice, echo = streams(700, count=30, frames=600, noise=0.3)
    spliced = echo.clone()
    spliced[..., 250:350] = echo.roll(1, dims=0)[..., 250:350]
    with torch.no_grad():
        frames = head(voice, spliced).frames.numpy()
        untouched = head(voice, echo).frames.numpy()
    overlaps = [intersection_over_union(segments(row), [(2.5, 3.5)]) for row in frames]
    assert np.mean(np.array(overlaps) >= 0.5) >= 0.7
    assert np.mean([segments(row) == [] for row in untouched]) >= 0.7


def test_bartlett_predicts_the_spread_of_unrelated_correlations():
    # Moving averages over n frames: the sum of squared correlations of a triangle, (2 n² + 1) / (3 n).
    generator = torch.Generator().manual_seed(1)
    first, second = torch.nn.functional.avg_pool1d(torch.randn(2, 400, 309, generator=generator), 10, stride=1)
    assert frames_of_one(first[:, None], second[:, None]).item() == pytest.approx(201 / 30, rel=0.05)
    correlations = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(first.numpy(), second.numpy(), strict=True)])
    assert correlations.var() * 300 == pytest.approx(201 / 30, rel=0.25)


def test_the_line_is_a_balanced_logistic_regression():
    rng = np.random.default_rng(0)
    scores, labels = np.r_[rng.normal(2, 1, 50), rng.normal(0, 1, 400)], np.r_[np.ones(50), np.zeros(400)]
    line = logistic_line(torch.from_numpy(np.c_[scores, np.ones(450)]), torch.from_numpy(labels)).numpy()
    expected = LogisticRegression(C=1e6, class_weight="balanced").fit(scores[:, None], labels)
    np.testing.assert_allclose(line, [expected.coef_[0, 0], expected.intercept_[0]], rtol=0.05)
    apart = logistic_line(torch.tensor([[-1.0, 1.0], [1.0, 1.0]]), torch.tensor([0.0, 1.0]))
    assert apart.isfinite().all()
    assert apart[0] > 1


def test_autocast_changes_no_digit(head):
    voice, echo = streams(800)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = head.voice(voice), head.echo(echo)
    assert torch.equal(cast[0], head.voice(voice))
    assert torch.equal(cast[1], head.echo(echo))


def test_fitting_twice_is_fitting_once(head):
    again = RidgeHead(head.config, VOICE, ECHO)
    again.fit(batch(seed) for seed in range(3))
    again.fit(batch(seed) for seed in range(9))
    for name, value in head.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
