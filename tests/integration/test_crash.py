"""kill -9 and lost answers: nothing is lost, nothing is doubled."""
import os
import random
import shutil
import subprocess
import threading
import time
from contextlib import suppress

import pytest

from support import equal, eventually, lf, mail, stays

KILLS = 12


def survive(m):
    m.died_expected = True
    m.kill9()


def test_first_sync(world):
    """Killed at several points of a first sync."""
    wanted = {f"n{n}": mail(f"n{n}", "x" * 20_000 + "\r\n") for n in range(60)}
    for octets in wanted.values():
        world.witness.append("INBOX", octets, ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    for limit in (2_000, 30_000, 200_000, 700_000):
        passed, stop = [0], threading.Event()

        def count(direction, octets):
            if direction == "client":
                passed[0] += len(octets)
                if passed[0] > limit:
                    stop.set()
                    wire.stall()
            return octets
        wire.filter = count
        m.start(wait=False)
        stop.wait(20)
        survive(m)
        wire.filter = None
        wire.cut()
        wire.plug()
    m.mount()
    assert m.read() == {token: lf(octets) for token, octets in wanted.items()}
    assert world.witness.tokens("INBOX") == sorted(wanted)


def test_killed_while_it_starts(world):
    """It asks nothing of its own mount, which would keep it for ever once nobody is left to answer."""
    m = world.mailmount
    m.mount()
    for number in range(3 * KILLS):
        if m.process:
            survive(m)
        m.start(wait=False)
        time.sleep(0.003 * number)
        killed, m.process = m.process, None
        killed.kill()
        killed.wait(20)
    m.start()
    m.sync()


class Busy:
    """A program that makes, renames and removes files in a directory, until told to stop, whatever becomes of that."""

    def __init__(self, directory, number):
        self.directory, self.number, self.over = directory, number, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for count in range(1_000_000):
            if self.over:
                return
            name = self.directory / f"{count}.busy{self.number}"
            try:
                name.write_bytes(b"")
                name.rename(name.with_suffix(".other"))
                name.with_suffix(".other").unlink()
            except OSError:
                time.sleep(0.001)

    def stop(self):
        self.over = True
        self.thread.join(20)
        assert not self.thread.is_alive(), "a program hangs in the mount"


def test_killed_while_it_tells_the_kernel(mounted):
    """The kernel holds a directory while a program waits for us, who wait for the kernel to let us tell it what is new in that
    directory: one that is killed just then does not go away, nor do the programs, before somebody ends the connection. The
    next mount does."""
    m = mounted.mailmount
    wanted = []
    for number in range(KILLS):
        programs = [Busy(m.box() / sub, n) for n, sub in enumerate(("cur", "new", "new"))]
        for count in range(8):
            wanted.append(f"m{number}-{count}")
            mounted.witness.append("INBOX", mail(wanted[-1]))
        killed = m.process
        killed.kill()
        try:
            killed.wait(0.5)
        except subprocess.TimeoutExpired:
            pass
        m.died_expected = True
        m.start()
        killed.wait(20)
        for program in programs:
            program.stop()
    for left in [*m.box().glob("*/*.busy?"), *m.box().glob("*/*.other")]:
        left.unlink()
    m.sync()
    equal(lambda: m.tokens(), sorted(wanted))


def test_what_a_program_was_told_is_stored_survives(mounted):
    """A delivery that was acknowledged, a kill at once."""
    m = mounted.mailmount
    for number in range(5):
        path = m.deliver(mail(f"n{number}"), info="S")
        fd = os.open(path.parent, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        survive(m)
        m.start()
        assert path.read_bytes() == lf(mail(f"n{number}"))
    m.sync()
    assert mounted.witness.tokens("INBOX") == [f"n{n}" for n in range(5)]


def test_half_a_file_is_never_sent(mounted):
    m = mounted.mailmount
    out = open(m.box() / "tmp" / "half", "wb", buffering=0)
    out.write(b"Subject: half\n")
    survive(m)
    try:
        out.close()
    except OSError:
        pass
    m.mount()
    stays(lambda: mounted.witness.tokens("INBOX") == [], 2)


def test_flags_synced_to_disk_survive(world):
    world.witness.append("INBOX", mail("x"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    m.retag("x", "FS")
    fd = os.open(m.box() / "cur", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    survive(m)
    m.start()
    assert m.letters("x") == "FS"
    wire.plug()
    m.sync()
    assert world.witness.flags("INBOX", "x") == {"\\Seen", "\\Flagged"}


class Trap:
    """A filter that waits for a command and then keeps the server's answer from its client."""

    def __init__(self, wire, command, answer, action):
        self.wire, self.command, self.answer, self.action = wire, command, answer, action
        self.sprung = threading.Event()
        self.seen = False
        wire.filter = self

    def __call__(self, direction, octets):
        if self.sprung.is_set():
            return octets
        if direction == "server" and self.command in octets.upper():
            self.seen = True
            if self.answer is None:
                self.sprung.set()
                return self.action(octets)
        elif direction == "client" and self.seen and self.answer and self.answer in octets:
            self.sprung.set()
            return self.action(octets)
        return octets

    def lift(self):
        self.wire.filter = None


def drop_line(_):
    return None


@pytest.mark.parametrize("kill", [False, True], ids=["line-lost", "killed"])
@pytest.mark.parametrize("kind", ["full", "plain", "bare"])
def test_append_answer_lost(servers, world_at, kill, kind):
    """The server has it and said so, and nobody heard."""
    world = world_at(servers.get(kind))
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    trap = Trap(wire, b"APPEND", b"OK", drop_line)
    m.deliver(mail("once"), info="S")
    if kind == "bare":  # without LITERAL+ the first OK may be another command's: drop the line when the mail arrived
        eventually(lambda: world.witness.tokens("INBOX") == ["once"] or trap.sprung.is_set())
    assert trap.sprung.wait(20), "no APPEND was answered"
    if kill:
        survive(m)
    trap.lift()
    if kill:
        m.start()
    m.sync()
    m.sync()
    assert world.witness.tokens("INBOX") == ["once"]
    assert m.tokens() == ["once"]


@pytest.mark.parametrize("kill", [False, True], ids=["line-lost", "killed"])
def test_line_lost_before_the_append_is_whole(world, kill):
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    sent = [0]

    def part(direction, octets):
        if direction == "server":
            sent[0] += len(octets)
            if sent[0] > 500_000:
                return None
        return octets
    wire.filter = part
    m.deliver(mail("once", "x" * 2_000_000 + "\r\n"), info="S")
    eventually(lambda: sent[0] > 500_000)
    if kill:
        survive(m)
    wire.filter = None
    if kill:
        m.start()
    m.sync()
    assert world.witness.tokens("INBOX") == ["once"]


@pytest.mark.parametrize("kill", [False, True], ids=["line-lost", "killed"])
@pytest.mark.parametrize("verb", ["MOVE", "COPY", "STORE", "EXPUNGE", "CREATE"])
def test_other_answers_lost(world, verb, kill):
    for number in range(3):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Archive")
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    trap = Trap(wire, verb.encode(), b"OK", drop_line)
    expected = {"INBOX": ["n0", "n1", "n2"], "Archive": []}
    if verb == "MOVE":
        os.rename(m.path("n0"), m.box("Archive") / "cur" / "x:2,S")
        expected = {"INBOX": ["n1", "n2"], "Archive": ["n0"]}
    elif verb == "COPY":
        os.link(m.path("n0"), m.box("Archive") / "cur" / "x:2,S")
        expected["Archive"] = ["n0"]
    elif verb == "STORE":
        m.retag("n0", "FS")
    elif verb == "EXPUNGE":
        os.unlink(m.path("n0"))
        expected["INBOX"] = ["n1", "n2"]
    else:
        for sub in ("cur", "new", "tmp"):
            os.makedirs(m.box("Made") / sub)
        expected["Made"] = []
    assert trap.sprung.wait(20), f"no {verb} was answered"
    if kill:
        survive(m)
    trap.lift()
    if kill:
        m.start()
    m.sync()
    assert {box: world.witness.tokens(box) for box in expected} == expected
    assert {box: m.tokens(box) for box in expected} == expected
    if verb == "STORE":
        assert world.witness.flags("INBOX", "n0") == {"\\Seen", "\\Flagged"}


def test_killed_among_uploads(world):
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wanted = {f"n{n:02}": mail(f"n{n:02}", "x" * 30_000 + "\r\n") for n in range(40)}
    for octets in wanted.values():
        m.deliver(octets, info="S")
    for round_trip in range(5):
        stop, passed = threading.Event(), [0]

        def count(direction, octets):
            if direction == "server":
                passed[0] += len(octets)
                if passed[0] > 100_000 + 40_000 * round_trip:
                    stop.set()
                    return None
            return octets
        wire.filter = count
        stop.wait(10)
        survive(m)
        wire.filter = None
        m.start()
    m.sync(90)
    assert world.witness.tokens("INBOX") == sorted(wanted)
    assert m.read() == {token: lf(octets) for token, octets in wanted.items()}


def test_edit_and_kill(world):
    """Between the APPEND of the new version and the removal of the old one."""
    world.witness.append("INBOX", mail("draft", "old\r\n"), ["\\Seen", "\\Draft"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    trap = Trap(wire, b"APPEND", b"OK", drop_line)
    m.path("draft").write_bytes(lf(mail("draft", "new\r\n")))
    assert trap.sprung.wait(20)
    survive(m)
    trap.lift()
    m.start()
    m.sync()
    assert world.witness.tokens("INBOX") == ["draft"]
    assert world.witness.messages("INBOX")["draft"].octets == mail("draft", "new\r\n")


def test_emptied_and_killed(world):
    """A program empties a message, and forks before it writes: that closes the file. Its mail is whole again, not empty."""
    world.witness.append("INBOX", mail("draft", "old\r\n"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    fd = os.open(m.path("draft"), os.O_WRONLY | os.O_TRUNC)
    os.close(os.dup(fd))
    survive(m)
    with suppress(OSError):
        os.close(fd)
    m.start()
    m.sync()
    assert m.read() == {"draft": lf(mail("draft", "old\r\n"))}
    assert world.witness.tokens("INBOX") == ["draft"]


@pytest.mark.parametrize("forced", [True, False], ids=["fsync", "no-fsync"])
@pytest.mark.parametrize("how", ["rename", "link"])
def test_delivered_open_and_killed(world, how, forced):
    """Delivered by a program that has not closed it yet: what the delivery was told is on disk, and goes to the server."""
    m = world.mailmount
    m.mount()
    octets = lf(mail("open"))
    scratch = m.box() / "tmp" / "1.open.here"
    fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(fd, octets)
    if forced:
        os.fsync(fd)
    (os.rename if how == "rename" else os.link)(scratch, m.box() / "new" / scratch.name)
    survive(m)
    with suppress(OSError):
        os.close(fd)
    m.start()
    assert m.read() == {"open": octets}
    m.sync()
    equal(lambda: world.witness.tokens("INBOX"), ["open"])


def test_database_lost(world):
    """Case 73: a union merge, no removals in either direction, and mail that was not sent yet is found again."""
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    m.deliver(mail("unsent"), info="S")
    time.sleep(1.5)
    m.umount()
    for name in os.listdir(m.data):
        if name.startswith("mail.db"):
            os.unlink(m.data / name)
    wire.plug()
    m.mount()
    expected = sorted(["unsent"] + [f"n{n}" for n in range(5)])
    assert world.witness.tokens("INBOX") == expected
    eventually(lambda: m.tokens() == expected)


def test_database_lost_right_after_a_delivery(world):
    """The end of a mount does not leave to the next one what half a second of quiet would have done."""
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    m.deliver(mail("unsent"), info="S")
    m.umount()
    for path in m.data.glob("mail.db*"):
        path.unlink()
    wire.plug()
    m.mount()
    assert world.witness.tokens("INBOX") == ["unsent"]
    eventually(lambda: m.tokens() == ["unsent"])


def test_old_database_put_back(world):
    """Case 73: a restored backup must not undo what happened since."""
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    m.umount()
    backup = world.folder / "backup"
    backup.mkdir()
    for path in m.data.glob("mail.db*"):
        shutil.copy2(path, backup)
    m.start()
    m.deliver(mail("later"), info="S")
    world.witness.append("INBOX", mail("later-there"), ["\\Seen"])
    m.sync()
    m.umount()
    for path in m.data.glob("mail.db*"):
        path.unlink()
    for path in backup.iterdir():
        shutil.copy2(path, m.data)
    m.mount()
    expected = sorted(["later", "later-there"] + [f"n{n}" for n in range(5)])
    assert world.witness.tokens("INBOX") == expected
    eventually(lambda: m.tokens() == expected)


def test_bodies_lost(world):
    """Case 20: fetched again, never taken for an edit."""
    wanted = {f"n{n}": mail(f"n{n}", "x" * 1000 + "\r\n") for n in range(5)}
    for octets in wanted.values():
        world.witness.append("INBOX", octets, ["\\Seen"])
    m = world.mailmount
    m.mount()
    uids = world.witness.uids("INBOX")
    m.umount()
    bodies = [p for p in (m.data / "bodies").rglob("*") if p.is_file()]
    assert len(bodies) >= 5
    bodies[0].unlink()
    os.truncate(bodies[1], 10)
    m.start()
    assert m.read() == {token: lf(octets) for token, octets in wanted.items()}
    m.sync()
    assert world.witness.uids("INBOX") == uids


def test_check_finds_and_repairs(world):
    world.mailmount.need("check")
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}", f"{number}" * 1000 + "\r\n"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    assert m.run("check").returncode == 0
    m.umount()
    assert m.run("check").returncode == 0
    body = next(p for p in (m.data / "bodies").rglob("*") if p.is_file())
    damaged = bytearray(body.read_bytes())
    damaged[-5] ^= 1
    body.chmod(0o600)
    body.write_bytes(damaged)
    assert m.run("check").returncode != 0
    m.run("check", "--repair")
    m.mount()
    assert m.read() == {f"n{n}": lf(mail(f"n{n}", f"{n}" * 1000 + "\r\n")) for n in range(5)}
    assert m.run("check").returncode == 0


@pytest.mark.parametrize("seed", range(3))
def test_random_work_and_kills(world, seed):
    """Nothing lost, nothing doubled, both sides the same in the end."""
    rng = random.Random(seed)
    world.witness.create("Archive")
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    live, count = set(), 0
    for _ in range(6):
        for _ in range(12):
            choice = rng.random()
            if choice < 0.35 or not live:
                token, count = f"n{count}", count + 1
                if rng.random() < 0.5:
                    m.deliver(mail(token), rng.choice(["INBOX", "Archive"]), info="S")
                else:
                    world.witness.append(rng.choice(["INBOX", "Archive"]), mail(token), ["\\Seen"])
                live.add(token)
                continue
            token = rng.choice(sorted(live))
            box = next((b for b in ("INBOX", "Archive") if token in m.tokens(b)), None)
            if not box:
                continue  # from the server, and not here yet
            path = m.path(token, box)
            try:
                if choice < 0.55:
                    os.rename(path, path.parent.parent / "cur" / f"{path.name.partition(':2,')[0]}:2,{rng.choice(['S', 'FS', 'RS'])}")
                elif choice < 0.85:
                    other = {"INBOX": "Archive", "Archive": "INBOX"}[box]
                    os.rename(path, m.box(other) / "cur" / f"{path.name.partition(':2,')[0]}:2,S")
                else:
                    os.unlink(path)
                    live.discard(token)
            except FileNotFoundError:
                pass  # renamed under our hands by the sync; as with any two clients
        time.sleep(rng.random())
        act = rng.random()
        if act < 0.5:
            os.sync()
            survive(m)
            m.start()
        elif act < 0.8:
            wire.cut()
            time.sleep(0.2)
            wire.plug()
    m.sync(60)
    there = sorted(world.witness.tokens("INBOX") + world.witness.tokens("Archive"))
    here = sorted(m.tokens() + m.tokens("Archive"))
    assert there == here
    assert set(there) >= live, f"lost: {live - set(there)}"
    assert len(there) == len(set(there)), "doubled"
    for box in ("INBOX", "Archive"):
        flags = {token: message.flags for token, message in world.witness.messages(box).items()}
        assert {token: ("\\Flagged" in f, "\\Answered" in f) for token, f in flags.items()} == \
            {token: ("F" in m.letters(token, box), "R" in m.letters(token, box)) for token in m.tokens(box)}
