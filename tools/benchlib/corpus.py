"""The mail that everything is measured with: made once, the same everywhere, kept in a folder for later runs.

A corpus is there in two forms of the same mail: as the home of a user of Dovecot (mdbox, with the sizes in its index, so that no
run pays for finding them out), and, where a measure needs it, as a native Maildir. Neither is ever worked on: each run has a copy.
"""
import os
import random
import shutil
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

VERSION = 1  # of what is made here; another one makes all corpora anew
MEDIAN_BYTES, SIGMA = 6_000, 1.256  # log-normal: its mean is 13.2 kB
SMALL_BYTES = 800
LARGEST_BYTES = 1_500_000
BATCH = 500
FIRST_DATE, DAYS = 1_400_000_000, 3_600
WORDS = """about above account after again answer archive attached before below between bridge build call chair could day draft drawing
early every figure first forty from garden going house however invoice kernel later letter light list little market meeting message
minutes morning never notes number offer office often other paper patch people place please point print project pump question quiet
reading report ring river room second sheet small station still summer table thank their there these thing ticket train Tuesday under
until value water week window winter without word work write yellow yesterday""".split()
PEOPLE = ("ada", "bela", "carla", "dmitri", "emre", "fatima", "goran", "hanako", "ilya", "jorge")


def make_pool(size=2_200_000):
    """Text of which bodies are cut, at the begin of lines."""
    rng = random.Random("pool")
    lines, length = [], 0
    while length < size:
        line = " ".join(rng.choices(WORDS, k=11))[:76].rstrip().encode() + b"\r\n"
        lines.append(line)
        length += len(line)
    return lines


class Writer:
    """Makes messages one after the other; the nth is always the same."""

    def __init__(self):
        self.lines = make_pool()
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.text = b"".join(self.lines)

    def cut(self, rng, size):
        begin = self.starts[rng.randrange(len(self.lines) // 4)]
        end = self.text.rfind(b"\n", begin, begin + max(size, 100)) + 1
        return self.text[begin:end]

    def message(self, seed, number, small):
        """(octets as on the wire, flags, date)"""
        rng = random.Random(f"{seed}/{number}")
        size = SMALL_BYTES if small else min(int(rng.lognormvariate(0, SIGMA) * MEDIAN_BYTES), LARGEST_BYTES)
        date = FIRST_DATE + rng.randrange(DAYS * 86_400)
        sender, recipient = rng.sample(PEOPLE, 2)
        stamp = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(date))
        head = (f"Return-Path: <{sender}@example.org>\r\n"
                f"Received: from mx.example.org by mail.example.net with ESMTPS id {number:08x}\r\n"
                f"\tfor <{recipient}@example.net>; {stamp}\r\nFrom: {sender.title()} <{sender}@example.org>\r\n"
                f"To: {recipient.title()} <{recipient}@example.net>\r\nSubject: {' '.join(rng.choices(WORDS, k=5))}\r\nDate: {stamp}\r\n"
                f"Message-ID: <{seed}.{number}@bench.example.org>\r\nMIME-Version: 1.0\r\n"
                f"Content-Type: text/plain; charset=us-ascii\r\n\r\n")
        flags = [flag for flag, share in (("\\Seen", 0.8), ("\\Answered", 0.2), ("\\Flagged", 0.1)) if rng.random() < share]
        return head.encode() + self.cut(rng, size - len(head)), flags, date


@dataclass(frozen=True)
class Corpus:
    """count messages in each of boxes mailboxes; the first one is INBOX."""
    name: str
    boxes: int
    count: int
    small: bool = False

    @property
    def key(self):
        return f"{self.name}-{self.boxes}x{self.count}-v{VERSION}"

    @property
    def messages(self):
        return self.boxes * self.count

    @cached_property
    def mailboxes(self):
        return ["INBOX", *(f"Folder{number:03}" for number in range(1, self.boxes))]

    def each(self, writer):
        """(mailbox, number, octets, flags, date), mailbox by mailbox."""
        for place, mailbox in enumerate(self.mailboxes):
            for number in range(place * self.count, (place + 1) * self.count):
                yield mailbox, number, *writer.message(self.name, number, self.small)


class Loader:
    """Appends to a server, many messages with one command (MULTIAPPEND, LITERAL+)."""

    def __init__(self, port, user, password):
        self.socket = socket.create_connection(("127.0.0.1", port), 600)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.number = 0
        self.command(f"LOGIN {user} {password}".encode())

    def command(self, octets):
        self.number += 1
        tag = b"l%d " % self.number
        self.socket.sendall(tag + octets + b"\r\n")
        while True:
            line = self.file.readline()
            if line.startswith(tag) or not line:
                if not line.startswith(tag + b"OK"):
                    raise RuntimeError(f"the server said: {line.decode(errors='replace').strip()}")
                return

    def append(self, mailbox, messages):
        parts = [b"APPEND ", mailbox.encode()]
        for octets, flags, date in messages:
            stamp = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(date))
            parts += [f' ({" ".join(flags)}) "{stamp}" {{{len(octets)}+}}\r\n'.encode(), octets]
        self.command(b"".join(parts))

    def close(self):
        self.file.close()
        self.socket.close()


