import json
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from vivavoce.server.checks import check, clock_row
from vivavoce.server.checks_environment import driver, environment
from vivavoce.server.checks_machine import LEAST_PYTHON, disk, launcher, python, slurm, tools
from vivavoce.server.kinds import Launcher
from vivavoce.server.probe import Facts, clock, folders_of, probe
from vivavoce.server.profile import Environment, Profile, Slurm
from vivavoce.server.rows import Row, Status
from vivavoce.server.ssh import Connection

from .conftest import make_profile
from .sshd import Sshd

OK, WARN, BAD = Status.OK, Status.WARN, Status.BAD


def facts(**lines: str | list[str]) -> Facts:
    return Facts({key: [value] if isinstance(value, str) else value for key, value in lines.items()})


def profile(**environment_: Any) -> Profile:
    return Profile(host="lab", environment=Environment(**environment_))


def disks(sshd: Sshd, free_kib: int, files: int = 900_000, quota: str = "") -> None:
    """Let `df` and `quota` of the server tell these numbers."""
    sshd.program(
        "df",
        "#!/bin/sh\ncase $1 in -Pi) "
        f"echo '/dev/sda1 1000000 1 {files} 1% /a mount' ;; *) echo 'Filesystem 1024-blocks Used Available'; "
        f"echo '/dev/sda1 1000000000 1 {free_kib} 1% /a mount' ;; esac\n",
    )
    if quota:
        sshd.program("quota", f"#!/bin/sh\necho 'Disk quotas for user ada (uid 1):'\necho '{quota}'\n")


def by_name(rows: list[Row]) -> dict[str, Row]:
    assert all(bool(row.mend) == (row.status is not OK) for row in rows), rows
    return {row.name: row for row in rows}


# --- over a real connection -------------------------------------------------------------------------------------------


def test_fresh_server_is_checked_through(sshd: Sshd, connection: Connection) -> None:
    disks(sshd, 900_000_000)
    rows = by_name(check(connection, "lab"))
    assert {name for name, row in rows.items() if row.status is BAD} == set()
    assert rows["connection"].found.startswith(f"{sshd.user}@127.0.0.1:{sshd.port}, ")
    assert rows["login"].found == "without a question (publickey)"
    assert rows["host key"].found == "checked by ssh"
    assert rows["environment"].mend == "`vivavoce server setup lab`"
    assert rows["disk: environment"].found == "ada's work/env: 921.6 GB free"
    assert rows["clock"].status is OK
    assert [*sshd.home.iterdir()] == []
    assert [*(sshd.folder / "tmp").iterdir()] == []


def test_quota_and_inodes_count_as_free_space(sshd: Sshd, connection: Connection) -> None:
    disks(sshd, 900_000_000, files=1234, quota="  /dev/sda1 15000000* 10000000 21000000 6days 10 0 0 0")
    disk_ = probe(connection, ["work"]).disks[0]
    assert (disk_.free_bytes, disk_.by_quota, disk_.free_files) == (0, True, 1234)
    disks(sshd, 900_000_000, quota="  /dev/sda1 15000000 20000000 21000000 0 10 0 0 0")
    assert probe(connection, ["work"]).disks[0].free_bytes == 5_000_000 * 1024
    disks(sshd, 900_000_000, quota="  /dev/sdb1 15000000 20000000 21000000 0 10 0 0 0")
    assert probe(connection, ["work"]).disks[0].by_quota is False


def test_folders_of_any_name_lie_on_the_disk_of_their_nearest_parent(sshd: Sshd, connection: Connection) -> None:
    (sshd.home / "there").mkdir()
    names = ["there/not yet/it's", "not yet", "-n", "/", "/nowhere/at all", ".", "$(touch owned)"]
    found = probe(connection, names)
    assert [one.folder for one in found.disks] == names
    assert found.lines["disk_parent"] == ["there", ".", ".", "/", "/", ".", "."]
    assert not (sshd.home / "owned").exists()


def test_tools_off_the_path_are_found(sshd: Sshd, connection: Connection) -> None:
    for place in ("miniforge3/bin/conda", ".local/bin/uv", "miniconda3/bin/python"):
        path = sshd.home / place
        path.parent.mkdir(parents=True)
        text = "echo 3.12.1" if place.endswith("python") else f"echo {path.name} 9.9"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    found = probe(connection, [])
    assert found.get("conda") == f"conda 9.9 ({sshd.home}/miniforge3/bin/conda)"
    assert found.get("uv") == f"uv 9.9 ({sshd.home}/.local/bin/uv)"
    assert ((3, 12, 1), f"{sshd.home}/miniconda3/bin/python") in found.pythons


