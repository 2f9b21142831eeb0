"""The registry: one check, one function, with its severity, what it looks for and how to mend what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data
from vivavoce.audit.found import Files, Found
from vivavoce.errors import UserError


class Severity(StrEnum):
    """An error spoils training or its figures; a warning may; a note is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Needs(StrEnum):
    """What a check reads beside the manifest."""

    MANIFEST = "manifest"
    SOUND = "sound"
    OTHER = "other manifest"
    OTHER_SOUND = "other manifest and sound"
    VOICES = "voices"


@dataclass(frozen=True)
class Finding:
    """One thing to know about a corpus.

    Attributes:
        check: name of the check.
        severity: error, warning or note.
        files: the recordings concerned, the worst first; read from disk as they are asked for.
        what: one sentence, what is the matter.
        mend: one sentence, what to do about it.
        values: figures.
        unit: of the files' own figures.
    """

    check: str
    severity: Severity
    files: Files
    what: str
    mend: str
    values: dict[str, Any]
    unit: str = ""


CheckFunction = Callable[[Data, AuditConfig], Iterator[Found]]


@dataclass(frozen=True)
class Check:
    """An entry of the registry."""

    name: str
    severity: Severity
    looks_for: str
    mend: str
    needs: Needs
    unit: str
    function: CheckFunction

    def run(self, data: Data, config: AuditConfig) -> Iterator[Finding]:
        """Yield what the check finds."""
        for found in self.function(data, config):
            yield Finding(self.name, self.severity, found.files, found.what, self.mend, found.values, self.unit)


CHECKS: dict[str, Check] = {}


def check(
    severity: Severity, needs: Needs, *, looks_for: str, mend: str, unit: str = ""
) -> Callable[[CheckFunction], CheckFunction]:
    """Enter a function into the registry under its own name; ``unit`` is that of its files' figures."""

    def enter(function: CheckFunction) -> CheckFunction:
        name = function.__name__
        if name in CHECKS:
            raise ValueError(f"There are two checks named {name}.")
        CHECKS[name] = Check(name, severity, looks_for, mend, needs, unit, function)
        return function

    return enter


def chosen_checks(skip: tuple[str, ...], given: set[Needs]) -> list[Check]:
    """Return the checks to run where ``given`` is at hand, in the order of their severity.

    Raises:
        UserError: ``skip`` names a check that does not exist.
    """
    if unknown := sorted(set(skip) - set(CHECKS)):
        raise UserError(f"There is no check named {unknown[0]} to skip; the checks are {', '.join(sorted(CHECKS))}.")
    order = list(Severity)
    checks = [entry for entry in CHECKS.values() if entry.needs in given and entry.name not in skip]
    return sorted(checks, key=lambda entry: order.index(entry.severity))
