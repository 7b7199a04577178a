"""A server that lies: a few hundred octets of IMAP4rev1 in memory, to be bent into what no honest server would send.

It knows LOGIN, AUTHENTICATE PLAIN, LIST, STATUS, SELECT, FETCH, STORE, SEARCH, APPEND, EXPUNGE, NOOP, IDLE, and what is
needed around them. Subclass it, or set its switches, for a particular lie.
"""
import re
import socket
import threading


class Mail:
    def __init__(self, uid, octets, flags=()):
        self.uid, self.octets, self.flags = uid, octets, set(flags)


class Box(list):
    """The Mail of one mailbox. UIDs are never given out twice."""
    next_uid = 1

    def add(self, octets, flags=()):
        self.append(Mail(self.next_uid, octets, flags))
        self.next_uid += 1


class FakeServer:
    capability = "IMAP4rev1"

    def __init__(self, boxes=None):
        """boxes: {octets of the name: [octets of messages]}"""
        self.boxes = {}
        for name, messages in (boxes or {b"INBOX": []}).items():
            self.boxes[name] = Box()
            for octets in messages:
                self.boxes[name].add(octets)
        self.delimiter = b"/"
        self.hang_up_in_literal = 0  # how many times to hang up half way through a message
        self.extra_lines = b""       # sent before each tagged answer
        self.lock = threading.Lock()
        self.log = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            Session(self, connection).run()
        except (OSError, ConnectionError, ValueError):
            pass
        finally:
            connection.close()


def quoted(name):
    if re.search(rb'[\x00-\x1f\x7f-\xff"\\]', name):
        return b"{%d}\r\n" % len(name) + name
    return b'"' + name + b'"'


