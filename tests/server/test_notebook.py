"""JupyterLab and TensorBoard as they are, behind a real tunnel."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vivavoce.errors import UserError
from vivavoce.server.jobs import Devices, find_job
from vivavoce.server.notebook import Kind, Page, open_page
from vivavoce.server.profile import Profile, Slurm
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection
from vivavoce.training.events import EventFile

from ..tiny import assert_refused, run_cli
from .conftest import end, lead_to, make_profile
from .serving import Told, get, jobs_folder, processes_of, put_python, refuses, until
from .sshd import Sshd, why_not

pytest.importorskip("jupyterlab")

# What people have in their config, which must not open the page to others.
CARELESS = """
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.token = ""
c.IdentityProvider.token = ""
c.ServerApp.root_dir = "/"
c.ServerApp.certfile = "/nowhere/cert.pem"
"""


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("notebook")
    server = Sshd(folder / "a server")
    server.start()
    put_python(server)
    (server.home / ".jupyter").mkdir()
    (server.home / ".jupyter" / "jupyter_server_config.py").write_text(CARELESS)
    (server.home / "ada's work" / "two notes").mkdir(parents=True)
    (server.home / "ada's work" / "two notes" / "it's one.txt").write_text("hello")
    with pytest.MonkeyPatch.context() as patch:
        lead_to(server, folder, patch)
        yield server
    end(server)


@pytest.fixture(scope="module")
def jupyter(lab_server: Sshd) -> Iterator[Page]:
    """One JupyterLab for several tests, which look at it only."""
    connection = Connection(make_profile(lab_server), ask=False)
    with open_page(connection, "lab", Kind.NOTEBOOK, ["two notes"], idle_s=600) as page:
        yield page
    connection.close()


def key_of(page: Page) -> str:
    return page.url.partition("token=")[2]


def test_jupyter_answers_to_its_token_alone(jupyter: Page) -> None:
    base, key = f"http://127.0.0.1:{jupyter.tunnel.local_port}", key_of(jupyter)
    status, text = get(jupyter.url)
    assert status == 200
    assert "JupyterLab" in text
    assert get(f"{base}/api/contents")[0] == 403
    assert get(f"{base}/api/contents?token=")[0] == 403
    status, text = get(f"{base}/api/contents?token={key}")
    assert status == 200
    assert [entry["name"] for entry in json.loads(text)["content"]] == ["it's one.txt"]


def test_jupyter_listens_on_the_loopback_alone(jupyter: Page, lab_server: Sshd) -> None:
    heard = [
        c.laddr for p in processes_of(lab_server) for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert ("127.0.0.1", jupyter.tunnel.remote_port) in heard
    assert {address.ip for address in heard} == {"127.0.0.1"}


def test_key_is_nowhere_that_others_may_look(jupyter: Page, lab_server: Sshd) -> None:
    key = key_of(jupyter)
    assert len(key) >= 40
    get(jupyter.url)
    assert not [p for p in psutil.process_iter() if p.is_running() and key in " ".join(_words(p))]
    holding = [path for path in lab_server.home.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    page = jobs_folder(lab_server) / jupyter.job.id / "page"
    assert {path.parent for path in holding} == {page}
    assert page.stat().st_mode & 0o777 == 0o700
    assert f"127.0.0.1:{jupyter.tunnel.remote_port}" in (page.parent / "log").read_text()


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_jupyter_comes_back_after_a_cut_and_ends_with_its_tunnel(connection: Connection, sshd: Sshd) -> None:
    put_python(sshd)
    with open_page(connection, "lab", Kind.NOTEBOOK, ["."], idle_s=600) as page:
        assert get(page.url)[0] == 200
        threading.Timer(0.3, sshd.cut).start()
        with pytest.raises(KeyboardInterrupt):
            page.watch(Told().tell)
        assert get(page.url)[0] == 200
    assert refuses(page.tunnel.local_port)
    assert refuses(page.tunnel.remote_port)
    assert find_job(connection, connection.profile, page.job.id).state == "stopped"
    assert not processes_of(sshd)


@pytest.fixture
def runs(sshd: Sshd) -> Path:
    """Two runs with one scalar each, on the server."""
    put_python(sshd)
    folder = sshd.home / "ada's work" / "runs"
    for name in ("first", "it's two"):
        EventFile(folder / name / "tensorboard").add(1, {f"loss of {name}": 0.5})
    return folder


def test_tensorboard_is_served_below_its_key_alone(connection: Connection, runs: Path, sshd: Sshd) -> None:
    with open_page(connection, "lab", Kind.TENSORBOARD, ["runs"], idle_s=600) as page:
        base = f"http://127.0.0.1:{page.tunnel.local_port}"
        status, text = get(page.url)
        assert (status, "tensorboard" in text.lower()) == (200, True)
        until(lambda: json.loads(get(f"{page.url}data/runs")[1]))
        tags = json.loads(get(f"{page.url}data/plugin/scalars/tags")[1])
        assert {name: list(of) for name, of in tags.items()} == {
            f"{name}/tensorboard": [f"loss of {name}"] for name in ("first", "it's two")
        }
        for path in ("/", "/data/runs", "/data/plugin/scalars/tags", "/x/data/runs"):
            assert get(f"{base}{path}")[0] == 404
        key = page.path.strip("/")
        assert not [p for p in processes_of(sshd) if key in " ".join(p.cmdline())]
        heard = [c.laddr for p in processes_of(sshd) for c in p.net_connections("inet") if c.status == "LISTEN"]
        assert heard == [("127.0.0.1", page.tunnel.remote_port)]
        everywhere = [path for path in sshd.folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
        assert [path.name for path in everywhere] == ["page.json"]
    assert refuses(page.tunnel.local_port)
    assert refuses(page.tunnel.remote_port)
    assert not processes_of(sshd)
    assert not list(sshd.home.rglob("page.json"))


def test_tensorboard_of_several_folders(connection: Connection, runs: Path) -> None:
    folders = ["runs/first", str(runs / "it's two")]
    with open_page(connection, "lab", Kind.TENSORBOARD, folders, idle_s=600) as page:
        until(lambda: len(json.loads(get(f"{page.url}data/runs")[1])) == 2)
        names = json.loads(get(f"{page.url}data/runs")[1])
    assert all("first" in one or "it's two" in one for one in names)


def test_program_that_is_not_installed(connection: Connection, sshd: Sshd) -> None:
    put_python(sshd, "import sys\nsys.modules.update(jupyterlab=None, tensorboard=None)")
    with (
        pytest.raises(UserError, match=r"JupyterLab is not in the environment of lab .*setup lab --extra notebook`"),
        open_page(connection, "lab", Kind.NOTEBOOK, ["."], idle_s=600),
    ):
        pass
    with (
        pytest.raises(UserError, match=r"TensorBoard is not in the environment of lab .*setup lab`"),
        open_page(connection, "lab", Kind.TENSORBOARD, ["."], idle_s=600),
    ):
        pass


def test_nothing_there_is_one_sentence(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    assert_refused(run_cli("server", "notebook", "lab"), "There is no python in", "vivavoce server setup")
    put_python(sshd)
    assert_refused(run_cli("server", "tensorboard", "lab"), "no folder", "ada's work/runs on lab", "server push lab")
    assert_refused(run_cli("server", "notebook", "lab", "no such"), "no folder", "ada's work/no such")
    assert_refused(run_cli("server", "notebook", "lab", "--share"), "--share is about GPUs")
    assert_refused(run_cli("server", "notebook", "lab", "--gpus", 2, "--gpu", 1), "do not agree")
    assert not processes_of(sshd)


def test_gpus_that_slurm_gives_out(sshd: Sshd) -> None:
    connection = Connection(make_profile(sshd, slurm=Slurm()), ask=False)
    with (
        pytest.raises(UserError, match=r"whose GPUs Slurm gives out.*`vivavoce server run lab`"),
        open_page(connection, "lab", Kind.NOTEBOOK, ["."], idle_s=60, devices=Devices(1)),
    ):
        pass
