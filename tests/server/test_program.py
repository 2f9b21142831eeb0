import ast
import json
import subprocess
import sys
from importlib.resources import files

import pytest

from vivavoce.errors import UserError
from vivavoce.server import program
from vivavoce.server.program import MARK, compose
from vivavoce.server.remote import answer
from vivavoce.server.ssh import Connection

from .sshd import Sshd

REMOTE = [entry for entry in files("vivavoce.server.remote").iterdir() if entry.name.endswith((".py", ".sh"))]
ANSWER = {"answer": program._sources()["answer"]}
MODULES = [entry for entry in REMOTE if entry.name.endswith(".py")]


@pytest.mark.parametrize("module", MODULES, ids=lambda entry: entry.name)
def test_it_runs_on_old_servers_with_nothing_installed(module) -> None:
    """The grammar is that of Python 3.8, and what is imported is its standard library or another module beside it."""
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    names = {entry.name.removesuffix(".py") for entry in MODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.module in names
            assert f"\nfrom .{node.module} import" in text, "program.py orders modules by such lines"
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize(
    "shell", [entry for entry in REMOTE if entry.name.endswith(".sh")], ids=lambda entry: entry.name
)
def test_shell_programs_are_posix(shell) -> None:
    wrapped = f"main() {{\n{shell.read_text(encoding='utf-8')}\n}}\n"
    checked = subprocess.run(["sh", "-n"], input=wrapped, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("module", [entry.name.removesuffix(".py") for entry in MODULES if "__" not in entry.name])
def test_each_module_comes_with_those_that_it_imports_before_it(module: str) -> None:
    needed = program._needed(module, program._sources())
    order = [name for name, _ in needed]
    assert {"answer", module} <= set(order)
    for name, text in needed:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert order.index(node.module or "") < order.index(name)


def test_the_request_arrives_and_the_answer_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    request = {"text": "it's \"quoted\" \\ é\n\0 '''", "number": 1.5, "nothing": None, "list": [True]}
    monkeypatch.setattr(program, "_sources", lambda: {**ANSWER, "echo": "def main(request): return request"})
    ran = run(compose("echo", request))
    assert json.loads(ran.stdout.removeprefix(MARK)) == {"result": request}


def test_a_refusal_is_a_sentence_and_a_fault_is_named(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    refusing = "from .answer import Refused\n\n\ndef main(request):\n    raise Refused('No such thing.')\n"
    broken = "def main(request):\n    raise KeyError('nothing')\n"
    monkeypatch.setattr(program, "_sources", lambda: {**ANSWER, "refusing": refusing, "broken": broken})
    with pytest.raises(UserError, match=r"^No such thing\.$"):
        connection.python("refusing", {})
    with pytest.raises(UserError, match=r"A program on .* failed: KeyError: 'nothing'\.$"):
        connection.python("broken", {})


def test_login_scripts_may_print(monkeypatch: pytest.MonkeyPatch, connection: Connection, sshd: Sshd) -> None:
    """Many a login script greets; the answer is found all the same."""
    greeting = "#!/bin/sh\necho 'Welcome to the lab'\nexec /bin/sh \"$@\"\n"
    sshd.program("sh", greeting)
    monkeypatch.setattr(program, "_sources", lambda: {**ANSWER, "echo": "def main(request): return 1"})
    assert connection.python("echo", {}) == 1


def test_an_answer_may_come_in_parts(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    parts = "from .answer import say\n\ndef main(request):\n    for i in range(3):\n        say(i or None)\n"
    monkeypatch.setattr(program, "_sources", lambda: {**ANSWER, "parts": parts})
    assert list(connection.stream("parts", {})) == [1, 2]


def test_a_program_ends_when_nobody_listens(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    """One that waits says None now and then, and so meets the closed pipe."""
    endless = (
        "import os, time\nfrom .answer import say\n\n\ndef main(request):\n    say(os.getpid())\n    while True:\n"
        "        say(None)\n        time.sleep(0.02)\n"
    )
    monkeypatch.setattr(program, "_sources", lambda: {**ANSWER, "endless": endless})
    stream = connection.stream("endless", {})
    pid = next(stream)
    stream.close()
    wait = 'for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || exit 0; sleep 0.2; done; exit 1'
    assert connection.script(wait, str(pid)).code == 0


def test_both_sides_know_the_same_mark() -> None:
    assert answer.MARK == MARK


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-"], input=text, text=True, capture_output=True, check=True)
