"""The Python environment of a profile: what is left to do for it, and doing it, one setup at a time."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from typing import Any, Dict, List, Optional

from .answer import Refused, say
from .folders import link_data, make_folder
from .installers import conda, interpreter, starts, uv
from .speaking import speak
from .stamps import only_one, read, record_path, stamp_path, who, write

INSTALLED = ("commit", "extras", "dependencies", "options")  # what a request and a stamp have in common

Request = Dict[str, Any]
Step = Dict[str, Any]


def main(request: Request) -> Any:
    """``do``: `plan` returns the steps and whether the code is there; `setup` does them and answers line by line."""
    path = request["path"]
    if request["do"] == "plan":
        return {"steps": plan(request), "code_there": os.path.isdir(request["code"])}
    make_folder(request["workdir"])
    make_folder(request["state"])
    make_folder(os.path.dirname(os.path.abspath(path)))
    try:
        with only_one(path):
            ended = _setup(request)
    except BrokenPipeError:
        raise  # nobody is there to be told
    except OSError as error:
        lines = [f"{error.filename or path}: {error.strerror}"]
        ended = {"failed": {"code": 1, "lines": lines}, "step": f"set {path} up"}
    say({"ended": ended})
    return None


def _setup(request: Request) -> Dict[str, Any]:
    steps = plan(request)
    for step in steps:
        say({"step": step["step"], "shell": step["shell"]})
        failed = _do(step, request)
        if failed:
            return {"failed": failed, "step": step["step"]}
    shutil.rmtree(request["code"], ignore_errors=True)  # it is installed
    return {"done": [step["step"] for step in steps], "python": _version(request["path"])}


# --- what is to be done -----------------------------------------------------------------------------------------------


def plan(request: Request) -> List[Step]:
    """The steps that are left, in order; none where all is as the request wants it."""
    path, stamp, steps = request["path"], read(stamp_path(request["path"])), []
    for name, place in sorted(request["data"].items()):
        link = os.path.join(request["workdir"], name)
        if os.path.realpath(link) != os.path.realpath(place) or not os.path.isdir(place):
            steps.append({"step": f"lead {link} to {place}", "shell": "", "link": [link, place]})
    if not _usable(request, stamp):
        return [*steps, *_making(request), *_installing(request, code_only=False)]
    if request["again"]:
        if not _ours(path):
            raise Refused(
                f"{path} was not made by vivavoce and is not removed; remove it yourself, or leave --again out."
            )
        return [*steps, *_making(request), *_installing(request, code_only=False)]
    if stamp and stamp.get("interpreter") != request["python"]:
        theirs = "Python {}".format
        raise Refused(
            f"{path} was made with {theirs(stamp.get('interpreter') or 'as it was found')}, and the profile wants "
            f"{theirs(request['python'] or 'as it is found')}; --again makes it anew."
        )
    different = [key for key in INSTALLED if stamp.get(key) != request[key]]
    if not different and _imports(path):
        return steps
    return [*steps, *_installing(request, code_only=different == ["commit"])]


def _usable(request: Request, stamp: Dict[str, Any]) -> bool:
    """Whether there is an environment that can be installed into; without a stamp it may be half of one."""
    python = os.path.join(request["path"], "bin", "python")
    needs_pip = not stamp and request["kind"] != "uv"
    return os.path.exists(python) and starts([python, *(["-m", "pip", "--version"] if needs_pip else ["-c", ""])])


def _ours(path: str) -> bool:
    return bool(read(record_path(path)).get("made") or read(stamp_path(path)).get("made"))


def _making(request: Request) -> List[Step]:
    """Make the environment with the tool of the profile, in place of what an earlier setup made."""
    path, kind, python = request["path"], request["kind"], request["python"]
    steps: List[Step] = []
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        if not _ours(path):
            raise Refused(
                f"{path} is there and is no environment with pip that works; choose another place with --env-path, or "
                "remove it."
            )
        steps.append(
            {"step": f"remove {path}", "shell": shlex.join(["rm", "-rf", os.path.abspath(path)]), "remove": path}
        )
    if kind == "venv":
        words = [interpreter(python, request["least"]), "-m", "venv", os.path.abspath(path)]
    elif kind == "uv":
        words = [uv(), "venv", "--python", python or ">=" + ".".join(map(str, request["least"])), os.path.abspath(path)]
    else:
        version = python or ".".join(map(str, request["least"]))
        words = [*conda(), "--yes", "--prefix", os.path.abspath(path), f"python={version}", "pip"]
    return [*steps, _run(f"make the environment {path} by {kind}", words, request, makes=True)]


def _installing(request: Request, code_only: bool) -> List[Step]:
    """Install the code, with its dependencies where they are others than before."""
    python = os.path.join(os.path.abspath(request["path"]), "bin", "python")
    if request["kind"] == "uv":
        words = [uv(), "pip", "install", "--python", python, "--reinstall-package", "vivavoce"]
    else:
        words = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        words += ["--force-reinstall"] if code_only else []
    extras = "[{}]".format(",".join(request["extras"])) if request["extras"] else ""
    words += [*(["--no-deps"] if code_only else []), *request["options"], "." + ("" if code_only else extras)]
    what = "vivavoce alone, since its dependencies are as before" if code_only else "vivavoce and its dependencies"
    return [_run(f"install {what}", words, request, folder=request["code"])]


def _run(step: str, words: List[str], request: Request, **more: Any) -> Step:
    variables = _variables(request)
    shell = ["cd", shlex.quote(more["folder"]), "&&"] if "folder" in more else []
    shell += [f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    return {
        "step": step,
        "words": words,
        "variables": variables,
        "shell": " ".join([*shell, shlex.join(words)]),
        **more,
    }


def _variables(request: Request) -> Dict[str, str]:
    """Where downloads and temporary files go, if the profile says so."""
    if not request["packages"]:
        return {}
    names = {"PIP_CACHE_DIR": "pip", "UV_CACHE_DIR": "uv", "CONDA_PKGS_DIRS": "conda", "TMPDIR": "tmp"}
    return {name: os.path.join(os.path.abspath(request["packages"]), folder) for name, folder in names.items()}


# --- doing it --------------------------------------------------------------------------------------------------------


def _do(step: Step, request: Request) -> Optional[Dict[str, Any]]:
    """Do one step; returns how it failed, or None."""
    path = request["path"]
    if "link" in step:
        link_data(*step["link"])
        return None
    if "remove" in step:
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        return None
    with contextlib.suppress(FileNotFoundError):
        os.unlink(stamp_path(path))
    if step.get("makes"):
        write(record_path(path), {**who(), "made": True})
    for folder in step["variables"].values():
        make_folder(folder)
    code, lines = speak(step["words"], step["variables"], step.get("folder"))
    if code == 0 and not step.get("makes"):
        if not _imports(path):
            return {"code": 1, "lines": [*lines, "vivavoce was installed and cannot be imported"]}
        same = {key: request[key] for key in INSTALLED}
        write(stamp_path(path), {**same, "interpreter": request["python"], "made": _ours(path), **who()})
    return {"code": code, "lines": lines} if code else None


def _imports(path: str) -> bool:
    # A folder `vivavoce` in the home folder, where this runs, is not what is installed.
    program = "import sys; sys.path[:] = filter(None, sys.path); import vivavoce; sys.exit(vivavoce.__file__ is None)"
    return starts([os.path.join(path, "bin", "python"), "-c", program])


def _version(path: str) -> str:
    python = os.path.join(path, "bin", "python")
    ran = subprocess.run([python, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return ran.stdout.decode(errors="replace").strip()
