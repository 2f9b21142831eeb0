import math

import numpy as np
import pytest
import torch

from vivavoce.errors import UserError
from vivavoce.training.lr_finder import check_range, find_rate, read_curve, sweep

from .test_trainer import CONFIG, make_trainer


def bowl(noise: float, seed: int = 0, steepest: float = 100.0):
    """Gradient descent in a bowl with curvatures 1, 10 and ``steepest``: stable below the rate 2 / ``steepest``."""
    rng = np.random.default_rng(seed)
    curvature, place = np.array([1.0, 10.0, steepest]), np.ones(3)

    def step(rate: float) -> float:
        nonlocal place
        loss = 0.5 * float(curvature @ place**2) + noise * rng.normal() + 1
        place = place - rate * curvature * place
        return loss

    return step


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("steepest", [100.0, 1e4])
def test_the_suggestion_lies_below_the_largest_stable_rate_and_that_below_divergence(noise, steepest):
    limit = 2 / steepest
    found = read_curve(*sweep(bowl(noise, steepest=steepest), 1e-8, 10, 120), 120)
    assert found.diverged
    assert found.suggestion is not None
    assert found.largest_stable is not None
    assert limit / 200 < found.suggestion < found.largest_stable < 2 * limit
    assert found.rates[-1] < 50 * limit
    # A model trained at what is suggested learns; at a tenth of the largest rates tried it would, too, but slower.
    step = bowl(noise, steepest=steepest)
    losses = [step(found.suggestion) for _ in range(200)]
    assert np.mean(losses[-20:]) < 0.3 * losses[0]


def test_rates_rise_evenly_on_a_logarithmic_axis_and_losses_are_those_of_the_steps():
    asked = []
    rates, losses, diverged = sweep(lambda rate: asked.append(rate) or 2.0, 1e-6, 1.0, 7)
    assert asked == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    assert (rates.tolist(), losses.tolist(), diverged) == (asked, [2.0] * 7, False)


def test_the_sweep_stops_where_the_loss_explodes_or_is_no_number():
    falling = iter([4.0, 3.0, 2.0, 1.0] + [1.0] * 30 + [100.0] * 66)
    rates, losses, diverged = sweep(lambda rate: next(falling), 1e-6, 1, 100)
    assert diverged
    assert 35 <= len(rates) == len(losses) <= 37
    for bad in (math.inf, math.nan):
        some = iter([4.0, 3.0, bad])
        rates, losses, diverged = sweep(lambda rate, some=some: next(some), 1e-6, 1, 100)
        assert (len(rates), losses.tolist(), diverged) == (2, [4.0, 3.0], True)


def test_one_wild_loss_does_not_end_the_sweep():
    noisy = iter([5.0] * 40 + [20.0] + [5.0] * 59)
    assert len(sweep(lambda rate: next(noisy), 1e-6, 1, 100)[0]) == 100


def test_nothing_is_suggested_where_the_loss_only_wavers():
    suggested = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = read_curve(*sweep(lambda rate, rng=rng: 5 + rng.normal(), 1e-6, 1, 100), 100)
        suggested += found.suggestion is not None
    assert suggested <= 1
    with pytest.raises(UserError, match="diverged after 2 steps"):
        read_curve(np.array([1e-6, 1e-5]), np.array([1.0, 2.0]), True, 100)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.1), (-1.0, 1.0), (1e-6, math.inf)])
def test_rates_that_do_not_rise_are_refused(start, end):
    with pytest.raises(UserError, match="do not rise"):
        check_range(start, end)


def test_a_trainer_is_tried_at_rising_rates_in_the_proportion_of_its_groups(tmp_path, corpus, validation_corpus):
    rates = CONFIG.layer_rates.model_copy(update={"parts": {"head": 0.1}})
    config = CONFIG.model_copy(update={"layer_rates": rates, "accumulate": 2})
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    seen = []
    original = trainer.learner.flush

    def flush(*given) -> None:
        seen.append(sorted({round(group["lr"], 12) for group in trainer.learner.optimiser.param_groups}))
        original(*given)

    trainer.learner.flush = flush
    found = find_rate(trainer, 1e-6, 1e-2, 16)
    assert len(seen) == len(found.rates) == 16
    assert seen == [pytest.approx([0.1 * rate, rate]) for rate in found.rates]
    assert np.isfinite(found.losses).all()
    assert any(not torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    again = find_rate(make_trainer(tmp_path / "again", corpus, validation_corpus, config), 1e-6, 1e-2, 16)
    assert again.losses.tolist() == found.losses.tolist()


def test_nothing_but_the_rate_moves_the_loss(tmp_path, corpus, validation_corpus):
    """No margin grows and no weight of a task follows the progress of a run."""
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, CONFIG)
    original, seen = trainer.learner.loss.losses_of, []

    def look(encodings, model, batches, margin_share, progress):
        seen.append((margin_share, progress))
        return original(encodings, model, batches, margin_share, progress)

    trainer.learner.loss.losses_of = look
    find_rate(trainer, 1e-6, 1e-2, 16)
    assert len(seen) >= 16
    assert set(seen) == {(0.0, 0.0)}
