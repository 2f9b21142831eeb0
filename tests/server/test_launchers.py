from pathlib import Path

import pytest

from vivavoce.errors import UserError
from vivavoce.server import jobs
from vivavoce.server.kinds import Launcher
from vivavoce.server.launch import slurm_request
from vivavoce.server.profile import Slurm
from vivavoce.server.ssh import Connection

from .conftest import make_profile
from .sshd import Sshd, needs_tmux
from .working import end, printed, start

# What systemd-run does, for as long as the test lasts: its options are recorded, and the program runs on its own.
SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$@" >"$HOME/systemd-run"
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" </dev/null >/dev/null 2>&1 &
"""
LOGINCTL = "#!/bin/sh\necho Linger={}\n"
FAILING = "#!/bin/sh\necho Failed to connect to bus: No medium found >&2\nexit 1\n"


def job_of(sshd: Sshd, launcher: Launcher = Launcher.AUTO) -> jobs.Job:
    connection = Connection(make_profile(sshd, launcher=launcher), ask=False)
    return end(connection, start(connection, "sh", "-c", "exit 3"))


def test_systemd_comes_first_where_services_outlive_logins(sshd: Sshd) -> None:
    sshd.program("systemd-run", SYSTEMD_RUN)
    sshd.program("loginctl", LOGINCTL.format("yes"))
    job = job_of(sshd)
    assert (job.launcher, job.code) == ("systemd", 3)
    options = (sshd.home / "systemd-run").read_text().splitlines()
    assert options[: options.index("--")] == ["--user", "--collect", "--quiet", f"--unit=vivavoce-{job.id}"]


@pytest.mark.parametrize(
    ("programs", "without", "launcher"),
    [
        pytest.param({"systemd-run": SYSTEMD_RUN, "loginctl": LOGINCTL.format("no")}, (), "tmux", marks=needs_tmux),
        ({"systemd-run": FAILING, "loginctl": LOGINCTL.format("yes")}, ("tmux",), "nohup"),
        ({"tmux": FAILING}, (), "nohup"),
    ],
)
def test_next_launcher_is_taken_where_one_does_not_work(
    sshd: Sshd, programs: dict[str, str], without: tuple[str, ...], launcher: str
) -> None:
    for name, text in programs.items():
        sshd.program(name, text)
    sshd.without(*without)
    job = job_of(sshd)
    assert (job.launcher, job.code) == (launcher, 3)


@pytest.mark.parametrize(
    ("launcher", "programs", "sentence"),
    [
        (Launcher.SYSTEMD, {}, "There is no systemd on the server; choose another launcher"),
        (
            Launcher.SYSTEMD,
            {"systemd-run": SYSTEMD_RUN, "loginctl": LOGINCTL.format("no")},
            r"ends this account's programs at logout \(`loginctl enable-linger`",
        ),
        (
            Launcher.SYSTEMD,
            {"systemd-run": FAILING, "loginctl": LOGINCTL.format("yes")},
            r"systemd-run does not work on the server \(Failed to connect to bus: No medium found\); choose",
        ),
        (Launcher.TMUX, {"tmux": FAILING}, r"tmux does not work on the server \(Failed"),
    ],
)
def test_launcher_of_the_profile_that_does_not_work_is_said(
    sshd: Sshd, launcher: Launcher, programs: dict[str, str], sentence: str
) -> None:
    for name, text in programs.items():
        sshd.program(name, text)
    with pytest.raises(UserError, match=sentence):
        job_of(sshd, launcher)
    assert not list(sshd.home.glob("*/.vivavoce/jobs/*"))


def test_supervisor_that_never_comes_is_given_up(sshd: Sshd) -> None:
    sshd.program("tmux", "#!/bin/sh\nexit 0\n")
    script = (sshd.bin / "python3").resolve()
    # The server's patience is shortened there, in the text of the program.
    sshd.program(
        "python3",
        f'#!/bin/sh\n[ "$1" = - ] || exec {script} "$@"\nsed "s/STARTING_S = 90.0/STARTING_S = 0.2/" | {script} -\n',
    )
    with pytest.raises(UserError, match=r"did not start within 0 s"):
        job_of(sshd, Launcher.TMUX)
    assert not list(sshd.home.glob("*/.vivavoce/jobs/*"))


# --- Slurm, by programs that stand for it; test_slurm.py has the real one ------------------------------------------

SBATCH = """#!/bin/sh
pwd >"$HOME/where"
[ ! -e "$HOME/no" ] || { echo "sbatch: error: no" >&2; exit 1; }
echo 77
"""
SQUEUE = '#!/bin/sh\nprintf "77|%s|%s\\n" $(cat "$HOME/state")\n'


@pytest.fixture
def cluster(sshd: Sshd) -> Connection:
    for name, text in {
        "sbatch": SBATCH,
        "squeue": SQUEUE,
        "scancel": '#!/bin/sh\necho CANCELLED None >"$HOME/state"\n',
    }.items():
        sshd.program(name, text)
    (sshd.home / "state").write_text("PENDING Priority\n")
    return Connection(make_profile(sshd, slurm=Slurm()), ask=False)


def submit(connection: Connection, *argv: str) -> jobs.Job:
    return start(connection, *argv, slurm=slurm_request(connection.profile, 1, 1), secrets={"TOKEN": "hidden"})


def test_slurm_job_waits_runs_and_ends(cluster: Connection, sshd: Sshd) -> None:
    job = submit(cluster, "sh", "-c", "echo $TOKEN $SLURM_JOB_ID; exit 6")
    assert (job.state, job.slurm, job.launcher, job.note) == ("queued", "77", "slurm", "Slurm: Priority")
    assert (sshd.home / "where").read_text().strip() == job.folder
    (sshd.home / "state").write_text("RUNNING None\n")
    assert jobs.find_job(cluster, cluster.profile).state == "running"
    cluster.script('cd "$1" && SLURM_JOB_ID=77 python3 supervise.py', job.folder)
    ended = end(cluster, job)
    assert (ended.state, ended.code, ended.launcher) == ("failed", 6, "slurm")
    assert printed(job) == "hidden 77\n"
    assert not Path(job.folder, "environment.json").exists()


@pytest.mark.parametrize(
    ("state", "found", "note"),
    [("TIMEOUT None", "lost", "Slurm: TIMEOUT"), ("CANCELLED None", "stopped", "Slurm: CANCELLED")],
)
def test_slurm_job_that_left_no_code(cluster: Connection, sshd: Sshd, state: str, found: str, note: str) -> None:
    job = submit(cluster, "true")
    (sshd.home / "state").write_text(state + "\n")
    seen = jobs.find_job(cluster, cluster.profile, job.id)
    assert (seen.state, seen.code, seen.note) == (found, None, note)


def test_slurm_job_is_cancelled_and_its_secrets_go(cluster: Connection, sshd: Sshd) -> None:
    job = submit(cluster, "true")
    assert "hidden" in Path(job.folder, "environment.json").read_text()
    stopped, was_living = jobs.stop_job(cluster, cluster.profile)
    assert (stopped.state, was_living) == ("stopped", True)
    assert not Path(job.folder, "environment.json").exists()
    assert jobs.stop_job(cluster, cluster.profile, job.id)[1] is False


def test_slurm_that_refuses_leaves_nothing(cluster: Connection, sshd: Sshd) -> None:
    (sshd.home / "no").touch()
    with pytest.raises(UserError, match="Slurm did not take the job: no"):
        submit(cluster, "true")
    assert jobs.list_jobs(cluster, cluster.profile) == []
