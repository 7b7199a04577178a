"""What random work on an account (soak.py) must lead to: the messages, and the book of what was done."""
import hashlib
import threading
import time
from collections import Counter

from support import lf, mail


def is_outcome(there, wanted):
    """Copies of one text, octet for octet, cannot be told apart once they move at the same time: then the flags of one may
    be those of both."""
    if sorted((box, content) for box, _, content in there) != sorted((box, content) for box, _, content in wanted):
        return False
    if len(there) == 1 or len({content for _, _, content in there}) > 1:
        return frozenset(there) == wanted
    marks = [{flags for _, flags, _ in side} for side in (there, wanted)]
    return set("".join(marks[0])) == set("".join(marks[1]))


def digest(octets):
    return hashlib.sha256(lf(octets)).hexdigest()[:16]


def make(rng, token, version):
    """A message that can tell whether it is whole. Each version has a size of its own: two of the same Message-ID, size and
    date cannot be told apart without reading them."""
    body = b"".join(b"%032x\r\n" % rng.getrandbits(128) for _ in range(rng.choice((1, 3, 30, 30, 1000))))
    body += b"sum " + hashlib.sha256(lf(body)).hexdigest().encode() + b"\r\n"
    return mail(token, body, headers="X-Version: " + "x" * version + "\r\n")


def is_whole(octets):
    body, mark, total = lf(octets).partition(b"\n\n")[2].rpartition(b"sum ")
    return bool(mark) and total.strip().decode() == hashlib.sha256(body).hexdigest()


class Owned:
    """An owned message. outcomes: what may be there, each a set of (mailbox, letters, digest); one of them unless an act was cut short."""

    def __init__(self, token):
        self.token = token
        self.version = 0
        self.outcomes = [frozenset()]

    @property
    def is_sure(self):
        return len(self.outcomes) == 1

    @property
    def copies(self):
        return self.outcomes[0]


class Book:
    """What must be there, what may be, and what was done."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done, self.faults, self.unsure = Counter(), Counter(), 0
        self.owned = {}
        self.pool, self.pool_sure, self.pool_doomed = set(), set(), set()
        self.marked, self.edits = set(), []  # \Deleted was set on these; (old, new), which has the old one's flags
        self.problems = []
        self.lines = []

    def note(self, who, what):
        with self.lock:
            self.lines.append(f"{time.strftime('%H:%M:%S')}.{int(time.time() * 1000) % 1000:03} {who}: {what}")

    def problem(self, text):
        self.note("PROBLEM", text)
        with self.lock:
            self.problems.append(text)

    def doom(self, octets):
        with self.lock:
            self.pool_doomed.add(digest(octets))

    def mark(self, octets):
        with self.lock:
            self.marked.add(digest(octets))

    def edited(self, old, octets):
        with self.lock:
            self.pool_doomed.add(digest(old))
            self.edits.append((digest(old), digest(octets)))

    def _doom_marked(self):
        """What carries \\Deleted, or was edited from such a text, goes at the client's next EXPUNGE."""
        before = -1
        while before != len(self.marked):
            before = len(self.marked)
            self.marked |= {new for old, new in self.edits if old in self.marked}
        self.pool_doomed |= self.marked

    def check(self, actual):
        """actual: {mailbox: [(token, letters, digest, whole)]}, the same on all sides."""
        found, contents = {}, Counter()
        for box, messages in actual.items():
            for token, flags, content, whole in messages:
                if not whole:
                    self.problem(f"{token} in {box} is damaged")
                contents[content] += token.startswith("p")
                found.setdefault(token, []).append((box, flags, content))
        for token, message in self.owned.items():
            there = found.get(token, [])
            if not any(is_outcome(there, outcome) for outcome in message.outcomes):
                self.problem(f"{token} should be {' or '.join(str(sorted(o)) for o in message.outcomes)} and is {sorted(there)}")
            message.outcomes = [frozenset(there)]
        for token in found.keys() - self.owned.keys():
            if not token.startswith("p"):
                self.problem(f"nobody made {token!r} in {found[token]}")
        self._check_pool(contents, found)

    def _check_pool(self, contents, found):
        places = {content: box for there in found.values() for box, _, content in there}
        for content in +contents:
            if contents[content] > 1:
                self.problem(f"pool message {content} is there {contents[content]} times, once in {places[content]}")
            if content not in self.pool:
                self.problem(f"nobody made pool message {content} in {places[content]}")
        self._doom_marked()
        for content in self.pool_sure - self.pool_doomed - set(+contents):
            self.problem(f"pool message {content} is lost, and nobody removed it")
        self.pool_sure &= set(+contents)
