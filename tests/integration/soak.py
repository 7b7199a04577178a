"""Random work on one account from three sides, for tools/soak and test_soak.

Two mounts behind wires and a rude client work at the same time, while mounts are killed and wires pulled. After each
spell of work everything stops, and the book is compared with what is there. Two kinds of messages make that possible where
concurrent acts have several legal outcomes:

- *Owned* messages (tokens o...) are touched by the actor that made them and by nobody else. The book knows each one's mailbox,
  flags and content. An act that a fault cut short leaves more than one possible outcome; nobody touches that message again
  until the next quiet point has shown which one it is.
- *Pool* messages (tokens p...) are anybody's. Each content may be there once at most; it must be there once unless somebody
  tried to do away with it, or to put it where mailboxes are removed.
"""
import errno
import os
import random
import re
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path

from imapclient import Refused
from soak_book import Book, Owned, digest, is_whole, make
from support import FLAG_LETTERS, letters, lf, token_of

COMMON = ("INBOX", "Archive", "Projekte/Größe")  # nobody removes these
DOOMED = ("Doomed1", "Doomed2", "Doomed2/Sub")  # made and removed by anybody; only pool messages are in them
LETTERS = {letter: flag for flag, letter in FLAG_LETTERS.items()}
OWN_LIMIT, BOX_LIMIT, OWN_BOX_LIMIT = 30, 25, 4
SYNC_SECONDS, SYNC_ROUNDS = 90, 20  # two seconds apart: what was refused is tried again after 15
DEAD = (errno.ENOTCONN, errno.ECONNABORTED)


class Gone(Exception):
    """A pool message went away, or changed, while somebody reached for it: that is life."""


def some_letters(rng, of="DFPRS"):
    return "".join(sorted(letter for letter in of if rng.random() < 0.3))


