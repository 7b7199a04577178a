"""P4: how long it takes until the other side sees a change.

The other client of the first half asks again and again (NOOP), for a server may keep what it tells a client in IDLE for a while: Dovecot
gathers changes for half a second. For the second half a client in IDLE, measured at the same time, shows that; it is no floor, for
NOTIFY can be faster.
"""
import os
import random
import socket
import threading
import time

from benchlib.corpus import Corpus
from benchlib.results import AtMost, Row
from imapclient import Connection, quote

WAIT_S = 20
PAUSE_S = (0.9, 1.6)  # between changes, so that each is the first after a rest


class Asker:
    """A client that has the inbox selected."""

    def __init__(self, bench, user):
        self.connection = Connection(bench.stage.server.plain_port)
        bench.stage.closers.append(self.connection)
        self.connection.command("LOGIN", quote(user), quote(bench.stage.server.password))
        self.connection.command("SELECT INBOX")

    def until_told_of(self, word):
        """Seconds since the epoch of perf_counter when word was in an answer to NOOP."""
        deadline = time.perf_counter() + WAIT_S
        while time.perf_counter() < deadline:
            untagged, _ = self.connection.command("NOOP")
            if any(word in pieces[0] for pieces in untagged):
                return time.perf_counter()
        raise RuntimeError(f"the other client was not told of {word.decode()} within {WAIT_S} s")


class Idler(Asker):
    """A client in IDLE; when it was told of new mail, as a plain client can be told at best."""

    def __init__(self, bench, user):
        super().__init__(bench, user)
        self.told = None
        self.changed = threading.Event()
        self.connection.socket.settimeout(None)
        self.connection.socket.sendall(b"i IDLE\r\n")
        self.connection.file.readline()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        try:
            while line := self.connection.file.readline():
                if b" EXISTS" in line:
                    self.told = time.perf_counter()
                    self.changed.set()
        except (OSError, ValueError):
            pass  # closed

    def close(self):
        self.connection.socket.shutdown(socket.SHUT_RDWR)


def rest(rng):
    time.sleep(rng.uniform(*PAUSE_S))


def local_flag(bench, account, asker, rng):
    """A rename that adds F, until the other client is told."""
    cur = account.box() / "cur"
    name = next(name for name in sorted(os.listdir(cur)) if name.endswith(":2,S"))
    rest(rng)
    begin = time.perf_counter()
    os.rename(cur / name, cur / f"{name[:-1]}FS")
    return asker.until_told_of(b"FETCH") - begin


def remote_flag(account, setter, asker, number):
    """What the server itself needs for that: a STORE, until another client is told."""
    begin = time.perf_counter()
    setter.command(f"UID STORE {number} +FLAGS (\\Draft)")
    return asker.until_told_of(b"FETCH") - begin


def remote_mail(account, witness, idler, message, rng):
    """An APPEND, until it is in new/; and until a client in IDLE is told. Returns both."""
    new = account.box() / "new"
    before = set(os.listdir(new))
    idler.changed.clear()
    octets, _, date = message
    rest(rng)
    begin = time.perf_counter()
    witness.append("INBOX", octets, (), date)
    deadline = begin + WAIT_S
    while not set(os.listdir(new)) - before:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"new mail was not in the mount within {WAIT_S} s")
        time.sleep(0.001)
    seen = time.perf_counter()
    idler.changed.wait(WAIT_S)
    return seen - begin, idler.told - begin


def p4(bench):
    corpus = bench.sizes.scale[0]
    stage, rng = bench.stage, random.Random("pauses")
    account = stage.account(corpus)
    account.first_sync()
    time.sleep(2)  # until its session rests in IDLE
    witness, asker = stage.witness(account.user), Asker(bench, account.user)
    witness.command("SELECT INBOX")
    out, floor_out = [], []
    for number in range(1, bench.sizes.changes + 1):
        out.append(local_flag(bench, account, asker, rng))
        floor_out.append(remote_flag(account, witness, asker, number))
    idler = Idler(bench, account.user)
    messages = (entry[2:] for entry in Corpus("arriving", 1, bench.sizes.changes, small=True).each(stage.corpora.writer))
    pairs = [remote_mail(account, witness, idler, message, rng) for message in messages]
    idler.close()
    account.end()
    return [
        Row("P4", "a rename that adds a flag, until another client is told", "s", out, floor_samples=floor_out,
            floor_name="STORE by a client", goal=AtMost(0.020, "s")),
        Row("P4", "an APPEND by another client, until it is in new/", "s", [pair[0] for pair in pairs],
            [pair[1] for pair in pairs], peer_name="a client in IDLE", goal=AtMost(0.050, "s"),
            note="Dovecot gathers changes for half a second before it tells a client in IDLE"),
    ]
