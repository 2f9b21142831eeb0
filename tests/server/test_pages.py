"""What may go wrong with a page of the server, mostly with one that is there at once."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from vivavoce.errors import UserError
from vivavoce.server import tunnel
from vivavoce.server.jobs import Devices, list_jobs, stop_job
from vivavoce.server.master import control_folder
from vivavoce.server.notebook import Kind, open_page
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection

from ..tiny import assert_refused, run_cli
from . import nvidia_smi
from .serving import Told, get, jobs_folder, processes_of, put_stub, refuses, until
from .sshd import Sshd, free_port, hear_signals
from .test_ssh import masters

NOTEBOOK = Kind.NOTEBOOK


@pytest.fixture(autouse=True)
def stub(request: pytest.FixtureRequest) -> None:
    if "sshd" in request.fixturenames:
        put_stub(request.getfixturevalue("sshd"))


def test_page_is_led_here_and_both_end(connection: Connection, sshd: Sshd) -> None:
    port = free_port()
    told: list[str] = []
    with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60, local_port=port, tell=told.append) as page:
        assert page.url.startswith(f"http://127.0.0.1:{port}/")
        assert get(page.url) == (200, "a page")
        assert page.to_dict()["url"] == page.url
    assert refuses(port)
    assert refuses(page.tunnel.remote_port)
    assert not processes_of(sshd)
    assert [job.state for job in list_jobs(connection, connection.profile)] == ["stopped"]
    assert told == ["JupyterLab and the tunnel are ended."]


def test_local_port_that_is_taken_is_said_before_anything_starts(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run_cli("server", "notebook", "lab", "--local-port", port)
    assert_refused(refused, f"Port {port} of this machine is taken", "--local-port")
    assert not jobs_folder(sshd).exists()


def test_free_local_port_that_somebody_takes_first(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr(tunnel, "free_port", lambda: next(ports))
        with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60) as page:
            assert get(page.url)[0] == 200


def test_stale_control_socket(lab: Profile, sshd: Sshd) -> None:
    Connection(lab, ask=False).open()
    for process in masters():
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    assert list(control_folder().iterdir())
    with open_page(Connection(lab, ask=False), "lab", NOTEBOOK, ["."], idle_s=60) as page:
        assert get(page.url)[0] == 200


def test_server_that_is_away_for_a_while(connection: Connection, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.server.notebook.RETRY_EVERY_S", 0.1)
    told = Told()

    def go_away(port: int) -> None:
        sshd.stop()
        until(lambda: told)
        until(lambda: refuses(port))
        sshd.start()

    with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60) as page:
        threading.Thread(target=go_away, args=[page.tunnel.local_port]).start()
        with pytest.raises(KeyboardInterrupt):
            page.watch(told.tell)
        assert get(page.url)[0] == 200
    assert len(told) == 2
    assert told[0].endswith("; trying to connect again. Ctrl-C ends it.")


def test_another_program_that_took_the_port_meanwhile(connection: Connection, sshd: Sshd) -> None:
    with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60) as page:
        sshd.cut()
        until(lambda: refuses(page.tunnel.local_port))
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", page.tunnel.local_port))
            taken.listen()
            assert connection.script("true").code == 0
            with pytest.raises(UserError, match=f"Port {page.tunnel.local_port} of this machine cannot be led"):
                page.tunnel.lead_again()
        assert page.tunnel.lead_again()
        assert not page.tunnel.lead_again()
        assert get(page.url)[0] == 200


def test_one_that_was_kept_is_found_again(connection: Connection, sshd: Sshd) -> None:
    seen, told = [], []
    for folder in (".", ".", "elsewhere"):
        with open_page(connection, "lab", NOTEBOOK, [folder], idle_s=60, keep=True, tell=told.append) as page:
            assert get(page.url)[0] == 200
            seen.append((page.job.id, page.tunnel.remote_port, page.path))
        assert refuses(page.tunnel.local_port)
    assert told[1].endswith(f"JupyterLab is left on lab; `vivavoce server stop lab {seen[1][0]}` ends it.")
    assert seen[0] == seen[1]
    assert seen[2] != seen[0]
    assert [job.state for job in list_jobs(connection, connection.profile)] == ["running", "running"]
    for job, *_ in seen[1:]:
        stop_job(connection, connection.profile, job, 5)


def test_kept_job_of_ours_is_ended_where_it_could_not_be_opened(
    connection: Connection, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forbid_forwarding(sshd)
    monkeypatch.setattr(tunnel, "ANSWER_S", 0.3)
    with (
        pytest.raises(UserError, match=r"nothing of it comes through the tunnel: .*AllowTcpForwarding"),
        open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60, keep=True),
    ):
        pass
    assert not processes_of(sshd)


def _forbid_forwarding(sshd: Sshd) -> None:
    config = sshd.folder / "sshd_config"
    sshd.stop()
    config.write_text(config.read_text().replace("AllowTcpForwarding yes", "AllowTcpForwarding no"))
    sshd.start()


@pytest.mark.parametrize("impatient", [True, False])
def test_page_that_could_not_be_ended_is_said(
    connection: Connection, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, impatient: bool
) -> None:
    told: list[str] = []
    with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60, tell=told.append) as page:
        if impatient:
            monkeypatch.setattr("vivavoce.server.notebook.stop_job", _interrupt)
        else:
            sshd.stop()
    assert len(told) == 1
    assert told[0].startswith("JupyterLab could not be ended: ")
    assert told[0].endswith(f"`vivavoce server stop lab {page.job.id}`.")


def _interrupt(*words: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("end_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_command_prints_one_document_and_ends_both(lab: Profile, sshd: Sshd, end_by: signal.Signals) -> None:
    save_profile("lab", lab)
    command = [sys.executable, "-m", "vivavoce", "server", "tensorboard", "lab", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=hear_signals) as process:
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline())
            assert get(said["url"])[0] == 200
            assert said["job"]["kind"] == "tensorboard"
            process.send_signal(end_by)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "")
    assert "TensorBoard and the tunnel are ended." in err
    assert refuses(said["port"])
    assert refuses(said["remote_port"])
    assert not processes_of(sshd)


def test_notebook_on_a_gpu(connection: Connection, sshd: Sshd) -> None:
    nvidia_smi.install(sshd, "idle")
    with open_page(connection, "lab", NOTEBOOK, ["."], idle_s=60, devices=Devices(1, (1,))) as page:
        (gpu,) = page.job.gpus
        assert gpu["index"] == 1
        (stub,) = {process.environ().get("CUDA_VISIBLE_DEVICES") for process in processes_of(sshd)}
        assert stub == gpu["uuid"]


@pytest.mark.parametrize("screen", [True, False])
def test_browser_is_opened_and_the_end_of_the_page_is_said(
    lab: Profile, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, screen: bool
) -> None:
    save_profile("lab", lab)
    opened: list[str] = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", opened.append)
    threading.Thread(target=_end_it, args=[sshd]).start()
    ended = run_cli("server", "notebook", "lab")
    assert ended.code == 2, ended
    assert "JupyterLab on lab ended with exit code 3; `vivavoce server log lab" in ended.err
    url = ended.out.splitlines()[1]
    assert url.startswith("http://127.0.0.1:")
    assert opened == [url] * screen


def _end_it(sshd: Sshd) -> None:
    """Ask the page of the only job to end itself, once the command waits at it."""
    until(lambda: list(jobs_folder(sshd).glob("*/page/page.json")))
    (record,) = jobs_folder(sshd).glob("*/page/page.json")
    until(lambda: record.read_text().endswith("}"))
    page = json.loads(record.read_text())
    ours = psutil.Process()
    until(lambda: _is_held(ours))
    get_or_none(f"http://127.0.0.1:{page['port']}{page['path']}end")


def _is_held(process: psutil.Process) -> bool:
    """Whether a connection is held; the one that asks for the page at first ends at once."""

    def ports() -> set[int]:
        found = process.net_connections("tcp4")
        return {c.laddr.port for c in found if c.raddr and c.status == psutil.CONN_ESTABLISHED}

    before = ports()
    time.sleep(0.5)
    return bool(before & ports())


def get_or_none(url: str) -> None:
    with contextlib.suppress(OSError):
        get(url)