class Actor:
    """One of the three. The acts are the same for all; how they are done is each one's own."""

    def __init__(self, name, seed, book):
        self.name = name
        self.rng = random.Random(f"{seed} {name}")
        self.book = book
        self.numbers = count(1)
        self.boxes = set()
        self.own = []
        self.acts = [
            (10, self.deliver_own), (8, self.flag_own), (8, self.move_own), (4, self.copy_own), (6, self.edit_own),
            (7, self.remove_own), (2, self.make_own_box), (1, self.rename_own_box), (1, self.remove_own_box),
            (8, self.deliver_pool), (10, self.flag_pool), (10, self.move_pool), (5, self.edit_pool), (5, self.remove_pool),
            (1, self.make_doomed), (1, self.remove_doomed)]

    def work(self, until):
        acts, weights = [act for _, act in self.acts], [weight for weight, _ in self.acts]
        while time.monotonic() < until and not self.book.problems:
            self.act(self.rng.choices(acts, weights)[0])
            time.sleep(self.rng.choice((0, 0, 0.02, 0.1, 0.3)))

    def act(self, act):
        try:
            if act() is not False:
                with self.book.lock:
                    self.book.done[act.__name__] += 1
        except Gone:
            pass
        except Exception as error:  # whatever it is, it is what this program is here to find
            self.book.problem(f"{self.name}: {act.__name__}: {type(error).__name__}: {error}")

    def number(self):
        return f"{self.name}{next(self.numbers)}"

    def attempt(self, what, changes, do, *arguments):
        """Does it. changes: [(owned message, outcomes in between..., outcome)]. Returns whether it was acknowledged."""
        self.book.note(self.name, what)
        certain = self.try_to(do, *arguments)
        for message, *outcomes in changes:
            outcomes = [frozenset(outcome) for outcome in outcomes]
            message.outcomes = outcomes[-1:] if certain else list(dict.fromkeys([*message.outcomes, *outcomes]))
        if not certain:
            self.book.note(self.name, f"{what}: cut short")
            self.book.unsure += 1
        return certain

    def try_to(self, do, *arguments):
        do(*arguments)
        return True

    # Acts on what is the actor's own

    def sure(self):
        """A message of its own and one of its copies."""
        # A broken edit may leave both texts in one mailbox: there the book does not know which file it speaks of.
        messages = [m for m in self.own if m.is_sure and m.copies and len({box for box, _, _ in m.copies}) == len(m.copies)]
        if not messages:
            raise Gone
        message = self.rng.choice(messages)
        return message, self.rng.choice(sorted(message.copies))

    def own_place(self, message=None):
        taken = {box for box, _, _ in message.copies} if message else set()
        places = sorted({*COMMON, *self.boxes} - taken)
        if not places:
            raise Gone
        return self.rng.choice(places)

    def deliver_own(self):
        if sum(len(m.copies) for m in self.own) >= OWN_LIMIT:
            return False
        message = Owned(f"o{self.number()}")
        self.own.append(message)
        self.book.owned[message.token] = message
        octets = make(self.rng, message.token, 0)
        box, flags = self.own_place(), some_letters(self.rng)
        self.attempt(f"deliver {message.token} to {box} as {digest(octets)}, {flags}", [(message, {(box, flags, digest(octets))})],
                     self.deliver, box, octets, flags)

    def flag_own(self):
        message, (box, flags, content) = self.sure()
        wanted = some_letters(self.rng)
        after = message.copies - {(box, flags, content)} | {(box, wanted, content)}
        self.attempt(f"flag {message.token} in {box} {wanted}", [(message, after)], self.flag, box, message.token, wanted)

    def move_own(self):
        message, copy = self.sure()
        box, flags, content = copy
        target = self.own_place(message)
        after = message.copies - {copy} | {(target, flags, content)}
        by_hand = self.rng.random() < 0.2
        self.attempt(f"move {message.token} from {box} to {target}{' by hand' if by_hand else ''}",
                     [(message, message.copies | after, after)], self.move_by_hand if by_hand else self.move, box, message.token, target)

    def copy_own(self):
        message, (box, flags, content) = self.sure()
        target = self.own_place(message)
        self.attempt(f"copy {message.token} from {box} to {target}", [(message, message.copies | {(target, flags, content)})],
                     self.copy, box, message.token, target)

    def edit_own(self):
        message, (box, flags, content) = self.sure()
        message.version += 1
        octets = make(self.rng, message.token, message.version)
        new = (box, flags, digest(octets))
        scratch = (box, "", digest(octets))  # a file without flags, if it comes no further
        self.attempt(f"edit {message.token} in {box} to {digest(octets)}",
                     [(message, message.copies | {scratch}, message.copies | {new}, message.copies - {(box, flags, content)} | {new})],
                     self.edit, box, message.token, octets, flags)

    def remove_own(self):
        message, copy = self.sure()
        self.attempt(f"remove {message.token} from {copy[0]}", [(message, message.copies - {copy})],
                     self.remove, copy[0], message.token)

    def make_own_box(self):
        if len(self.boxes) >= OWN_BOX_LIMIT:
            return False
        name = f"Own-{self.number()} ü"
        if self.boxes and self.rng.random() < 0.4:
            name = f"{self.rng.choice(sorted(self.boxes))}/{name}"
        if self.attempt(f"make {name}", [], self.make_box, name):
            self.boxes.add(name)

    def some_box(self):
        if not self.boxes:
            raise Gone
        return self.rng.choice(sorted(self.boxes))

    def rename_own_box(self):
        old = self.some_box()
        new = f"Own-{self.number()}"

        def renamed(box):
            return new + box[len(old):] if box == old or box.startswith(old + "/") else box
        inside = [m for m in self.own if any(renamed(box) != box for box, _, _ in m.copies)]
        if not all(m.is_sure for m in self.own):
            return False  # one that may be in there would have too many outcomes
        changes = [(m, frozenset((renamed(box), flags, content) for box, flags, content in m.copies)) for m in inside]
        certain = self.attempt(f"rename {old} to {new}", changes, self.rename_box, old, new)
        self.boxes = {renamed(box) if certain else box for box in self.boxes if certain or renamed(box) == box}

    def remove_own_box(self):
        box = self.some_box()
        if any(other.startswith(box + "/") for other in self.boxes) or not all(m.is_sure for m in self.own):
            return False
        for message in self.own:
            for copy in [c for c in message.copies if c[0] == box]:
                if not self.attempt(f"remove {message.token} from {box}", [(message, message.copies - {copy})],
                                    self.remove, box, message.token):
                    return False
        self.boxes.discard(box)
        self.attempt(f"remove mailbox {box}", [], self.remove_box, box)

    # Acts on what is everybody's

    def deliver_pool(self):
        octets = make(self.rng, f"p{self.number()}", 0)
        box = self.rng.choice(COMMON + DOOMED)
        if len(self.names(box)) >= BOX_LIMIT:
            return False
        self.expect(octets, box)
        if self.attempt(f"deliver {token_of(octets)} to {box} as {digest(octets)}", [], self.deliver, box, octets, some_letters(self.rng)):
            self.confirm(octets)

    def expect(self, octets, box):
        with self.book.lock:
            self.book.pool.add(digest(octets))
            if box in DOOMED:
                self.book.pool_doomed.add(digest(octets))

    def confirm(self, octets):
        with self.book.lock:
            self.book.pool_sure.add(digest(octets))

    def reach(self):
        """(mailbox, handle, octets) of any pool message."""
        box = self.rng.choice(COMMON + COMMON + DOOMED)
        names = self.names(box)
        for name in self.rng.sample(names, min(len(names), 4)):
            octets = self.read(box, name)
            if not is_whole(octets):
                self.book.problem(f"{self.name}: {name} in {box} is damaged: {octets[:300]!r}... ({len(octets)} octets)")
            if token_of(octets).startswith("p"):
                return box, name, octets
        raise Gone

    def flag_pool(self):
        box, name, octets = self.reach()
        wanted = some_letters(self.rng, "DFPRS" if self.rng.random() < 0.8 else "FST")
        if "T" in wanted:
            self.book.mark(octets)
        self.attempt(f"flag {digest(octets)} in {box} {wanted}", [], self.flag_by_name, box, name, wanted)

    def move_pool(self):
        box, name, octets = self.reach()
        target = self.rng.choice([b for b in COMMON + COMMON + DOOMED if b != box])
        self.expect(octets, target)
        self.attempt(f"move {digest(octets)} from {box} to {target}", [], self.move_by_name, box, name, target)

    def edit_pool(self):
        box, name, old = self.reach()
        octets = make(self.rng, token_of(old), self.rng.randrange(1, 900))
        self.book.edited(old, octets)
        self.expect(octets, box)
        if self.attempt(f"edit {digest(old)} in {box} to {digest(octets)}", [], self.edit_by_name, box, name, octets):
            self.confirm(octets)

    def remove_pool(self):
        box, name, octets = self.reach()
        self.book.doom(octets)
        self.attempt(f"remove {digest(octets)} from {box}", [], self.remove_by_name, box, name)

    def make_doomed(self):
        box = self.rng.choice(DOOMED)
        self.attempt(f"make {box}", [], self.tolerant, self.make_box, box)

    def remove_doomed(self):
        box = self.rng.choice(DOOMED)
        self.attempt(f"remove mailbox {box}", [], self.tolerant, self.empty_and_remove, box)


