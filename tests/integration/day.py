"""A whole day with one account, for every kind of server: work on both sides, on line and off line, and a night in which
nothing happens.

The book knows what has to be in each mailbox; each act is done here, through the mount, or there, by another client, and noted.
"""
import os
import threading
import time
from calendar import timegm
from dataclasses import dataclass, replace

from support import CHANGING, FLAG_LETTERS, changing, eventually, letters, lf, mail, token_of

LETTER_FLAGS = {letter: flag for flag, letter in FLAG_LETTERS.items()}
SUBS = ("cur", "new", "tmp")
LONG_AGO = 1_500_000_000
ROUND_SECONDS = 90


@dataclass(frozen=True)
class Entry:
    token: str
    flags: tuple
    octets: bytes
    date: int = 0  # 0: not known, or not the same on both sides


def entry(token, flags, octets, date=0):
    return Entry(token, tuple(sorted(flags)), lf(octets), date)


def served(box):
    """The entries of a mailbox in the mount, keywords by the list that Dovecot's Maildir has, too."""
    found = []
    try:
        table = dict(line.split(" ", 1) for line in (box / "dovecot-keywords").read_text().splitlines())
    except FileNotFoundError:
        table = {}
    for sub in SUBS[:2]:
        for path in (box / sub).iterdir():
            octets = path.read_bytes()
            flags = [LETTER_FLAGS.get(c) or table.get(str(ord(c) - ord("a")), f"unknown {c} in {table}") for c in letters(path.name)]
            found.append(entry(token_of(octets), flags, octets, int(path.stat().st_mtime)))
    return sorted(found, key=str)


def stored(witness, box):
    """The same of the server."""
    found = []
    for message in witness.fetch(box).values():
        moment, zone = message.date.rsplit(" ", 1)
        offset = (int(zone[1:3]) * 60 + int(zone[3:])) * (-60 if zone[0] == "-" else 60)
        date = timegm(time.strptime(moment.strip(), "%d-%b-%Y %H:%M:%S")) - offset
        found.append(entry(message.token, message.flags, message.octets, date))
    return sorted(found, key=str)


def brief(boxes):
    return {box: [(e.token, e.flags, e.date) for e in entries] for box, entries in boxes.items()}


def agree(first, second):
    """Fails with what is different."""
    for box in sorted(first.keys() | second.keys()):
        a, b = (set(side.get(box, ["no such mailbox"])) for side in (first, second))
        assert a == b, f"{box}: {sorted(a - b, key=str)} is not {sorted(b - a, key=str)}"
    assert first == second  # nothing is there twice


class Here:
    """Acts of a mail program on the mount."""

    def __init__(self, mount):
        self.mount = mount

    def create(self, box):
        for sub in SUBS:
            (self.mount.box(box) / sub).mkdir(parents=True)

    def rename(self, box, new):
        os.rename(self.mount.box(box), self.mount.box(new))

    def delete(self, box):
        for path in [path for sub in SUBS for path in (self.mount.box(box) / sub).iterdir()]:
            path.unlink()
        for sub in SUBS:
            (self.mount.box(box) / sub).rmdir()
        self.mount.box(box).rmdir()

    def append(self, box, octets, flags):
        self.mount.deliver(octets, box, info="".join(sorted(FLAG_LETTERS[flag] for flag in flags)))

    def flag(self, box, token, flag, on):
        if flag in FLAG_LETTERS:
            letter = FLAG_LETTERS[flag]
        else:
            lines = (self.mount.box(box) / "dovecot-keywords").read_text().splitlines()
            letter = chr(ord("a") + next(int(line.split(" ")[0]) for line in lines if line.split(" ", 1)[1] == flag))
        wanted = set(self.mount.letters(token, box)) - {letter} | ({letter} if on else set())
        self.mount.retag(token, "".join(sorted(wanted)), box)

    def _elsewhere(self, box, token, target):
        path = self.mount.path(token, box)
        return path, self.mount.box(target) / "cur" / (path.name if ":2," in path.name else path.name + ":2,")

    def move(self, box, token, target):
        os.rename(*self._elsewhere(box, token, target))

    def copy(self, box, token, target):
        os.link(*self._elsewhere(box, token, target))

    def edit(self, box, token, octets, _):
        self.mount.rewrite(self.mount.path(token, box), octets)

    def remove(self, box, token):
        self.mount.path(token, box).unlink()


