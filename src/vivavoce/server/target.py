"""Where a server is, as SSH takes it: host, port and user."""

import re
from typing import NamedTuple

from vivavoce.errors import UserError

# A host with a port; an IPv6 address with a port stands in brackets.
PLACE = re.compile(r"\[(?P<six>[^]]+)](?::(?P<p6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?|(?P<bare>[^]\[]+)")


class Target(NamedTuple):
    """A server; what is None is left to the user's SSH config."""

    host: str
    port: int | None = None
    user: str | None = None

    @property
    def address(self) -> str:
        """The server as the user would write it: user@host:port."""
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{self.user}@" * bool(self.user) + host + f":{self.port}" * bool(self.port)


def parse_target(text: str) -> Target:
    """Read `host`, `user@host`, `user@host:port`, `user@[address]:port` or an alias of ~/.ssh/config.

    Raises:
        UserError: the text is none of these.
    """
    user, _, place = text.rpartition("@")
    match = PLACE.fullmatch(place)
    usable = match is not None and not (text.startswith("@") or (match["bare"] or "").count(":") == 1)
    port = (match["p6"] or match["port"]) if match and usable else None
    try:
        if not match or not usable or (port is not None and not 1 <= int(port) <= 65535):
            raise ValueError("a port is a number from 1 to 65535")
        host = check_host(match["six"] or match["host"] or match["bare"])
        return Target(host, int(port) if port else None, check_user(user) if user else None)
    except ValueError as error:
        raise UserError(
            f"{text!r} is no server ({error}); write user@host, user@host:port, or an alias of ~/.ssh/config."
        ) from error


def check_text(text: str) -> str:
    """Return ``text``, which must not hold control characters, or raise a ValueError."""
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise ValueError("must not hold line breaks or other control characters")
    return text


def check_host(text: str) -> str:
    """Return ``text``, which must be the name of a host, or raise a ValueError."""
    # A host that begins with a dash would be read by ssh as an option.
    if not text or text.startswith("-") or any(sign.isspace() for sign in check_text(text)) or "/" in text:
        raise ValueError("must be the name or address of a host, or an alias of ~/.ssh/config")
    return text


def check_user(text: str) -> str:
    """Return ``text``, which must be the name of an account, or raise a ValueError."""
    if not text or text.startswith("-") or any(sign.isspace() or sign in "@:" for sign in check_text(text)):
        raise ValueError("must be the name of an account")
    return text
