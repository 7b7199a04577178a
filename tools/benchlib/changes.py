"""P8 and P9: many changes by renames, and delivery. Beside the mount and a native Maildir: a native Maildir by way of FUSE (floorfs),
with as many requests, each of them carried out natively and nothing else."""
import os
import time

from benchlib.corpus import Corpus
from benchlib.reading import native_copy
from benchlib.results import AtMost, Row, Within
from benchlib.timing import alternate, run, seconds
from benchlib.traffic import plain

SETTLE_S = 600


def pairs_of(folder, count):
    """(old name, new name), each with F added or taken off, ready for the loop that is measured."""
    result = []
    for sub in ("cur", "new"):
        for name in sorted(os.listdir(folder / sub)):
            base, _, letters = name.partition(":2,")
            flipped = "".join(sorted(set(letters) ^ {"F"}))
            result.append((str(folder / sub / name), str(folder / "cur" / f"{base}:2,{flipped}")))
    if len(result) < count:
        raise RuntimeError(f"{len(result)} messages in {folder}, {count} are to be renamed")
    return result[:count]


def rename_all(pairs):
    for old, new in pairs:
        os.rename(old, new)


def by_fuse(bench, tree):
    """A Maildir tree of its own in floorfs, mounted; None where floorfs was not built."""
    mount = bench.stage.floor_mount(tree)
    if mount:
        mount.ready()
    return mount and mount.root


def p8(bench):
    """Renames that change flags, in a mailbox of as many messages."""
    count = bench.sizes.renames
    corpus, stage = Corpus("small", 1, count, small=True), bench.stage
    wire, notes = stage.noted_wire(stage.server.plain_port)
    account = stage.account(corpus, **plain(wire.port))
    account.first_sync()
    native = native_copy(bench, corpus)
    other = stage.scratch()
    run("cp", "-a", "--reflink=auto", native, other)
    floor = by_fuse(bench, other)
    stores, settled = [], []

    def elsewhere(tree):
        return lambda: seconds(rename_all, pairs_of(tree / "INBOX", count)) if tree else None

    def ours():
        pairs = pairs_of(account.box(), count)
        notes.until_silent()
        notes.reset()
        begin = time.perf_counter()
        rename_all(pairs)
        taken = time.perf_counter() - begin
        account.sync(SETTLE_S)
        settled.append(time.perf_counter() - begin)
        notes.until_silent()
        stores.append(notes.count("STORE"))
        return taken
    taken = alternate({"ours": ours, "native": elsewhere(native), "fuse": elsewhere(floor)}, bench.repeats, bench.say)
    check_flags(stage.witness(account.user), account)
    account.end()
    what = f"{count:,} flag renames"
    return [Row("P8", what, "s", taken["ours"], floor_samples=taken["native"], floor_name="native", goal=Within(2)),
            Row("P8", what, "s", taken["ours"], floor_samples=taken["fuse"], floor_name="FUSE, then native"),
            Row("P8", f"{what}: STORE commands", "", stores, goal=AtMost(20, "")),
            Row("P8", f"{what}, until the server has them", "s", settled)]


def check_flags(witness, account):
    """Both sides agree on how many are flagged."""
    untagged, _ = witness.command("SELECT INBOX")
    untagged, _ = witness.command("UID SEARCH FLAGGED")
    there = len(b"".join(piece for piece in untagged[0] if isinstance(piece, bytes)).split()) - 1
    here = sum("F" in name.partition(":2,")[2] for sub in ("cur", "new") for name in os.listdir(account.box() / sub))
    if there != here:
        raise RuntimeError(f"{here} messages are flagged in the mount, {there} on the server")


class Deliverer:
    """As a delivery agent does it: a file in tmp/, fsync, a rename to new/; and also fsync of new/, for what only that makes durable."""

    def __init__(self, box, number, messages, directory_too):
        self.box, self.round, self.messages, self.directory_too = box, number, messages, directory_too

    def __call__(self):
        new = os.open(self.box / "new", os.O_RDONLY)
        begin = time.perf_counter()
        for number, octets in enumerate(self.messages):
            name = f"{1_700_000_000 + number}.M{number}P{os.getpid()}R{self.round}.bench"
            descriptor = os.open(f"{self.box}/tmp/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, octets)
            os.fsync(descriptor)
            os.close(descriptor)
            os.rename(f"{self.box}/tmp/{name}", f"{self.box}/new/{name}")
            if self.directory_too:
                os.fsync(new)
        taken = time.perf_counter() - begin
        os.close(new)
        return taken


def p9(bench):
    """Delivery of new mail. Each round's messages have their own ids, for what is known already costs less."""
    count, stage = bench.sizes.deliveries, bench.stage
    account = stage.account(Corpus("small", 1, 50, small=True))
    account.first_sync()
    native, other = stage.scratch(), stage.scratch()
    for box in (native, other):
        for sub in ("tmp", "new", "cur"):
            (box / sub).mkdir(parents=True)
    floor = by_fuse(bench, other)
    rounds = 0

    def deliver(box, directory_too):
        nonlocal rounds
        rounds += 1
        each = Corpus(f"delivery{rounds}", 1, count).each(stage.corpora.writer)
        return Deliverer(box, rounds, [entry[2].replace(b"\r\n", b"\n") for entry in each], directory_too)()

    def ours():
        taken = deliver(account.box(), False)
        account.sync(SETTLE_S)
        return taken

    def fuse(directory_too):
        return lambda: deliver(floor, directory_too) if floor else None
    taken = alternate({"ours": ours, "native": lambda: deliver(native, False), "native, new/ too": lambda: deliver(native, True),
                       "fuse": fuse(False), "fuse, new/ too": fuse(True)}, bench.repeats, bench.say)
    found = len(os.listdir(account.box() / "new")) + len(os.listdir(account.box() / "cur"))
    if found != 50 + count * len(taken["ours"]):
        raise RuntimeError(f"{found} messages in the mount after {len(taken['ours'])} rounds of {count}")
    account.end()
    what = f"delivery of {count:,} messages"
    return [Row("P9", f"{what}, fsync of each file", "s", taken["ours"], floor_samples=taken["native"], floor_name="native",
                goal=Within(1)),
            Row("P9", f"{what}, fsync of each file", "s", taken["ours"], floor_samples=taken["fuse"], floor_name="FUSE, then native"),
            Row("P9", f"{what}, which are there after a power failure", "s", taken["ours"], floor_samples=taken["native, new/ too"],
                floor_name="native, fsync of new/ too",
                note="the mount promises that at the rename; a native Maildir only after that second fsync"),
            Row("P9", f"{what}, which are there after a power failure", "s", taken["ours"], floor_samples=taken["fuse, new/ too"],
                floor_name="FUSE, then native, fsync of new/ too")]
