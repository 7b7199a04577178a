"""Small things that all tests use."""
import os
import re
import time
from pathlib import Path

TOKEN = re.compile(rb"(?im)^message-id:\s*<([^@>]*)")
CHANGING = re.compile(r"\b(STORE|APPEND|EXPUNGE|MOVE|COPY|CREATE|DELETE|RENAME|SUBSCRIBE|UNSUBSCRIBE)\b", re.I)
FLAG_LETTERS = {"\\Seen": "S", "\\Answered": "R", "\\Flagged": "F", "\\Draft": "D", "\\Deleted": "T", "$Forwarded": "P"}


def eventually(check, timeout=20, interval=0.05):
    """Calls check until it returns something true; returns that. The last failure is raised when the time is up. What is
    waited for changes while it is looked at, so that a file or a key that is missing is a failure like any other."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
            if result:
                return result
            problem = AssertionError(f"not within {timeout} s: {getattr(check, '__qualname__', check)} gave {result!r}")
        except (AssertionError, OSError, LookupError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        time.sleep(interval)


def equal(get, expected, timeout=20):
    """Waits until get() == expected, and shows both when it never is."""
    def check():
        got = get()
        assert got == expected, f"{got} is not {expected}"
        return True
    eventually(check, timeout)


def stays(check, seconds=2.0):
    """check must hold now and all the time for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert check()
        time.sleep(0.1)


def mail(token, body="Hello.\r\n", headers="", subject=None):
    """A message in wire form that can be found again by its token."""
    head = (f"From: Ada <ada@example.org>\r\nTo: <me@example.org>\r\nSubject: {subject or token}\r\n"
            f"Date: Mon, 6 May 2024 10:00:00 +0200\r\nMessage-ID: <{token}@test.example>\r\n{headers}\r\n")
    return head.encode() + (body if isinstance(body, bytes) else body.encode())


def lf(octets):
    """The form in which the mount serves what was on the wire."""
    return octets.replace(b"\r\n", b"\n")


def changing(wire):
    """Of the commands that went through the proxy, those that change something."""
    return [line for line in wire.commands() if CHANGING.search(line)]


def token_of(octets):
    found = TOKEN.search(octets)
    return found[1].decode() if found else ""


def letters(name):
    """The flags in a message's file name."""
    return name.rpartition(":2,")[2] if ":2," in name else ""


def read_box(directory):
    """{token: (path, octets)} of a Maildir; a token in there twice is an error. Names may change while this looks: then
    it looks again."""
    for _ in range(4):
        try:
            return _read_box(directory)
        except (FileNotFoundError, AssertionError):
            time.sleep(0.05)
    return _read_box(directory)


def _read_box(directory):
    result = {}
    for sub in ("cur", "new"):
        for entry in os.listdir(directory / sub):
            path = Path(directory) / sub / entry
            octets = path.read_bytes()
            token = token_of(octets)
            assert token not in result, f"{token} is twice in {directory}: {result[token][0]}, {path}"
            result[token] = (path, octets)
    return result


def mountinfo():
    """All mount points, as the kernel has them, without touching any of them."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in lines]


def is_sanitized(program):
    """Built with a sanitizer: then it is slow, its memory is another, and it cannot be the second library to be loaded."""
    return bool(re.search(rb"__(asan|tsan|msan)_init", program.read_bytes()))
