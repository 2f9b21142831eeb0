"""The file of profiles, `~/.config/vivavoce/servers.toml`; what a person wrote in it, comments too, is kept."""

import difflib

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from vivavoce.errors import UserError
from vivavoce.files import atomic_path
from vivavoce.server.master import servers_file
from vivavoce.server.profile import NAME, Profile


def load_profiles() -> dict[str, Profile]:
    """All profiles by name; none where there is no file.

    Raises:
        UserError: the file is no TOML, or a profile has an unknown key or an impossible value.
    """
    return {name: _profile(name, table) for name, table in _document().unwrap().items()}


def load_profile(name: str) -> Profile:
    """One profile.

    Raises:
        UserError: there is none of that name, or it cannot be used.
    """
    tables = _document().unwrap()
    if name in tables:
        return _profile(name, tables[name])
    near = difflib.get_close_matches(name, tables, 1)
    others = f"there are {', '.join(sorted(tables))}" if tables else "there is none"
    raise UserError(
        f"There is no server {name!r} in {servers_file()} ({f'did you mean {near[0]}' if near else others}); add it "
        f"with `vivavoce server add {name} USER@HOST`."
    )


def save_profile(name: str, profile: Profile) -> None:
    """Write one profile in place of the one of that name; the others and the comments stay.

    Raises:
        UserError: the name cannot be used, or the file cannot be read or written.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a server; use letters, digits, `-`, `_` and `.`, such as lab.")
    document = _document()
    document[name] = profile.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    _write(document)


def remove_profile(name: str) -> Profile:
    """Remove one profile from the file and return it; nothing on the server is touched.

    Raises:
        UserError: there is none of that name.
    """
    profile = load_profile(name)
    document = _document()
    document.remove(name)
    _write(document)
    return profile


def _document() -> tomlkit.TOMLDocument:
    path = servers_file()
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML ({error}); mend it, or move it away and add the servers anew.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); mend its permissions.") from error


def _write(document: tomlkit.TOMLDocument) -> None:
    with atomic_path(servers_file()) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(tomlkit.dumps(document), encoding="utf-8")


def _profile(name: str, table: object) -> Profile:
    try:
        return Profile.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{servers_file()}: [{name}] {key}: {first['msg'].removeprefix('Value error, ')}; mend it there."
        ) from error
