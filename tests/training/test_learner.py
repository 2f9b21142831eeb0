"""What a step does: precision, accumulation, averages, frozen stages, layer-wise rates."""

import pytest
import torch

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.models.joint import TRUNKS
from vivavoce.settings import load_settings
from vivavoce.training.averaging import AverageConfig
from vivavoce.training.parameter_groups import FreezeConfig, LayerRatesConfig, freeze, parameter_groups
from vivavoce.training.schedules import ConstantConfig
from vivavoce.training.stopping import Best, EarlyStoppingConfig

from .test_trainer import CHANNELS, CONFIG, MELS, MODEL, losses, make_trainer

STEADY = {"schedule": ConstantConfig(warmup_share=0.0)}


@pytest.fixture
def trainer(tmp_path, corpus, validation_corpus):
    return lambda **options: make_trainer(
        tmp_path / f"run{len(list(tmp_path.iterdir()))}", corpus, validation_corpus, CONFIG.model_copy(update=options)
    )


def state(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def batches(trainer, count: int) -> list:
    return [batch for batch, _ in zip(trainer.data.epoch(0), range(count), strict=False)]


def learn(trainer, count: int) -> None:
    for seed, batch in enumerate(batches(trainer, count)):
        trainer.learner.learn(trainer.learner.losses(batch, seed))


def test_accumulated_batches_make_one_step_with_the_mean_of_their_gradients(trainer):
    one, two = trainer(**STEADY, clip_norm=1e9), trainer(**STEADY, clip_norm=1e9, accumulate=2)
    first, second = batches(one, 2)
    gradients = []
    for batch in (first, second):
        one.learner.losses(batch, 0).total.backward()
        gradients.append([None if p.grad is None else p.grad.clone() for p in one.model.parameters()])
        one.learner.optimiser.zero_grad()
    found = []
    original = two.learner.gradients.step

    def look(optimiser):
        found.extend(p.grad.clone() for p in two.model.parameters() if p.grad is not None)
        return original(optimiser)

    two.learner.gradients.step = look
    two.learner.learn(two.learner.losses(first, 0))
    assert two.learner.updates == 0
    assert not two.learner.whole
    two.learner.learn(two.learner.losses(second, 0))
    assert two.learner.updates == 1
    assert two.learner.whole
    means = [(a + b) / 2 for a, b in zip(*gradients, strict=True) if a is not None and b is not None]
    assert len(found) == len(means)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, means, strict=True))


def test_what_waits_at_the_end_of_an_epoch_counts_whole(trainer):
    many, one = trainer(**STEADY, accumulate=4), trainer(**STEADY)
    learn(many, 1)
    many.learner.flush()
    learn(one, 1)
    for name, value in one.model.state_dict().items():
        assert torch.allclose(value.float(), many.model.state_dict()[name].float(), atol=1e-6), name


def test_the_average_follows_the_weights_and_is_what_is_judged_and_kept(trainer):
    decay = 0.6
    made = trainer(average=AverageConfig(decay=decay), epochs=1, **STEADY)
    name = "head.judge.weight"
    expected, seen = made.model.state_dict()[name].clone(), []
    update = made.learner.average.update_parameters

    def follow(model):
        update(model)
        seen.append(model.state_dict()[name].clone())

    made.learner.average.update_parameters = follow
    made.fit()
    # AveragedModel takes the first weights as they are.
    expected = seen[0]
    for count, weights in enumerate(seen[1:], start=1):
        share = min(decay, (1 + count) / (10 + count))
        expected = share * expected + (1 - share) * weights
    judged = made.learner.judged.state_dict()[name]
    assert torch.allclose(judged, expected, atol=1e-6)
    assert not torch.equal(judged, made.model.state_dict()[name])
    from safetensors.torch import load_file

    assert torch.equal(load_file(made.run.best_weights)[name], judged)


def test_frozen_parts_keep_weights_and_statistics_until_their_epochs_are_over(trainer):
    made = trainer(freeze=(FreezeConfig(parts=("trunk",), epochs=1), FreezeConfig(parts=("head.join.*",))), epochs=2)
    before, after = state(made), []
    made.fit(lambda epoch, _: after.append(state(made)))
    moved = [{name for name, value in there.items() if not torch.equal(before[name], value)} for there in after]
    assert not any(name.startswith(("trunk.", "head.join.")) for name in moved[0])
    assert any(name.startswith("head.judge") for name in moved[0])
    assert {"trunk.stem.conv.weight", "trunk.stem.norm.running_mean"} <= moved[1]
    assert not any(name.startswith("head.join.") for name in moved[1])


def test_a_part_that_is_none_is_refused_with_those_there_are():
    model = MODEL.build(MELS, CHANNELS)
    with pytest.raises(UserError, match=r"training\.freeze\.parts names tail.*trunk\.stem"):
        freeze(model, [FreezeConfig(parts=("tail",))], 0)
    with pytest.raises(UserError, match=r"training\.freeze\.parts.*nothing is left that learns"):
        freeze(model, [FreezeConfig(parts=("trunk",)), FreezeConfig(parts=("head",))], 0)
    with pytest.raises(UserError, match=r"layer_rates\.parts names trunk\.end"):
        parameter_groups(model, [], 1.0, LayerRatesConfig(parts={"trunk.end": 0.1}))


