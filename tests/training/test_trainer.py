import json
import shutil

import pytest
import torch

from vivavoce.errors import UserError
from vivavoce.models.joint import ModelConfig
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.objectives.speaker import AamSoftmaxConfig
from vivavoce.training.averaging import AverageConfig
from vivavoce.training.checkpoint import load_state, load_weights, save_state, save_weights
from vivavoce.training.config import TrainingConfig
from vivavoce.training.epoch_losses import NAMES
from vivavoce.training.parameter_groups import FreezeConfig
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.schedules import PlateauConfig
from vivavoce.training.step import JointLoss
from vivavoce.training.stopping import EarlyStoppingConfig
from vivavoce.training.trainer import Trainer
from vivavoce.training.validation import Validation

from ..synthetic import CHANNELS, MELS, make_data

MODEL = ModelConfig.model_validate(
    {
        "name": "ecapa-lstm",
        "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8},
        "head": {"channels": 16, "groups": 4, "hidden": 16, "dilations": [1, 2]},
    }
)
CONFIG = TrainingConfig(
    epochs=4, liveness_batch=12, speaker_batch=12, liveness_crop_s=1.2, speaker_crop_s=1.0, precision="float32",
    learning_rate=5e-3,
)  # fmt: skip


def make_trainer(path, corpus, validation_corpus, config=CONFIG) -> Trainer:
    run = RunFolder.open(path) if path.exists() else RunFolder.create(path, config)
    data = make_data(*corpus, config)
    torch.manual_seed(0)
    model = MODEL.build(MELS, CHANNELS)
    store = corpus[1]
    model.fit_statistics(store.originals(data.liveness_items))
    speaker = AamSoftmaxConfig().build(16, data.classes) if "speaker" in config.tasks else None
    loss = JointLoss(speaker, CorrelationConfig())
    return Trainer(config, 0, model, loss, data, Validation(*validation_corpus, 0, config.tasks), run)


def losses(run: RunFolder) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.read_metrics()]


def test_same_seed_same_losses_to_the_last_digit(tmp_path, corpus, validation_corpus):
    runs = [make_trainer(tmp_path / name, corpus, validation_corpus) for name in ("a", "b")]
    for trainer in runs:
        trainer.fit()
    assert losses(runs[0].run) == losses(runs[1].run)


class Killed(BaseException):
    """Ends a run as a kill does: nothing is caught, nothing tidied up."""


def kill_at(trainer: Trainer, step: int) -> None:
    """Run until the batch with this number (from 0) has been learned from, and its checkpoint is not yet written."""
    learn = trainer.learner.learn

    def learn_or_die(losses):
        learn(losses)
        if trainer.progress.step == step:
            raise Killed

    trainer.learner.learn = learn_or_die
    with pytest.raises(Killed):
        trainer.fit()


# Everything that has a state of its own: an average, several batches a step, a plateau, frozen stages.
STATEFUL = {
    "average": AverageConfig(decay=0.9), "accumulate": 2, "schedule": PlateauConfig(patience=0, warmup_share=0.1),
    "freeze": (FreezeConfig(parts=("trunk.stem",), epochs=1),), "log_every": 1,
    "early_stopping": EarlyStoppingConfig(patience=2),
}  # fmt: skip


THREE_EPOCHS = {
    name: CONFIG.model_copy(update={"epochs": 3, **more}) for name, more in (("plain", {}), ("stateful", STATEFUL))
}


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, corpus, validation_corpus):
    """A finished trainer of each configuration."""
    folder, trainers = tmp_path_factory.mktemp("whole"), {}
    for name, config in THREE_EPOCHS.items():
        trainers[name] = make_trainer(folder / name, corpus, validation_corpus, config)
        trainers[name].fit()
    return trainers


