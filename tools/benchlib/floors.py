"""What the machine itself needs for the least that has to be done: no program can be faster."""
import ctypes
import os
import socket
import ssl
import subprocess
import time

from benchlib.timing import child_setup
from support import mountinfo

PIECE = 1 << 20
LINE = 4096  # an answer to LOGIN is long
TIMEOUT_S = 600
END_S = 20


class Sink:
    """A connection that asks, and drops what it is told."""

    def __init__(self, port, user, password, ca_file=None):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        if ca_file:
            self.socket = ssl.create_default_context(cafile=str(ca_file)).wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = bytearray(PIECE)
        self.socket.recv_into(self.buffer)
        self.command(f"LOGIN {user} {password}")

    def command(self, text):
        """Returns how many octets came. The tag is looked for at the end of what has come: nothing follows it."""
        self.socket.sendall(f"end-of-it {text}\r\n".encode())
        octets, tail = 0, b""
        while True:
            got = self.socket.recv_into(self.buffer)
            if not got:
                raise ConnectionError("the server hung up")
            octets += got
            tail = (tail + bytes(self.buffer[max(0, got - LINE):got]))[-LINE:]
            line = tail.rstrip(b"\r\n").rpartition(b"\n")[2]
            if tail.endswith(b"\n") and line.startswith(b"end-of-it "):
                if not line.startswith(b"end-of-it OK"):
                    raise RuntimeError(f"the server said: {line.decode(errors='replace')}")
                return octets

    def close(self):
        self.socket.close()


def read_and_drop(server, user, mailboxes, *, tls):
    """All mail of an account over one session; returns octets."""
    sink = Sink(server.tls_port if tls else server.plain_port, user, server.password, server.ca_file if tls else None)
    octets = 0
    for mailbox in mailboxes:
        sink.command(f"EXAMINE {mailbox}")
        octets += sink.command("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")
    sink.close()
    return octets


def syncfs(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)


def sizes_of(native):
    """Of all messages in a native Maildir tree."""
    result = []
    for folder, _, names in os.walk(native):
        result += [os.stat(f"{folder}/{name}").st_size for name in names]
    return result


def write_files(folder, sizes):
    """As many files of those sizes, and one syncfs at the end. The folder is new."""
    content = b"x" * max(sizes)
    os.mkdir(folder)
    for number, size in enumerate(sizes):
        descriptor = os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, memoryview(content)[:size])
        os.close(descriptor)
    syncfs(folder)


def built_with(program, name):
    """What the bench has of its own (tests/floor), of the same build as mailmount; None where it was not built."""
    found = program.parents[1] / "tests" / "floor" / name
    return found if os.access(found, os.X_OK) else None


class FloorMount:
    """A native tree in floorfs, the least that FUSE needs: its command, which ends in the folder to mount it on. The tree
    must not change meanwhile."""

    def __init__(self, command):
        self.command, self.root = command, command[-1]
        self.process = None

    def ready(self):
        """Mounted, if it was not."""
        if not self.process or self.process.poll() is not None:
            self.remount()

    def remount(self):
        """Returns when the root is there; what the walk before that takes is nobody's business."""
        self.close()
        outside = os.stat(self.root).st_dev
        self.process = subprocess.Popen(self.command, cwd="/", stdin=subprocess.DEVNULL, preexec_fn=child_setup, start_new_session=True)
        while os.stat(self.root).st_dev == outside:
            if self.process.poll() is not None:
                raise RuntimeError(f"floorfs ended with {self.process.returncode}")
            time.sleep(0.0005)

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if str(self.root) in mountinfo():
            subprocess.run(["fusermount3", "-uzq", str(self.root)], check=False)
