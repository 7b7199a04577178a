"""Files that are no mail: they live in the mount with full POSIX behaviour, and never reach the server."""
import errno
import fcntl
import mmap
import os
import random
import socket
import sqlite3
import stat

import pytest

import power
import syscalls
from points import Point, environment, find_library
from support import eventually, is_sanitized, mail
from syscalls import descriptor


@pytest.fixture
def area(mounted):
    path = mounted.mailmount.root / ".notmuch"
    path.mkdir()
    return path


def test_files_and_directories(mounted, area):
    (area / "xapian").mkdir()
    file = area / "xapian" / "table"
    file.write_bytes(bytes(range(256)) * 1000)
    with open(file, "r+b") as out:
        out.seek(1000)
        out.write(b"in the middle")
        out.truncate(5000)
        os.fsync(out.fileno())
    assert file.stat().st_size == 5000
    assert file.read_bytes()[1000:1013] == b"in the middle"
    os.rename(file, area / "moved")
    os.link(area / "moved", area / "linked")
    assert (area / "moved").stat().st_nlink == 2
    os.symlink("moved", area / "symbolic")
    assert (area / "symbolic").read_bytes() == (area / "moved").read_bytes()
    os.chmod(area / "moved", 0o640)
    os.utime(area / "moved", ns=(1_000_000_123, 2_000_000_456))
    info = (area / "moved").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns) == (0o640, 2_000_000_456)
    with open(area / "hole", "wb") as out:
        out.truncate(1_000_000)
    assert (area / "hole").stat().st_size == 1_000_000
    assert sorted(os.listdir(area)) == ["hole", "linked", "moved", "symbolic", "xapian"]
    mounted.mailmount.remount()
    assert sorted(os.listdir(area)) == ["hole", "linked", "moved", "symbolic", "xapian"]
    assert (area / "moved").read_bytes()[1000:1013] == b"in the middle"
    assert mounted.witness.mailboxes() == {"INBOX"}


def test_directories_must_be_empty(area):
    (area / "full").mkdir()
    (area / "full" / "x").touch()
    with pytest.raises(OSError):
        (area / "full").rmdir()
    (area / "full" / "x").unlink()
    (area / "full").rmdir()
    assert not (area / "full").exists()


def test_dots_have_the_numbers_of_their_directories(mounted):
    """Also where what is above is a directory of the mail tree."""
    m = mounted.mailmount
    for above in (m.root, m.box()):
        (above / ".git" / "objects").mkdir(parents=True)
        for directory in (above / ".git", above / ".git" / "objects"):
            listing = syscalls.Directory(directory)
            numbers = {name: number for name, number, _ in listing.rest()}
            listing.close()
            assert [numbers[dots] for dots in (".", "..")] == [directory.stat().st_ino, directory.parent.stat().st_ino], directory


def test_locks(area):
    path = area / "lock"
    with open(path, "wb") as first, open(path, "rb+") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(first, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_shared_map_is_written(area):
    path = area / "map"
    path.write_bytes(b"\0" * 8192)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[5000:5005] = b"hello"
        view.flush()
    assert path.read_bytes()[5000:5005] == b"hello"


def test_database(area):
    for mode in ("delete", "wal"):
        with sqlite3.connect(area / f"{mode}.db") as connection:
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute("CREATE TABLE t (x)")
            connection.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(1000)))
        connection.close()
        with sqlite3.connect(area / f"{mode}.db") as connection:
            assert connection.execute("SELECT sum(x) FROM t").fetchone() == (499500,)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_socket_and_fifo_do_no_harm(area):
    try:
        os.mkfifo(area / "fifo")
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(area / "s"))
        s.close()
    except OSError:
        pass
    assert isinstance(os.listdir(area), list)


@pytest.mark.parametrize("name", ["dovecot.index", "dovecot.index.log", "dovecot-uidlist", ".mbsyncstate",
                                  ".mbsyncstate.journal", ".uidvalidity", "maildirfolder", "subscriptions"])
def test_side_files_of_other_programs(mounted, name):
    path = mounted.mailmount.box() / name
    path.write_text("state\n")
    mounted.mailmount.sync()
    assert name in os.listdir(mounted.mailmount.box())
    assert mounted.witness.tokens("INBOX") == []
    mounted.mailmount.remount()
    assert path.read_text() == "state\n"


def test_mail_in_the_local_area_stays_there(mounted, area):
    (area / "cur").mkdir()
    (area / "cur" / "1.x:2,S").write_bytes(mail("private"))
    mounted.mailmount.sync()
    assert mounted.witness.mailboxes() == {"INBOX"}
    assert mounted.witness.tokens("INBOX") == []


def make_bait(folder):
    """Files where a link would lead that was followed on the disk, and not in the mount."""
    for place in (folder, folder / "local", folder / "local" / "0"):
        (place / "bait").write_bytes(b"private")
        (place / "baits").mkdir()
        (place / "baits" / "x").touch()


def bait(folder):
    return {name: entry for name, entry in syscalls.state(folder).items() if b"bait" in name and b".notmuch" not in name}


