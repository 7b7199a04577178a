"""Messages that are shown before their bodies are here: which ones, what opening them does, and what must not need it."""
import errno
import mailbox
import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import lies
from fakeserver import FakeServer
from fakesession import Session
from support import equal, eventually, lf, mail

DAY = 86400
BIG = "x" * 70 + "\r\n"


def fetched(wire):
    """The commands that brought bodies."""
    return [line for line in wire.commands() if re.search(r"FETCH .*BODY(\.PEEK)?\[\]", line)]


@pytest.fixture
def wire(world):
    return world.new_proxy()


@pytest.fixture
def lazy(world, wire):
    """An account that fetches nothing by itself, behind a wire that is looked at."""
    return world.through(wire, bodies="on-demand", poll=600)


def test_shown_at_once_and_fetched_when_opened(world, wire, lazy):
    for number in range(20):
        world.witness.append("INBOX", mail(f"n{number}", BIG * number), ["\\Seen"])
    lazy.mount()
    names = os.listdir(lazy.box() / "cur")
    assert len(names) == 20 and not fetched(wire)
    sizes = sorted(os.stat(lazy.box() / "cur" / name).st_size for name in names)
    assert sizes == sorted(len(mail(f"n{number}", BIG * number)) for number in range(20)), "an overestimate, and no less"
    for name in names:
        path = lazy.box() / "cur" / name
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            octets = file.read()
        assert len(octets) == size == os.stat(path).st_size
        token = re.search(rb"<(n\d+)@", octets)[1].decode()
        assert octets == lf(mail(token, BIG * int(token[1:])))
    asked = len(fetched(wire))
    assert asked == 20
    assert len(lazy.read()) == 20 and len(fetched(wire)) == asked, "once"
    assert lazy.status()["cache_octets"] == 0, "where there is no limit nobody counts"


def test_one_fetch_for_many_openers(world, wire, lazy):
    world.witness.append("INBOX", mail("wanted", BIG * 1000))
    lazy.mount()
    path = next((lazy.box() / "new").iterdir())
    wire.delay_s = 0.2
    readers = [subprocess.Popen(["md5sum", path], stdout=subprocess.PIPE) for _ in range(20)]
    sums = {reader.communicate(timeout=30)[0].split()[0] for reader in readers}
    assert len(sums) == 1 and len(fetched(wire)) == 1


def test_flags_moves_and_removals_need_no_body(world, wire, lazy):
    for token in ("flagged", "moved", "removed", "stays"):
        world.witness.append("INBOX", mail(token), ["\\Seen"])
    world.witness.create("Archive")
    lazy.mount()
    cur = lazy.box() / "cur"
    order = sorted(cur.iterdir(), key=lambda path: path.stat().st_ino)
    base = [path.name.partition(":2,")[0] for path in order]
    os.rename(order[0], cur / f"{base[0]}:2,FS")
    inode = os.stat(order[1]).st_ino
    os.rename(order[1], lazy.box("Archive") / "cur" / order[1].name)
    os.unlink(order[2])
    lazy.sync()
    assert world.witness.tokens("INBOX") == ["flagged", "stays"] and world.witness.tokens("Archive") == ["moved"]
    assert world.witness.flags("INBOX", "flagged") == {"\\Seen", "\\Flagged"}
    assert not fetched(wire)
    moved = lazy.path("moved", "Archive")
    assert os.stat(moved).st_ino == inode and moved.read_bytes() == lf(mail("moved"))


def test_opened_while_it_is_moved(world, wire, lazy):
    """Where it is on the server is not known for a moment: who opens it then waits for that."""
    for number in range(10):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Archive")
    lazy.mount()
    wire.delay_s = 0.1
    for path in list((lazy.box() / "cur").iterdir()):
        target = lazy.box("Archive") / "cur" / path.name
        os.rename(path, target)
        assert target.read_bytes().startswith(b"From: Ada")
    wire.delay_s = 0
    lazy.sync()
    assert len(world.witness.tokens("Archive")) == 10 and not world.witness.tokens("INBOX")