def test_environment_with_torch_and_gpus_is_read(sshd: Sshd, connection: Connection) -> None:
    env = sshd.home / "ada's work" / "env"
    site = env / "site"
    (env / "bin").mkdir(parents=True)
    for name, text in (
        ("vivavoce", "__version__ = '0.1.0'"),
        ("torch", "from types import SimpleNamespace as N\n__version__ = '2.13.0+cu130'\nversion = N(cuda='13.0')\n"
         "cuda = N(is_available=lambda: False, device_count=lambda: 0)"),
    ):  # fmt: skip
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(text)
    start = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(site))} exec python3 "$@"\n'
    (env / "bin" / "python").write_text(start)
    (env / "bin" / "python").chmod(0o755)
    (env / "vivavoce-setup.json").write_text(json.dumps({"commit": "a" * 40}))
    sshd.program(
        "nvidia-smi",
        '#!/bin/sh\n[ "$#" = 0 ] && echo "| NVIDIA-SMI 535.161.08   Driver Version: 535.161.08   CUDA Version: 12.2 |" '
        "|| { echo '535.161.08, NVIDIA A100-SXM4-80GB'; echo '535.161.08, NVIDIA A100-SXM4-80GB'; }\n",
    )
    rows = by_name(check(connection, "lab", "b" * 40))
    assert rows["GPU"].found == "2 × NVIDIA A100-SXM4-80GB, driver 535.161.08, CUDA 12.2"
    assert rows["torch"].status is BAD
    assert "CUDA 13 needs driver 580 or newer" in rows["torch"].mend
    assert rows["vivavoce"] == Row(
        "vivavoce", WARN, "at aaaaaaaaaaaa, and here at bbbbbbbbbbbb", "`vivavoce server setup lab`"
    )
    assert by_name(check(connection, "lab", "a" * 40))["vivavoce"].status is OK


def test_folder_named_like_the_project_is_not_taken_for_it(sshd: Sshd, connection: Connection) -> None:
    env = sshd.home / "ada's work" / "env" / "bin"
    env.mkdir(parents=True)
    (env / "python").write_text('#!/bin/sh\nexec python3 -S "$@"\n')
    (env / "python").chmod(0o755)
    (sshd.home / "vivavoce").mkdir()
    (sshd.home / "vivavoce" / "__init__.py").write_text("__version__ = '9'")
    rows = by_name(check(connection, "lab"))
    assert (rows["vivavoce"].status, rows["torch"].status) == (BAD, BAD)
    assert "No module named 'vivavoce'" in rows["vivavoce"].found


@pytest.mark.parametrize(
    ("date", "status", "words"),
    [
        ("date -d '+30 seconds' \"$@\"", WARN, "ahead"),
        ("date -d '-90 seconds' \"$@\"", BAD, "behind"),
        ('echo "$(date +%s).N"', OK, ""),
    ],
)
def test_clock_is_compared(sshd: Sshd, connection: Connection, date: str, status: Status, words: str) -> None:
    real = shutil.which("date")
    sshd.program("date", f"#!/bin/sh\n{date.replace('date', str(real), 1)}\n")
    row = clock_row(clock(connection))
    assert row.status is status
    assert words in row.found


def test_clock_is_the_middle_of_the_round_trip(connection: Connection) -> None:
    time = clock(connection)
    assert abs(time.ahead_s) <= time.round_trip_s / 2 + 0.01


def test_login_that_asks_and_host_key_that_is_not_checked_are_told(sshd: Sshd, connection: Connection) -> None:
    connection.open()
    (sshd.folder / "authorized_keys").write_text("")
    config = sshd.folder / "ssh_config"
    config.write_text("StrictHostKeyChecking no\n" + config.read_text())
    rows = by_name(check(connection, "lab"))
    assert (rows["login"].status, rows["host key"].status) == (WARN, WARN)
    assert "ssh-copy-id" in rows["login"].mend
    assert "StrictHostKeyChecking is off" in rows["host key"].found