class MountActor(Actor):
    """Works on a mount as programs do. The lock keeps acts out while there is no mount, so that nothing is written below it."""

    def __init__(self, name, seed, book, mailmount, wire):
        super().__init__(name, seed, book)
        self.mailmount = mailmount
        self.wire = wire
        self.lock = threading.Lock()
        self.kills = 0
        self.is_down = False
        self.half_made = set()  # parts of names: a file may be left that was made and not written to

    def act(self, act):
        with self.lock:
            super().act(act)

    def try_to(self, do, *arguments):
        kills = self.kills
        try:
            do(*arguments)
            return True
        except OSError as error:
            if self.kills == kills and not self.is_down:
                raise
            return False

    def tolerant(self, do, *arguments):
        """For what everybody does: it may have been done already, or be undone under one's hands."""
        try:
            do(*arguments)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
                raise

    def kill(self, pause_s):
        """From another thread, at any moment of an act."""
        self.is_down = True
        self.kills += 1
        self.mailmount.process.kill()
        self.mailmount.process.wait()
        time.sleep(pause_s)
        with self.lock:
            self.mailmount.process = None
            self.mailmount.start()
            self.is_down = False

    def again(self):
        with self.lock:
            self.mailmount.remount()

    def path(self, box, token):
        """Of an owned message. Its token is in its name, for names stay as clients give them."""
        for _ in range(2):
            names = self._list(box)
            for name in names:
                if f".{token}_" in name:
                    return self.mailmount.box(box) / name
        for name in names:  # a kill may have left an edit's scratch file, which is mail then
            path = self.mailmount.box(box) / name
            if path.name.startswith("sed") and token_of(path.read_bytes()) == token:
                return path
        raise AssertionError(f"{token} is not in {box}: {self._list(box)}")

    def _list(self, box):
        result = []
        for sub in ("cur", "new"):
            try:
                result += [f"{sub}/{name}" for name in os.listdir(self.mailmount.box(box) / sub)]
            except FileNotFoundError:
                pass
        return result

    def names(self, box):
        try:
            return self._list(box)
        except OSError as error:
            if error.errno in DEAD:
                raise Gone from None
            raise

    def read(self, box, name):
        try:
            octets = (self.mailmount.box(box) / name).read_bytes()
            if self._is_half_made(name, octets):
                raise Gone
            return octets
        except FileNotFoundError:
            raise Gone from None
        except OSError as error:
            self.book.note(self.name, f"cannot read {name} in {box}: {error}")
            if error.errno in DEAD + (errno.EIO, errno.EAGAIN, errno.ETIMEDOUT, errno.ENETDOWN, errno.EINTR, errno.ENETUNREACH):
                raise Gone from None
            raise

    def _is_half_made(self, name, octets):
        return not octets and any(part in name for part in self.half_made)

    def deliver(self, box, octets, flags):
        try:
            self.mailmount.deliver(octets, box, info=flags, how=self.rng.choice(("rename", "link", "direct")))
        except FileNotFoundError:
            if box not in DOOMED:
                raise
            raise Gone from None
        except OSError:
            self.half_made.add(f".{token_of(octets)}_")
            raise

    def flag(self, box, token, wanted):
        self._rename(self.path(box, token), self.mailmount.box(box), wanted)

    def _rename(self, path, directory, wanted=None):
        wanted = letters(path.name) if wanted is None else wanted
        sub = "cur" if wanted else path.parent.name
        name = path.name.partition(":2,")[0] + (f":2,{wanted}" if sub == "cur" else "")
        target = directory / sub / name
        if target != path and target.exists():
            raise Gone  # a text and its edit, filed apart, may have one name: nobody wants to lose either
        os.rename(path, target)

    def move(self, box, token, target):
        self._rename(self.path(box, token), self.mailmount.box(target))

    def move_by_hand(self, box, token, target):
        path = self.path(box, token)
        scratch = self.mailmount.box(target) / "tmp" / path.name.partition(":2,")[0]
        scratch.write_bytes(path.read_bytes())
        os.rename(scratch, self.mailmount.box(target) / "cur" / (scratch.name + ":2," + letters(path.name)))
        os.unlink(path)

    def copy(self, box, token, target):
        path = self.path(box, token)
        os.link(path, self.mailmount.box(target) / "cur" / (path.name.partition(":2,")[0] + ":2," + letters(path.name)))

    def edit(self, box, token, octets, _flags):
        self._edit(self.path(box, token), octets)

    def _edit(self, path, octets):
        scratch = path.with_name(f"sed{self.rng.getrandbits(30):x}")
        try:
            scratch.write_bytes(lf(octets))
        except OSError:
            self.half_made.add(scratch.name)
            raise
        os.rename(scratch, path)

    def remove(self, box, token):
        os.unlink(self.path(box, token))

    def _pool(self, do, *arguments):
        try:
            do(*arguments)
        except FileNotFoundError:
            raise Gone from None

    def flag_by_name(self, box, name, wanted):
        self._pool(self._rename, self.mailmount.box(box) / name, self.mailmount.box(box), wanted)

    def move_by_name(self, box, name, target):
        self._pool(self._rename, self.mailmount.box(box) / name, self.mailmount.box(target))

    def edit_by_name(self, box, name, octets):
        self._pool(self._edit, self.mailmount.box(box) / name, octets)

    def remove_by_name(self, box, name):
        self._pool(os.unlink, self.mailmount.box(box) / name)

    def make_box(self, name):
        path = self.mailmount.box(name)
        path.parent.mkdir(exist_ok=True)
        path.mkdir()
        for sub in ("cur", "new", "tmp"):
            (path / sub).mkdir()

    def rename_box(self, old, new):
        os.rename(self.mailmount.box(old), self.mailmount.box(new))

    def remove_box(self, name):
        for left in self._list(name):
            path = self.mailmount.box(name) / left
            if self._is_half_made(left, path.read_bytes()):
                os.unlink(path)
        for sub in ("cur", "new", "tmp"):
            (self.mailmount.box(name) / sub).rmdir()
        self.mailmount.box(name).rmdir()

    def empty_and_remove(self, box):
        for name in self._list(box):
            try:
                os.unlink(self.mailmount.box(box) / name)
            except FileNotFoundError:
                pass
        self.remove_box(box)

    def snapshot(self):
        """{mailbox: [(token, letters, digest, whole)]}"""
        result = {}
        def fail(error):
            raise error
        for folder, directories, _ in os.walk(self.mailmount.root, onerror=fail):
            directories[:] = [d for d in directories if d not in ("cur", "new", "tmp", ".mailmount")]
            box = Path(folder)
            if (box / "cur").is_dir():
                result[str(box.relative_to(self.mailmount.root))] = sorted(self._messages(box))
        return result

    def _messages(self, box):
        for sub in ("cur", "new"):
            for name in os.listdir(box / sub):
                octets = (box / sub / name).read_bytes()
                if not self._is_half_made(name, octets):
                    yield token_of(octets), "".join(sorted(filter(str.isupper, letters(name)))), digest(octets), is_whole(octets)


