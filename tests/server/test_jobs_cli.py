import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from vivavoce.cli.server.jobs_shown import show_started
from vivavoce.server.jobs import Job
from vivavoce.server.profile import Environment, Slurm
from vivavoce.server.profiles import save_profile
from vivavoce.server.words import local_paths

from ..tiny import assert_refused, run_cli
from .conftest import make_profile
from .sshd import Sshd, free_port, hear_signals
from .test_ssh import NASTY
from .working import one_server, own_folder, wait_for, work_folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Its vivavoce says its words, ends with code 4 on `fail`, and does not end on `wait`."""
    with one_server(tmp_path_factory.mktemp("server")) as server:
        programs = server.home / "an env" / "bin"
        programs.mkdir(parents=True)
        (programs / "vivavoce").write_text(
            '#!/bin/sh\nfor word in "$@"; do printf "<%s>\\n" "$word"; done\n[ "$1" != fail ] || exit 4\n'
            '[ "$1" != wait ] || exec sleep 100\n'
        )
        (programs / "vivavoce").chmod(0o755)
        yield server


@pytest.fixture
def there(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The work folder on the server called lab; the test is in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with own_folder(server, environment=Environment(path="an env")) as connection:
        save_profile("lab", connection.profile)
        yield work_folder(connection, server)


@pytest.fixture
def nowhere(server: Sshd) -> None:
    """The server called lab does not answer, so that what connects fails."""
    save_profile("lab", make_profile(server).model_copy(update={"port": free_port()}))


@pytest.mark.parametrize(("state", "said"), [("running", "is running"), ("failed", "has ended (failed, code 7)")])
def test_a_job_that_has_ended_already_is_told_so(state: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = dict.fromkeys((field.name for field in fields(Job)), None)
    job = Job(**{**known, "id": "1130-142257-sh", "state": state, "code": 7, "gpus": ()})
    show_started("lab", job)
    assert capsys.readouterr().out.splitlines()[0] == f"Job 1130-142257-sh {said} on lab."


def test_run_prints_the_job_and_the_commands_for_it(there: Path) -> None:
    result = run_cli("server", "run", "lab", "--", "wait", "a b")
    assert result.code == 0, result.err
    first, *commands = result.out.splitlines()
    job = first.split()[1]
    assert first == f"Job {job} is running on lab on GPU 1 (NVIDIA A100-SXM4-40GB)."  # the freer one
    assert [line.split(maxsplit=1) for line in commands] == [
        ["follow", f"vivavoce server log lab {job} --follow"],
        ["list", "vivavoce server jobs lab"],
        ["stop", f"vivavoce server stop lab {job}"],
    ]
    wait_for(lambda: run_cli(*commands[0].split()[2:-1]).out == "<wait>\n<a b>\n")
    table = run_cli(*commands[1].split()[2:]).out
    assert all(word in table for word in (job, "running", "wait 'a b'"))
    assert run_cli(*commands[2].split()[2:]).out == f"Job {job} is stopped.\n"
    assert run_cli(*commands[2].split()[2:]).out == f"Job {job} had ended already: stopped.\n"
    removed = run_cli("server", "jobs", "lab", "--remove", job, "--json").json
    assert removed == {"server": "lab", "jobs": [], "removed": [job]}
    assert run_cli("server", "jobs", "lab").out == "No job was started from this work folder yet.\n"


def test_followed_job_gives_its_log_and_exit_code(there: Path) -> None:
    words = [*NASTY[:-2], "é"]
    result = run_cli("server", "run", "lab", "--follow", "--gpus", 0, "--", "fail", *words)
    assert result.code == 4
    assert result.out.endswith("<fail>\n" + "".join(f"<{word}>\n" for word in words))
    assert "failed, code 4, after" in result.err
    again = run_cli("server", "log", "lab", "fail", "--follow", "--lines", 1)
    assert (again.code, again.out) == (4, "<é>\n")
    assert run_cli("server", "log", "lab", "-n", 2).out == f"<{words[-2]}>\n<é>\n"


def test_json_is_one_document(there: Path, server: Sshd) -> None:
    started = run_cli("server", "run", "lab", "--gpu", 1, "--name", "mine", "--json", "--", "fail").json
    assert started["server"] == "lab"
    assert started["id"].endswith("-mine")
    assert [gpu["index"] for gpu in started["gpus"]] == [1]
    wait_for(lambda: run_cli("server", "jobs", "lab", "--json").json["jobs"][0]["state"] == "failed")
    logged = run_cli("server", "log", "lab", "--json").json
    assert (logged["log"], logged["job"]["code"], logged["job"]["argv"]) == ("<fail>\n", 4, ["vivavoce", "fail"])
    assert run_cli("server", "stop", "lab", "mine", "--json").json["stopped"] is False


def test_gpus_of_others_are_refused_by_name(there: Path, server: Sshd) -> None:
    job = run_cli("server", "run", "lab", "--gpu", 0, "--json", "--", "wait").json["id"]
    refused = run_cli("server", "run", "lab", "--gpu", 0, "--", "wait")
    assert_refused(
        refused, "GPU 0 (NVIDIA A100-SXM4-40GB) is reserved", f"GPU 0 for {server.user}'s job {job} since", "--share"
    )
    assert run_cli("server", "run", "lab", "--gpu", 0, "--share", "--json", "--", "wait").json["gpus"]
    assert [gpu["index"] for gpu in run_cli("server", "run", "lab", "--json", "--", "wait").json["gpus"]] == [1]


def test_files_among_the_words_must_be_there(there: Path, server: Sshd) -> None:
    config = Path("my configs/it's.yaml")
    config.parent.mkdir()
    config.write_text("a: 1\n")
    Path("runs").mkdir()
    words = ("server", "run", "lab", "--json", "--", "train", "my configs/it's.yaml", "--out", "runs")
    assert_refused(run_cli(*words), """`vivavoce server push lab 'my configs/it'"'"'s.yaml'`""", "--push")
    assert not list(there.glob(".vivavoce/jobs/*"))
    (there / "my configs").mkdir()
    (there / "my configs/it's.yaml").write_text("a: 2\n")
    result = run_cli(*words)
    assert result.json["differ"] == ["my configs/it's.yaml"]
    assert "is not as it is here, and the job takes the one there" in " ".join(result.err.split())
    (there / "my configs/it's.yaml").write_text("a: 1\n")
    assert run_cli(*words).json["differ"] == []


def test_pushed_words_are_there(there: Path, server: Sshd) -> None:
    Path("config.yaml").write_text("a: 1\n")
    result = run_cli("server", "run", "lab", "--push", "--json", "--", "train", "config.yaml", "--out", "runs/x")
    assert result.code == 0, result.err
    assert result.json["differ"] == []
    assert (there / "config.yaml").read_text() == "a: 1\n"


def test_which_words_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "a.yaml", "runs", "--strange"):
        Path(name).touch()
    words = ["train", "a.yaml", "--out", "runs", "--set", "data.train=a.yaml", "--strange", "x" * 5000, "b.yaml", ""]
    assert local_paths(words) == ["a.yaml"]
    assert local_paths(["score", "--run", "runs", "--set", "data.train=a.yaml"]) == ["runs", "a.yaml"]
    assert local_paths([]) == []


def test_variables_are_given_by_value_or_from_here(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a secret")
    command = ("server", "run", "lab", "--program", "--gpus", 0, "--follow", "--env", "TOKEN", "--env", "A=b=c d")
    result = run_cli(*command, "--", "sh", "-c", 'echo "$TOKEN,$A"')
    assert result.out.endswith("a secret,b=c d\n")
    assert result.code == 0


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--env", "A-B=1"], ["--env A-B=1", "KEY=VALUE"]),
        (["--env", "NOT_SET_HERE"], ["NOT_SET_HERE=VALUE"]),
        (["--env", "CUDA_VISIBLE_DEVICES=0"], ["--gpus or --gpu"]),
        (["--gpus", "2", "--gpu", "0"], ["--gpus 2", "1 of --gpu"]),
        (["--gpus", "0", "--share"], ["--share is about GPUs"]),
        (["--json", "--follow"], ["--json", "--follow"]),
        (["--nodes", "2"], ["Slurm"]),
    ],
)
def test_impossible_options_are_refused_before_connecting(nowhere: None, options: list[str], parts: list[str]) -> None:
    assert_refused(run_cli("server", "run", "lab", *options, "--", "train", "c.yaml"), *parts)


def test_dry_run_contacts_nothing(nowhere: None) -> None:
    result = run_cli("server", "run", "lab", "--dry-run", "--env", "A=b c", "--", "train", "it's.yaml")
    assert result.code == 0, result.err
    assert "export 'A=b c'" in result.out
    assert result.out.splitlines()[-1] == """vivavoce train 'it'"'"'s.yaml'"""
    planned = run_cli("server", "run", "lab", "--dry-run", "--json", "--gpus", 4, "--", "train", "x.yaml").json
    assert planned["argv"][:2] == ["torchrun", "--standalone"]
    assert planned["shell"].endswith("train x.yaml\n")


def test_slurm_gives_out_the_gpus_itself(there: Path, server: Sshd) -> None:
    save_profile("cluster", make_profile(server, slurm=Slurm()))
    refused = run_cli("server", "run", "cluster", "--gpu", 1, "--", "train", "c.yaml")
    assert_refused(refused, "Slurm gives out the GPUs itself", "--gpu")


def test_environment_that_is_not_there_names_the_mend(there: Path, server: Sshd) -> None:
    save_profile("bare", make_profile(server))
    assert_refused(run_cli("server", "run", "bare", "--", "train", "c.yaml"), "vivavoce server setup")


def test_no_job_is_one_sentence(there: Path) -> None:
    for command in (("log", "lab"), ("stop", "lab", "x"), ("log", "lab", "--follow"), ("jobs", "lab", "--remove", "x")):
        assert_refused(run_cli("server", *command), "No job was started from this work folder yet")
    assert_refused(run_cli("server", "log", "lab", "--json", "--follow"), "--json", "--follow")


def test_ctrl_c_leaves_the_job_running(there: Path) -> None:
    command = [sys.executable, "-m", "vivavoce", "server", "run", "lab", "--follow", "--", "wait"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, preexec_fn=hear_signals
    ) as process:
        assert process.stdout is not None
        try:
            job = next(iter(process.stdout)).split()[1]
            while "<wait>" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert f"The job goes on; `vivavoce server log lab {job} --follow` follows it again." in " ".join(said.split())
    assert json.loads(run_cli("server", "jobs", "lab", "--json").out)["jobs"][0]["state"] == "running"
