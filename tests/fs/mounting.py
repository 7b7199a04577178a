"""A real mount for tests of the file side: mountfs, with the test as its server. Skipped where there is no FUSE."""
import importlib.util
import os
import shutil
import subprocess
import sys
import time

import pytest

MOUNTFS = os.environ.get("MOUNTFS", "mountfs")
TEXT = "Subject: a\\n\\nbody\\n"
BODY = b"Subject: a\n\nbody\n"


def can_mount():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return os.geteuid() == 0 or shutil.which("fusermount3") is not None


needs_fuse = pytest.mark.skipif(not can_mount(), reason="no FUSE here")


class Mount:
    def __init__(self, base, layout="fs"):
        self.base, self.layout = base, layout
        self.root = os.path.join(base, "mnt")
        os.makedirs(self.root, exist_ok=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen([MOUNTFS, os.path.join(self.base, "cache"), self.root, self.layout],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        if line != "mounted":
            raise RuntimeError(f"mountfs: {line!r} {self.process.wait()}")

    def server(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer and answer[0] == "ok", (words, answer)
        return answer[1:]

    def row(self, *place):
        keys = ["id", "state", "flags", "based", "date", "size", "mailbox"]
        return dict(zip(keys, map(int, self.server("row", *place))))

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.flush()
        assert self.process.wait(timeout=20) == 0

    def end(self):
        if self.process.poll() is None:
            try:
                self.stop()
            except (subprocess.TimeoutExpired, AssertionError, OSError):
                self.process.kill()
                self.process.wait()
                if os.geteuid() == 0:
                    subprocess.run(["umount", "-l", self.root], stderr=subprocess.DEVNULL)
                else:
                    subprocess.run(["fusermount3", "-uzq", self.root])
                raise


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def names(path):
    return sorted(os.listdir(path))


def eventually(check, seconds=5):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def fails(error, function, *args):
    with pytest.raises(OSError) as raised:
        function(*args)
    assert raised.value.errno == error, raised.value


def known(mount, name):
    mount.server("mail", "INBOX", "cur", name, TEXT)
    path = mount.path("INBOX/cur", name)
    eventually(lambda: os.path.exists(path))
    return path


def run(file):
    """The tests of a file, as a program; each has a mount of its own, so that two at a time are no matter."""
    several = ["-n", "2"] if importlib.util.find_spec("xdist") else []
    return pytest.main([file, "-q", "-p", "no:cacheprovider", *several, *sys.argv[1:]])