def test_temporary_folder_that_cannot_be_used_is_told(sshd: Sshd, connection: Connection) -> None:
    sshd.set_environment(TMPDIR=str(sshd.folder / "absent"))
    row = by_name([*tools(probe(connection, []))])["temporary files"]
    assert (row.status, row.found) == (WARN, f"{sshd.folder}/absent: it cannot be written")
    assert "--packages" in row.mend


def test_data_and_package_folders_are_looked_at(sshd: Sshd) -> None:
    lab = make_profile(sshd, data={"recordings": "/"}, environment=Environment(packages="/"))
    names = {"work", "environment", "downloads", "data recordings"}
    assert set(folders_of(lab)) == names
    connection = Connection(lab, ask=False)
    rows = by_name(check(connection, "lab"))
    connection.close()
    assert {f"disk: {name}" for name in names} <= set(rows)


# --- the rows by themselves -------------------------------------------------------------------------------------------


def test_least_python_is_that_of_the_project() -> None:
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["requires-python"] == ">=" + ".".join(map(str, LEAST_PYTHON))


@pytest.mark.parametrize(
    ("found", "environment_", "status", "parts"),
    [
        ({"python": ["3.9.1 python3", "3.12.4 python3.12"]}, {}, [OK], ("3.12.4 (python3.12)",)),
        ({"python": "3.9.1 python3"}, {}, [BAD], ("3.9.1", "3.11 or newer", "--env uv")),
        ({}, {}, [BAD], ("none", "--env conda")),
        ({"python": ["3.12.1 python3", "3.9.1 /opt/py"]}, {"python": "/opt/py"}, [BAD], ("3.9.1 (/opt/py)",)),
        ({"python": "3.12.1 python3"}, {"python": "/nowhere"}, [BAD], ("/nowhere",)),
        ({"env_python": "3.10.2"}, {}, [BAD], ("3.10.2 in the environment",)),
        ({}, {"kind": "conda"}, [BAD], ("not found", "Miniforge")),
        ({"conda": "conda 24 (/opt/conda)"}, {"kind": "conda"}, [OK], ("conda 24",)),
        ({}, {"kind": "uv"}, [BAD], ("not found", "astral")),
        ({"env_python": "3.12.1"}, {"kind": "uv"}, [OK, WARN], ()),
    ],
)
def test_python_and_its_tool(
    found: dict[str, Any], environment_: dict[str, Any], status: list[Status], parts: tuple[str, ...]
) -> None:
    rows = [*python(profile(**environment_), facts(**found))]
    assert [row.status for row in rows] == status
    text = " ".join(row.found + row.mend for row in rows)
    assert all(part in text for part in parts), text


@pytest.mark.parametrize(
    ("what", "free_gb", "made", "status"),
    [
        ("environment", 100, False, OK),
        ("environment", 19, False, WARN),
        ("environment", 7, False, BAD),
        ("environment", 7, True, OK),
        ("work", 4, False, WARN),
        ("work", 0.5, False, BAD),
    ],
)
def test_room_by_what_lies_there(what: str, free_gb: float, made: bool, status: Status) -> None:
    from vivavoce.server.probe import Disk

    room = Disk("place", int(free_gb * 1e9), None, True, by_quota=True)
    row = disk(what, room, facts(environment="yes") if made else facts())
    assert row.status is status
    assert "by your quota" in row.found
    assert disk(what, Disk("place", int(1e12), None, False, False), facts()).status is BAD
    assert disk(what, Disk("place", int(1e12), 10, True, False), facts()).status is WARN


@pytest.mark.parametrize(
    ("wanted", "found", "status", "words"),
    [
        (Launcher.AUTO, {"linger": "Linger=yes", "user_manager": "running", "tmux": "tmux 3.3a"}, OK, "systemd"),
        (Launcher.AUTO, {"linger": "Linger=no", "user_manager": "running", "tmux": "tmux 3.3a"}, OK, "tmux"),
        (Launcher.AUTO, {"linger": "Linger=yes", "user_manager": "offline"}, OK, "nohup"),
        (Launcher.SYSTEMD, {"linger": "Linger=no", "user_manager": "running"}, BAD, "enable-linger"),
        (Launcher.TMUX, {}, BAD, "nohup"),
        (Launcher.NOHUP, {}, OK, "nohup"),
    ],
)
def test_launcher(wanted: Launcher, found: dict[str, str], status: Status, words: str) -> None:
    row = launcher(Profile(host="lab", launcher=wanted), facts(**found))
    assert row.status is status
    assert words in row.found + row.mend


