"""Programs that run on the server: modules of `remote`, sent with their request as one text on standard input."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PACKAGE = "vivavoce_remote"  # the name of `remote` on the server
MARK = "\x1evivavoce:"  # begins what a program answers, since login scripts print lines of their own

# A login shell of any kind reads this one line. The first interpreter that is new enough runs the program.
PYTHON = (
    'exec sh -c \'for p in python3 python "$HOME"/miniconda3/bin/python "$HOME"/miniforge3/bin/python '
    '"$HOME"/anaconda3/bin/python /opt/conda/bin/python; do '
    '"$p" -ISc "import sys; sys.exit(sys.version_info < (3, 8))" </dev/null >/dev/null 2>&1 && exec "$p" -; '
    "done; exit 97'"
)
# The same with more on standard input than the program, whose length comes first.
PYTHON_FED = PYTHON.replace(
    'exec "$p" -;', 'exec "$p" -c "import sys; fed = sys.stdin.buffer; exec(fed.read(int(fed.readline())))";'
)
NO_PYTHON = 97
IMPORT = re.compile(r"^from \.(\w+) import", re.MULTILINE)
SHELL = "exec sh -s"

_LOADER = """
import json, sys, types
def load(package, sources):
    root = sys.modules[package] = types.ModuleType(package)
    root.__path__ = []
    for name, source in sources:
        module = types.ModuleType(package + "." + name)
        module.__package__ = package
        sys.modules[module.__name__] = module
        setattr(root, name, module)
        exec(compile(source, "<" + module.__name__ + ">", "exec"), module.__dict__)
"""


def compose(module: str, request: Mapping[str, Any]) -> str:
    """Text of a Python program that runs ``main(request)`` of a module of `remote` and prints what it returns.

    The request travels inside the text as JSON, so that no shell sees any of it.
    """
    sources, wanted = json.dumps(_needed(module, _sources())), json.dumps(dict(request))
    return (
        f"{_LOADER}\nload({PACKAGE!r}, json.loads({sources!r}))\n"
        f"root = sys.modules[{PACKAGE!r}]\nroot.answer.answer(root.{module}.main, json.loads({wanted!r}))\n"
    )


@cache
def _sources() -> dict[str, str]:
    """Text of each module of `remote` by its name."""
    return {
        entry.name.removesuffix(".py"): entry.read_text(encoding="utf-8")
        for entry in files("vivavoce.server.remote").iterdir()
        if entry.name.endswith(".py") and entry.name != "__init__.py"
    }


def _needed(module: str, sources: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and text of a module, of how it answers, and of all that they import, each after those that it imports."""
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for imported in IMPORT.findall(sources[name]):
                add(imported)
            ordered[name] = sources[name]

    add("answer")
    add(module)
    return list(ordered.items())


@cache
def script(name: str) -> str:
    """Text of a shell program of `remote`."""
    return files("vivavoce.server.remote").joinpath(f"{name}.sh").read_text(encoding="utf-8")
