"""Two processes give what one with the whole batch gives."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.experiment import Experiment
from vivavoce.settings import load_settings
from vivavoce.training.distributed import Share, SharedBatchNorm, joined, share_norms

from ..tiny import unchanged

ROOT = Path(__file__).parents[2]
# Without dropout: its draws differ where a batch is encoded in parts.
SAME = ("model.head.dropout=0", "training.precision=float32", "training.device=cpu")
# Batches that do not divide evenly.
UNEVEN = (*SAME, "training.liveness_batch=11", "training.speaker_batch=13")


def torchrun(processes: int, *words: object, module: bool = True) -> subprocess.CompletedProcess:
    """Run `vivavoce`, or a script, in several processes of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    program = ["-m", "vivavoce"] if module else []
    return subprocess.run(
        [*command, *program, *map(str, words)], capture_output=True, text=True, check=False, timeout=240
    )


def test_parts_are_disjoint_whole_and_even():
    items = torch.arange(13)
    for size in (1, 2, 3, 5, 16):
        parts = [Share(rank, size).of(items) for rank in range(size)]
        assert torch.equal(torch.cat(parts), items)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_shares_nothing():
    module = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3))
    share = Share()
    share_norms(module, share)
    assert type(module[1]) is nn.BatchNorm1d
    assert share.wrap(module) is module
    assert share.from_main(lambda: 7) == 7
    part = torch.ones(3, requires_grad=True)
    assert share.gather(part, 3) is part


def test_norms_are_replaced_with_their_weights_and_kept_in_the_state_dict():
    module = nn.Sequential(nn.Conv1d(2, 3, 1), nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm2d(4, affine=False)))
    nn.init.normal_(module[1][0].weight)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    share_norms(module, Share(0, 2))
    assert all(isinstance(norm, SharedBatchNorm) for norm in module[1])
    assert before.keys() == module.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one_with_the_whole_batch(tiny, tmp_path):
    """Of two whole epochs; that the gradients of a step agree is seen below."""
    from vivavoce.training.run_folder import RunFolder

    sets = [part for value in UNEVEN for part in ("--set", value)]
    for processes in (1, 2):
        done = torchrun(processes, "train", tiny.config, "--out", tmp_path / str(processes), *sets, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["run"] == str(tmp_path / str(processes))  # one document, whatever processes
        assert "FutureWarning" not in done.stderr
    one, two = (RunFolder(tmp_path / name).read_metrics() for name in ("1", "2"))
    assert len(one) == len(two) == 4
    for alone, together in zip(one, two, strict=True):
        assert alone.keys() == together.keys()
        for name in alone.keys() - {"split", "seconds"}:
            if name.startswith("loss") or name == "lr":
                assert together[name] == pytest.approx(alone[name], rel=1e-5, abs=1e-5), name


GRADIENTS = """
import sys, torch
from pathlib import Path
from vivavoce.config import ExperimentConfig
from vivavoce.experiment import Experiment, build_model
from vivavoce.settings import load_settings
from vivavoce.training.distributed import joined
from vivavoce.training.run_folder import RunFolder

torch.set_num_threads(1)
config, out, *sets = sys.argv[1:]
experiment = Experiment(load_settings(ExperimentConfig, config, sets))
with joined(torch.device("cpu")) as share:
    torch.manual_seed(0)
    model = build_model(experiment.config)
    recordings, _ = experiment._recordings(False)
    share.from_main(lambda: str(RunFolder.create(Path(out), experiment.config)))
    with experiment._trainer(RunFolder(Path(out)), model, recordings, False, share) as trainer:
        learner = trainer.learner
        learner.losses(next(trainer.data.epoch(0)), seed=0).total.backward()
        if share.main:
            named = learner.parts.named_parameters()
            torch.save({name: p.grad for name, p in named if p.grad is not None}, Path(out) / "gradients.pt")
"""


def test_two_processes_give_the_gradients_of_one(tiny, tmp_path, monkeypatch):
    """Losses after some steps of AdamW would not show gradients that are too large throughout."""
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    monkeypatch.setattr(sys, "argv", [str(script), str(tiny.config), str(tmp_path / "1"), *UNEVEN])
    runpy.run_path(str(script))
    done = torchrun(2, script, tiny.config, tmp_path / "2", *UNEVEN, module=False)
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / name / "gradients.pt") for name in ("1", "2"))
    assert one.keys() == two.keys()
    assert any(name.startswith("model.trunk") for name in one)
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        assert torch.allclose(gradient, two[name], rtol=1e-4, atol=1e-5 * largest), name


def test_what_the_first_process_cannot_do_ends_all_with_one_sentence(tiny):
    with unchanged(tiny.run):
        done = torchrun(2, "train", tiny.config, "--out", tiny.run)
    assert done.returncode != 0
    assert done.stderr.count("already holds a training run") == 1
    # What follows is torchrun's own report of the failure; nothing of ours is in it.
    assert "src/vivavoce/" not in done.stderr


@pytest.mark.slow
def test_what_all_processes_refuse_is_said_once(tiny, tmp_path):
    done = torchrun(2, "train", tiny.config, "--out", tmp_path / "run", "--set", "training.epochs=many")
    assert done.returncode != 0
    assert done.stderr.count("training.epochs") == 1
    assert done.stdout == ""


TWICE = """
import torch
from vivavoce.training.distributed import joined

for number in range(2):
    with joined(torch.device("cpu")) as share:
        module = share.wrap(torch.nn.Linear(2, 1, bias=False))
        module(torch.full((1, 2), float(share.rank + number))).sum().backward()
        gradient = module.module.weight.grad.tolist()
        told = share.from_main(lambda: number)
    if share.main:
        print(told, gradient)
"""


def test_one_job_trains_one_run_after_another(tmp_path):
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    done = torchrun(2, script, module=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0 [[0.5, 0.5]]", "1 [[1.5, 1.5]]"]
    assert "destroy" not in done.stderr  # the group was left open


@pytest.fixture
def second_of_two(monkeypatch):
    """The environment of the second process of a machine with one GPU; gives the backends that were opened."""
    opened: list[str] = []
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: opened.append(backend))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: opened.append(f"GPU {device}"))
    return opened


def test_processes_that_train_on_the_cpu_need_no_gpu_to_talk(second_of_two, monkeypatch):
    with joined(torch.device("cpu")) as share:
        assert (share.rank, share.size) == (1, 2)
    assert second_of_two == ["gloo"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with joined(torch.device("cuda")):
        assert second_of_two == ["gloo", "GPU 1", "nccl"]


def test_more_processes_than_gpus_are_refused_in_each_of_them(second_of_two, monkeypatch):
    for own in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", own)
        with pytest.raises(UserError, match=r"2 processes.*1 GPUs.*training\.device=cpu"), joined(torch.device("cuda")):
            pass
    assert second_of_two == []


def test_processes_of_a_job_that_train_different_runs_are_told(tiny, tmp_path):
    """As workers of a search would, if torchrun started them; they would wait for each other for ever."""

    class Other(Share):
        def from_main(self, compute):
            return str(tmp_path / "trials" / "0000")

    experiment = Experiment(load_settings(ExperimentConfig, tiny.config))
    with pytest.raises(UserError, match=r"trains .*0000 and another .*0001.*vivavoce tune"):
        experiment._train(Other(1, 2), tmp_path / "trials" / "0001", False, False, None)
    assert list(tmp_path.iterdir()) == []