class ClientActor(Actor):
    """A client that knows no manners: it expunges whatever is marked, and removes mailboxes with all that is in them."""

    def __init__(self, name, seed, book, new_witness):
        super().__init__(name, seed, book)
        self.new_witness = new_witness
        self.witness = new_witness()

    def tolerant(self, do, *arguments):
        try:
            do(*arguments)
        except Refused:
            pass

    def _pool(self, box, do, *arguments):
        """Somebody may remove that mailbox meanwhile; a session that has it selected ends then."""
        try:
            return do(*arguments)
        except (Refused, IndexError, ConnectionError) as error:
            if box not in DOOMED:
                raise
            if isinstance(error, ConnectionError):
                self.reconnect()
            raise Gone from None

    def reconnect(self):
        self.witness.close()
        self.witness = self.new_witness()

    def act(self, act):
        super().act(act)
        if self.rng.random() < 0.02:
            self.reconnect()  # without a LOGOUT, of course
        try:
            self.witness.command("SELECT INBOX")
        except ConnectionError:
            self.reconnect()

    def uid(self, box, token):
        self.witness._select(box)
        untagged, _ = self.witness.command("UID SEARCH HEADER Message-ID", f'"<{token}@"')
        uids = [number for pieces in untagged if pieces[0].startswith(b"SEARCH") for number in re.findall(rb"\d+", pieces[0])]
        assert len(uids) == 1, f"{token} has {len(uids)} UIDs in {box}"
        return int(uids[0])

    def names(self, box):
        return self._pool(box if box in DOOMED else "", self._uids, box)

    def _uids(self, box):
        try:
            return self.witness.uids(box)
        except Refused:
            if box in DOOMED:
                return []  # it may be made anew by whoever delivers there
            raise

    def read(self, box, uid):
        found = self._pool(box, self.witness.fetch, box, "(UID BODY.PEEK[])", str(uid))
        if uid not in found or not found[uid].octets:  # somebody was faster; Dovecot shows that as NIL
            raise Gone
        return found[uid].octets

    @staticmethod
    def flags(wanted):
        return [LETTERS[letter] for letter in wanted]

    def deliver(self, box, octets, flags):
        self._pool(box, self.witness.append, box, octets, self.flags(flags))

    def flag(self, box, token, wanted):
        self.flag_by_name(box, self.uid(box, token), wanted)

    def flag_by_name(self, box, uid, wanted):
        self._pool(box, self.witness.store, box, uid, "FLAGS.SILENT", *self.flags(wanted))

    def move(self, box, token, target):
        self.move_by_name(box, self.uid(box, token), target)

    def move_by_name(self, box, uid, target):
        self._pool(box if box in DOOMED else target, self.witness.move, box, uid, target)

    def move_by_hand(self, box, token, target):
        uid = self.uid(box, token)
        self.witness.copy(box, uid, target)
        self.witness.expunge(box, uid)

    def copy(self, box, token, target):
        self.witness.copy(box, self.uid(box, token), target)

    def edit(self, box, token, octets, flags):
        old = self.uid(box, token)
        self.witness.append(box, octets, self.flags(flags))
        self.witness.expunge(box, old)

    def edit_by_name(self, box, uid, octets):
        self._pool(box, self.witness.append, box, octets, ["\\Draft"])
        self._pool(box, self.witness.expunge, box, uid)

    def remove(self, box, token):
        self.witness.store(box, self.uid(box, token), "+FLAGS.SILENT", "\\Deleted")
        self.witness.command("EXPUNGE")

    def remove_by_name(self, box, uid):
        self._pool(box, self.witness.store, box, uid, "+FLAGS.SILENT", "\\Deleted")
        self._pool(box, self.witness.command, "EXPUNGE")

    def make_box(self, name):
        self.witness.create(name)

    def rename_box(self, old, new):
        self.witness.rename(old, new)

    def remove_box(self, name):
        self.witness.delete(name)

    empty_and_remove = remove_box

    def snapshot(self):
        result = {}
        for box in self.witness.mailboxes():
            result[box] = sorted((m.token, "".join(sorted(FLAG_LETTERS[f] for f in m.flags if f in FLAG_LETTERS)), digest(m.octets),
                                  is_whole(m.octets)) for m in self.witness.fetch(box).values())
        return result


