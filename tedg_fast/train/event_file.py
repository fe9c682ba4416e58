"""TensorBoard event files that survive kills and full disks without torn or doubled entries.

``SummaryWriter`` writes from a thread of its own, up to two minutes late, and gives up for good
after one failed write. Here the entries wait in memory until ``flush`` appends them as a whole.
"""

import contextlib
import io
import os
import re
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventFile:
    """A new event file in ``folder``. Entries from ``purge_step`` on in older files are void."""

    def __init__(self, folder: Path, purge_step: int):
        self.path = folder / _next_name(folder)
        self.length = 0
        self.pending = io.BytesIO()
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add one value to the series ``tag``."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._add(Event(step=step, summary=summary))

    def flush(self) -> None:
        """Append what was added to the file; on ``OSError`` it stays pending and the file whole."""
        content = self.pending.getvalue()
        try:
            with open(self.path, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # no file, or not even this can be done
                os.truncate(self.path, self.length)
            raise
        self.length += len(content)
        self.pending = io.BytesIO()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        RecordWriter(self.pending).write(event.SerializeToString())


def _next_name(folder: Path) -> str:
    """TensorBoard reads files in the order of their names, so a new one must come last."""
    names = [re.match(r"events\.out\.tfevents\.(\d+)", path.name) for path in folder.iterdir()]
    second = max([int(time.time()), *(int(name[1]) + 1 for name in names if name)])
    return f"events.out.tfevents.{second:010d}.{socket.gethostname()}.{os.getpid()}"
