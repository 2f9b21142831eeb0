"""Configs from YAML and ``key.path=value`` overrides, with errors that name the key, the value and what is allowed."""

import difflib
import json
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from vivavoce.errors import UserError

Model = TypeVar("Model", bound=BaseModel)

# Which of the sources (a file, `--set`) each value at the end of a path of keys comes from.
Sources = dict[tuple[str, ...], str]

# Pydantic puts the name of the tried type into the location of an error inside a union.
_PLAIN_TYPES = {"int", "float", "str", "bool", "none", "bytes", "date", "datetime"}


def load_settings(
    model_class: type[Model], yaml_path: Path | str | None = None, overrides: Sequence[str] = ()
) -> Model:
    """Build ``model_class`` from a YAML file (None: its defaults) and overrides such as ``device.noise_dbc_hz=-70``.

    Values behind ``=`` are read as YAML; later overrides win.

    Raises:
        UserError: the file is missing or no YAML mapping, an override is malformed, or a key is unknown, of the wrong
            type or impossible.
    """
    tree = {} if yaml_path is None else _read(Path(yaml_path))
    sources: Sources = dict.fromkeys(_ends(tree), str(yaml_path))
    for override in overrides:
        path, value = _parse(override)
        _put(tree, path, value, model_class, override)
        _forget_other_type(tree, path, model_class, sources)
        kept = {end: source for end, source in sources.items() if not _one_inside_other(end, tuple(path))}
        sources = kept | dict.fromkeys(_ends(value, tuple(path)), "--set")
    try:
        return model_class.model_validate(tree)
    except ValidationError as error:
        raise UserError(explain(error, model_class, sources)) from error


def explain(error: ValidationError, model_class: type[BaseModel], sources: Sources | None = None) -> str:
    """Say in one sentence what is wrong with the first key that pydantic refused, and what is allowed."""
    first = error.errors()[0]
    location, allowed = _model_path(model_class, first["loc"])
    key = ".".join(str(part) for part in location) or "the config"
    source = _source_of(location, sources or {})
    inside = f" (from {source})" if source else ""
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), sorted(allowed), n=1)
        hint = f" did you mean {close[0]}?" if close else ""
        return f"The key {key}{inside} is unknown;{hint} allowed here: {', '.join(sorted(allowed))}."
    if first["type"] == "missing":
        return f"The key {key}{inside} is missing; give it a value."
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    whole = first["type"] == "value_error" or first["type"].startswith("union_tag")
    needs = message if whole else f"it must be {message}"
    return f"The value {_shown(first['input'])} of {key}{inside} is not possible: {needs}."