class There:
    """Acts of another client on the server."""

    def __init__(self, witness):
        self.witness = witness
        self.create, self.rename, self.delete = witness.create, witness.rename, witness.delete

    def append(self, box, octets, flags, date=None):
        self.witness.append(box, octets, flags, date)

    def _uid(self, box, token):
        """Of this message; others may be there twice for a moment, while an edit is carried out."""
        (uid,) = [message.uid for message in self.witness.fetch(box).values() if message.token == token]
        return uid

    def flag(self, box, token, flag, on):
        self.witness.store(box, self._uid(box, token), "+FLAGS" if on else "-FLAGS", flag)

    def move(self, box, token, target):
        self.witness.move(box, self._uid(box, token), target)

    def copy(self, box, token, target):
        self.witness.copy(box, self._uid(box, token), target)

    def edit(self, box, token, octets, flags):
        uid = self._uid(box, token)
        self.append(box, octets, flags, LONG_AGO)
        self.witness.expunge(box, uid)

    def remove(self, box, token):
        self.witness.expunge(box, self._uid(box, token))


class Day:
    def __init__(self, world, mount):
        self.world, self.mount = world, mount
        self.here, self.there = Here(mount), There(world.witness)
        self.book = {"INBOX": {}}

    # Acts, and their entries in the book

    def create(self, side, box):
        side.create(box)
        self.book[box] = {}

    def rename(self, side, box, new):
        side.rename(box, new)
        self.book[new] = self.book.pop(box)

    def delete(self, side, box):
        side.delete(box)
        del self.book[box]

    def deliver(self, side, box, token, *flags):
        octets = mail(token, f"{token} " * 40 + "\r\n")
        side.append(box, octets, flags, *([LONG_AGO] if side is self.there else []))
        self.book[box][token] = entry(token, flags, octets, LONG_AGO if side is self.there else 0)

    def flag(self, side, box, token, flag, on=True):
        side.flag(box, token, flag, on)
        was = self.book[box][token]
        self.book[box][token] = replace(was, flags=tuple(sorted({*was.flags, flag} if on else {*was.flags} - {flag})))

    def move(self, side, box, token, target):
        side.move(box, token, target)
        self.book[target][token] = self.book[box].pop(token)

    def copy(self, side, box, token, target):
        side.copy(box, token, target)
        self.book[target][token] = self.book[box][token]

    def edit(self, side, box, token):
        was = self.book[box][token]
        octets = mail(token, f"{token}, written anew by {type(side).__name__}\r\n")
        side.edit(box, token, octets, was.flags)
        self.book[box][token] = replace(was, octets=lf(octets), date=0 if side is self.here else LONG_AGO)

    def remove(self, side, box, token):
        side.remove(box, token)
        del self.book[box][token]

    # Scenes

    def prepare(self, spell):
        """What is there before a spell of work."""
        there = self.there
        for number in range(12):
            self.deliver(there, "INBOX", f"{spell}{number}", *["\\Seen", "todo"][:number % 3])
        for who in ("here", "there"):
            for kind in ("Old", "Gone"):
                self.create(there, f"{kind} {who} {spell}")
                for number in range(3):
                    self.deliver(there, f"{kind} {who} {spell}", f"{spell}{kind}{who}{number}", "\\Seen")

    def work(self, side, who, spell, first):
        """Everything that one does to mail, with six messages from first on, and a bit with one that the other side has too."""
        tokens = [f"{spell}{number}" for number in range(first, first + 6)]
        self.deliver(side, "INBOX", f"{spell}{who}", "\\Seen", "\\Flagged")
        self.flag(side, "INBOX", f"{spell}11", "\\Flagged" if who == "here" else "\\Answered")
        self.flag(side, "INBOX", f"{spell}11", "todo" if who == "here" else "\\Seen", on=False)
        self.flag(side, "INBOX", tokens[0], "todo")
        self.flag(side, "INBOX", tokens[0], "\\Draft")
        self.move(side, "INBOX", tokens[1], "Archive/2024")
        self.copy(side, "INBOX", tokens[2], "Archive/2024")
        self.edit(side, "INBOX", tokens[3])
        self.remove(side, "INBOX", tokens[4])
        self.create(side, f"Größe {who} {spell}")
        self.deliver(side, f"Größe {who} {spell}", f"{spell}{who}made", "\\Answered")
        self.rename(side, f"Old {who} {spell}", f"Renamed {who} {spell}")
        self.delete(side, f"Gone {who} {spell}")

    def both_work(self, spell):
        self.work(self.here, "here", spell, 0)
        self.work(self.there, "there", spell, 5)

    def expected(self):
        return {box: sorted(there.values(), key=str) for box, there in self.book.items()}

    def shown(self):
        """What both sides show. An edit has the time of the edit here and the message's date there, and of what is made here
        the book does not know it."""
        def dated(box, found):
            return sorted((e if box in self.book and e.token in self.book[box] and self.book[box][e.token].date else
                           replace(e, date=0) for e in found), key=str)
        # The inbox last: Dovecot hangs up on those who have a mailbox selected that is removed.
        names = sorted(self.world.witness.mailboxes(), key="INBOX".__eq__)
        server = {box: dated(box, stored(self.world.witness, box)) for box in names}
        boxes = {str(cur.parent.relative_to(self.mount.root)): cur.parent for cur in self.mount.root.rglob("cur")}
        return server, {box: dated(box, served(path)) for box, path in boxes.items()}

    def check(self):
        expected = self.expected()
        server, mount = self.shown()
        agree(brief(server), brief(expected))
        agree(brief(mount), brief(expected))
        agree(server, expected)
        agree(mount, expected)
        return True

    def is_as_booked(self):
        self.mount.sync(ROUND_SECONDS)
        eventually(self.check, ROUND_SECONDS)


