"""TensorBoard event files, written in the thread that trains.

TensorBoard's own writer works in a thread of its own, where a full disk ends in a traceback and the run goes on.
"""

import os
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from vivavoce.files import append_to


class EventFile:
    """One event file; a resumed run begins another, and TensorBoard shows both as one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, step: int, values: dict[str, float]) -> None:
        """Add scalars by name.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        with append_to(self.path) as file:
            RecordWriter(file).write(event.SerializeToString())
