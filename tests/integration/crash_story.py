"""The stories that crash tests play: each ends with a clean end of the mount, if it gets that far."""
import errno
import os

from crashlab import start, unmount
from ledger import absent, each, served
from support import eventually, mail

FILED = "2024/Filed"
FURNITURE = ([(f"s{n}", "INBOX", "S") for n in range(10)] + [(f"c{n}", "INBOX", "S") for n in range(6)] +
             [("n0", "INBOX", ""), ("n1", "INBOX", ""), ("a0", "Archive", "S"), ("a1", "Archive", "S"), ("p0", "Project", "S"),
              ("o0", "Old", "S"), ("f0", FILED, "FS"), ("x0", "Doomed", "S")])
LARGE = [(f"l{n}", "INBOX", "S") for n in range(3)]  # of which two have room in 1 MB


def body(token, version=0):
    return mail(token, f"version {version}\r\n" + (f"{token} " * 40 + "\r\n") * (3000 if token[0] == "l" else 1))


def at(token, *places, version=0):
    """A state: at("x", ("INBOX", "S"), ("Archive", ["$Work", "S"]))."""
    return frozenset((box, "".join(sorted(flags)), served(body(token, version))) for box, flags in places)


# ---- the account before its first sync ----

def furnish(account, furniture=None):
    """What the server has at first."""
    w, ledger = account.witness, account.ledger
    for box in ("Archive", "Project", "Old", "Doomed", FILED):
        w.create(box)
        ledger.know({"/" + box: True})
    ledger.know({"/INBOX": True})
    for token, box, flags in furniture or FURNITURE:
        names = {"S": "\\Seen", "F": "\\Flagged"}
        w.append(box, body(token), [names[f] for f in flags])
        ledger.know({token: at(token, (box, flags))})


def furnish_nothing(account):
    """A new user has an inbox only, and Dovecot makes it at the first login."""
    account.witness.fetch("INBOX")
    account.ledger.know({"/INBOX": True})


def recover(account):
    start(account)
    account.mailmount.sync()
    unmount(account)


# ---- file operations ----