def morning(world):
    """Both sides have the same mail. Needs a server that is in a fit state to be asked for anything."""
    wire = world.new_proxy()
    mount = world.through(wire)
    day = Day(world, mount)
    day.create(day.there, "Archive")
    day.create(day.there, "Archive/2024")
    day.prepare("m")
    mount.mount()
    day.is_as_booked()
    return day, wire


def whole_day(world):
    day, wire = morning(world)
    day.both_work("m")
    day.prepare("a")
    day.is_as_booked()
    wire.cut()
    day.both_work("a")
    wire.plug()
    day.is_as_booked()
    quiet_night(day, wire)


class Scissors:
    """A filter that cuts the line at the next command that changes something: before it gets through, or before its answer does."""

    def __init__(self, before):
        self.before = before
        self.has_cut = threading.Event()
        self.seen = False

    def __call__(self, direction, octets):
        if direction == "server" and CHANGING.search(octets.decode("latin-1")):
            self.seen = True
        if self.has_cut.is_set() or not self.seen or direction != ("server" if self.before else "client"):
            return octets
        self.has_cut.set()
        return None


def rough_day(world, cuts=9):
    """The line is cut again and again while what was done off line is carried out, and often the mount dies of it."""
    day, wire = morning(world)
    wire.cut()
    day.both_work("m")
    fd = os.open(day.mount.box() / "cur", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    for number in range(cuts):
        wire.filter = Scissors(before=number % 4 == 3)
        wire.plug()
        assert wire.filter.has_cut.wait(ROUND_SECONDS), "nothing was left to do"
        wire.cut()
        if number % 3:
            day.mount.died_expected = True
            day.mount.kill9()
            day.mount.start()
    wire.filter = None
    wire.plug()
    day.is_as_booked()
    quiet_night(day, wire)


def quiet_night(day, wire):
    """Nothing happens: nothing is changed, neither by a running mount nor by one that starts again."""
    wire.reset_counts()
    day.mount.sync()
    day.mount.remount()
    day.mount.sync()
    assert not changing(wire), changing(wire)
    day.is_as_booked()
