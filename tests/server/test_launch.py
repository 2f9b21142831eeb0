"""What `server run` starts: the right flags, as they are read by torchrun itself and by a shell."""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.server.launch import describe, launch, slurm_request
from vivavoce.server.profile import Profile, Slurm
from vivavoce.server.profiles import save_profile
from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.programs import path_with

from ..tiny import assert_refused, run_cli

PLAIN = Profile(host="lab", workdir="ada's work")
CLUSTER = Profile(host="lab", workdir="/scratch/ada's work", slurm=Slurm(partition="gpu", cpus_per_gpu=8))
WORDS = ("train", "examples/train.yaml", "--out", "runs/first")
# What a command line can hold; the shell of the dry run must read it as it was.
words = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=4)


def torchrun_reads(argv: list[str]):
    """The words of torchrun, read by its own parser."""
    from torch.distributed.run import parse_args

    return parse_args(argv[argv.index("torchrun") + 1 :])


@pytest.mark.parametrize("gpus", [0, 1])
def test_one_process_is_started_plainly(gpus):
    started = launch(PLAIN, WORDS, gpus=gpus)
    assert started.argv == ["vivavoce", *WORDS]
    assert started.bin == "ada's work/env/bin"
    assert launch(PLAIN, ["vivavoce", *WORDS], gpus=gpus) == started


def test_any_program_is_started_as_it_is():
    started = launch(PLAIN, ["python", "a script.py", "--gpus"], program=True)
    assert started.argv == ["python", "a script.py", "--gpus"]
    assert started.needs == ()
    assert launch(PLAIN, ["vivavoce", "gpus"], program=True).argv == ["vivavoce", "gpus"]


@pytest.mark.parametrize("gpus", [2, 4])
def test_several_gpus_are_given_to_torchrun(gpus):
    read = torchrun_reads(launch(PLAIN, WORDS, gpus=gpus).argv)
    assert read.standalone
    assert (read.nnodes, read.nproc_per_node, read.module) == ("1:1", str(gpus), True)
    assert (read.training_script, read.training_script_args) == ("vivavoce", list(WORDS))


def test_several_gpus_for_another_program():
    started = launch(PLAIN, ["python", "other.py", "-m"], program=True, gpus=2)
    read = torchrun_reads(started.argv)
    assert (read.no_python, read.training_script, read.training_script_args) == (True, "python", ["other.py", "-m"])
    assert started.needs == ("torchrun",)


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_several_machines_have_one_torchrun_each(gpus, monkeypatch):
    argv = launch(CLUSTER, WORDS, gpus=gpus, nodes=2).argv
    before = argv[: argv.index("torchrun")]
    assert before[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert (f"--gres=gpu:{gpus}" in before) == (gpus > 0)
    assert f"--cpus-per-task={8 * max(gpus, 1)}" in before
    # Where they meet is known in the job alone; torchrun takes it from variables.
    monkeypatch.setenv("PET_RDZV_ENDPOINT", "node7:12345")
    monkeypatch.setenv("PET_RDZV_ID", "17")
    read = torchrun_reads(argv)
    assert (read.nnodes, read.nproc_per_node, read.rdzv_backend) == ("2", str(max(gpus, 1)), "c10d")
    assert (read.rdzv_endpoint, read.rdzv_id, read.standalone) == ("node7:12345", "17", False)
    assert (read.module, read.training_script, read.training_script_args) == (True, "vivavoce", list(WORDS))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"words": []}, "nothing to run"),
        ({"words": ["vivavoce"]}, "nothing to run"),
        ({"words": ["tune", "space.yaml"], "gpus": 2}, "`tune` runs in one process and cannot use several GPUs"),
        ({"words": ["evaluate", "runs/first"], "gpus": 4}, "only `train` can"),
        ({"words": list(WORDS), "nodes": 2}, "--nodes 2 needs Slurm"),
        ({"words": list(WORDS), "nodes": 0}, "0 or more GPUs on 1 or more machines"),
        ({"words": list(WORDS), "gpus": -1}, "0 or more GPUs on 1 or more machines"),
    ],
)
def test_what_cannot_be_started_is_refused(asked, sentence):
    with pytest.raises(UserError, match=sentence):
        launch(PLAIN, **asked)


