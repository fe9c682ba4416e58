"""A disk that fails, or on which the process dies, at a chosen step of writing a file."""

import contextlib
import errno
import os
import resource
import signal

from tedg_fast import files

STEPS = ["open", "write", "flush", "fsync", "chmod", "replace", "open folder", "fsync folder"]
"""What ``write_whole`` does to write one file, in order."""


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyDisk:
    """Stands between ``write_whole`` and the system; before step number ``fatal`` calls ``fail``.

    Steps are counted from 0 over all files written; only those called ``only``, if it is given.
    ``patch`` is a ``pytest.MonkeyPatch``.
    """

    def __init__(self, patch, fatal, fail, only=None):
        self.fatal, self.fail, self.only, self.done = fatal, fail, only, []
        self.syncing_folder = False
        system = {name: getattr(os, name) for name in ("fdopen", "fsync", "chmod", "replace")}
        for name in ("fsync", "chmod", "replace"):
            patch.setattr(files.os, name, self._counting(name, system[name]))
        patch.setattr(files.os, "fdopen", lambda *a: _FaultyFile(self, system["fdopen"](*a)))
        patch.setattr(files.tempfile, "mkstemp", self._counting("open", files.tempfile.mkstemp))
        patch.setattr(files, "sync_folder", self._sync_folder(files.sync_folder))

    def step(self, name):
        if self.only in (None, name):
            if len(self.done) == self.fatal:
                self.fail()
            self.done.append(name)

    def _counting(self, name, act):
        def counted(*args, **kwargs):
            if not self.syncing_folder:
                self.step(name)
            return act(*args, **kwargs)

        return counted

    def _sync_folder(self, act):
        def counted(folder):
            self.step("open folder")
            self.step("fsync folder")
            self.syncing_folder = True
            act(folder)
            self.syncing_folder = False

        return counted


class _FaultyFile:
    """A file whose write can end halfway."""

    def __init__(self, disk, file):
        self.disk, self.file, self.fileno = disk, file, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        self.disk.step("write")
        self.file.write(content[len(content) // 2 :])

    def flush(self):
        self.disk.step("flush")
        self.file.flush()


@contextlib.contextmanager
def file_size_limit(size):
    """No file of this process can grow beyond ``size`` bytes: real failures, from the kernel."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
