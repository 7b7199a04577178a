"""What the daemon takes of the machine's memory is bounded, whatever the size of a message or of a mailbox."""
import re
from pathlib import Path

import pytest

from imapclient import Literal
from support import is_sanitized, lf, mail

MOST_BYTES = 64_000_000
MB = 1_000_000


@pytest.fixture
def bounded(world, program):
    """A world; a sanitizer's own memory is many times that of the program."""
    if is_sanitized(program):
        pytest.skip("the program is built with a sanitizer, whose memory differs")
    return world


def peak_bytes(m):
    """The most that was ever resident of the daemon."""
    status = Path(f"/proc/{m.process.pid}/status").read_text()
    return int(re.search(r"(?m)^VmHWM:\s*(\d+) kB$", status)[1]) * 1024


def big(token, size):
    """A message in which no line is like another one."""
    return mail(token, b"".join(b"%075d\r\n" % (number * 7919) for number in range(size // 77)))


def test_of_big_messages(bounded):
    """One comes and one goes; both are far larger than the limit allows for."""
    m = bounded.mailmount
    m.mount()
    at_first = peak_bytes(m)
    comes, goes = big("comes", 60 * MB), big("goes", 60 * MB)
    bounded.witness.append("INBOX", comes)
    m.sync(timeout=90)
    assert m.read()["comes"] == lf(comes)
    m.deliver(lf(goes), info="S")
    m.sync(timeout=90)
    assert bounded.witness.messages("INBOX")["goes"].octets == goes
    assert 2 * MB < at_first <= peak_bytes(m) < MOST_BYTES


def test_of_many_messages(bounded):
    """A first sync, and somebody who reads it all."""
    count, body = 3000, "It is not long, but there are many of them.\r\n" * 100
    many = [Literal(mail(f"n{number}", body)) for number in range(count)]
    for start in range(0, count, 1000):
        bounded.witness.command("APPEND", "INBOX", *many[start:start + 1000])  # all in one command: RFC 3502
    m = bounded.mailmount
    m.start()
    m.sync(timeout=90)
    assert len(m.read()) == count
    assert 2 * MB < peak_bytes(m) < MOST_BYTES