class Soak:
    """Everything of one run. world: of conftest.py; say: hears what goes on."""

    def __init__(self, world, seed, say=print):
        self.world = world
        self.say = say
        self.book = Book()
        self.rng = random.Random(f"{seed} faults")
        for box in COMMON[1:] + DOOMED:
            world.witness.create(box)
        wires = [world.new_proxy() for _ in range(2)]
        self.mounts = [MountActor(name, seed, self.book, world.through(wire, brake="off", poll=2), wire)
                       for name, wire in zip("ab", wires)]
        self.client = ClientActor("c", seed, self.book, world.new_witness)
        self.actors = [*self.mounts, self.client]
        self.rounds = 0
        self.began = time.monotonic()

    def run(self, seconds, spell_seconds=60):
        """Works for that long, with quiet points in between. Returns the problems."""
        end = time.monotonic() + seconds
        for actor in self.mounts:
            actor.mailmount.mount()
        while not self.book.problems:
            left = end - time.monotonic()
            if left < min(5, seconds / 2) and self.rounds:
                break
            self._spell(time.monotonic() + min(spell_seconds, left))
            self._settle()
            self.rounds += 1
            self.say(f"{self.rounds}: {self.summary()}")
        return self.book.problems

    def summary(self):
        book = self.book
        return (f"{sum(book.done.values())} operations ({book.unsure} cut short), {sum(book.faults.values())} faults ("
                + ", ".join(f"{number} {what}" for what, number in sorted(book.faults.items())) + f"), {self.rounds} quiet points")

    def _spell(self, until):
        threads = [threading.Thread(target=actor.work, args=(until,), daemon=True) for actor in self.actors]
        for thread in threads:
            thread.start()
        self._fault(until)  # in this thread, for a daemon ends with the thread that started it
        for thread in threads:
            thread.join()

    def _fault(self, until):
        faults = [(5, self._kill), (1, self._remount), (4, self._cut), (3, self._stall), (3, self._cut_after), (2, self._slow)]
        while time.monotonic() < until and not self.book.problems:
            time.sleep(self.rng.uniform(0.2, 2))
            fault = self.rng.choices([f for _, f in faults], [w for w, _ in faults])[0]
            victim = self.rng.choice(self.mounts)
            name = fault.__name__.strip("_")
            self.book.note("fault", f"{name} {victim.name}")
            try:
                fault(victim)
                self.book.faults[name] += 1
            except Exception as error:
                self.book.problem(f"{name} of {victim.name}: {type(error).__name__}: {error}")

    def _kill(self, victim):
        if victim.mailmount.process.poll() is not None:
            raise RuntimeError(f"it had ended before, with {victim.mailmount.process.returncode}")
        victim.kill(self.rng.choice((0, 0, 1)))

    @staticmethod
    def _remount(victim):
        victim.again()

    def _cut(self, victim):
        victim.wire.cut()
        time.sleep(self.rng.choice((0, 0.1, 1, 3)))
        victim.wire.plug()

    def _stall(self, victim):
        victim.wire.stall()
        time.sleep(self.rng.uniform(0.2, 3))
        victim.wire.plug()

    def _cut_after(self, victim):
        victim.wire.cut_after(self.rng.randrange(1, 20_000))
        time.sleep(self.rng.uniform(0.2, 2))
        victim.wire.plug()

    def _slow(self, victim):
        victim.wire.delay_s = 0.05
        time.sleep(self.rng.uniform(0.5, 3))
        victim.wire.delay_s = 0.0

    def _settle(self):
        self.book.note("all", "quiet")
        if self.book.problems:
            return
        for actor in self.mounts:
            actor.wire.plug()
        for number in range(SYNC_ROUNDS):
            try:
                for actor in self.mounts:
                    actor.mailmount.sync(SYNC_SECONDS)
                shown = {actor.name: actor.snapshot() for actor in self.actors}
            except (AssertionError, OSError) as error:
                if number + 1 == SYNC_ROUNDS:
                    self.book.problem(f"at rest: {type(error).__name__}: {error}")
                    return
                continue
            differences = list(self._differences(shown))
            if not differences:
                self.book.note("all", f"equal in round {number + 1}")
                self._check(shown["c"])
                return
            time.sleep(2)
        for difference in differences:
            self.book.problem(f"not equal: {difference}")

    @staticmethod
    def _differences(shown):
        there = shown["c"]
        for name in ("a", "b"):
            for box in sorted(shown[name].keys() ^ there.keys()):
                yield f"{box} is only on {'mount ' + name if box in shown[name] else 'the server, not on mount ' + name}"
            for box in sorted(shown[name].keys() & there.keys()):
                here, server = Counter(shown[name][box]), Counter(there[box])
                if here != server:
                    yield f"{box}: only on mount {name}: {sorted(here - server)}, only on the server: {sorted(server - here)}"

    def _check(self, actual):
        self.book.check(actual)
        for actor in self.actors:
            for box in actor.boxes - actual.keys():
                self.book.problem(f"{actor.name}'s mailbox {box} is lost")
            actor.boxes = {box for box in actual if f"Own-{actor.name}" in box.rpartition("/")[2]}
            actor.own = [m for m in actor.own if m.copies]

    def keep(self, folder):
        """Puts what is needed to understand a failure into folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for actor in self.mounts:
            (folder / f"mount-{actor.name}.log").write_text(actor.mailmount.log())
        (folder / "dovecot.log").write_text(self.world.server.log())
        (folder / "operations.log").write_text("\n".join(self.book.lines + self.book.problems) + "\n")
