"""Where Slurm is not, does not answer, or has accounting: what its programs print is recorded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.slurm import batch, cancel, script, states, submit

from .slurmd import ONE


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a program that prints what was recorded in place of one of Slurm's; there are no others."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("sh", "cat"):
        (bin / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(bin))

    def put(name: str, text: str) -> None:
        (bin / name).write_text(f"#!/bin/sh\n{text}")
        (bin / name).chmod(0o755)

    return put


def test_no_slurm_on_the_server(recorded: Callable[[str, str], None], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="sbatch is not on the server's PATH"):
        submit(str(tmp_path), {"id": "a"}, ONE)
    assert states(["7"])["7"]["state"] == "unknown"
    with pytest.raises(Refused, match="scancel is not on the server's PATH"):
        cancel("7")


def test_controller_that_does_not_answer(recorded: Callable[[str, str], None]) -> None:
    away = "Unable to contact slurm controller (connect failure)"
    recorded("squeue", f"echo 'slurm_load_jobs error: {away}' >&2; exit 1\n")
    recorded("scancel", f"echo 'scancel: error: {away}' >&2; exit 1\n")
    assert states(["7", "8"]) == {one: {"state": "unknown", "reason": away} for one in ("7", "8")}
    with pytest.raises(Refused, match=r"does not end job 7: Unable to contact .*\.$"):
        cancel("7")


def test_slurm_that_hangs(recorded: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.server.remote.slurm.TIMEOUT_S", 0.3)
    recorded("squeue", "while :; do :; done\n")
    assert "squeue took more than" in states(["7"])["7"]["reason"]


def test_accounting_knows_how_it_ended(recorded: Callable[[str, str], None]) -> None:
    recorded("squeue", "echo '4|RUNNING|None'\n")
    recorded(
        "sacct",
        "cat <<'E'\n5|TIMEOUT\n6|CANCELLED by 1000\n7|OUT_OF_MEMORY\n8|NODE_FAIL\n9|RUNNING\nE\n",
    )
    known = states([str(number) for number in range(4, 11)])
    assert known["4"] == {"state": "running", "reason": "None"}
    assert [known[one]["reason"] for one in "56789"] == ["TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL", ""]
    # What the controller no longer has is over, whatever the accounting missed.
    assert {known[one]["state"] for one in (*"56789", "10")} == {"ended"}


def test_number_is_found_among_what_a_cluster_prints(recorded: Callable[[str, str], None], tmp_path: Path) -> None:
    recorded("sbatch", "echo 'Welcome to the cluster'; echo '4711;alpha'\n")
    assert submit(str(tmp_path), {"id": "a"}, ONE) == "4711"
    recorded("sbatch", "echo 'Welcome to the cluster'\n")
    with pytest.raises(Refused, match="did not take the job"):
        submit(str(tmp_path), {"id": "a"}, ONE)


def test_script_becomes_the_supervisor() -> None:
    text = script("/home/ada's work/job", {"id": "a"}, ONE, "/opt/my python/bin/python3")
    assert text.splitlines()[-1] == "exec '/opt/my python/bin/python3' '/home/ada'\"'\"'s work/job/supervise.py'"
    assert "PET_RDZV" not in text
    assert "PET_RDZV_ENDPOINT" in batch("a", {**ONE, "nodes": 2}, [])
