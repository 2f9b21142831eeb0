"""Environments on the test's server for pages: the real Python of these tests, or a page that is there at once."""

import http.client
import shlex
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import psutil

from vivavoce.server.remote.pages import FOLDER, RECORD

from .sshd import Sshd

# Stands for the program of the job: the same record, a page below its key, and nothing to import.
STUB = f"""
import http.server, json, os, pathlib, sys
key = os.environ["VIVAVOCE_PAGE_KEY"]
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == f"/{{key}}/end":
            os._exit(3)
        body = b"a page"
        self.send_response(200 if self.path.startswith(f"/{{key}}/") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
place = pathlib.Path(os.environ["VIVAVOCE_JOB"], {FOLDER!r})
place.mkdir(mode=0o700)
(place / {RECORD!r}).write_text(json.dumps({{"port": server.server_address[1], "path": f"/{{key}}/"}}))
print("serving", flush=True)
server.serve_forever()
"""


def put_python(sshd: Sshd, before: str = "") -> None:
    """The environment's Python is that of these tests; a program that it runs is preceded by ``before``."""
    run = f"{before}\nimport runpy, sys\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    words = f'-c {shlex.quote(run)} "$@"' if before else '"$@"'
    _python(sshd, f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}\n")


def put_stub(sshd: Sshd) -> None:
    """The environment's Python serves a page of ours at once, whatever program it is given."""
    stub = sshd.folder / "stub.py"
    stub.write_text(STUB)
    _python(sshd, f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(stub))}\n")


def _python(sshd: Sshd, text: str) -> None:
    path = sshd.home / "ada's work" / "env" / "bin" / "python"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def get(url: str) -> tuple[int, str]:
    """Status and text of what an address answers; redirections are followed."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def refuses(port: int) -> bool:
    """Whether nothing listens on a local port."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.connect()
        return False
    except ConnectionRefusedError:
        return True
    finally:
        client.close()


def processes_of(sshd: Sshd) -> list[psutil.Process]:
    """Processes of the account's jobs."""
    jobs = str(sshd.home / "ada's work" / ".vivavoce" / "jobs")
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("VIVAVOCE_JOB", "").startswith(jobs) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


class Told(list[str]):
    """What a watched page told; when it is led again, the watching is left as by Ctrl-C."""

    def tell(self, sentence: str) -> None:
        self.append(sentence)
        if sentence == "The connection was cut and is there again; the address is the same.":
            raise KeyboardInterrupt


def jobs_folder(sshd: Sshd) -> Path:
    return sshd.home / "ada's work" / ".vivavoce" / "jobs"


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
