"""The `vivavoce` command: thin groups of Typer commands that parse, call and print."""

import sys

from vivavoce.errors import SaidElsewhere, UserError


def main() -> None:
    """Run the command line; a mistake of the user ends in one sentence and exit code 2."""
    if sys.argv[1:2] == ["server"]:
        from vivavoce.server.master import connect_early

        connect_early(sys.argv[1:])
    from vivavoce.cli.app import app

    try:
        app()
    except SaidElsewhere:
        # A failure here might end the process that reports before it has done so.
        sys.exit(0)
    except UserError as error:
        from vivavoce.cli.output import fail

        sys.exit(fail(str(error)))
