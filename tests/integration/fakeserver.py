"""An IMAP server in memory that tests can bend: correct by default, with the extensions that its capabilities name.

It knows IMAP4rev1 as far as mailmount speaks it, and UIDPLUS, MOVE, CONDSTORE, QRESYNC, ESEARCH, LIST-EXTENDED, LIST-STATUS,
SPECIAL-USE, ENABLE, UNSELECT, ID, NAMESPACE, IDLE, LITERAL+ and COMPRESS where `capability` has them (fakesession.py). What an honest
server would not do is in lies.py, one class a lie; `tell` throws their switches, also while clients are connected.
"""
import itertools
import socket
import threading
import time

from fakesession import Session
from support import token_of

BARE = "IMAP4rev1"
PLAIN = "IMAP4rev1 UIDPLUS IDLE"
CONDSTORE = "IMAP4rev1 LITERAL+ ID ENABLE NAMESPACE UNSELECT IDLE UIDPLUS MOVE CONDSTORE ESEARCH LIST-EXTENDED SPECIAL-USE"
FULL = CONDSTORE + " QRESYNC LIST-STATUS"
UIDVALIDITIES = itertools.count(7)


class Mail:
    def __init__(self, uid, octets, flags=(), date=None):
        self.uid, self.octets, self.date = uid, octets, date or b"06-May-2024 10:00:00 +0000"
        self.flags = flags if isinstance(flags, set) else set(flags)  # a set may be shared: one message, many labels
        self.modseq = 0

    @property
    def token(self):
        return token_of(self.octets)


class Box(list):
    """The Mail of one mailbox, in order of UIDs, which are never given out twice."""

    def __init__(self, name=b""):
        super().__init__()
        self.name = name
        self.next_uid = 1
        self.uidvalidity = next(UIDVALIDITIES)
        self.modseq = 1
        self.vanished = []  # (modseq, uid)

    def touch(self, message):
        self.modseq += 1
        message.modseq = self.modseq

    def add(self, octets, flags=(), date=None):
        message = Mail(self.next_uid, octets, flags, date)
        self.next_uid += 1
        self.append(message)
        self.touch(message)
        return message

    def take_out(self, message):
        self.remove(message)
        self.modseq += 1
        self.vanished.append((self.modseq, message.uid))

    def find(self, token):
        return next((m for m in self if m.token == token), None)


class FakeServer:
    """boxes: {octets of the name: Box}. Whoever looks at it while clients are connected holds the lock."""
    capability = BARE

    def __init__(self, boxes=None, capability=None, lies=(), about=None):
        """boxes: {octets of the name: [octets of messages]}; lies: classes of lies.py; about: see tell."""
        self.boxes = {}
        for name, messages in (boxes or {b"INBOX": []}).items():
            self.boxes[name] = Box(name)
            for octets in messages:
                self.boxes[name].add(octets)
        self.capability = capability or self.capability
        self.attributes = {}         # of mailboxes, as {name: b"\\Trash"}
        self.subscribed = set()
        self.delimiter = b"/"
        self.hang_up_in_literal = 0  # how many times to hang up half way through a message
        self.extra_lines = b""       # sent before each tagged answer
        self.lock = threading.Lock()
        self.log = []                # verbs
        self.lines = []              # whole commands but for their tags and literals
        self.memory = {}             # the lies' own
        self.told = set()
        self.sessions = set()
        self.about, self.session_class = None, Session
        self.tell(*lies, about=about)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def tell(self, *lies, about=None):
        """From now on these lies and no others; about: the mailboxes that they are told of, None for all."""
        with self.lock:
            self.about = about
            self.session_class = type("Liar", (*lies, Session), {}) if lies else Session
            for session in self.sessions:
                session.__class__ = self.session_class

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self.lock:
            session = self.session_class(self, connection)
            self.sessions.add(session)
        try:
            session.run()
        except (OSError, ConnectionError, ValueError):
            pass
        finally:
            with self.lock:
                self.sessions.discard(session)
            connection.close()

    # Another client of the same account, and a witness

    def tokens(self, name):
        """The sorted tokens, doubles and all."""
        with self.lock:
            return sorted(m.token for m in self.boxes[name])

    def flags(self, name, token):
        with self.lock:
            return set(self.boxes[name].find(token).flags)

    def arrive(self, name, octets, flags=()):
        with self.lock:
            self.witness().accept(self.boxes[name], octets, set(flags), None)

    def store(self, name, token, *flags):
        with self.lock:
            message = self.boxes[name].find(token)
            message.flags.update(flags)
            self.witness().touch(self.boxes[name], message)

    def expunge(self, name, token):
        with self.lock:
            self.witness().take_out(self.boxes[name], self.boxes[name].find(token))

    def move(self, name, token, target):
        with self.lock:
            message = self.boxes[name].find(token)
            self.witness().copy(message, self.boxes[name], self.boxes[target])
            if message in self.boxes[name]:
                self.witness().leave(self.boxes[name], message)

    def witness(self):
        """A session without a client."""
        return self.session_class(self, None)

    def commands_in(self, seconds):
        """What all clients sent within a while."""
        with self.lock:
            begin = len(self.lines)
        time.sleep(seconds)
        with self.lock:
            return self.lines[begin:]
