"""The two sides of a transfer: this machine and the server, each of which can do what `remote.files` can."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.remote import files
from vivavoce.server.remote.answer import Refused
from vivavoce.server.ssh import Connection
from vivavoce.server.transfer.agent import Agent
from vivavoce.server.transfer.places import Place

Request = Mapping[str, Any]


class Sides:
    """Who sends and who receives.

    Args:
        connection: The server.
        push: This machine sends; otherwise the server does.
    """

    def __init__(self, connection: Connection, push: bool) -> None:
        self.connection, self.push = connection, push
        self.agent = Agent(connection)

    def here(self, request: Request) -> Any:
        """Run an action of `remote.files` on this machine.

        Raises:
            UserError: it refused.
        """
        try:
            return files.main(dict(request))
        except Refused as error:
            raise UserError(str(error)) from error

    def there(self, request: Request) -> Any:
        """Run an action of `remote.files` on the server.

        Raises:
            UserError, ConnectionLost: as for :meth:`Agent.ask`.
        """
        return self.agent.ask(request)

    def sender(self, request: Request) -> Any:
        """Run an action where the files come from."""
        return self.here(request) if self.push else self.there(request)

    def receiver(self, request: Request) -> Any:
        """Run an action where the files go to."""
        return self.there(request) if self.push else self.here(request)

    def both(self, sender: Request, receiver: Request) -> tuple[Any, Any]:
        """Run an action on each side at the same time; the sender's answer comes first."""
        with ThreadPoolExecutor(1) as pool:
            far = pool.submit(self.there, receiver if self.push else sender)
            near = self.here(sender if self.push else receiver)
            return (near, far.result()) if self.push else (far.result(), near)

    def source(self, place: Place) -> str:
        """The folder that files of a place come from."""
        return str(place.here) if self.push else place.there

    def target(self, place: Place) -> str:
        """The folder that files of a place go to."""
        return place.there if self.push else str(place.here)
