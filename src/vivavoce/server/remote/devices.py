"""The GPUs of a job: chosen and reserved."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from .answer import Refused
from .choice import choose
from .locks import choosing, holder, take
from .nvidia import NoGpu, read


class Reserved(NamedTuple):
    """Devices (None: the job sees what there is), the open locks, and what is worth saying."""

    devices: Optional[List[Dict[str, Any]]]
    held: List[int]
    note: str


def reserve(wish: Optional[Dict[str, Any]], owner: Dict[str, Any]) -> Reserved:
    """Choose the devices of a job and hold their locks until this process ends.

    Args:
        wish: count, wanted (indices), share, required; None: no GPU is wanted.
        owner: user, job and since, for the others.

    Raises:
        Refused: too few are free, with who has them; or the driver fails.
    """
    wanted = (wish or {}).get("wanted") or None
    if wish is None or not (wish["count"] or wanted):
        return Reserved([], [], "")
    try:
        gpus = read()
    except NoGpu as error:
        if wish["required"]:
            raise
        return Reserved(None, [], "It runs without a GPU: %s" % error)
    except Refused as error:
        raise Refused("%s To start without a GPU, add --gpus 0." % error) from error
    with choosing(owner):
        names = {part["uuid"]: gpu["index"] for gpu in gpus for part in [gpu, *gpu["mig"]] if part["uuid"]}
        taken = {uuid: who for uuid, who in ((uuid, holder(uuid)) for uuid in names) if who is not None}
        try:
            chosen = choose(
                gpus, wish["count"], taken=set(taken), user=owner["user"], wanted=wanted, share=wish["share"]
            )
        except Refused as error:
            raise Refused("%s%s" % (error, _reserved(taken, names))) from error
        held = [take(device["uuid"], owner) for device in chosen]
    return Reserved(chosen, [one for one in held if one is not None], "")


def _reserved(taken: Dict[str, Dict[str, Any]], names: Dict[str, int]) -> str:
    """Who has reserved what, as a sentence to follow another."""
    said = [
        "GPU %d for %s's job %s since %s" % (names[uuid], who["user"], who["job"], who["since"])
        for uuid, who in taken.items()
        if who.keys() >= {"user", "job", "since"}
    ]
    return " Reserved: %s." % "; ".join(said) if said else ""