@pytest.mark.parametrize(
    ("wanted", "found", "status", "words"),
    [
        (Slurm(partition="gpu"), {"sbatch": "slurm 23.02", "partition": ["cpu", "gpu"]}, [OK], "cpu, gpu"),
        (Slurm(partition="gpus"), {"sbatch": "slurm 23.02", "partition": ["cpu", "gpu"]}, [BAD], "one of cpu, gpu"),
        (Slurm(), {"sbatch": "slurm 23.02"}, [BAD], "no partition"),
        (Slurm(), {}, [BAD], "sbatch not found"),
        (None, {"sbatch": "slurm 23.02", "partition": "gpu"}, [WARN], "--slurm"),
        (None, {}, [], ""),
    ],
)
def test_slurm(wanted: Slurm | None, found: dict[str, Any], status: list[Status], words: str) -> None:
    rows = [*slurm(Profile(host="lab", slurm=wanted), facts(**found))]
    assert [row.status for row in rows] == status
    assert words in " ".join(row.found + row.mend for row in rows)


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ({"gpu": "580.65.06, NVIDIA H100", "cuda": "13.0"}, OK, "driver 580.65.06, CUDA 13.0"),
        ({"gpu": "535.1, NVIDIA A100"}, WARN, "--pip-option=--extra-index-url=https://download.pytorch.org"),
        ({"gpu": "535.1, NVIDIA A100", "environment": "yes"}, OK, "driver 535.1"),
        ({"gpu_failed": "Failed to initialize NVML: Driver/library version mismatch"}, BAD, "reboot"),
        ({}, WARN, "CPU"),
    ],
)
def test_driver(found: dict[str, str], status: Status, words: str) -> None:
    row = driver(profile(), facts(**found), "lab")
    assert row.status is status
    assert words in row.found + row.mend
    if not found:
        assert driver(Profile(host="lab", slurm=Slurm()), facts(), "lab").status is OK


@pytest.mark.parametrize(
    ("torch", "gpu", "status", "words"),
    [
        ({"env_torch": "2.13.0", "env_cuda": "13.0", "env_gpus": "2"}, "580.1, A", OK, "sees 2 GPUs"),
        ({"env_torch": "2.13.0+cpu", "env_cuda": "", "env_gpus": "0"}, "580.1, A", BAD, "without CUDA"),
        ({"env_torch": "2.13.0+cpu", "env_cuda": "", "env_gpus": "0"}, "", OK, "without CUDA"),
        ({"env_torch": "2.9.0", "env_cuda": "12.8", "env_gpus": "0"}, "520.1, A", BAD, "driver 525"),
        ({"env_torch": "2.9.0", "env_cuda": "12.8", "env_gpus": "0"}, "535.1, A", BAD, "sees none of 1 GPUs"),
        ({"env_torch_failed": "OSError: libcudart.so"}, "", BAD, "libcudart"),
    ],
)
def test_torch(torch: dict[str, str], gpu: str, status: Status, words: str) -> None:
    rows = [*environment(facts(env_python="3.12.1", **torch, **({"gpu": gpu} if gpu else {})), "lab", None)]
    row = next(row for row in rows if row.name == "torch")
    assert row.status is status
    assert words in row.found + row.mend


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ({}, WARN, "not made yet"),
        ({"environment": "yes", "env_failed": "1"}, BAD, "does not start"),
        ({"env_python": "3.12.1", "env_vivavoce_failed": "ModuleNotFoundError: x"}, BAD, "ModuleNotFoundError"),
        ({"env_python": "3.12.1", "env_vivavoce": "0.1.0"}, WARN, "not by `vivavoce server setup`"),
        ({"env_python": "3.12.1", "env_vivavoce": "0.1.0", "stamp": '{"commit": "abc+d"}'}, OK, "with changes"),
        ({"env_python": "3.12.1", "env_vivavoce": "0.1.0", "stamp": "no json"}, WARN, "not by"),
    ],
)
def test_environment(found: dict[str, str], status: Status, words: str) -> None:
    row = [*environment(facts(**found), "lab", "abc")][-1]
    assert row.status is status
    assert words in row.found + row.mend


def test_missing_programs_are_told() -> None:
    rows = by_name([*tools(facts(tmp="noexec", tmpdir="/tmp"))])
    assert {name: row.status for name, row in rows.items()} == {"rsync": WARN, "tar": BAD, "temporary files": WARN}
