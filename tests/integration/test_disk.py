"""A full disk: an honest error, and nothing that was accepted is lost.

tools/check prepares a small file system, where it may, and names it in MAILMOUNT_TEST_SMALL_DISK.
"""
import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import eventually, lf, mail


@pytest.fixture
def small(request):
    folder = os.environ.get("MAILMOUNT_TEST_SMALL_DISK")
    if not folder:
        pytest.skip("no small file system: MAILMOUNT_TEST_SMALL_DISK is not set (tools/check sets it)")
    made = Path(folder) / f"{os.getpid()}-{request.node.name[:20]}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    yield made
    shutil.rmtree(made, ignore_errors=True)


def fill_up(folder, leave=0):
    """Takes all the room that is left but so many octets; returns the file."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"\0" * 65536)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        if leave:
            out.truncate(max(0, out.tell() - leave))
    return ballast


@pytest.mark.xdist_group("small-disk")
def test_delivery_to_a_full_disk(world, small):
    wire = world.new_proxy()
    m = world.through(wire, data_dir=small / "data")
    m.data = small / "data"
    m.mount()
    first = m.deliver(mail("first"), info="S")
    m.sync()
    ballast = fill_up(small)
    with pytest.raises(OSError) as caught:
        m.deliver(mail("second", "x" * 500_000 + "\r\n"), info="S")
    assert caught.value.errno == errno.ENOSPC
    assert os.statvfs(m.root).f_bavail * os.statvfs(m.root).f_frsize < 1_000_000
    assert first.read_bytes() == lf(mail("first"))
    ballast.unlink()
    for path in (m.box() / "tmp").iterdir():
        path.unlink()
    m.deliver(mail("third"), info="S")
    m.sync()
    assert world.witness.tokens("INBOX") == ["first", "third"] == m.tokens()


@pytest.mark.xdist_group("small-disk")
def test_more_mail_than_the_disk_holds(world, small):
    text = "x" * 250_000 + "\r\n"
    for number in range(12):
        world.witness.append("INBOX", mail(f"n{number}", text), ["\\Seen"])
    ballast = fill_up(small, leave=2_000_000)
    m = world.new_mailmount(data_dir=small / "data")
    m.data = small / "data"
    m.start()
    result = m.run("sync", "--wait=15", timeout=60)
    assert result.returncode in (74, 75), "3 MB do not fit into 2"
    assert m.process.poll() is None
    told = (m.run("status").stdout + m.log()).lower()
    assert "space" in told
    assert len(world.witness.uids("INBOX")) == 12
    for token, octets in m.read().items():
        assert octets == lf(mail(token, text)), "a message shows when it is whole"
    world.witness._select("INBOX")
    world.witness.command("UID STORE 4:* +FLAGS.SILENT (\\Deleted)")
    world.witness.command("UID EXPUNGE 4:*")
    m.run("sync", "--wait=10")
    m.run("held", "approve", "all")
    ballast.unlink()  # what was removed can be restored, and goes on taking its room
    eventually(lambda: m.run("sync", "--wait=10").returncode == 0, timeout=60)
    assert m.tokens() == ["n0", "n1", "n2"]


def test_file_size_limit(world):
    """The other way to be out of room: a limit on the size of files ends a write, never the daemon."""
    wire = world.new_proxy()
    m = world.through(wire)
    m.start(prefix=["/usr/bin/prlimit", f"--fsize={1_000_000}", "--"])
    m.sync()
    with pytest.raises(OSError) as caught:
        m.deliver(mail("big", "x" * 2_000_000 + "\r\n"), info="S")
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC, errno.EIO)
    assert m.process.poll() is None, "the daemon was killed by SIGXFSZ"
    for path in (m.box() / "tmp").iterdir():
        path.unlink()
    m.deliver(mail("small"), info="S")
    m.sync()
    assert world.witness.tokens("INBOX") == ["small"]
    assert subprocess.run(["test", "-d", m.root], check=False).returncode == 0
