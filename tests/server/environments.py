"""A tiny clone of the project, and programs that make environments in no time and write down what they were asked."""

import subprocess
from pathlib import Path

from .sshd import Sshd

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "vivavoce"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = [{dependencies}]
"""

# A build backend of its own, so that no build needs the network.
BACKEND = """\
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "vivavoce-0.1.0-py3-none-any.whl", "vivavoce-0.1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        for path in sorted(pathlib.Path("src").rglob("*.py")):
            wheel.write(path, path.relative_to("src"))
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: vivavoce\\nVersion: 0.1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""

# uv and conda: both make a folder whose python finds what was "installed" into it; pip is part of that python.
TOOL = """\
#!/bin/sh
printf '%s|' "$(basename "$0")" "${CONDA_PKGS_DIRS-}${UV_CACHE_DIR-}" "$@" >>"$HOME/asked"; echo >>"$HOME/asked"
case $1 in --version) echo "$(basename "$0") 1.2.3"; exit ;; esac
[ -e "$HOME/fail" ] && { cat "$HOME/fail"; exit 1; }
[ -e "$HOME/slow" ] && sleep 30
case $1 in
venv|create)
    while [ "$#" -gt 1 ] && [ "$1" != --prefix ]; do shift; done
    [ "$1" = --prefix ] && shift
    mkdir -p "$1/bin" "$1/site"
    ln -sf "$0" "$1/bin/pip-of-the-test"
    cat >"$1/bin/python" <<'END'
#!/bin/sh
here=$(dirname "$0")
case "$1 $2 $3" in
"-m pip --version") exit ;;
"-m pip install") shift 2; PYTHON=$0 exec "$here/pip-of-the-test" "$@" ;;
esac
PYTHONPATH="$here/../site" exec python3 "$@"
END
    chmod +x "$1/bin/python" ;;
*)
    for word in "$@"; do [ "$before" = --python ] && PYTHON=$word; before=$word; done
    cp -r src/vivavoce "$(dirname "$PYTHON")/../site/" && echo "Successfully installed vivavoce" ;;
esac
"""


def make_clone(folder: Path) -> Path:
    """A git repository of a project named vivavoce that holds one module and needs nothing."""
    (folder / "src" / "vivavoce").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(dependencies=""))
    (folder / "backend.py").write_text(BACKEND)
    (folder / "src" / "vivavoce" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    """Commit all there is; returns the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "a step")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    ran = subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def give_tool(sshd: Sshd, name: str) -> None:
    """Put a quick uv or conda on the server."""
    sshd.program(name, TOOL)


def asked(sshd: Sshd) -> list[list[str]]:
    """What the quick tools were asked: their name, the folder of downloads, the words."""
    path = sshd.home / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split("|")[:-1] for line in lines]