@pytest.mark.parametrize(
    ("name", "step", "every_s"),
    [("plain", 1, 600.0), ("plain", 4, 0.0), ("plain", 8, 600.0), ("stateful", 3, 0.0), ("stateful", 10, 0.0)],
)
def test_a_run_killed_at_any_step_gives_the_losses_of_one_never_stopped(
    tmp_path, corpus, validation_corpus, never_stopped, name, step, every_s
):
    config, whole = THREE_EPOCHS[name].model_copy(update={"checkpoint_every_s": every_s}), never_stopped[name]
    stopped = make_trainer(tmp_path / "stopped", corpus, validation_corpus, config)
    kill_at(stopped, step)
    # A process that died between the metrics and the checkpoint leaves a line too many, and half a line of the steps.
    stopped.run.append_metrics(3, "train", {"loss": 123.0})
    with stopped.run.steps.open("a") as file:
        file.write('{"epoch": 3, "st')
    (stopped.run.path / "checkpoints").mkdir(exist_ok=True)
    (stopped.run.path / "checkpoints" / ".tmp-12345678-trainer.pt").write_bytes(b"half")
    resumed = make_trainer(tmp_path / "stopped", corpus, validation_corpus, config)
    resumed.resume()
    # Behind the last whole epoch, or the last step of the optimiser.
    unit = whole.data.steps if every_s else config.accumulate
    assert resumed.progress.step == step // unit * unit
    resumed.fit()
    assert losses(resumed.run) == losses(whole.run)
    assert resumed.run.steps.read_text() == whole.run.steps.read_text()
    assert resumed.run.calibration.read_text() == whole.run.calibration.read_text()
    assert not list(resumed.run.path.rglob(".tmp-*"))
    for name, value in whole.learner.judged.state_dict().items():
        assert torch.equal(value, resumed.learner.judged.state_dict()[name]), name


def test_a_run_that_summed_no_losses_by_kind_yet_goes_on(tmp_path, corpus, validation_corpus):
    config = CONFIG.model_copy(update={"checkpoint_every_s": 0.0, "epochs": 2})
    stopped = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    kill_at(stopped, 2)
    state = load_state(stopped.run.state)
    state["progress"]["sums"] = state["progress"]["sums"][: len(NAMES)]
    save_state(state, stopped.run.state)
    resumed = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    resumed.resume()
    resumed.fit()
    train = [line for line in losses(resumed.run) if line["split"] == "train"]
    assert train[0].keys() == train[1].keys()


def test_training_learns_both_tasks(tmp_path, corpus, validation_corpus):
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, CONFIG.model_copy(update={"epochs": 6}))
    trainer.fit()
    lines = losses(trainer.run)
    train = [line for line in lines if line["split"] == "train"]
    assert train[-1]["loss"] < 0.7 * train[0]["loss"]
    best = min(line["liveness_eer"] for line in lines if line["split"] == "validation")
    assert best < 0.25
    assert len(trainer.run.read_metrics()) == 12
    trained, validated = ({name for name in line if name.startswith("loss_liveness/")} for line in lines[:2])
    assert trained == validated != set()
    assert list(trainer.run.tensorboard.iterdir())


@pytest.mark.parametrize("task", ["speaker", "liveness"])
def test_one_task_alone_is_trained_validated_and_calibrated_alone(tmp_path, corpus, validation_corpus, task):
    config = CONFIG.model_copy(update={"tasks": (task,), "epochs": 2})
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    other = {"speaker": "liveness", "liveness": "speaker"}[task]
    part = trainer.model.head if task == "speaker" else trainer.model.trunk.embedding
    before = [parameter.clone() for parameter in part.parameters()]
    calibration = trainer.fit()
    assert all(torch.equal(a, b) for a, b in zip(before, part.parameters(), strict=True))
    assert getattr(calibration, task).n_target > 0
    assert getattr(calibration, other) is None
    assert trainer.run.read_calibration() == calibration
    names = {name for line in trainer.run.read_metrics() for name in line}
    assert f"{task}_eer" in names
    assert f"loss_{task}" in names
    assert not {name for name in names if other in name}
    assert ("loss_frames" in names) == (task == "liveness")