def test_followed_where_another_client_files_it(world, lazy):
    """The inode number stays, though the text was never here (case 43)."""
    world.witness.append("INBOX", mail("filed"), ["\\Seen"])
    world.witness.create("Archive")
    lazy.mount()
    inode = next((lazy.box() / "cur").iterdir()).stat().st_ino
    world.witness.move("INBOX", world.witness.uid("INBOX", "filed"), "Archive")
    lazy.sync()
    found = list((lazy.box("Archive") / "cur").iterdir())
    assert [path.stat().st_ino for path in found] == [inode] and lazy.tokens("Archive") == ["filed"]
    assert not lazy.tokens()


@pytest.mark.parametrize("how", ["append", "truncate", "rewrite"])
def test_edited(world, lazy, how):
    world.witness.append("INBOX", mail("draft", "old\r\n"), ["\\Draft", "\\Seen"])
    lazy.mount()
    path = next((lazy.box() / "cur").iterdir())
    text = lf(mail("draft", "old\r\n"))
    if how == "append":
        with open(path, "ab") as out:
            out.write(b"more\n")
        text += b"more\n"
    elif how == "truncate":
        text = text[:-4]
        os.truncate(path, len(text))
    else:
        text = lf(mail("draft", "new\r\n"))
        path.write_bytes(text)
    equal(lambda: world.witness.messages("INBOX")["draft"].octets, text.replace(b"\n", b"\r\n"))
    lazy.sync()
    assert world.witness.tokens("INBOX") == ["draft"] and path.read_bytes() == text


def test_copy_is_whole(world, lazy):
    """A link to what is not here is one to another file system: programs copy then, and what is here is linked."""
    world.witness.append("INBOX", mail("original"), ["\\Seen"])
    world.witness.create("Archive")
    lazy.mount()
    path = next((lazy.box() / "cur").iterdir())
    with pytest.raises(OSError) as error:
        os.link(path, lazy.box("Archive") / "cur" / path.name)
    assert error.value.errno == errno.EXDEV
    path.read_bytes()
    os.link(path, lazy.box("Archive") / "cur" / path.name)
    lazy.sync()
    assert world.witness.tokens("INBOX") == world.witness.tokens("Archive") == ["original"]
    assert lazy.read("Archive") == {"original": lf(mail("original"))}


def test_taken_out_of_the_mail(world, lazy):
    """What is moved into tmp/ belongs to the program alone: its text has to be here."""
    world.witness.append("INBOX", mail("taken"), ["\\Seen"])
    lazy.mount()
    path = next((lazy.box() / "cur").iterdir())
    with pytest.raises(OSError) as error:
        os.rename(path, lazy.box() / "tmp" / "taken")
    assert error.value.errno == errno.EXDEV
    subprocess.run(["mv", path, lazy.box() / "tmp" / "taken"], check=True)
    equal(lambda: world.witness.tokens("INBOX"), [])
    assert (lazy.box() / "tmp" / "taken").read_bytes() == lf(mail("taken"))


@pytest.mark.parametrize("how", ["mv", "simple", "numbered"])
def test_made_a_backup(world, lazy, how):
    """The new file takes the place on the server: the old text has to be here before. Editors have opened it."""
    world.witness.append("INBOX", mail("draft", "old\r\n"), ["\\Draft", "\\Seen"])
    lazy.mount()
    path = next((lazy.box() / "cur").iterdir())
    backup = path.with_name(path.name + (".~1~" if how == "numbered" else "~"))
    new = world.folder / "new"
    new.write_bytes(lf(mail("draft", "new\r\n")))
    with pytest.raises(OSError) as error:
        os.rename(path, backup)
    assert error.value.errno == errno.EXDEV
    path.read_bytes()
    if how == "mv":
        os.rename(path, backup)
        path.write_bytes(new.read_bytes())
    else:
        subprocess.run(["cp", f"--backup={how}", new, path], check=True)
    equal(lambda: world.witness.messages("INBOX")["draft"].octets, mail("draft", "new\r\n"))
    lazy.sync()
    assert backup.read_bytes() == lf(mail("draft", "old\r\n")) and world.witness.tokens("INBOX") == ["draft"]


class MoveAndSilence(Session):
    """A move is done, its answer is lost, and nobody may look into its target any more."""

    def do_uid_move(self, rest, literals):
        super().do_uid_move(rest, literals)
        self.server.memory["silent"] = True
        raise ConnectionError

    def do_select(self, rest, literals):
        if self.server.memory.get("silent") and self.name(rest, literals) == b"Archive":
            return b"NO not now"
        return super().do_select(rest, literals)

    do_examine = do_select


