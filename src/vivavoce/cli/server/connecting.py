"""How each command of `vivavoce server` comes to its connection."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivavoce.server.ssh import Connection


def connect(name: str) -> "Connection":
    """The connection to a server by its name; it comes about when it is used.

    Raises:
        UserError: there is no such server, or its profile cannot be used.
    """
    from vivavoce.server.profiles import load_profile
    from vivavoce.server.ssh import Connection

    return Connection(load_profile(name))