class Session:
    def __init__(self, server, connection):
        self.server = server
        self.socket = connection
        self.file = connection.makefile("rb")
        self.box = None
        self.known = 0

    def send(self, octets):
        self.socket.sendall(octets)

    def read_command(self):
        """The command with its literals put in place."""
        line = self.file.readline()
        if not line:
            raise ConnectionError
        whole, literals = line.rstrip(b"\r\n"), []
        while found := re.search(rb"~?\{(\d+)(\+?)\}$", whole):
            if not found[2]:
                self.send(b"+ go on\r\n")
            literals.append(self.file.read(int(found[1])))
            whole = whole[:found.start()] + b"\x00%d" % (len(literals) - 1)
            whole += self.file.readline().rstrip(b"\r\n")
        return whole, literals

    def run(self):
        self.send(b"* OK [CAPABILITY %s] ready\r\n" % self.server.capability.encode())
        while True:
            line, literals = self.read_command()
            tag, _, rest = line.partition(b" ")
            verb = rest.split(b" ", 1)[0].upper()
            if verb == b"UID":
                verb = b"UID_" + rest.split(b" ", 2)[1].upper()
            self.server.log.append(verb.decode())
            handler = getattr(self, "do_" + verb.decode().lower(), None)
            with self.server.lock:
                answer = handler(rest, literals) if handler else b"BAD unknown command"
            if self.server.extra_lines:
                self.send(self.server.extra_lines)
            self.send(tag + b" " + (answer or b"OK done") + b"\r\n")
            if verb == b"LOGOUT":
                return

    def name(self, rest, literals, position=1):
        """The argument at this position, as a mailbox name."""
        words = re.findall(rb'"(?:[^"\\]|\\.)*"|\x00\d+|\([^)]*\)|[^\s]+', rest)
        word = words[position]
        if word.startswith(b"\x00"):
            return literals[int(word[1:])]
        if word.startswith(b'"'):
            word = re.sub(rb"\\(.)", rb"\1", word[1:-1])
        return b"INBOX" if word.upper() == b"INBOX" else word

    def do_capability(self, rest, literals):
        self.send(b"* CAPABILITY %s\r\n" % self.server.capability.encode())

    def do_login(self, rest, literals):
        return b"OK logged in"

    def do_authenticate(self, rest, literals):
        if len(rest.split(b" ")) < 3:
            self.send(b"+ \r\n")
            self.file.readline()

    def do_noop(self, rest, literals):
        self.news()

    do_check = do_noop

    def do_logout(self, rest, literals):
        self.send(b"* BYE\r\n")

    def do_id(self, rest, literals):
        self.send(b"* ID NIL\r\n")

    def do_enable(self, rest, literals):
        self.send(b"* ENABLED\r\n")

    def do_namespace(self, rest, literals):
        self.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')

    def do_list(self, rest, literals):
        delimiter = b'"' + self.server.delimiter + b'"'
        if rest.rstrip().endswith(b'""'):
            self.send(b'* LIST (\\Noselect) %s ""\r\n' % delimiter)
            return
        for name in self.server.boxes:
            self.send(b"* LIST () %s %s\r\n" % (delimiter, quoted(name)))

    def do_lsub(self, rest, literals):
        return b"OK none"

    def do_create(self, rest, literals):
        self.server.boxes.setdefault(self.name(rest, literals), Box())

    def do_status(self, rest, literals):
        name = self.name(rest, literals)
        box = self.server.boxes.get(name)
        if box is None:
            return b"NO [NONEXISTENT] no such mailbox"
        values = {b"MESSAGES": len(box), b"UIDNEXT": box.next_uid, b"UIDVALIDITY": 7, b"RECENT": 0,
                  b"UNSEEN": sum("\\Seen" not in m.flags for m in box)}
        wanted = [item for item in re.findall(rb"[A-Z]+", rest.rpartition(b"(")[2]) if item in values]
        self.send(b"* STATUS %s (%s)\r\n" % (quoted(name), b" ".join(b"%s %d" % (i, values[i]) for i in wanted)))

    def do_select(self, rest, literals):
        box = self.server.boxes.get(self.name(rest, literals))
        if box is None:
            return b"NO [NONEXISTENT] no such mailbox"
        self.box, self.known = box, len(box)
        self.send(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
                  b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] all\r\n"
                  b"* %d EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT %d] ok\r\n"
                  % (len(box), box.next_uid))
        return b"OK [READ-WRITE] selected"

    do_examine = do_select

    def do_close(self, rest, literals):
        self.box = None

    do_unselect = do_close

    def news(self):
        if self.box is not None and len(self.box) != self.known:
            self.known = len(self.box)
            self.send(b"* %d EXISTS\r\n" % self.known)

    def do_idle(self, rest, literals):
        self.send(b"+ idling\r\n")
        self.server.lock.release()
        try:
            self.file.readline()
        finally:
            self.server.lock.acquire()

    def chosen(self, text):
        """(number, Mail) of a UID set."""
        top = max((m.uid for m in self.box), default=0)
        result = []
        for number, message in enumerate(self.box, 1):
            for part in text.decode().split(","):
                low, _, high = part.replace("*", str(top)).partition(":")
                low, high = sorted((int(low), int(high or low)))
                if low <= message.uid <= high:
                    result.append((number, message))
                    break
        return result

    def do_uid_fetch(self, rest, literals):
        words = rest.split(b" ", 3)
        what = words[3].upper()
        for number, message in self.chosen(words[2]):
            parts = [b"UID %d" % message.uid]
            if b"FLAGS" in what:
                parts.append(b"FLAGS (%s)" % " ".join(sorted(message.flags)).encode())
            if b"INTERNALDATE" in what:
                parts.append(b'INTERNALDATE "06-May-2024 10:00:00 +0000"')
            if b"RFC822.SIZE" in what:
                parts.append(b"RFC822.SIZE %d" % len(message.octets))
            found = re.search(rb"BODY(?:\.PEEK)?(\[[^\]]*\])", what)
            if found:
                octets = self.section(found[1], message)
                parts.append(b"BODY%s {%d}\r\n" % (found[1], len(octets)) + octets)
            line = b"* %d FETCH (%s)\r\n" % (number, b" ".join(parts))
            if found and found[1] == b"[]" and self.server.hang_up_in_literal > 0:
                self.server.hang_up_in_literal -= 1
                self.send(line[:len(line) // 2])
                raise ConnectionError
            self.send(line)

    @staticmethod
    def section(name, message):
        if name == b"[]":
            return message.octets
        head = message.octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        found = re.search(rb"FIELDS \(([^)]*)\)", name)
        if not found:
            return head
        lines = [line for line in head.split(b"\r\n") if line.split(b":")[0].upper() in found[1].split()]
        return b"".join(line + b"\r\n" for line in lines) + b"\r\n"

    def do_uid_store(self, rest, literals):
        words = rest.split(b" ", 4)
        flags = set(words[4].decode().strip("()").split())
        operation = words[3].upper()
        for number, message in self.chosen(words[2]):
            if operation.startswith(b"+"):
                message.flags |= flags
            elif operation.startswith(b"-"):
                message.flags -= flags
            else:
                message.flags = flags
            self.send(b"* %d FETCH (UID %d FLAGS (%s))\r\n" % (number, message.uid, " ".join(sorted(message.flags)).encode()))

    def do_uid_copy(self, rest, literals):
        box = self.server.boxes.get(self.name(rest, literals, 3))
        if box is None:
            return b"NO [TRYCREATE] no such mailbox"
        for _, message in self.chosen(rest.split(b" ", 3)[2]):
            box.add(message.octets, message.flags)

    def do_uid_search(self, rest, literals):
        """ALL, flags as DELETED or UNSEEN, UID sets, bare or after UID; nothing else."""
        found = list(self.box)
        for word in rest.split()[2:]:
            word = word.upper().decode()
            if re.fullmatch(r"[\d:*,]+", word):
                chosen = [m for _, m in self.chosen(word.encode())]
                found = [m for m in found if m in chosen]
            elif word in ("DELETED", "SEEN", "FLAGGED", "ANSWERED", "DRAFT"):
                found = [m for m in found if "\\" + word.capitalize() in m.flags]
            elif word in ("UNDELETED", "UNSEEN", "UNFLAGGED", "UNANSWERED", "UNDRAFT"):
                found = [m for m in found if "\\" + word[2:].capitalize() not in m.flags]
            elif word not in ("ALL", "UID"):
                return b"BAD unknown search"
        self.send(b"* SEARCH%s\r\n" % b"".join(b" %d" % m.uid for m in found))

    def do_append(self, rest, literals):
        box = self.server.boxes.get(self.name(rest, literals))
        if box is None:
            return b"NO [TRYCREATE] no such mailbox"
        flags = re.search(rb"\(([^)]*)\)", rest)
        box.add(literals[-1], flags[1].decode().split() if flags else ())
        self.news()

    def do_expunge(self, rest, literals):
        for number in range(len(self.box), 0, -1):
            if "\\Deleted" in self.box[number - 1].flags:
                del self.box[number - 1]
                self.send(b"* %d EXPUNGE\r\n" % number)
        self.known = len(self.box)
