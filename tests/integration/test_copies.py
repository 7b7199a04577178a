"""Tools that copy and look at files, with what they ask a file system for besides reading and writing."""
import os

import pytest

from support import equal, lf, mail
from test_clients import run

SENT = 1_500_000_000
WAYS = {
    "sparse-always": ("cp", "--sparse=always"),
    "sparse-auto": ("cp", "--sparse=auto"),
    "no-sparse": ("cp", "--sparse=never"),
    "reflink": ("cp", "--reflink=auto"),
    "preserving": ("cp", "-a"),
    "install": ("install", "-m", "600"),
}
LARGE = mail("large", ("x" * 70 + "\r\n") * 5000)


@pytest.fixture
def large(world):
    world.witness.append("INBOX", LARGE, ["\\Seen"], date=SENT)
    world.witness.create("Archive")
    world.mailmount.mount()
    return world


def test_copy(large, tmp_path):
    """Out of the mount, within it, and into it, each whole; the file on the disk is what came from the mount."""
    m = large.mailmount
    for way, command in WAYS.items():
        run(m, *command, m.path("large"), tmp_path / way)
        assert (tmp_path / way).read_bytes() == lf(LARGE), way
        run(m, *command, m.path("large"), m.box("Archive") / "cur" / f"{way}-within:2,S")
        run(m, *command, tmp_path / way, m.box("Archive") / "cur" / f"{way}-into:2,F")
    m.sync()
    got = list(large.witness.fetch("Archive").values())
    assert len(got) == 2 * len(WAYS) and all(message.octets == LARGE for message in got)
    assert sorted(m.flags == {"\\Seen"} for m in got) == [False] * len(WAYS) + [True] * len(WAYS)
    assert large.witness.tokens("INBOX") == ["large"]


def test_copy_file_range(large):
    """The kernel copies within a mount."""
    m = large.mailmount
    with open(m.path("large"), "rb") as old, open(m.box("Archive") / "cur" / "x:2,S", "xb") as new:
        while os.copy_file_range(old.fileno(), new.fileno(), 1_000_000):
            pass
    m.sync()
    assert large.witness.messages("Archive")["large"].octets == LARGE


def test_data_is_everywhere(large):
    """A mail has no holes, also where its last block ends."""
    path = large.mailmount.path("large")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == size
    assert path.stat().st_blocks * 512 >= size == len(lf(LARGE))


def test_sparse_tar(large, tmp_path):
    """There and back again: into another mailbox, with dates, whole."""
    m = large.mailmount
    run(m, "tar", "-cSf", tmp_path / "a.tar", "-C", m.box(), "cur")
    run(m, "tar", "-xSf", tmp_path / "a.tar", "-C", m.box("Archive"))
    m.sync()
    message = large.witness.messages("Archive")["large"]
    assert (message.octets, message.flags, message.date) == (LARGE, {"\\Seen"}, "14-Jul-2017 02:40:00 +0000")


def test_looking(world):
    """Sizes, dates and counts as ls, find and du have them, also of what arrives late and of what was changed."""
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}", "x" * 1000 * number), ["\\Seen"], date=SENT + 86400 * number)
    m = world.mailmount
    m.mount()
    stamp = world.folder / "stamp"
    stamp.touch()
    os.utime(stamp, (SENT + 86400 * 2, SENT + 86400 * 2))

    def found(*tests):
        return sorted(run(m, "find", m.box(), "-type", "f", *tests).split())
    assert found("-newer", stamp) == sorted(str(m.path(f"n{number}")) for number in (3, 4))
    listed = [line.split() for line in run(m, "ls", "-l", "--time-style=+%s", m.box() / "cur").splitlines()[1:]]
    assert {name: (int(size), int(time)) for _, _, _, _, size, time, name in listed} == {
        m.path(f"n{number}").name: (len(lf(mail(f"n{number}", "x" * 1000 * number))), SENT + 86400 * number)
        for number in range(5)}
    sizes = sum(int(line[4]) for line in listed)
    directories = sum(path.stat().st_size for path in (m.box(), *(m.box() / sub for sub in ("cur", "new", "tmp"))))
    assert int(run(m, "du", "-sb", m.box()).split()[0]) == sizes + directories
    assert int(run(m, "du", "-s", "--block-size=1", m.box()).split()[0]) >= sizes
    stamp.touch()
    world.witness.append("INBOX", mail("late"), ["\\Seen"], date=SENT)
    equal(m.tokens, ["late"] + [f"n{number}" for number in range(5)])
    m.retag("n1", "FS")
    assert found("-newer", stamp) == []
    assert found("-cnewer", stamp) == sorted(str(m.path(token)) for token in ("late", "n1"))