class Corpora:
    """The folder where they are kept. new_server(): a Dovecot to make them with, which is stopped by whoever made it."""

    def __init__(self, folder, new_server, say):
        self.folder = Path(folder)
        self.new_server = new_server
        self.say = say
        for scratch in self.folder.glob("*.*.[0-9]*"):  # of runs that were killed
            if not os.path.exists(f"/proc/{scratch.suffix[1:]}"):
                shutil.rmtree(scratch, ignore_errors=True)

    @cached_property
    def writer(self):
        return Writer()

    def _made(self, corpus, form, make):
        """corpora/KEY/FORM, made when it is not there; whole, or not at all."""
        place = self.folder / corpus.key / form
        if not place.exists():
            scratch = self.folder / f"{corpus.key}.{form}.{os.getpid()}"
            self.say(f"making {corpus.messages:,} messages in {corpus.boxes:,} mailboxes ({form}), once")
            try:
                make(corpus, scratch)
                place.parent.mkdir(exist_ok=True)
                scratch.rename(place)
            except OSError:
                if not place.exists():  # another run may have been faster
                    raise
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return place

    def home(self, corpus):
        """The home of a user of Dovecot who has that mail."""
        return self._made(corpus, "home", self._make_home)

    def native(self, corpus):
        """The same mail as a Maildir for each mailbox, as the mount shows it (lines end in LF)."""
        return self._made(corpus, "maildir", self._make_native)

    def _make_home(self, corpus, target):
        server = self.new_server()
        try:
            loader = Loader(server.plain_port, "corpus", server.password)
            batch, current = [], None
            for mailbox, _, octets, flags, date in corpus.each(self.writer):
                if batch and (mailbox != current or len(batch) == BATCH):
                    loader.append(current, batch)
                    batch = []
                if mailbox != current and mailbox != "INBOX":
                    loader.command(f"CREATE {mailbox}".encode())
                current = mailbox
                batch.append((octets, flags, date))
            loader.append(current, batch)
            for mailbox in corpus.mailboxes:
                loader.command(f"EXAMINE {mailbox}".encode())
                loader.command(b"UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)")
            loader.close()
        finally:
            server.stop()
        shutil.move(server.dir / "home" / "corpus", target)
        shutil.rmtree(server.dir)

    def _make_native(self, corpus, target):
        letters = {"\\Seen": "S", "\\Answered": "R", "\\Flagged": "F"}
        for mailbox in corpus.mailboxes:
            for sub in ("cur", "new", "tmp"):
                (target / mailbox / sub).mkdir(parents=True)
        for mailbox, number, octets, flags, date in corpus.each(self.writer):
            info = "".join(sorted(letters[flag] for flag in flags))
            sub, info = "cur" if "S" in info else "new", f":2,{info}" if info else ""
            path = f"{target}/{mailbox}/{sub}/{date}.M{number:06}P{number}.bench{info}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, octets.replace(b"\r\n", b"\n"))
            os.close(descriptor)
            os.utime(path, (date, date))