def test_links_lead_nowhere_on_the_disk(mounted, area):
    """They are the kernel's to follow, and it knows the mount only."""
    m = mounted.mailmount
    (m.root / ".anything").touch()  # from now on there is local/0
    make_bait(m.data)
    before = bait(m.data)
    for target in ("bait", "baits", "baits/x"):
        for up in ("../", "../../", "../../../"):
            link = area / f"{target} {up}".replace("/", "|")
            os.symlink(up + target, link)
            for attempt in (os.listdir, os.rmdir, lambda p: os.truncate(p, 0), lambda p: os.chmod(p, 0), os.utime, os.stat,
                            lambda p: p.read_bytes(), lambda p: os.open(p, os.O_WRONLY | os.O_TRUNC),
                            lambda p: os.open(p, os.O_CREAT | os.O_EXCL), lambda p: os.open(p, os.O_CREAT | os.O_NOFOLLOW),
                            lambda p: syscalls.link_followed(p, f"{p} linked"), lambda p: os.rename(f"{p}/x", f"{p}/y")):
                with pytest.raises(OSError):
                    attempt(link)
            os.link(link, f"{link} linked", follow_symlinks=False)
            os.utime(link, ns=(1, 1), follow_symlinks=False)
            os.chown(link, -1, os.getgid(), follow_symlinks=False)
            assert os.readlink(f"{link} linked") == up + target
            with pytest.raises(OSError) as caught:
                os.rename(link, m.box() / "cur" / "x")
            assert caught.value.errno == errno.EXDEV
            os.unlink(link)
    assert bait(m.data) == before and len(before) == 9


def test_what_is_between_local_files_and_mail(mounted, area):
    """Mail is another device. What is local can be delivered, and never exchanged."""
    m = mounted.mailmount
    message = m.deliver(mail("x"), info="S")
    (area / "file").write_bytes(mail("y"))
    (area / "directory").mkdir()
    for attempt, expected in {
            "link": (lambda: os.link(message, area / "link"), "EXDEV"), "rename": (lambda: os.rename(message, area / "file"), "EXDEV"),
            "exchange": (lambda: syscalls.rename(area / "file", message, "exchange"), "EINVAL"),
            "exchange with a mailbox": (lambda: syscalls.rename(area, m.box(), "exchange"), "EINVAL"),
            "a mailbox": (lambda: os.rename(m.box(), area / "directory"), "EXDEV"),
            "to a mailbox": (lambda: os.rename(area / "directory", m.root / "Other"), "EXDEV"),
            "a directory": (lambda: os.rename(area / "directory", m.box() / "cur" / "x"), "EXDEV"),
            "not replaced": (lambda: syscalls.rename(area / "file", message, "noreplace"), "EEXIST"),
            "a link to itself": (lambda: os.link(area / "file", m.box() / "new" / "y"), None)}.items():
        assert syscalls.result_of(expected[0]) == expected[1], attempt
    assert m.tokens() == ["x", "y"] and sorted(os.listdir(area)) == ["directory", "file"]


def test_names_that_were_synced_outlive_the_power(world):
    """By fsync of the directory that a program sees: the root, or a mailbox."""
    library = find_library()
    if not library or is_sanitized(world.program):
        pytest.skip("no libpoints.so, or a sanitizer that has to come before it")
    m, journal = world.mailmount, world.folder / "journal"
    m.mount(prefix=("env", *environment(library, m.data, world.folder / "report", Point(), journal)))
    for directory in (m.root, m.box()):
        (directory / ".git").mkdir()
        (directory / ".mbsyncstate.new").touch()
        os.rename(directory / ".mbsyncstate.new", directory / ".mbsyncstate")
        with descriptor(directory, os.O_RDONLY) as fd:
            os.fsync(fd)
        (directory / ".uidvalidity").touch()
    m.kill9()
    assert power.lose(m.data, journal, ("lost", "lost"), random.Random(1)) >= 2
    m.start()
    for directory in (m.root, m.box()):
        found = set(os.listdir(directory))
        assert {".git", ".mbsyncstate"} <= found and not {".mbsyncstate.new", ".uidvalidity"} & found, directory


def test_many_files_leave_descriptors_for_the_mail(world):
    """Each local file that the kernel remembers holds one. Those who make more hear so; the mail does not."""
    m = world.mailmount
    m.mount(prefix=("prlimit", "--nofile=400:400"))
    area = m.root / ".git"
    area.mkdir()
    results = [syscalls.result_of((area / f"n{n}").touch) for n in range(600)]
    assert set(results) == {None, "ENFILE"} and results.count(None) > 100
    m.deliver(mail("x"), info="S")
    m.sync()
    assert world.witness.tokens("INBOX") == m.tokens() == ["x"]
    for name in os.listdir(area)[:50]:
        (area / name).unlink()
    eventually(lambda: (area / "again").touch() or True)


def test_git(mounted):
    """A whole program that does all of this."""
    import shutil
    import subprocess
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = mounted.mailmount.root
    environment = {**mounted.mailmount.environment, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a",
                   "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}

    def git(*arguments):
        subprocess.run(["git", "-C", str(root), *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)
    mounted.mailmount.deliver(mail("x"), info="S")
    git("init", "-q")
    git("add", "INBOX/cur")
    git("commit", "-q", "-m", "all")
    git("fsck", "--strict")
    mounted.mailmount.sync()
    assert mounted.witness.mailboxes() == {"INBOX"}