def _ends(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of keys to each value that holds no others."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner:
        yield path
    for key, item in inner:
        yield from _ends(item, (*path, str(key)))


def _one_inside_other(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    return all(one == other for one, other in zip(first, second, strict=False))


def _source_of(location: Sequence[int | str], sources: Sources) -> str:
    """Name what gave the values at a place; where nothing did, as for a missing key, those around it."""
    keys = tuple(map(str, location))
    for depth in range(len(keys), 0, -1):
        named = [source for end, source in sources.items() if end[:depth] == keys[:depth]]
        if named:
            return " and ".join(dict.fromkeys(named))
    return ""


def differences(there: Any, here: Any) -> list[str]:
    """Say of each key in which two nested dictionaries of plain values differ: "a.b is 1 there and 2 here"."""
    old, new = _flat(there), _flat(here)
    return [
        f"{key} is {_said(old, key)} there and {_said(new, key)} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


_ABSENT = object()


def _said(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries: ``{"a": {"b": 1}}`` gives ``{"a.b": 1}``."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"The config {path} cannot be read ({reason}); give the path of a YAML file.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"The config {path} is not valid YAML{line}: {getattr(error, 'problem', error)}.") from error
    except ValueError as error:  # what looks like a date or a number and is none
        raise UserError(
            f"The config {path} holds a value that YAML cannot read ({error}); quote or mend it."
        ) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"The config {path} must be a mapping of keys to values, not {type(tree).__name__}.")
    return tree


def _parse(override: str) -> tuple[list[str], Any]:
    name, sign, text = override.partition("=")
    path = name.strip().split(".")
    if not sign or not all(path):
        raise UserError(f"The override {override!r} is not understood; write it as key=value or section.key=value.")
    try:
        return path, yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: what looks like a date or a number and is none
        raise UserError(f"The value of the override {override!r} is not valid YAML; quote it or mend it.") from error


def _put(tree: dict[str, Any], path: list[str], value: Any, model_class: type[BaseModel], override: str) -> None:
    """Set ``path`` in ``tree``, making sections on the way."""
    for depth, part in enumerate(path[:-1], start=1):
        if not isinstance(tree.get(part), dict):
            if not _may_have_keys(model_class, path[:depth]) or isinstance(tree.get(part), list):
                short = ".".join(path[:depth])
                raise UserError(f"The override {override!r} goes into {short}, which has no keys of its own.")
            tree[part] = _needed_defaults(model_class, path[:depth])
        tree = tree[part]
    tree[path[-1]] = value


def _forget_other_type(tree: dict[str, Any], path: list[str], model_class: type[BaseModel], sources: Sources) -> None:
    """Where an override chooses another type of a section, drop the file's keys that only the type before had."""
    section: Any = tree
    for part in path[:-1]:
        section = section[part]
    field = (_model_at(model_class, path[:-2]) or model_class).model_fields.get(path[-2]) if len(path) > 1 else None
    if field is None:
        return
    models = _models_in(field.annotation)
    chosen = [model for model in models if _is_tag_of(model, path[-1], section[path[-1]])]
    if not chosen:
        return
    known = {key for model in chosen for key in model.model_fields}
    others = {key for model in models for key in model.model_fields} - known
    for key in [key for key in section if key in others]:
        ends = [end for end in sources if end[: len(path)] == (*path[:-1], key)]
        if all(sources[end] != "--set" for end in ends):
            del section[key]


def _is_tag_of(model: type[BaseModel], key: str, value: Any) -> bool:
    """Whether ``key`` is what tells ``model`` from the others of its union, and has its value."""
    field = model.model_fields.get(key)
    return field is not None and _is_tag(field.annotation) and get_args(field.annotation)[0] == value


def _may_have_keys(model_class: type[BaseModel], path: Sequence[str]) -> bool:
    """Whether the key at ``path`` may be a section; unknown keys may, so that pydantic names them."""
    owner = _model_at(model_class, path[:-1])
    field = owner.model_fields.get(path[-1]) if owner else None
    if field is None:
        return True
    return bool(_models_in(field.annotation)) or field.annotation is Any or get_origin(field.annotation) is dict


def _default_at(model_class: type[BaseModel], path: Sequence[str]) -> Any:
    """Value at ``path`` where every key has its default; None where there is no such thing."""
    value: Any = None
    owner: type[BaseModel] | None = model_class
    for part in path:
        field = owner.model_fields.get(part) if owner is not None else None
        if isinstance(value, BaseModel):
            value = getattr(value, part, None)
        else:
            value = field.get_default(call_default_factory=True) if field and not field.is_required() else None
        owner = type(value) if isinstance(value, BaseModel) else None
    return value


def _needed_defaults(model_class: type[BaseModel], path: Sequence[str]) -> dict[str, Any]:
    """What a new section at ``path`` needs beside the key that is set, as the default has it.

    These are the required keys, and the key that says which model of a union the section is.
    """
    section = _default_at(model_class, path)
    if not isinstance(section, BaseModel):
        return {}
    fields = type(section).model_fields.items()
    needed = {name for name, field in fields if field.is_required() or _is_tag(field.annotation)}
    return section.model_dump(mode="json", include=needed)


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """All pydantic models that an annotation allows, inside unions, lists and dictionaries too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _models_in(get_args(annotation)[0])
    if origin in (Union, types.UnionType, list, tuple, dict):
        return [model for inner in get_args(annotation) for model in _models_in(inner)]
    return []


def _model_path(model_class: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[int | str], set[str]]:
    """Turn a pydantic location into the user's keys, less the names of union members; and the keys allowed there."""
    owners: list[type[BaseModel]] = [model_class]
    kept: list[int | str] = []
    allowed: set[str] = set()
    for part in location:
        chosen = [owner for owner in owners if part == owner.__name__ or part in _tags(owner)]
        fields = [owner.model_fields[part] for owner in owners if isinstance(part, str) and part in owner.model_fields]
        if not fields and chosen:
            owners = chosen
            continue
        if not fields and isinstance(part, str) and (part in _PLAIN_TYPES or "[" in part):
            continue
        kept.append(part)
        allowed = {name for owner in owners for name in owner.model_fields}
        if fields:
            owners = [model for field in fields for model in _models_in(field.annotation)]
    return kept, allowed


def _tags(owner: type[BaseModel]) -> set[Any]:
    return {get_args(field.annotation)[0] for field in owner.model_fields.values() if _is_tag(field.annotation)}


def _model_at(model_class: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """Return the model whose keys stand at ``path``."""
    owner: type[BaseModel] | None = model_class
    for part in path:
        if owner is None:
            return None
        field = owner.model_fields.get(part)
        models = _models_in(field.annotation) if field else []
        owner = models[0] if models else None
    return owner


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