class Hands:
    """A person at the mount: each operation goes into the ledger."""

    def __init__(self, account):
        self.m, self.ledger = account.mailmount, account.ledger
        self.paths = {}

    def path(self, token, box="INBOX"):
        """Names change while it looks."""
        if (token, box) not in self.paths:
            self.paths[token, box] = eventually(lambda: self.m.path(token, box), 5)
        return self.paths[token, box]

    def path_now(self, token, box="INBOX"):
        return self.m.path(token, box)

    def scratch(self, token, box, version=0, sub="tmp", name=None):
        path = self.m.box(box) / sub / (name or f"1.{token}.here")
        with open(path, "xb") as out:
            out.write(served(body(token, version)))
            out.flush()
            os.fsync(out.fileno())
        return path

    def deliver(self, token, box, flags="", how="rename"):
        scratch = self.scratch(token, box)
        final = self.m.box(box) / ("cur" if flags else "new") / (scratch.name + (f":2,{flags}" if flags else ""))
        self.ledger.act({token: at(token, (box, flags))},
                        lambda: (os.rename if how == "rename" else os.link)(scratch, final), durable=True)
        self.paths[token, box] = final
        if how == "link":
            os.unlink(scratch)

    def deliver_open(self, token, box):
        """By a program that closes it only afterwards."""
        scratch = self.m.box(box) / "tmp" / f"1.{token}.here"
        final = self.m.box(box) / "new" / scratch.name
        with open(scratch, "xb", buffering=0) as out:
            out.write(served(body(token)))
            os.fsync(out.fileno())
            self.ledger.act({token: at(token, (box, ""))}, lambda: os.rename(scratch, final), durable=True)
        self.paths[token, box] = final

    def deliver_in_two(self, token, box, how):
        """By a program that goes on writing after its fsync, and has closed the file by the rename or not."""
        scratch = self.m.box(box) / "tmp" / f"1.{token}.here"
        final = self.m.box(box) / "new" / scratch.name
        octets = served(body(token))
        with open(scratch, "xb", buffering=0) as out:
            out.write(octets[:100])
            os.fsync(out.fileno())
            out.write(octets[100:])
            if how == "closed":
                out.close()
            self.ledger.act({token: at(token, (box, ""))}, lambda: os.rename(scratch, final), durable=True)
        self.paths[token, box] = final

    def write_directly(self, token, box):
        """As cp does: made under its final name, and there when it is closed."""
        final = self.m.box(box) / "cur" / f"1.{token}.here:2,S"

        def write():
            with open(final, "xb") as out:
                out.write(served(body(token)))
        self.ledger.act({token: at(token, (box, "S"))}, write, durable=True)
        self.paths[token, box] = final

    def flag(self, token, box, flags):
        path = self.path(token, box)
        final = path.parent.parent / "cur" / f"{path.name.partition(':2,')[0]}:2,{flags}"
        self.ledger.act({token: at(token, (box, flags))}, lambda: os.rename(path, final))
        self.paths[token, box] = final

    def move(self, token, box, target, flags="S"):
        path = self.path(token, box)
        final = self.m.box(target) / "cur" / f"{path.name.partition(':2,')[0]}:2,{flags}"
        self.ledger.act({token: at(token, (target, flags))}, lambda: os.rename(path, final))
        self.paths[token, target] = final

    def copy(self, token, box, target):
        path = self.path(token, box)
        self.ledger.act({token: self.ledger.now(token) | at(token, (target, "S"))},
                        lambda: os.link(path, self.m.box(target) / "cur" / f"2.{token}.copy:2,S"))

    def edit(self, token, box, version=1):
        """As sed -i does."""
        path = self.path(token, box)
        new = self.scratch(token, box, version, "cur", f"sed{token:A<6.6}")
        self.ledger.act({token: at(token, (box, "S"), version=version)}, lambda: os.rename(new, path))

    def rewrite(self, token, box, version=1):
        """As an editor does that truncates the file and writes it anew."""
        path = self.path(token, box)
        octets = served(body(token, version))

        def write():
            with open(path, "wb", buffering=0) as out:
                out.write(octets[:100])
                out.write(octets[100:])
        self.ledger.act({token: at(token, (box, "S"), version=version)}, write, durable=True)

    def remove(self, token, box):
        path = self.path(token, box)
        self.ledger.act({token: absent(token)}, lambda: os.unlink(path))

    def clash(self, token, states, call, box="INBOX"):
        """What is done to a message that may be elsewhere, or nowhere, already: then it is not done."""
        def attempt():
            try:
                call(self.path_now(token, box))
            except (FileNotFoundError, AssertionError):
                pass
        before = self.ledger.now(token)
        self.ledger.act({token: states}, attempt)
        if before not in each(states):
            self.ledger.history[token][-1][1] = [before, *each(states)]

    def make_box(self, box):
        os.mkdir(self.m.box(box))
        for sub in ("cur", "new", "tmp"):
            self.ledger.act({"/" + box: True}, lambda sub=sub: os.mkdir(self.m.box(box) / sub))

    def rename_box(self, old, new, *tokens):
        changes = {"/" + old: False, "/" + new: True}
        for token in tokens:
            changes[token] = frozenset((new, flags, octets) for _, flags, octets in self.ledger.now(token))
        self.ledger.act(changes, lambda: os.rename(self.m.box(old), self.m.box(new)))
        self.paths = {}

    def remove_box(self, box, *tokens):
        for token in tokens:
            self.remove(token, box)

        def remove():
            for sub in ("cur", "new", "tmp"):
                os.rmdir(self.m.box(box) / sub)
            os.rmdir(self.m.box(box))
        self.ledger.act({"/" + box: False}, remove)

    def sync_disk(self, box="INBOX"):
        fd = os.open(self.m.box(box) / "cur", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self.ledger.force()


def sync(account):
    account.mailmount.sync()
    account.ledger.force()


def there(account, changes, call):
    account.ledger.act(changes, call, durable=True)


# ---- the first day ----

def first_day(account):
    """Mail is delivered before anything else is there."""
    start(account)
    hands = Hands(account)
    eventually(hands.m.box("INBOX").joinpath("new").is_dir)
    hands.deliver("e0", "INBOX")
    hands.deliver("e1", "INBOX", "S", how="link")
    sync(account)
    # Their half second of quiet is not over when the mount ends: they are settled together (cache/settle.c).
    for token in ("e2", "e3", "e4", "e5", "e6"):
        hands.deliver(token, "INBOX")
    unmount(account)


# ---- a day's work ----

def work(account):
    """Begins with everything in sync."""
    start(account)
    hands = Hands(account)
    morning(hands)
    mail_comes(account)
    hands.sync_disk()
    sync(account)
    afternoon(account, hands)
    conflicts(account, hands)
    sync(account)
    unmount(account)


def morning(hands):
    hands.deliver("d0", "INBOX")
    hands.deliver("d1", "Archive", "S", how="link")
    hands.deliver_open("d4", "INBOX")
    hands.flag("s0", "INBOX", "FS")
    hands.move("s1", "INBOX", "Archive")
    hands.copy("s2", "INBOX", FILED)
    hands.edit("s3", "INBOX")
    hands.rewrite("c5", "INBOX")
    hands.remove("s4", "INBOX")
    hands.make_box("Made")
    hands.deliver("d2", "Made", "S")
    hands.rename_box("Project", "Done", "p0")
    hands.remove_box("Old", "o0")
    hands.write_directly("d3", "INBOX")


def mail_comes(account):
    w = account.witness
    there(account, {"r0": at("r0", ("INBOX", ""))}, lambda: w.append("INBOX", body("r0")))
    there(account, {"r1": at("r1", ("Archive", "S"))}, lambda: w.append("Archive", body("r1"), ["\\Seen"]))


def uids(witness, mailbox):
    """Of what is there once: while an edit is under way, its mail is there twice."""
    return {message.token: message.uid for message in witness.fetch(mailbox).values()}


def afternoon(account, hands):
    w = account.witness
    uid = uids(w, "INBOX")
    there(account, {"s5": at("s5", ("INBOX", "FS"))},
          lambda: w.store("INBOX", uid["s5"], "+FLAGS", "\\Flagged"))
    there(account, {"a0": at("a0", (FILED, "S"))}, lambda: w.move("Archive", w.uid("Archive", "a0"), FILED))
    there(account, {"s6": absent("s6")}, lambda: w.expunge("INBOX", uid["s6"]))
    hands.move("d1", "Archive", "INBOX")
    hands.move("d2", "Made", "Archive", "FS")
    hands.edit("s7", "INBOX")
    hands.edit("s3", "INBOX", version=2)
    hands.flag("s1", "Archive", "RS")
    hands.remove("d3", "INBOX")
    hands.copy("s8", "INBOX", "Made")
    hands.move("s9", "INBOX", "Made")


def conflicts(account, hands):
    """Both masters at the same message: there first, and here before that can be known."""
    w = account.witness
    for token in ("c0", "c1", "c2", "c3", "c4"):
        hands.path(token)
    # Filed, and its mailbox removed; it may be made again, but the mail is in it no more.
    there(account, {"x0": at("x0", ("Archive", "S"))}, lambda: w.move("Doomed", w.uid("Doomed", "x0"), "Archive"))
    uid = uids(w, "INBOX")
    there(account, {"/Doomed": [False, True]}, lambda: w.delete("Doomed"))
    hands.clash("x0", [at("x0", ("Archive", "S")), at("x0", ("Archive", "FS"))], lambda path: path.rename(
        path.parent / (path.name.partition(":2,")[0] + ":2,FS")), box="Doomed")
    there(account, {"c0": at("c0", ("Archive", "S"))}, lambda: w.move("INBOX", uid["c0"], "Archive"))
    hands.clash("c0", [at("c0", ("Archive", "S")), at("c0", ("Made", "S"))], lambda path: path.rename(
        hands.m.box("Made") / "cur" / path.name))
    there(account, {"c1": at("c1", ("INBOX", "FS"))}, lambda: w.store("INBOX", uid["c1"], "+FLAGS", "\\Flagged"))
    hands.clash("c1", at("c1", ("INBOX", "FRS")), lambda path: path.rename(
        path.parent / (path.name.partition(":2,")[0] + (":2,FRS" if "F" in path.name.partition(":2,")[2] else ":2,RS"))))
    there(account, {"c2": absent("c2")}, lambda: w.expunge("INBOX", uid["c2"]))
    # Another client marks a message \\Deleted, then expunges it: the edit may have seen the mark.
    hands.clash("c2", [absent("c2"), at("c2", ("INBOX", "S"), version=1), at("c2", ("INBOX", "ST"), version=1)], lambda path: path.write_bytes(
        served(body("c2", 1))))
    there(account, {"c3": at("c3", ("INBOX", "FS"))}, lambda: w.store("INBOX", uid["c3"], "+FLAGS", "\\Flagged"))
    hands.clash("c3", [absent("c3"), at("c3", ("INBOX", "FS"))], lambda path: path.unlink())
    there(account, {"c4": at("c4", (FILED, "S"))}, lambda: w.move("INBOX", uid["c4"], FILED))
    hands.clash("c4", [at("c4", (FILED, "S")), at("c4", (FILED, "FS"))], lambda path: path.rename(
        path.parent / (path.name.partition(":2,")[0] + ":2,FS")))


# ---- the same where bodies come when they are wanted, and go ----

class BareHands(Hands):
    """Knows from the beginning which file is which: looking into them would bring all their bodies here."""

    def learn(self):
        for name in {box for _, box, _ in FURNITURE}:
            files = [path for sub in ("cur", "new") for path in (self.m.box(name) / sub).iterdir()]
            files.sort(key=lambda path: path.stat().st_ino)  # shown in the order of their UIDs
            for token, path in zip((token for token, box, _ in FURNITURE + LARGE if box == name), files):
                self.paths[token, name] = path

    def path_now(self, token, box="INBOX"):
        """Only the end of the name changes."""
        base = self.paths[token, box].name.partition(":2,")[0]
        for sub in ("cur", "new"):
            for path in (self.m.box(box) / sub).iterdir():
                if path.name.partition(":2,")[0] == base:
                    return path
        raise FileNotFoundError(f"{token} in {box}")

    def path(self, token, box="INBOX"):
        return eventually(lambda: self.path_now(token, box), 5)

    def rename_box(self, old, new, *tokens):
        known = self.paths
        super().rename_box(old, new, *tokens)
        self.paths = {(token, new if box == old else box): path for (token, box), path in known.items()}

    def look(self, token, box="INBOX"):
        """Opens it, wherever its body is."""
        octets = self.path(token, box).read_bytes()
        assert octets in (served(body(token, version)) for version in (0, 1)), f"{token}: {octets}"

    def has_room(self):
        """Has something been evicted?"""
        if self.m.process.poll() is not None:
            raise RuntimeError("the mount has ended")
        return sum(path.stat().st_size for path in (self.m.data / "bodies").rglob("*") if path.is_file()) < 1_000_000

    def copy(self, token, box, target):
        """Who is told that it is not here looks at it, and tries again."""
        def attempt():
            try:
                super(BareHands, self).copy(token, box, target)
                return True
            except OSError as problem:
                if problem.errno != errno.EXDEV:
                    raise
                self.look(token, box)
                return False
        eventually(attempt, 5, 0.01)

    def keyword(self, token, box, name):
        """As Dovecot does on the mount: it renames the message, then says what the letter means."""
        path = self.path(token, box)
        lock = self.m.box(box) / "dovecot-keywords.lock"
        state = at(token, (box, ["S", name]))

        def say():
            os.rename(path, path.parent / f"{path.name}x")
            lock.write_text(f"23 {name}\n")
            os.rename(lock, self.m.box(box) / "dovecot-keywords")
        self.ledger.act({token: state}, say, durable=True)


def bare_work(account):
    """Begins with everything known, and no body here; a few have room."""
    start(account)
    hands = BareHands(account)
    hands.learn()
    bare_morning(hands)
    mail_comes(account)
    hands.sync_disk()
    sync(account)
    bare_afternoon(account, hands)
    sync(account)
    unmount(account)


def bare_morning(hands):
    hands.look("s0")
    hands.look("s1")
    hands.deliver("d0", "INBOX")
    hands.flag("s2", "INBOX", "FS")
    hands.move("s3", "INBOX", "Archive")
    hands.remove("s4", "INBOX")
    hands.move("s0", "INBOX", FILED)
    hands.copy("s1", "INBOX", "Archive")
    hands.edit("s5", "INBOX")
    hands.rewrite("s6", "INBOX")
    hands.keyword("c5", "INBOX", "Work")
    hands.remove_box("Old", "o0")
    hands.rename_box("Project", "Done", "p0")


def bare_afternoon(account, hands):
    """More is looked at than has room; what is bare changes on both sides."""
    w = account.witness
    uid = uids(w, "INBOX")
    for token in ("s7", "s8", "l0", "l1", "l2"):
        hands.look(token)
    eventually(hands.has_room, 5, 0.01)
    for token in ("s9", "s1", "l0"):
        hands.look(token)
    there(account, {"c2": at("c2", ("INBOX", "FS"))}, lambda: w.store("INBOX", uid["c2"], "+FLAGS", "\\Flagged"))
    there(account, {"a0": at("a0", (FILED, "S"))}, lambda: w.move("Archive", w.uid("Archive", "a0"), FILED))
    there(account, {"c3": absent("c3")}, lambda: w.expunge("INBOX", uid["c3"]))
    hands.move("s0", FILED, "INBOX")
    hands.move("s7", "INBOX", "Done")
    hands.edit("s8", "INBOX")
    hands.look("a1", "Archive")
    hands.look("f0", FILED)
    there(account, {"c4": at("c4", (FILED, "S"))}, lambda: w.move("INBOX", uid["c4"], FILED))
    hands.clash("c4", [at("c4", (FILED, "S")), at("c4", (FILED, "FS"))], lambda path: path.rename(
        path.parent / (path.name.partition(":2,")[0] + ":2,FS")))
