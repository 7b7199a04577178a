"""The line is cut after its n-th octet, for every n of a session that appends, moves, stores, fetches and works on mailboxes.

One mount lives on while day follows day. In each, both sides work off line; then the line comes back, and is cut when n octets of
the new session have passed; then it comes back for good. Afterwards both sides are equal, everything is there once, with the
octets that it was sent with, and another sync sends nothing that changes anything.

tools/check takes some of the n, a different share in each way of cutting; all of them with MAILMOUNT_LONG=1,
or each n-th with MAILMOUNT_LONG_STEP=n, too.
"""
import collections
import concurrent.futures
import os
import shutil
import subprocess
import threading

import pytest

from imapclient import Refused
from support import is_sanitized, lf, mail
from test_traffic import changing

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
LONG_STEP = int(os.environ.get("MAILMOUNT_LONG_STEP") or 1)
SHARE = {"server": 173, "client": 431}  # one in so many positions, when not all
SLOW = 4                                # times less of them with a sanitizer
LIVES = 6                               # mounts that share the days between them
MOST_S = 8 * 3600 if LONG else 600
WAYS = [(direction, how) for direction in ("server", "client") for how in ("reset", "silence", "half-close")]


def octets_of(token):
    return mail(token, f"{token}: gr\xfc\xdfe \xff.\r\n..\r\n".encode("latin-1") + token.encode() * 40 + b"\r\n\r\n")


class Life:
    """One mount, and what must be on both sides: {mailbox: {token: flags}}."""

    def __init__(self, world):
        self.world, self.witness = world, world.witness
        self.wire = world.new_proxy()
        self.m = world.through(self.wire, connections=1, poll=600)
        self.day = 0
        self.witness.create("Archive")
        self.boxes = {"INBOX": {}, "Archive": {}}
        self.m.mount()
        for _ in range(3):  # until each day is like the other
            self.work()
            self.wire.plug()
            self.m.sync()
            self.check()

    def work(self):
        """A day off line: mail of today is made, that of yesterday filed and marked, that of the day before removed."""
        self.day += 1
        self.wire.cut()
        self.work_there(self.day)
        self.work_here(self.day)

    def work_here(self, n):
        m, inbox, archive = self.m, self.boxes["INBOX"], self.boxes["Archive"]
        m.deliver(octets_of(f"d{n}"), info="S")
        inbox[f"d{n}"] = {"\\Seen"}
        if f"d{n - 1}" in inbox:
            os.rename(m.path(f"d{n - 1}"), m.box("Archive") / "cur" / f"d{n - 1}:2,S")
            archive[f"d{n - 1}"] = inbox.pop(f"d{n - 1}")
        if f"r{n - 1}" in inbox:
            m.retag(f"r{n - 1}", "FS")
            inbox[f"r{n - 1}"] |= {"\\Seen", "\\Flagged"}
        for name, token in (("INBOX", f"r{n - 2}"), ("Archive", f"d{n - 3}")):
            if token in self.boxes[name]:
                os.unlink(m.path(token, name))
                del self.boxes[name][token]
        for sub in ("cur", "new", "tmp"):
            os.makedirs(m.box(f"F{n}") / sub)
        self.boxes[f"F{n}"] = {}
        if f"F{n - 1}" in self.boxes:
            os.rename(m.box(f"F{n - 1}"), m.box(f"G{n - 1}"))
            self.boxes[f"G{n - 1}"] = self.boxes.pop(f"F{n - 1}")
        if f"G{n - 2}" in self.boxes:
            shutil.rmtree(m.box(f"G{n - 2}"))
            del self.boxes[f"G{n - 2}"]

    def work_there(self, n):
        """Another client. What it marks may be moved here at the same time."""
        self.witness.append("INBOX", octets_of(f"r{n}"))
        self.boxes["INBOX"][f"r{n}"] = set()
        if f"d{n - 1}" in self.boxes["INBOX"]:
            self.witness.store("INBOX", self.witness.uid("INBOX", f"d{n - 1}"), "+FLAGS", "\\Answered")
            self.boxes["INBOX"][f"d{n - 1}"].add("\\Answered")

    def sync_with_a_cut(self, octets, direction, how):
        """Returns whether the session was long enough for that."""
        self.wire.plug(octets, direction, how)
        asking = subprocess.Popen([self.m.program, "sync", "--wait=45"], env=self.m.environment, cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.wire.has_cut.wait(0.02) and asking.poll() is None:
            pass
        self.m.sync()  # for the next try comes at once when somebody asks
        asking.wait(60)
        return self.wire.has_cut.is_set()

    def check(self):
        there = {name: self.witness.messages(name) for name in self.boxes}
        assert self.witness.mailboxes() >= set(self.boxes)
        assert not {f"F{self.day - 1}", f"G{self.day - 2}"} & (self.witness.mailboxes() | set(os.listdir(self.m.root)))
        for name, wanted in self.boxes.items():
            assert {t: x.flags for t, x in there[name].items()} == wanted, name
            assert {t: x.octets for t, x in there[name].items()} == {t: octets_of(t) for t in wanted}, name
            assert self.m.read(name) == {t: lf(octets_of(t)) for t in wanted}, name

    def check_rest(self):
        """Another sync changes nothing."""
        self.wire.reset_counts()
        self.m.sync()
        assert not changing(self.wire)


def lengths(life):
    """Octets of a session that is not cut, each way. One may have begun anew, or looked twice: the shortest counts."""
    seen = []
    for _ in range(3):
        life.work()
        life.wire.reset_counts()
        life.wire.plug()
        life.m.sync()
        seen.append((life.wire.to_server, life.wire.to_client))
    return dict(zip(("server", "client"), map(min, zip(*seen))))


def cuts_to_make(length, slow):
    """(octets, direction, how), in an order in which lives take them; other positions in each way."""
    result = []
    for number, (direction, how) in enumerate(WAYS):
        step = LONG_STEP if LONG else SHARE[direction] * (SLOW if slow else 1)
        result += [(octets, direction, how) for octets in range(1 + number * step // len(WAYS), length[direction], step)]
    return result


def live(life, cuts, failed):
    """Takes cuts until there are none left. Returns how many were made."""
    made = collections.Counter()
    for octets, direction, how in cuts:
        if failed.is_set():
            break
        try:
            life.work()
            made[direction, how] += life.sync_with_a_cut(octets, direction, how)
            life.check()
            life.check_rest()
        except (AssertionError, OSError, Refused) as error:
            failed.set()
            raise AssertionError(f"cut after octet {octets} to the {direction}, {how}, user {life.world.user}: {error}") from error
    return made


@pytest.mark.seconds(MOST_S)
@pytest.mark.parametrize("kind", ["no-notify", "bare"])
def test_line_cut_after_each_octet(servers, program, world_at, record_property, kind):
    """Cases 1, 2, 7, 40, 41, 48, 49, 80, 84 and what is said of exactly-once appends."""
    server = servers.get(kind)
    failed, made = threading.Event(), collections.Counter()
    worlds = [world_at(server) for _ in range(LIVES)]
    with concurrent.futures.ThreadPoolExecutor(LIVES) as pool:
        lives = list(pool.map(Life, worlds))
        length = lengths(lives[0])
        cuts = cuts_to_make(length, is_sanitized(program))
        for run in [pool.submit(live, life, cuts[number::LIVES], failed) for number, life in enumerate(lives)]:
            made += run.result()
    assert sum(made.values()) >= 0.9 * len(cuts), made
    for direction, how in WAYS:
        record_property("cut positions", f"{kind}, to the {direction}, {how}: {made[direction, how]} of {length[direction]}")
