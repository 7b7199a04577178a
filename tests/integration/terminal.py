"""A program on a terminal of its own, and a person who waits for what it shows before pressing the next key."""
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time

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
        self.drawn = b""

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
                self.drawn += os.read(self.ours, 65536)
            except OSError:
                return False
        return True

    def shows(self, text, timeout=20):
        """Waits until the program has drawn text since the last key. Curses draws what changes: choose what is new."""
        deadline = time.monotonic() + timeout
        while text.encode() not in self.drawn:
            assert self._read(0.1) and time.monotonic() < deadline, f"{text!r} is not in {self.drawn!r}"

    def press(self, keys):
        self.drawn = b""
        os.write(self.ours, keys.encode())

    def ends(self, timeout=END_SECONDS):
        """Waits until the program ends, and well."""
        deadline = time.monotonic() + timeout
        while self._read(0.1):
            assert time.monotonic() < deadline, f"it does not end: {self.drawn!r}"
        assert self.process.wait(timeout) == 0, self.drawn.decode(errors="replace")
