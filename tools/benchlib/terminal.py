"""Programs that want a terminal."""
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading

from benchlib.timing import TIMEOUT_S, child_setup


def _drain(descriptor, tail):
    try:
        while octets := os.read(descriptor, 65536):
            tail[:] = (tail + octets)[-2000:]
    except OSError:
        pass  # the terminal has no other end any more


def _setup():
    child_setup()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def run_on_terminal(*command):
    """Runs it to its end; what it shows is dropped."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen([*map(str, command)], env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}, cwd="/", stdin=theirs,
                               stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_setup)
    os.close(theirs)
    tail = bytearray()
    reader = threading.Thread(target=_drain, args=(ours, tail), daemon=True)
    reader.start()
    try:
        status = process.wait(TIMEOUT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(5)
        os.close(ours)
    if status != 0:
        raise RuntimeError(f"{command[0]} ended with {status}: {tail.decode(errors='replace')[-300:]}")
