"""Programs that watch a directory see what comes from the server: events = full, dir, off."""
import ctypes
import itertools
import os
import select
import signal
import struct
import subprocess
import threading
import time

import pytest

from support import equal, eventually, lf, mail

NAMES = {0x1: "ACCESS", 0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x40: "MOVED_FROM", 0x80: "MOVED_TO", 0x100: "CREATE",
         0x200: "DELETE", 0x400: "DELETE_SELF", 0x800: "MOVE_SELF"}
WATCHED = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What inotify tells of some directories: (kind, directory's last part, name)."""

    def __init__(self, *folders):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.folders = {LIBC.inotify_add_watch(self.fd, os.fsencode(folder), WATCHED): folder for folder in folders}
        assert min(self.folders) > 0
        self.seen = []

    def read(self, seconds=0.0):
        if select.select([self.fd], [], [], seconds)[0]:
            octets = os.read(self.fd, 1 << 20)
            while octets:
                watch, mask, _, length = struct.unpack_from("iIII", octets)
                name = octets[16:16 + length].rstrip(b"\0").decode()
                kinds = [text for bit, text in NAMES.items() if mask & bit]
                self.seen += [(kind, self.folders[watch].name, name) for kind in kinds]
                octets = octets[16 + length:]
        return self.seen

    def until(self, wanted, timeout=20):
        def come():
            self.read(0.1)
            assert set(wanted) <= set(self.seen), f"{wanted} is not all in {self.seen}"
            return True
        eventually(come, timeout)

    def close(self):
        os.close(self.fd)


@pytest.fixture
def watch():
    made = []

    def start(*folders):
        made.append(Watch(*folders))
        return made[-1]
    yield start
    for one in made:
        one.close()


def only(folder):
    return next(folder.iterdir())


@pytest.mark.parametrize("layout", ["fs", "maildir++"])
def test_everything_is_seen_as_what_it_is(world, watch, layout):
    m = world.new_mailmount(layout=layout)
    world.witness.create("Archive")
    m.mount()
    inbox = m.root if layout == "maildir++" else m.box()
    archive = m.root / (".Archive" if layout == "maildir++" else "Archive")
    w = watch(inbox / "new", inbox / "cur", archive / "cur")
    uid = world.witness.append("INBOX", mail("one"))
    eventually(lambda: any(kind == "MOVED_TO" and place == "new" for kind, place, _ in w.read(0.1)))
    arrived = only(inbox / "new")
    inode = arrived.stat().st_ino
    assert w.seen == [("MOVED_TO", "new", arrived.name)]
    assert arrived.read_bytes() == lf(mail("one"))

    w.seen.clear()
    world.witness.store("INBOX", uid, "+FLAGS", "\\Seen")
    w.until([("MOVED_FROM", "new", arrived.name), ("MOVED_TO", "cur", f"{arrived.name}:2,S")])
    w.seen.clear()
    world.witness.store("INBOX", uid, "+FLAGS", "\\Flagged")
    w.until([("MOVED_FROM", "cur", f"{arrived.name}:2,S"), ("MOVED_TO", "cur", f"{arrived.name}:2,FS")])
    assert not os.listdir(inbox / "new") and only(inbox / "cur").stat().st_ino == inode
    w.seen.clear()
    world.witness.move("INBOX", uid, "Archive")
    m.sync()
    equal(lambda: [path.stat().st_ino for path in (archive / "cur").iterdir()], [inode])
    filed = only(archive / "cur").name
    equal(lambda: {("DELETE", "cur", f"{arrived.name}:2,FS"), ("MOVED_FROM", "cur", f"{arrived.name}:2,FS")} & set(w.read(0.1)) != set(),
          True)
    w.until([("MOVED_TO", "cur", filed)])
    w.seen.clear()
    world.witness.expunge("Archive", world.witness.uid("Archive", "one"))
    w.until([("DELETE", "cur", filed)])
    assert os.listdir(archive / "cur") == [] and os.listdir(inbox / "tmp") == []


def test_fanotify(world):
    m = world.mailmount
    m.mount()
    moved_to, on_children, directory_and_name = 0x80, 0x08000000, 0xC00
    fd = LIBC.fanotify_init(directory_and_name, os.O_RDONLY)
    mask = ctypes.c_uint64(moved_to | on_children)
    if fd < 0 or LIBC.fanotify_mark(fd, 1, mask, -100, os.fsencode(m.box() / "new")) < 0:
        pytest.skip(f"fanotify: {os.strerror(ctypes.get_errno())}")
    try:
        world.witness.append("INBOX", mail("one"))
        assert select.select([fd], [], [], 20)[0]
        assert os.fsencode(only(m.box() / "new").name) in os.read(fd, 65536)
    finally:
        os.close(fd)


def test_nothing_that_was_done_here_is_shown_twice(world, watch):
    m = world.mailmount
    m.mount()
    w = watch(m.box() / "cur", m.box() / "new")
    world.witness.append("INBOX", mail("mine"), ["\\Seen"])
    eventually(lambda: w.read(0.1))  # its arrival is shown, whenever: only then does what is done here begin
    path = only(m.box() / "cur")
    w.seen.clear()
    os.rename(path, path.with_name(path.name + "F"))
    made = m.deliver(mail("made"))
    m.sync()
    time.sleep(1)
    assert w.read() == [("MOVED_FROM", "cur", path.name), ("MOVED_TO", "cur", path.name + "F"), ("MOVED_TO", "new", made.name)]


def test_somebody_looked_first(world, watch):
    """Who lists all the time knows the new name before it can be shown: a change of attributes it is, then."""
    m = world.mailmount
    m.mount()
    new = m.box() / "new"
    w = watch(new)
    stop = threading.Event()

    def look():
        while not stop.is_set():
            for name in os.listdir(new):
                os.stat(new / name)
    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for number in range(20):
            world.witness.append("INBOX", mail(f"n{number}"))
        eventually(lambda: len(os.listdir(new)) == 20)
    finally:
        stop.set()
        for looker in lookers:
            looker.join()
    names = set(os.listdir(new))
    equal(lambda: {name for kind, _, name in w.read(0.1) if kind in ("MOVED_TO", "ATTRIB")} - {""}, names)


def test_directories_only(world, watch):
    m = world.new_mailmount(events="dir")
    m.mount()
    w = watch(m.box() / "new", m.box() / "cur")
    uid = world.witness.append("INBOX", mail("one"))
    w.until([("ATTRIB", "new", "")])
    world.witness.store("INBOX", uid, "+FLAGS", "\\Seen")
    w.until([("ATTRIB", "cur", "")])
    assert {kind for kind, _, _ in w.seen} == {"ATTRIB"} and {name for _, _, name in w.seen} == {""}


def test_off(world, watch):
    m = world.new_mailmount(events="off")
    m.mount()
    w = watch(m.box() / "new", m.box() / "cur")
    world.witness.append("INBOX", mail("one"))
    equal(lambda: len(os.listdir(m.box() / "new")), 1)
    time.sleep(1)
    assert not w.read()


def test_many_at_once(world, watch):
    """Not one by one: the directory has changed."""
    m = world.mailmount
    m.mount()
    w = watch(m.box() / "new")
    uids = [world.witness.append("INBOX", mail(f"n{number}")) for number in range(400)]
    m.sync()
    equal(lambda: len(os.listdir(m.box() / "new")), 400)
    w.read(0.5)
    w.seen.clear()
    world.witness.store("INBOX", f"{uids[0]}:{uids[-1]}", "+FLAGS", "\\Seen")
    equal(lambda: len(os.listdir(m.box() / "cur")), 400)
    w.until([("ATTRIB", "new", "")])
    assert not os.listdir(m.box() / "new")


def test_mailboxes(world, watch):
    m = world.mailmount
    m.mount()
    w = watch(m.root)
    world.witness.create("Fresh")
    m.sync()
    eventually(lambda: m.box("Fresh").is_dir())
    eventually(lambda: any(kind == "ATTRIB" for kind, _, _ in w.read(0.1)))


def test_read_only_mount_has_none(world, watch):
    world.witness.append("INBOX", mail("old"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    m.umount()
    m.start(options=["-o", "ro"])
    w = watch(m.box() / "new")
    world.witness.append("INBOX", mail("one"))
    equal(lambda: len(os.listdir(m.box() / "new")), 1)
    assert not w.read(0.5)


def test_open_files_and_what_is_written_meanwhile(world, watch):
    """A file that is open keeps its text, whatever becomes of its name; its attributes are right all the time."""
    uid = world.witness.append("INBOX", mail("open", "x" * 3000 + "\r\n"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    with open(only(m.box() / "cur"), "rb") as file:
        head = file.read(100)
        for flag in ("\\Flagged", "\\Answered", "\\Draft"):
            world.witness.store("INBOX", uid, "+FLAGS", flag)
            eventually(lambda letter=flag[1].replace("A", "R"): letter in only(m.box() / "cur").name)
            assert os.fstat(file.fileno()).st_size == len(lf(mail("open", "x" * 3000 + "\r\n")))
        world.witness.expunge("INBOX", uid)
        equal(lambda: os.listdir(m.box() / "cur"), [])
        assert head + file.read() == lf(mail("open", "x" * 3000 + "\r\n"))
        assert os.fstat(file.fileno()).st_nlink == 0


def unmount_by_hand(m):
    by_hand = subprocess.run(["fusermount3", "-u", m.root], capture_output=True, text=True, check=False)
    assert (by_hand.returncode, by_hand.stderr) == (0, "")


def stop_in_a_batch(hand):
    """The process that makes the events, stopped while it has the file system open."""
    def is_caught():
        os.kill(hand, signal.SIGSTOP)
        if len(os.listdir(f"/proc/{hand}/fd")) > 1:
            return True
        os.kill(hand, signal.SIGCONT)
        return False
    eventually(is_caught, interval=0.003)


def test_never_busy(world):
    """The mount can be unmounted at any time and by any means, however much comes from the server and is shown."""
    if os.getuid() != 0 and subprocess.run(["unshare", "--user", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no namespaces for ordinary users")
    m = world.mailmount
    m.mount()
    uids = [world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"]) for number in range(30)]
    m.sync()
    stop = threading.Event()

    def change():
        for verb in itertools.cycle(["+FLAGS", "-FLAGS"]):
            world.witness.store("INBOX", f"{uids[0]}:{uids[-1]}", verb, "\\Flagged")
            if stop.wait(0.02):
                return
    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(4):
            m.umount()
            m.start()
            hand, = eventually(lambda: children(m.process.pid))
            stop_in_a_batch(hand)
            try:
                unmount_by_hand(m)
                assert not m.is_mounted()
            finally:
                os.kill(hand, signal.SIGCONT)
            assert m.process.wait(15) == 0
            m.start()
            time.sleep(0.2)
    finally:
        stop.set()
        changing.join()
    m.sync(60)
    assert m.tokens() == world.witness.tokens("INBOX")


def test_killed_while_it_shows(world):
    """The process that makes the events goes with the daemon, and nobody waits for ever."""
    m = world.mailmount
    for _ in range(2):
        m.start()
        hand = eventually(lambda: children(m.process.pid))
        for number in range(20):
            world.witness.append("INBOX", mail(f"n{time.monotonic_ns()}"))
        time.sleep(0.1)
        m.kill9()
        equal(lambda: [pid for pid in hand if os.path.exists(f"/proc/{pid}")], [], 10)
    m.start()
    m.sync()
    assert m.tokens() == world.witness.tokens("INBOX")


def children(pid):
    text = "".join(open(f"/proc/{pid}/task/{task}/children").read() for task in os.listdir(f"/proc/{pid}/task"))
    return [int(child) for child in text.split()]


def test_a_wait_for_the_network_holds_up_nothing(world, watch):
    """Opens that are parked, a program that moves a file and waits in one: others are shown, and the mount ends."""
    for number in range(30):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Other")
    wire = world.new_proxy()
    m = world.through(wire, bodies="on-demand")
    m.mount()
    paths = sorted((m.box() / "cur").iterdir())
    # Bodies do not come; all else does.
    held = threading.Event()
    wire.filter = lambda direction, octets: held.wait(60) and octets if direction == "server" and b"BODY.PEEK[]" in octets else octets
    waiting = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for path in paths[:25]]
    waiting.append(subprocess.Popen(["mv", paths[25], m.box() / "tmp" / "taken"], stderr=subprocess.DEVNULL))
    time.sleep(0.5)
    try:
        assert len(os.listdir(m.box("Other") / "cur")) == 0
        m.process.terminate()
        assert m.process.wait(15) == 0
        m.process = None
        for one in waiting:
            one.wait(10)
    finally:
        held.set()
        for one in waiting:
            one.kill()
