"""A program on a terminal of its own, and a person who waits for what it shows before pressing the next key."""
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

pyte = pytest.importorskip("pyte", reason="python3-pyte is not installed")

ROWS, COLUMNS = 40, 120
END_SECONDS = 20


class Terminal:
    """In a with statement: at its end the program must be gone, or is killed."""

    def __init__(self, m, *command, **environment):
        self.ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [*map(str, command)], env={**m.environment, "TERM": "xterm", **environment}, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.ours)

    def _read(self, seconds):
        """Whether the terminal is still open."""
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                self.stream.feed(os.read(self.ours, 65536))
            except OSError:
                return False
        return True

    def __str__(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def waits(self, check, what, timeout=20):
        """Waits until check() holds for the screen."""
        deadline = time.monotonic() + timeout
        while not check():
            assert self._read(0.1) and time.monotonic() < deadline, f"waiting for {what}:\n{self}"

    def shows(self, text):
        self.waits(lambda: text in str(self), repr(text))

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def ends(self, timeout=END_SECONDS):
        """Waits until the program ends, and well."""
        deadline = time.monotonic() + timeout
        while self._read(0.1):
            assert time.monotonic() < deadline, f"it does not end:\n{self}"
        assert self.process.wait(timeout) == 0, str(self)