@pytest.mark.parametrize("connections", [1, 4])
def test_opened_while_a_move_cannot_be_settled(world, connections):
    """Who opens it waits, and nobody else does."""
    server = FakeServer({b"INBOX": [mail("moved"), mail("stays")], b"Archive": []}, lies.KINDS["condstore"])
    server.session_class = MoveAndSilence
    try:
        m = world.new_mailmount(port=server.port, tls="none", ca_file=None, bodies="on-demand", connections=connections, poll=600)
        m.mount()
        moved, stays = sorted((m.box() / "new").iterdir(), key=lambda path: path.stat().st_ino)
        target = m.box("Archive") / "cur" / f"{moved.name}:2,S"
        os.rename(moved, target)
        eventually(lambda: server.memory.get("silent") and m.status()["online"])
        reader = subprocess.Popen(["cat", target], stdout=subprocess.PIPE)
        time.sleep(1)
        assert reader.poll() is None
        os.rename(stays, m.box() / "cur" / f"{stays.name}:2,F")
        equal(lambda: server.flags(b"INBOX", "stays"), {"\\Flagged"})
        server.memory["silent"] = False
        server.tell()
        m.sync()
        reader.communicate(timeout=30)
        assert m.tokens("Archive") == server.tokens(b"Archive") == ["moved"]
    finally:
        server.close()


def test_gone_on_the_server(world, wire, lazy):
    for token in ("gone", "flagged"):
        world.witness.append("INBOX", mail(token), ["\\Seen"])
    lazy.mount()
    paths = sorted((lazy.box() / "cur").iterdir(), key=lambda path: path.stat().st_ino)
    wire.stall()
    base = paths[1].name.partition(":2,")[0]
    os.rename(paths[1], lazy.box() / "cur" / f"{base}:2,FS")
    for uid in world.witness.uids("INBOX"):
        world.witness.expunge("INBOX", uid)
    wire.plug()
    with pytest.raises(OSError) as error:
        paths[0].read_bytes()
    assert error.value.errno in (errno.ESTALE, errno.ENOENT)
    lazy.sync()
    assert os.listdir(lazy.box() / "cur") == [] and world.witness.tokens("INBOX") == []
    assert lazy.status()["failures"] == [], "nobody has its text: there is nothing to keep"


def test_off_line(world, wire, lazy):
    """What is here is served, everything else refused at once."""
    for token in ("here", "there"):
        world.witness.append("INBOX", mail(token), ["\\Seen"])
    lazy.mount()
    paths = sorted((lazy.box() / "cur").iterdir(), key=lambda path: path.stat().st_ino)
    assert paths[0].read_bytes() == lf(mail("here"))
    wire.cut()
    eventually(lambda: not lazy.status()["online"])
    time.sleep(1.5)
    begin = time.monotonic()
    with pytest.raises(OSError) as error:
        paths[1].read_bytes()
    assert error.value.errno == errno.ENETDOWN and time.monotonic() - begin < 2
    assert paths[0].read_bytes() == lf(mail("here"))
    assert lazy.status()["totals"]["on_demand"] == 1
    wire.plug()
    eventually(lambda: lazy.status()["online"], 30)
    assert paths[1].read_bytes() == lf(mail("there"))


def test_fifty_that_wait_stop_nobody(world, wire, lazy):
    """A server that does not answer: opens wait, can be killed, and the mount stays as fast as it was."""
    for number in range(60):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    lazy.mount()
    paths = sorted((lazy.box() / "cur").iterdir(), key=lambda path: path.stat().st_ino)
    for path in paths[50:]:
        path.read_bytes()
    wire.stall()
    readers = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for path in paths[:50]]
    try:
        time.sleep(1)
        begin = time.monotonic()
        for _ in range(20):
            assert len(os.listdir(lazy.box() / "cur")) == 60
            for path in paths[50:]:
                assert path.read_bytes()
        lazy.deliver(mail("made"), info="S")
        assert time.monotonic() - begin < 5
        assert all(reader.poll() is None for reader in readers)
        for number, reader in enumerate(readers[:25]):
            reader.send_signal([signal.SIGKILL, signal.SIGTERM][number % 2])
        for reader in readers[:25]:
            assert reader.wait(5) < 0
        wire.plug()
        assert [reader.wait(60) for reader in readers[25:]] == [0] * 25
    finally:
        for reader in readers:
            reader.kill()
    lazy.sync()
    assert "made" in world.witness.tokens("INBOX")