def test_the_best_epoch_is_judged_on_crops_and_the_thresholds_on_whole_recordings(tmp_path, corpus, validation_corpus):
    config = CONFIG.model_copy(update={"tasks": ("liveness",), "epochs": 1, "validation_crop_s": 0.7})
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    asked = []
    original = trainer.validation.score
    trainer.validation.score = lambda model, crop=None: asked.append(crop) or original(model, crop)
    trainer.fit()
    assert asked == [0.7, None]
    crops, whole = (original(trainer.model, crop).live for crop in (0.7, None))
    assert not (crops == whole).any()


def test_a_head_that_needs_it_is_fitted_once_before_the_first_epoch(tmp_path, corpus, validation_corpus):
    config = CONFIG.model_copy(update={"tasks": ("liveness",), "epochs": 2})
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    calls = []
    trainer.model.head.needs_fit = True
    trainer.model.fit_head = lambda batches: calls.append((trainer.progress.step, [len(b.live) for b in batches]))
    trainer.fit()
    assert len(calls) == 1
    step, pairs = calls[0]
    assert step == 0
    assert len(pairs) == trainer.data.steps
    resumed = make_trainer(tmp_path / "run", corpus, validation_corpus, config)
    resumed.model.head.needs_fit = True
    resumed.model.fit_head = lambda batches: calls.append(batches)
    resumed.resume()
    resumed.fit()
    assert len(calls) == 1


def test_the_ridge_head_is_fitted_trained_and_kept(tmp_path, corpus, validation_corpus):
    config = CONFIG.model_copy(update={"tasks": ("liveness",), "epochs": 1, "liveness_crop_from": 1.0})
    data = make_data(*corpus, config)
    torch.manual_seed(0)
    trunk = {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8}
    model = ModelConfig.model_validate({"name": "ecapa-ridge", "trunk": trunk}).build(MELS, CHANNELS)
    model.fit_statistics(corpus[1].originals(data.liveness_items))
    validation = Validation(*validation_corpus, 0, config.tasks)
    run = RunFolder.create(tmp_path / "run", config)
    Trainer(config, 0, model, JointLoss(None, CorrelationConfig()), data, validation, run).fit()
    assert run.read_calibration().liveness.eer < 0.3


def test_a_loss_that_is_no_number_stops_the_run_with_one_sentence(tmp_path, corpus, validation_corpus):
    trainer = make_trainer(tmp_path / "run", corpus, validation_corpus)
    with torch.no_grad():
        trainer.model.trunk.embedding.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"lower training\.learning_rate"):
        trainer.fit()


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save_weights(MODEL.build(MELS, CHANNELS), tmp_path / "w.safetensors")
    other = ModelConfig.model_validate({"name": "xvector-lstm", "trunk": {"channels": 16, "pooled_channels": 32}})
    with pytest.raises(UserError, match="belongs to another model"):
        load_weights(other.build(MELS, CHANNELS), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="belongs to another model"):
        load_weights(MODEL.build(MELS, CHANNELS + 1), tmp_path / "w.safetensors")


def test_a_damaged_or_missing_checkpoint_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    model = MODEL.build(MELS, CHANNELS)
    with pytest.raises(UserError, match="is missing"):
        load_weights(model, path)
    save_weights(model, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        load_weights(model, path)


def test_folders_that_are_no_run_are_named(tmp_path):
    with pytest.raises(UserError, match="There is no run folder"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not a run folder"):
        RunFolder.open(tmp_path)
    run = RunFolder.create(tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match="already holds a training run"):
        RunFolder.create(tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match="has not ended"):
        run.read_calibration()
    with pytest.raises(UserError, match="differs from the configuration"):
        RunFolder.reopen(tmp_path / "run", CONFIG.model_copy(update={"epochs": 99}))
    run.calibration.write_text(json.dumps({"speaker": 1}))
    with pytest.raises(UserError, match="is damaged"):
        run.read_calibration()
    shutil.rmtree(run.path)
