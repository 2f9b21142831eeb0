"""`vivavoce server gpus`: the GPUs of a server, and whose the processes on them are."""

from typing import Annotated

import typer

from vivavoce.cli.gpus import EveryOption, WatchOption, show_gpus
from vivavoce.cli.output import JsonOption
from vivavoce.cli.server.connecting import connect


def gpus(
    name: Annotated[str, typer.Argument(help="The server.")],
    watch: WatchOption = False,
    every: EveryOption = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show every GPU of a server: memory, utilisation, temperature, and whose the processes on it are.

    Nothing is needed there but nvidia-smi.
    """
    connection = connect(name)
    from vivavoce.server.gpus import remote_gpus

    show_gpus(lambda: remote_gpus(connection), name, watch=watch, every=every, as_json=as_json)