def test_unmount_while_many_wait(world, wire, lazy):
    for number in range(20):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    lazy.mount()
    wire.stall()
    readers = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for path in (lazy.box() / "cur").iterdir()]
    time.sleep(0.5)
    lazy.process.terminate()
    assert lazy.process.wait(20) == 0
    assert all(reader.wait(5) != 0 for reader in readers)
    lazy.process = None


def test_opens_go_before_what_nobody_waits_for(world, wire):
    """All others are busy with large messages on a slow line: one that is opened comes all the same."""
    world.witness.append("INBOX", mail("small"), ["\\Seen"])
    lazy = world.through(wire, bodies="on-demand", connections=3)
    lazy.mount()
    lazy.umount()
    for number in range(8):
        world.witness.append("INBOX", mail(f"large{number}", BIG * 30_000), ["\\Seen"])
    lazy.set(bodies="all")
    wire.rate = 500_000
    lazy.start()
    eventually(lambda: lazy.status()["totals"]["wanted"] == 8)
    small = sorted((lazy.box() / "cur").iterdir())[0]
    begin = time.monotonic()
    assert small.read_bytes() == lf(mail("small"))
    waited = time.monotonic() - begin
    left = lazy.status()["totals"]["wanted"]
    wire.rate = 0
    assert left >= 7 and waited < 10
    lazy.sync()
    assert len(lazy.tokens()) == 9


def test_recent(world, wire):
    """The new ones come by themselves; the others show, and are fetched when the account is told to want them."""
    now = time.time()
    for days in (1, 5, 40, 400):
        world.witness.append("INBOX", mail(f"d{days}"), ["\\Seen"], now - days * DAY)
    m = world.through(wire, bodies="recent:30", poll=600)
    m.mount()
    assert len(os.listdir(m.box() / "cur")) == 4
    eventually(lambda: m.status()["totals"]["on_demand"] == 2)
    wire.reset_counts()
    ages = sorted((m.box() / "cur").iterdir(), key=lambda path: -path.stat().st_mtime)
    assert [path.read_bytes() for path in ages[:2]] == [lf(mail("d1")), lf(mail("d5"))] and not fetched(wire)
    m.umount()
    m.set(bodies="all")
    m.start()
    eventually(lambda: m.status()["totals"]["on_demand"] == 0, 30)
    assert m.tokens() == ["d1", "d40", "d400", "d5"]


def test_fewer_bodies_than_before(world, wire):
    """What still waits to be fetched when that is not wanted any more is shown at once."""
    for number in range(30):
        world.witness.append("INBOX", mail(f"n{number}", BIG * 1000), ["\\Seen"])
    m = world.through(wire)
    wire.rate = 100_000
    m.start()
    eventually(lambda: m.status()["totals"]["wanted"] > 10)
    m.umount()
    wire.rate = 0
    m.set(bodies="on-demand")
    m.start()
    eventually(lambda: len(os.listdir(m.box() / "cur")) == 30)
    assert m.status()["totals"]["on_demand"] > 10


@pytest.mark.parametrize("bodies", ["all", "on-demand"])
def test_marked_while_a_move_cannot_be_settled(bodies, world):
    """What was marked meanwhile stays marked, also where nobody has the text."""
    server = FakeServer({b"INBOX": [mail("moved"), mail("stays")], b"Archive": []}, lies.KINDS["condstore"])
    server.session_class = MoveAndSilence
    try:
        m = world.new_mailmount(port=server.port, tls="none", ca_file=None, bodies=bodies, poll=600)
        m.mount()
        moved, _ = sorted((m.box() / "new").iterdir(), key=lambda path: path.stat().st_ino)
        target = m.box("Archive") / "cur" / f"{moved.name}:2,S"
        os.rename(moved, target)
        eventually(lambda: server.memory.get("silent") and m.status()["online"])
        time.sleep(1)
        os.rename(target, m.box("Archive") / "cur" / f"{moved.name}:2,FS")
        time.sleep(1)
        server.memory["silent"] = False
        server.tell()
        m.sync()
        equal(lambda: m.sync() or server.tokens(b"Archive"), ["moved"])
        equal(lambda: m.sync() or server.flags(b"Archive", "moved"), {"\\Flagged", "\\Seen"})
        assert m.read("Archive") == {"moved": lf(mail("moved"))} and server.tokens(b"INBOX") == ["stays"]
    finally:
        server.close()


