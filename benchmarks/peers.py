"""Other toolkits' own code, made importable from their clones."""

import importlib
import sys
import types
from pathlib import Path
from typing import NamedTuple
from unittest.mock import MagicMock

from torch import nn


class Peer(NamedTuple):
    """Where a toolkit's code lies."""

    package: str
    clone: str  # folder, named as its repository is
    hollow: tuple[str, ...]  # packages in it whose own __init__ would import what is not needed


PEERS = {
    "wespeaker": Peer("wespeaker", "wespeaker", ("wespeaker", "wespeaker.models")),
    "3dspeaker": Peer("speakerlab", "3D-Speaker", ("speakerlab",)),
    "speechbrain": Peer(
        "speechbrain",
        "speechbrain",
        ("speechbrain", "speechbrain.lobes", "speechbrain.lobes.models", "speechbrain.nnet"),
    ),
    "tao": Peer("model", "ECAPA-TDNN", ()),
}


def find_peers(folder: Path) -> None:
    """Make the clones in a folder importable, without what their packages import at their top for other purposes."""
    # The clones import it, but features are given, so nothing of it is called; only its name must be there.
    sys.modules["torchaudio"] = MagicMock(__version__="2.6.0", transforms=MagicMock(MelSpectrogram=nn.Identity))
    for peer in PEERS.values():
        clone = folder / peer.clone
        if not clone.is_dir():
            continue
        sys.path.append(str(clone))
        for name in peer.hollow:
            stand_in = types.ModuleType(name)
            stand_in.__path__ = [str(clone / name.replace(".", "/"))]
            sys.modules[name] = stand_in
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, stand_in)
        if peer.package == "speechbrain":
            importlib.import_module("speechbrain.nnet.containers")