@pytest.mark.parametrize("option", ["--output=mine", "--array=1-4", "-o mine", "-Dx", "--requeue", "lab", "", "--"])
def test_options_that_would_lose_a_job_are_refused(option):
    profile = Profile(host="lab", slurm=Slurm(options=("--exclude=node7", option)))
    with pytest.raises(UserError, match="among the Slurm options of lab"):
        slurm_request(profile, 1, 1)


def test_no_scheduler_no_request():
    assert slurm_request(PLAIN, 1, 1) is None


@settings(max_examples=20, deadline=None)
@given(words=words, nodes=st.sampled_from([0, 1, 2]))
def test_dry_run_can_be_copied_to_a_shell(words, nodes, tmp_path_factory):
    """It starts the same argument list, in the work folder, with the environment's programs."""
    home = tmp_path_factory.mktemp("home")
    profile = PLAIN if nodes == 0 else PLAIN.model_copy(update={"slurm": Slurm()})
    slurm = slurm_request(profile, 2, nodes)
    started = launch(profile, ["train", *words], gpus=2, nodes=max(nodes, 1))
    folder = home / started.bin
    folder.mkdir(parents=True)
    for name in ("torchrun", "srun"):
        (folder / name).write_text('#!/bin/sh\npwd\nprintf "%s\\0" "${0##*/}" "$@"\n')
        (folder / name).chmod(0o755)
    ran = subprocess.run(
        ["sh", "-c", describe(started, profile, slurm)],
        env={"HOME": str(home), "PATH": os.defpath, "SLURM_JOB_ID": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    place, _, argv = ran.stdout.decode().partition("\n")
    assert place == str(home / "ada's work")
    assert argv.split("\0")[:-1] == started.argv


def test_dry_run_of_the_command_shows_the_script_of_sbatch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    save_profile("cluster", CLUSTER)
    save_profile("lab", PLAIN)
    asked = ("--gpus", 4, "--nodes", 2, "--dry-run", "--", *WORDS)
    lines = run_cli("server", "run", "cluster", *asked).out.splitlines()
    options = ("--partition=gpu", "--nodes=2", "--gres=gpu:4", "--ntasks-per-node=1", "--cpus-per-task=32")
    assert {f"#SBATCH {option}" for option in options} <= set(lines)
    assert lines[-1] == f"exec {shlex.join(launch(CLUSTER, WORDS, gpus=4, nodes=2).argv)}"
    assert run_cli("server", "run", "cluster", *asked[:-5], "--json", *asked[-5:]).json["shell"].splitlines() == lines
    assert_refused(run_cli("server", "run", "lab", *asked), "--nodes 2 needs Slurm")


def test_program_that_is_missing_names_the_mend(tmp_path):
    (tmp_path / "torchrun").touch(mode=0o755)
    (tmp_path / "vivavoce").touch(mode=0o644)
    with pytest.raises(Refused, match=r"no vivavoce in .*; set the environment up with `vivavoce server setup`"):
        path_with(str(tmp_path), ["torchrun", "vivavoce"])
    assert path_with(str(tmp_path), ["torchrun"]).split(os.pathsep)[0] == str(tmp_path)


def test_path_is_below_the_present_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert path_with("ada's work/env/bin", []).startswith(f"{tmp_path}/ada's work/env/bin:")


@pytest.mark.parametrize("name", ["slurm", "programs"])
def test_old_python_can_read_it(name):
    import vivavoce.server.remote

    folder = Path(vivavoce.server.remote.__file__).parent
    ast.parse((folder / f"{name}.py").read_text(), feature_version=(3, 8))


@pytest.mark.slow
def test_two_processes_train(tiny, tmp_path):
    """The dry run's text, with this environment's torchrun, trains the run that one process would."""
    bin = Path(shutil.which("torchrun", path=str(Path(sys.executable).parent)) or "").parent
    work = tmp_path / "ada's work"
    work.mkdir()
    profile = Profile(host="lab", workdir=str(work), environment={"path": str(bin.parent)})
    sets = ("--set", "training.epochs=1")
    started = launch(profile, ["train", str(tiny.config), "--out", "runs/it's two", *sets, "--json"], gpus=2)
    ran = subprocess.run(["sh", "-c", describe(started, profile)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["run"] == "runs/it's two"
    assert (work / "runs/it's two").is_dir()