def test_layers_learn_slower_the_deeper_they_lie():
    model, other = MODEL.build(MELS, CHANNELS), torch.nn.Parameter(torch.zeros(3))
    groups = parameter_groups(model, [other], 0.1, LayerRatesConfig(trunk_decay=0.5, parts={"head": 2.0}))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rate) == len(list(model.parameters())) + 1
    named = dict(model.named_parameters())
    depths = ["embedding", "pooled_norm", "pooling.score.0", "aggregate_norm", "aggregate",
              "blocks.2.expand.conv", "blocks.1.expand.conv", "blocks.0.expand.conv", "stem.conv"]  # fmt: skip
    given = [rate[id(named[f"trunk.{name}.bias"])] for name in depths if f"trunk.{name}.bias" in named]
    assert given == pytest.approx([0.1 * 0.5**depth for depth in range(len(given))])
    assert rate[id(named["head.judge.bias"])] == pytest.approx(0.2)
    assert rate[id(other)] == pytest.approx(0.1)


# The layers of each trunk with parameters, as its frames pass them.
STAGES = {
    "xvector": ["stem", *(f"blocks.{index}" for index in range(4)), "segment", "embedding"],
    "ecapa": ["stem", "blocks.0", "blocks.1", "blocks.2", "aggregate", "aggregate_norm", "pooling", "pooled_norm",
              "embedding", "embedding_norm"],
    "campplus": ["stem", "downsample", "blocks.0", "transits.0", "blocks.1", "transits.1", "blocks.2", "transits.2",
                 "norm", "embedding"],
}  # fmt: skip
EVERY_LAYER = {
    "xvector": {"segment_layers": 2},
    "ecapa": {"aggregate_norm": True, "embedding_norm": True},
    "campplus": {"stem_channels": 2, "layers": (1, 1, 1)},
}


@pytest.mark.parametrize("kind", TRUNKS)
def test_the_nearer_to_the_waveform_a_layer_of_any_trunk_is_the_slower_it_learns(kind):
    model = torch.nn.ModuleDict({"trunk": TRUNKS[kind].model_validate(EVERY_LAYER[kind]).build(MELS)})
    groups = parameter_groups(model, [], 1.0, LayerRatesConfig(trunk_decay=0.5))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    seen = 0
    for depth, stage in enumerate(reversed(STAGES[kind])):
        for p in model.get_submodule(f"trunk.{stage}").parameters():
            assert rate[id(p)] == 0.5**depth, stage
            seen += 1
    assert seen == len(rate)


@pytest.mark.parametrize(("factor", "needs"), [("-1", "greater than 0"), ("0", "greater than 0"), (".nan", "finite"),
                                               (".inf", "finite"), ("1e6", "less than or equal to 100")])  # fmt: skip
def test_a_factor_of_a_rate_that_no_run_could_learn_with_is_refused(factor, needs):
    given = ("data.train=a", "data.validation=b", f"training.layer_rates.parts={{trunk: {factor}}}")
    with pytest.raises(UserError, match=rf"training\.layer_rates\.parts\.trunk.*{needs}"):
        load_settings(ExperimentConfig, None, given)


def test_rates_of_groups_stay_in_proportion_through_the_schedule(trainer):
    made = trainer(layer_rates=LayerRatesConfig(parts={"trunk": 0.1}))
    for _ in range(3):
        fast, slow = (group["lr"] for group in made.learner.optimiser.param_groups)
        assert slow == pytest.approx(0.1 * fast)
        learn(made, 1)


def test_half_precision_learns_as_float32_does(trainer):
    first = {}
    for precision in ("float32", "bfloat16", "float16"):
        made = trainer(precision=precision, **STEADY)
        values = first[precision] = []
        for _ in range(6):
            for seed, batch in enumerate(batches(made, 4)):
                found = made.learner.losses(batch, seed)
                made.learner.learn(found)
                values.append(found.total.item())
        assert values[0] == pytest.approx(first["float32"][0], rel=0.02), precision
        assert values[-1] < 0.8 * values[0], precision


def test_early_stopping_waits_for_gains_and_ends(trainer):
    best = Best(EarlyStoppingConfig(patience=2, min_gain=0.1))
    costs = [1.0, 0.8, 0.75, 0.72, 0.9]
    assert [best.see(epoch, cost) for epoch, cost in enumerate(costs[:4], start=1)] == [True] * 4
    assert [best.enough(epoch) for epoch in (3, 4)] == [False, True]
    assert not best.see(5, costs[4])
    assert (best.epoch, best.cost) == (4, 0.72)
    made = trainer(early_stopping=EarlyStoppingConfig(patience=1, min_gain=5.0), epochs=4)
    made.fit()
    assert {line["epoch"] for line in losses(made.run)} == {1, 2}


def test_what_watches_is_told_each_epoch_and_may_end_the_run(trainer):
    class Enough(Exception):
        pass

    made, seen = trainer(), []

    def watch(epoch, values):
        seen.append((epoch, values["cost"]))
        if epoch == 2:
            raise Enough

    with pytest.raises(Enough):
        made.fit(watch)
    lines = [line for line in losses(made.run) if line["split"] == "validation"]
    assert [epoch for epoch, _ in seen] == [1, 2]
    for (_, cost), line in zip(seen, lines, strict=True):
        assert cost == pytest.approx(line["speaker_eer"] + line["liveness_eer"])
