"""Where the programs of a job are found."""

from __future__ import annotations

import os

from .answer import Refused


def path_with(bin: str, needs: list[str]) -> str:
    """PATH of a job: the environment's programs before all others.

    Args:
        bin: Folder of the environment's programs; relative to the present folder, which is the home.
        needs: Names of programs that must be there.

    Raises:
        Refused: one is missing.
    """
    folder = os.path.abspath(bin)
    for name in needs:
        if not os.access(os.path.join(folder, name), os.X_OK):
            raise Refused("There is no %s in %s; set the environment up with `vivavoce server setup`." % (name, folder))
    return folder + os.pathsep + os.environ.get("PATH", os.defpath)