def disk_use(m):
    return sum(path.stat().st_size for path in (m.data / "bodies").rglob("*") if path.is_file())


def test_cache_limit(world, wire):
    """The bodies that were used longest ago go, and come back when they are opened; what only this side has stays."""
    for number in range(40):
        world.witness.append("INBOX", mail(f"n{number}", BIG * 1000), ["\\Seen"], time.time() - 10 * DAY + number)
    m = world.through(wire, bodies="on-demand", cache_limit="1M", poll=600)
    m.mount()
    for path in sorted((m.box() / "cur").iterdir(), key=lambda path: path.stat().st_ino):
        assert len(path.read_bytes()) > 70_000
    eventually(lambda: disk_use(m) <= 1_000_000)
    assert len(m.read()) == 40
    eventually(lambda: disk_use(m) <= 1_000_000)
    wire.cut()
    eventually(lambda: not m.status()["online"])
    for number in range(20):
        m.deliver(mail(f"made{number}", BIG * 1000), info="S")
    time.sleep(2)
    made = [path for path in (m.box() / "cur").iterdir() if ".made" in path.name]
    assert len(made) == 20 and all(len(path.read_bytes()) > 70_000 for path in made)
    wire.plug()
    m.sync(timeout=60)
    assert len(world.witness.tokens("INBOX")) == 60 and len(m.read()) == 60


def test_opened_where_hardly_anything_has_room(world, wire):
    """What was fetched for an open may be evicted for another one before it is answered: it is fetched again."""
    for number in range(12):
        world.witness.append("INBOX", mail(f"n{number}", BIG * 9000), ["\\Seen"])
    m = world.through(wire, bodies="on-demand", cache_limit="1M", poll=600)
    m.mount()
    paths = sorted((m.box() / "cur").iterdir())
    readers = [subprocess.Popen(["cat", *(paths[(5 * n + first) % 12] for n in range(40))], stdout=subprocess.PIPE) for first in range(4)]
    with ThreadPoolExecutor() as pool:
        lengths = list(pool.map(lambda reader: len(reader.communicate(timeout=120)[0]), readers))
    assert [reader.returncode for reader in readers] == [0] * 4 and min(lengths) > 40 * 9000 * 71


def test_limit_on_a_first_sync(world, wire):
    """Everything is wanted, and there is no room for it: the newest come, the others are shown without their bodies."""
    for number in range(40):
        world.witness.append("INBOX", mail(f"n{number:02}", BIG * 1000), ["\\Seen"], time.time() - 100 * DAY + number * DAY)
    m = world.through(wire, cache_limit="1M", poll=600)
    m.mount()
    eventually(lambda: len(os.listdir(m.box() / "cur")) == 40, 30)
    counts = m.status()
    assert 20 < counts["totals"]["on_demand"] < 36 and counts["cache_octets"] <= 1_200_000
    asked = len(fetched(wire))
    time.sleep(3)
    assert len(fetched(wire)) == asked, "and that is all"
    assert len(m.read()) == 40


@pytest.mark.parametrize("lie", [lies.SizeOfAThird, lies.SizeNil])
def test_sizes_that_are_lies(world, lie):
    """Whatever the server says of sizes: once a message is open, its size is its size."""
    server = FakeServer({b"INBOX": [mail(f"n{n}", BIG * 100) for n in range(6)]}, lies.KINDS["full"], [lie], {b"INBOX"})
    try:
        m = world.new_mailmount(port=server.port, tls="none", ca_file=None, bodies="on-demand")
        m.mount()
        for box in ("new", "cur"):
            for path in (m.box() / box).iterdir():
                with open(path, "rb") as file:
                    assert os.fstat(file.fileno()).st_size == len(file.read())
        assert m.read() == {f"n{n}": lf(mail(f"n{n}", BIG * 100)) for n in range(6)}
        assert len(mailbox.Maildir(m.box(), create=False)) == 6
    finally:
        server.close()
