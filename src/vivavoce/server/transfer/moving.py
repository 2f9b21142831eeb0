"""Push and pull: compare, check the room, send, take up after a cut, and prove what arrived."""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.faults import ConnectionLost
from vivavoce.server.ssh import Connection
from vivavoce.server.transfer import rsync, sftp
from vivavoce.server.transfer.places import Place, linked, pull_places, push_places
from vivavoce.server.transfer.plan import Listing, Plan, check_room, compare, same
from vivavoce.server.transfer.result import Moved, Options, Reporter, Result
from vivavoce.server.transfer.sides import Sides

WAITS_S = (1.0, 4.0, 10.0)  # before each new try after a cut
# rsync proves each file that arrives by a checksum of the whole (rsync(1), --checksum); so many are also read back from
# the disk. Reading 10,000 small files back would take a third of the time to send them.
READ_BACK = 256


def push(connection: Connection, paths: Sequence[str], options: Options, reporter: Reporter | None = None) -> Result:
    """Bring files and folders of this machine to the same place below the server's work folder.

    Raises:
        UserError: a path is not here, there is no room, something may not be read or written, or what arrived is not
            what was sent.
        ConnectionLost: the connection ended again and again.
    """
    places = push_places(connection.profile, paths, options.to)
    return _Transfer(connection, True, places, options, reporter or Reporter()).run()


def pull(connection: Connection, paths: Sequence[str], options: Options, reporter: Reporter | None = None) -> Result:
    """Bring files and folders of the server's work folder to the same place below the present folder.

    Raises:
        UserError, ConnectionLost: as for :func:`push`.
    """
    places = pull_places(connection.profile, paths, options.to)
    return _Transfer(connection, False, places, options, reporter or Reporter()).run()


class _Transfer:
    """One push or pull; an attempt begins with what the one before left."""

    def __init__(
        self, connection: Connection, push: bool, places: Sequence[Place], options: Options, reporter: Reporter
    ) -> None:
        self.connection, self.sides, self.places = connection, Sides(connection, push), list(places)
        self.options, self.reporter = options, reporter
        self.result = Result(push, options.dry_run, "rsync" if rsync.usable_rsync() else "sftp")
        self.moved: dict[Place, Moved] = {}

    def run(self) -> Result:
        try:
            return self._run()
        finally:
            self.sides.agent.close()

    def _run(self) -> Result:
        began = time.monotonic()
        for wait in (*WAITS_S, None):
            try:
                self._attempt()
                break
            except ConnectionLost as error:
                if wait is None:
                    raise
                self.reporter.say(f"{error.args[0].partition(';')[0]}; trying again in {wait:g} s, from there on.")
                time.sleep(wait)
                self.result.attempts += 1
                self._reconnect(last=self.result.attempts > len(WAITS_S))
        self.result.seconds = time.monotonic() - began
        self.result.moved = list(self.moved.values())
        return self.result

    def _reconnect(self, last: bool) -> None:
        self.sides.agent.close()  # it went with the connection
        try:
            self.connection.reopen()
        except UserError:
            if last:
                raise

    def _attempt(self) -> None:
        listings = self._list()
        plans = self._plan(listings)
        receivers = [receiver.space for _, receiver in listings.values()]
        check_room([*plans.values()], receivers, [self.sides.target(place) for place in plans])
        for place, plan in plans.items():
            moved = self.moved.setdefault(place, Moved(place, self.sides.push, plan))
            moved.plan = plan
            moved.sent |= {name: file.size for name, file in plan.send.items()}
            if self.options.delete:
                moved.deleted = plan.extra
        if self.options.dry_run:
            return
        self._make(
            {place: listings[place][1].space.missing for place, plan in plans.items() if plan.send or plan.links}
        )
        self.reporter.total(sum(plan.bytes for plan in plans.values()))
        for place, plan in plans.items():
            if plan.send or plan.links:
                self._send(place, plan, listings[place][0])
        self._verify()
        for place, moved in self.moved.items():
            if moved.deleted:
                self.sides.receiver({"do": "delete", "root": self.sides.target(place), "files": moved.deleted})

    # --- the parts of an attempt --------------------------------------------------------------------------------

    def _list(self) -> dict[Place, tuple[Listing, Listing]]:
        def request(roots: Iterable[tuple[str, Place]]) -> dict[str, Any]:
            asked = [{"path": path, "names": place.names} for path, place in roots]
            return {"do": "list", "roots": asked, "prune": self.options.selection.prune}

        if self.sides.push:
            sources, targets = (
                [(side(place), place) for place in self.places] for side in (self.sides.source, self.sides.target)
            )
            sent, there = self.sides.both(request(sources), request(targets))
            found = there
        else:
            found = sent = self.sides.there(request((place.there, place) for place in self.places))
            self._settle(sent)
            there = self.sides.here(request((str(place.here), place) for place in self.places))
        if self.result.program == "rsync" and not found["rsync"]:
            self.result.program = "sftp"
        if self.result.program == "sftp" and self.result.attempts == 1:
            where = "the server" if not found["rsync"] else "this machine"
            self.reporter.say(f"There is no rsync 3.1 or newer on {where}; sftp is used, which is slower.")
        pairs = zip(self.places, sent["roots"], there["roots"], strict=True)
        listings = {place: (Listing.of(one), Listing.of(other)) for place, one, other in pairs}
        for place, (sender, receiver) in listings.items():
            self._check(place, sender, receiver)
        return listings

    def _settle(self, sent: dict[str, Any]) -> None:
        """Make places of the single files of a pull, which the server has told by now; drop what need not be there."""
        kept = []
        for place, root in zip(self.places, sent["roots"], strict=True):
            if root["kind"] == "file":
                folder, _, name = place.there.rpartition("/")
                place = Place(place.here.parent, folder or ("/" if place.there.startswith("/") else "."), (name,))
            if root["kind"] != "missing" or not place.implied:
                kept.append((place, root))
        self.places, sent["roots"] = [place for place, _ in kept], [root for _, root in kept]

    def _check(self, place: Place, sender: Listing, receiver: Listing) -> None:
        source, target = self.sides.source(place), self.sides.target(place)
        if sender.kind in ("missing", "other"):
            what = "is not there" if sender.kind == "missing" else "is neither a file nor a folder"
            raise UserError(f"{source} {what} on {self.connection.profile.address}; check the spelling.")
        if receiver.kind in ("file", "other"):
            raise UserError(f"{target} is a folder on the sending side and none where it is to go; move it away there.")
        if self.options.delete and not sender.files and receiver.files:
            raise UserError(f"{source} holds no file, and --delete would remove all of {target}; remove it by hand.")

    def _plan(self, listings: Mapping[Place, tuple[Listing, Listing]]) -> dict[Place, Plan]:
        selection, overwrite = self.options.selection, self.options.overwrite
        plans = {
            place: compare(place, sender, receiver, selection, overwrite=overwrite)
            for place, (sender, receiver) in listings.items()
        }
        if self.options.checksum:
            same_names = {
                p: [n for n in plan.files if n not in plan.send and n not in plan.newer] for p, plan in plans.items()
            }
            differing = self._differing(same_names)[0]
            plans = {
                place: compare(place, *listings[place], selection, overwrite=overwrite, differing=differing[place])
                for place in plans
            }
        for place, plan in plans.items():
            if plan.newer and self.result.attempts == 1:
                self.reporter.say(
                    f"{len(plan.newer):,} files are newer in {self.sides.target(place)} and stay as they are "
                    f"({_some(plan.newer)}); --overwrite sends them, too."
                )
        return plans

    def _make(self, missing: Mapping[Place, int]) -> None:
        """Make the folders that are sent to, and the links to data folders."""
        links = linked(self.connection.profile, missing) if self.sides.push else {}
        # rsync makes one folder by itself.
        least = 2 if self.result.program == "rsync" else 1
        folders = [self.sides.target(place) for place, levels in missing.items() if levels >= least]
        if links or folders:
            self.sides.receiver({"do": "make", "folders": folders, "links": links})

    def _send(self, place: Place, plan: Plan, sender: Listing) -> None:
        advance, limit = self.reporter.advance, self.options.limit_kib_s
        if self.result.program == "sftp":
            self.moved[place].links_left = sorted(plan.links)
            if plan.links:
                self.reporter.say(f"sftp leaves {len(plan.links):,} symbolic links behind ({_some([*plan.links])}).")
            load = rsync.Load(place, self.sides.push, [*plan.send], plan.bytes, None, False, limit)
            self.result.line_bytes += sftp.send(self.sides, load, plan.send, advance)
            return
        rules = None
        if place.names is None:
            rest = (sender.files.keys() - plan.send.keys()) | (sender.links.keys() - plan.links.keys())
            rules = rsync.leave_out(filter(place.holds, rest), self.options.selection.prune, place.without)
        names, update = [*plan.send, *plan.links], not self.options.overwrite
        load = rsync.Load(place, self.sides.push, names, plan.bytes, rules, update, limit)
        self.result.line_bytes += rsync.send(self.connection, load, advance)

    # --- proof ----------------------------------------------------------------------------------------------------

    def _read_back(self) -> dict[Place, list[str]]:
        """The files whose contents are compared after the transfer."""
        sent = {place: [*moved.sent] for place, moved in self.moved.items()}
        if self.result.program == "sftp" or self.options.checksum:
            return sent
        draw = random.Random(0)
        return {place: draw.sample(names, min(READ_BACK, len(names))) for place, names in sent.items()}

    def _differing(self, names: Mapping[Place, Sequence[str]]) -> tuple[dict[Place, list[str]], dict[Place, Listing]]:
        """Which of these names have other contents on the receiving side, and what is there."""
        prune = self.options.selection.prune
        here = [{"path": self.sides.source(p), "names": (), "digest": read} for p, read in names.items()]
        away = [{"path": self.sides.target(p), "names": p.names, "digest": read} for p, read in names.items()]
        sent, there = self.sides.both(*({"do": "list", "roots": roots, "prune": prune} for roots in (here, away)))
        listed = {place: Listing.of(root) for place, root in zip(names, there["roots"], strict=True)}
        differing = {}
        for (place, tried), one in zip(names.items(), sent["roots"], strict=True):
            pairs = zip(tried, one["digests"], listed[place].digests, strict=True)
            differing[place] = [name for name, mine, other in pairs if mine is None or mine != other]
        self.result.compared += sum(map(len, names.values()))
        return differing, listed

    def _verify(self) -> None:
        """Compare names, sizes and times of all, and contents: by sftp of all that was sent, by rsync of some."""
        names = self._read_back()
        if not any(names.values()):
            return  # the listings that were compared before are the proof
        differing, listed = self._differing(names)
        wrong = []
        for place, moved in self.moved.items():
            left = set(moved.plan.newer)
            kept = (name for name in moved.plan.files if name not in left)
            unlike = {name for name in kept if not same(moved.plan.files[name], listed[place].files.get(name))}
            wrong += sorted(unlike.union(differing[place]))
        if wrong:
            raise UserError(
                f"{len(wrong):,} files are not the same on both sides after the transfer ({_some(wrong)}): they were "
                "changed meanwhile, or a disk fails; run the same command again."
            )


def _some(names: Sequence[str]) -> str:
    """A few names for a sentence."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
