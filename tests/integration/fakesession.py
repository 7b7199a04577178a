"""One connection to the server of fakeserver.py: what IMAP says, in small pieces that a lie can replace.

The methods after "what is told" are such pieces: a subclass gives another answer there and leaves the rest honest. All but
reading happens with the server's lock held.
"""
import re
import select
import time
import zlib

SYSTEM = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"}
NEEDS = {"ID": "ID", "ENABLE": "ENABLE", "NAMESPACE": "NAMESPACE", "UNSELECT": "UNSELECT", "IDLE": "IDLE",
         "UID_EXPUNGE": "UIDPLUS", "UID_MOVE": "MOVE", "COMPRESS": "COMPRESS=DEFLATE"}
STATUS_ITEMS = {b"MESSAGES": "exists", b"UIDNEXT": "uidnext", b"UIDVALIDITY": "uidvalidity", b"UNSEEN": "unseen",
                b"RECENT": "recent", b"HIGHESTMODSEQ": "modseq"}
IDLE_LOOK_S = 0.05
FAR_S = 0.04


def quoted(name):
    if re.search(rb'[\x00-\x1f\x7f-\xff"\\]', name):
        return b"{%d}\r\n" % len(name) + name
    return b'"' + name + b'"'


def uid_set(uids):
    return b",".join(b"%d" % uid for uid in uids)


class Inflated:
    """What comes under COMPRESS, as a file."""

    def __init__(self, connection):
        self.socket, self.stream, self.octets = connection, zlib.decompressobj(-zlib.MAX_WBITS), b""

    def _until(self, enough):
        while not enough():
            came = self.socket.recv(65536)
            if not came:
                return
            self.octets += self.stream.decompress(came)

    def _take(self, count):
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken

    def readline(self):
        self._until(lambda: b"\n" in self.octets)
        return self._take(self.octets.find(b"\n") + 1 or len(self.octets))

    def read(self, count):
        self._until(lambda: len(self.octets) >= count)
        return self._take(count)


class Session:
    def __init__(self, server, connection):
        self.server = server
        self.socket = connection
        self.file = connection.makefile("rb") if connection else None
        self.box = None
        self.view = []  # what the client knows of the mailbox: the messages by their numbers, and their flags
        self.told = {}
        self.qresync = self.read_only = False
        self.errors = 0
        self.deflate = None  # under COMPRESS

    # The line

    def send(self, octets):
        if self.deflate:
            octets = self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.socket.sendall(octets)

    def read_command(self):
        """The command with its literals put in place."""
        line = self.file.readline()
        if not line:
            raise ConnectionError
        whole, literals = line.rstrip(b"\r\n"), []
        while found := re.search(rb"~?\{(\d+)(\+?)\}$", whole):
            if not found[2]:
                self.go_ahead(whole)
            literals.append(self.file.read(int(found[1])))
            whole = whole[:found.start()] + b"\x00%d" % (len(literals) - 1)
            whole += self.file.readline().rstrip(b"\r\n")
        return whole, literals

    def run(self):
        self.greet()
        while True:
            line, literals = self.read_command()
            tag, _, rest = line.partition(b" ")
            verb = rest.split(b" ", 1)[0].upper()
            if verb == b"UID":
                verb = b"UID_" + rest.split(b" ", 2)[1].upper()
            verb = verb.decode("ascii", "replace")
            with self.server.lock:
                self.server.log.append(verb)
                self.server.lines.append(rest.decode("utf-8", "replace"))
                answer = self.answer(verb, rest, literals) or b"OK done"
                self.news()
            self.errors += not answer.startswith(b"OK")
            if self.server.extra_lines:
                self.send(self.server.extra_lines)
            self.send(tag + b" " + answer + b"\r\n")
            self.after(verb, answer)
            if verb == "LOGOUT":
                return

    def has(self, capability):
        return capability in self.server.capability.split()

    def lies_about(self, box):
        return self.server.about is None or (box is not None and box.name in self.server.about)

    @staticmethod
    def name(rest, literals, position=1):
        """The argument at this position, as a mailbox name."""
        words = re.findall(rb'"(?:[^"\\]|\\.)*"|\x00\d+|\([^)]*\)|[^\s]+', rest)
        word = words[position]
        if word.startswith(b"\x00"):
            return literals[int(word[1:])]
        if word.startswith(b'"'):
            word = re.sub(rb"\\(.)", rb"\1", word[1:-1])
        return b"INBOX" if word.upper() == b"INBOX" else word

    # What is told

    def answer(self, verb, rest, literals):
        """Carries a command out; the text behind the tag, None for OK."""
        handler = getattr(self, "do_" + verb.lower(), None)
        if not handler or (verb in NEEDS and not self.has(NEEDS[verb])):
            return b"BAD unknown command"
        if self.box is None and verb.startswith(("UID_", "EXPUNGE", "CLOSE", "UNSELECT")):
            return b"BAD no mailbox selected"
        return handler(rest, literals)

    def greet(self):
        if self.has("COMPRESS=DEFLATE"):
            time.sleep(FAR_S)  # nobody would use it, where it is near
        self.send(b"* OK [CAPABILITY %s] ready\r\n" % self.server.capability.encode())

    def after(self, verb, answer):
        """The tagged answer was sent."""
        if verb == "COMPRESS" and answer.startswith(b"OK"):
            self.compress()

    def compress(self):
        """The client has sent nothing since, and waits."""
        self.file = Inflated(self.socket)
        self.deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def go_ahead(self, line):
        self.send(b"+ go on\r\n")

    def enabled(self):
        return b"QRESYNC CONDSTORE" if self.qresync else b""

    def listed(self):
        return list(self.server.boxes)

    def numbers(self, box, selecting):
        """What SELECT or STATUS tells; None: it is left out."""
        return {"exists": len(box), "recent": 0, "uidnext": box.next_uid, "uidvalidity": box.uidvalidity,
                "unseen": sum("\\Seen" not in m.flags for m in box),
                "modseq": box.modseq if self.has("CONDSTORE") else None}

    def mailbox_id(self, box):
        return b"mailbox-%d" % id(box)

    def size(self, message):
        return b"%d" % len(message.octets)

    def shown(self, message, section):
        """The message's octets as they are sent, or as that section (b"[]" is the whole) is made of them."""
        return message.octets

    def sent_for(self, message, what):
        """The message that is sent for this one."""
        return message

    def accept(self, box, octets, flags, date):
        """An APPEND."""
        return box.add(octets, flags, date)

    def kept(self, flags):
        """Those of the flags to be stored that are."""
        return flags

    def copy(self, message, box, target):
        return target.add(message.octets, set(message.flags), message.date)

    def take_out(self, box, message):
        """An EXPUNGE."""
        box.take_out(message)

    def leave(self, box, message):
        """The end of a MOVE."""
        box.take_out(message)

    def touch(self, box, message):
        """Its flags changed."""
        box.touch(message)

    def appenduid(self, box, message):
        return b"[APPENDUID %d %d] " % (box.uidvalidity, message.uid) if self.has("UIDPLUS") else b""

    def copyuid(self, target, sources, copies):
        if not self.has("UIDPLUS") or not copies:
            return b""
        return b"[COPYUID %d %s %s] " % (target.uidvalidity, uid_set(m.uid for m in sources), uid_set(m.uid for m in copies))

    def vanished(self, box, since):
        """The UIDs of VANISHED (EARLIER), as text."""
        there = {m.uid for m in box}
        return uid_set(sorted({uid for modseq, uid in box.vanished if modseq > since} - there))

    def found(self, uids):
        """The UIDs that SEARCH tells."""
        return uids

    # Before and beside mailboxes

    def do_capability(self, rest, literals):
        self.send(b"* CAPABILITY %s\r\n" % self.server.capability.encode())

    def do_login(self, rest, literals):
        return b"OK logged in"

    def do_authenticate(self, rest, literals):
        if len(rest.split(b" ")) < 3:
            self.send(b"+ \r\n")
            self.file.readline()

    def do_noop(self, rest, literals):
        return None

    do_check = do_noop

    def do_compress(self, rest, literals):
        return b"NO [COMPRESSIONACTIVE] already" if self.deflate else None

    def do_logout(self, rest, literals):
        self.send(b"* BYE\r\n")

    def do_id(self, rest, literals):
        self.send(b"* ID NIL\r\n")

    def do_enable(self, rest, literals):
        self.qresync = self.qresync or (b"QRESYNC" in rest.upper() and self.has("QRESYNC"))
        self.send(b"* ENABLED %s\r\n" % self.enabled())

    def do_namespace(self, rest, literals):
        self.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')

    # Mailboxes

    def do_list(self, rest, literals):
        delimiter = b'"' + self.server.delimiter + b'"'
        pattern = self.name(rest, literals, 2)
        if pattern == b"":
            self.send(b'* LIST (\\Noselect) %s ""\r\n' % delimiter)
            return
        options = rest.upper().partition(b" RETURN ")[2]
        for name in self.listed():
            if pattern not in (b"*", b"%", name):
                continue
            attributes = [self.server.attributes.get(name, b"")]
            if b"SUBSCRIBED" in options and name in self.server.subscribed:
                attributes.append(b"\\Subscribed")
            self.send(b"* LIST (%s) %s %s\r\n" % (b" ".join(filter(None, attributes)), delimiter, quoted(name)))
            if found := re.search(rb"STATUS (\([^)]*\))", options):
                self.tell_status(name, found[1])

    def do_lsub(self, rest, literals):
        for name in self.listed():
            if name in self.server.subscribed:
                self.send(b'* LSUB () "%s" %s\r\n' % (self.server.delimiter, quoted(name)))

    def do_create(self, rest, literals):
        name = self.name(rest, literals)
        if name in self.server.boxes:
            return b"NO [ALREADYEXISTS] there is one"
        self.server.boxes[name] = type(self.server.boxes[b"INBOX"])(name)
        return None

    def do_delete(self, rest, literals):
        return None if self.server.boxes.pop(self.name(rest, literals), None) is not None else b"NO [NONEXISTENT] no such mailbox"

    def do_rename(self, rest, literals):
        name, target = self.name(rest, literals), self.name(rest, literals, 2)
        if name not in self.server.boxes or target in self.server.boxes:
            return b"NO cannot be renamed"
        self.server.boxes[target] = self.server.boxes.pop(name)
        self.server.boxes[target].name = target
        return None

    def do_subscribe(self, rest, literals):
        self.server.subscribed.add(self.name(rest, literals))

    def do_unsubscribe(self, rest, literals):
        self.server.subscribed.discard(self.name(rest, literals))

    def tell_status(self, name, items):
        numbers = self.numbers(self.server.boxes[name], False)
        told = [b"%s %d" % (item, numbers[STATUS_ITEMS[item]]) for item in re.findall(rb"[A-Z]+", items.upper())
                if numbers.get(STATUS_ITEMS.get(item)) is not None]
        if b"MAILBOXID" in items.upper() and self.has("OBJECTID"):
            told.append(b"MAILBOXID (%s)" % self.mailbox_id(self.server.boxes[name]))
        self.send(b"* STATUS %s (%s)\r\n" % (quoted(name), b" ".join(told)))

    def do_status(self, rest, literals):
        name = self.name(rest, literals)
        if name not in self.server.boxes:
            return b"NO [NONEXISTENT] no such mailbox"
        self.tell_status(name, rest.rpartition(b"(")[2])
        return None

    def do_select(self, rest, literals):
        box = self.server.boxes.get(self.name(rest, literals))
        if self.box is not None and self.qresync:
            self.send(b"* OK [CLOSED] the other one\r\n")
        self.box = None
        if box is None:
            return b"NO [NONEXISTENT] no such mailbox"
        self.box, self.view = box, list(box)
        self.told = {m.uid: set(m.flags) for m in box}
        numbers = self.numbers(box, True)
        self.send(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
                  b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] all\r\n"
                  b"* %d EXISTS\r\n* 0 RECENT\r\n" % numbers["exists"])
        for code in (b"UIDVALIDITY", b"UIDNEXT", b"HIGHESTMODSEQ"):
            if numbers[STATUS_ITEMS[code]] is not None:
                self.send(b"* OK [%s %d] ok\r\n" % (code, numbers[STATUS_ITEMS[code]]))
        known = re.search(rb"\(QRESYNC \((\d+) (\d+)", rest.upper())
        if known and self.qresync and int(known[1]) == box.uidvalidity:
            self.resynchronise(int(known[2]))
        self.read_only = rest.upper().startswith(b"EXAMINE")
        return b"OK [READ-ONLY] selected" if self.read_only else b"OK [READ-WRITE] selected"

    do_examine = do_select

    def resynchronise(self, since):
        if gone := self.vanished(self.box, since):
            self.send(b"* VANISHED (EARLIER) %s\r\n" % gone)
        for number, message in enumerate(self.view, 1):
            if message.modseq > since:
                self.tell_flags(number, message)

    def do_unselect(self, rest, literals):
        self.box = None

    def do_close(self, rest, literals):
        self.expunge([] if self.read_only else list(self.box))
        self.box = None

    def do_idle(self, rest, literals):
        self.send(b"+ idling\r\n")
        while True:
            self.news()
            self.server.lock.release()
            try:
                ready = select.select([self.socket], [], [], IDLE_LOOK_S)[0]
                if ready and not self.file.readline():
                    raise ConnectionError
            finally:
                self.server.lock.acquire()
            if ready:
                return

    # Messages

    def tell_flags(self, number, message):
        self.told[message.uid] = set(message.flags)
        modseq = b" MODSEQ (%d)" % message.modseq if self.has("CONDSTORE") else b""
        self.send(b"* %d FETCH (UID %d FLAGS (%s)%s)\r\n"
                  % (number, message.uid, " ".join(sorted(message.flags)).encode(), modseq))

    def news(self):
        """What others did meanwhile, or this session itself."""
        if self.box is None:
            return
        there = {id(m) for m in self.box}
        gone = [(number, m) for number, m in enumerate(self.view, 1) if id(m) not in there]
        if gone and self.qresync:
            self.send(b"* VANISHED %s\r\n" % uid_set(m.uid for _, m in gone))
        for number, _ in reversed(gone) if not self.qresync else ():
            self.send(b"* %d EXPUNGE\r\n" % number)
        self.view = [m for m in self.view if id(m) in there]
        known = {id(m) for m in self.view}
        fresh = [m for m in self.box if id(m) not in known]
        if fresh:
            self.view += fresh
            self.told.update({m.uid: set(m.flags) for m in fresh})
            self.send(b"* %d EXISTS\r\n" % len(self.view))
        for number, message in enumerate(self.view, 1):
            if self.told[message.uid] != message.flags:
                self.tell_flags(number, message)

    def chosen(self, text):
        """(number, Mail) of a UID set."""
        top = max((m.uid for m in self.box), default=0)
        ranges = []
        for part in text.decode().split(","):
            low, _, high = part.replace("*", str(top)).partition(":")
            ranges.append(sorted((int(low), int(high or low))))
        there = {id(m) for m in self.box}
        return [(number, m) for number, m in enumerate(self.view, 1)
                if id(m) in there and any(low <= m.uid <= high for low, high in ranges)]

    def do_uid_fetch(self, rest, literals):
        words = rest.split(b" ", 3)
        what = words[3].upper()
        since = re.search(rb"\(CHANGEDSINCE (\d+)( VANISHED)?\)$", what)
        if since and since[2] and (gone := self.vanished(self.box, int(since[1]))):
            self.send(b"* VANISHED (EARLIER) %s\r\n" % gone)
        for number, asked in self.chosen(words[2]):
            if not since or asked.modseq > int(since[1]):
                self.tell_message(number, self.sent_for(asked, what), what, since)

    def tell_message(self, number, message, what, with_modseq):
        parts = [b"UID %d" % message.uid]
        if b"FLAGS" in what:
            self.told[message.uid] = set(message.flags)
            parts.append(b"FLAGS (%s)" % " ".join(sorted(message.flags)).encode())
        if b"INTERNALDATE" in what:
            parts.append(b'INTERNALDATE "%s"' % message.date)
        if b"RFC822.SIZE" in what:
            parts.append(b"RFC822.SIZE %s" % self.size(message))
        if with_modseq:
            parts.append(b"MODSEQ (%d)" % message.modseq)
        found = re.search(rb"BODY(?:\.PEEK)?(\[[^\]]*\])", what)
        if found:
            octets = self.section(found[1], self.shown(message, found[1]))
            parts.append(b"BODY%s {%d}\r\n" % (found[1], len(octets)) + octets)
        line = b"* %d FETCH (%s)\r\n" % (number, b" ".join(parts))
        if found and found[1] == b"[]" and self.server.hang_up_in_literal > 0:
            self.server.hang_up_in_literal -= 1
            self.send(line[:len(line) // 2])
            raise ConnectionError
        self.send(line)

    @staticmethod
    def section(name, octets):
        if name == b"[]":
            return octets
        head = octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
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
            before = set(message.flags)
            if operation.startswith(b"+"):
                message.flags |= self.kept(flags)
            elif operation.startswith(b"-"):
                message.flags -= flags
            else:
                message.flags = self.kept(flags)
            if message.flags != before:
                self.touch(self.box, message)
            if b".SILENT" in operation:
                self.told[message.uid] = set(message.flags)
            else:
                self.tell_flags(number, message)

    def do_uid_copy(self, rest, literals):
        target = self.server.boxes.get(self.name(rest, literals, 3))
        if target is None:
            return b"NO [TRYCREATE] no such mailbox"
        sources = [m for _, m in self.chosen(rest.split(b" ", 3)[2])]
        return b"OK %sdone" % self.copyuid(target, sources, [self.copy(m, self.box, target) for m in sources])

    def do_uid_move(self, rest, literals):
        target = self.server.boxes.get(self.name(rest, literals, 3))
        if target is None:
            return b"NO [TRYCREATE] no such mailbox"
        sources = [m for _, m in self.chosen(rest.split(b" ", 3)[2])]
        copies = [self.copy(m, self.box, target) for m in sources]
        for message in sources:
            if message in self.box:
                self.leave(self.box, message)
        if code := self.copyuid(target, sources, copies):
            self.send(b"* OK %smoved\r\n" % code)
        return b"OK done"

    def expunge(self, messages):
        for message in messages:
            if "\\Deleted" in message.flags:
                self.take_out(self.box, message)

    def do_expunge(self, rest, literals):
        self.expunge(list(self.box))

    def do_uid_expunge(self, rest, literals):
        self.expunge([m for _, m in self.chosen(rest.split(b" ", 3)[2])])

    def do_uid_search(self, rest, literals):
        """ALL, flags as DELETED or UNSEEN, UID sets, bare or after UID; nothing else."""
        found = list(self.box)
        extended = re.match(rb"UID SEARCH RETURN \(ALL\) ", rest.upper())
        if extended and not self.has("ESEARCH"):
            return b"BAD unknown search"
        for word in rest.split()[4 if extended else 2:]:
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
        uids = self.found([m.uid for m in found])
        if extended:
            self.send(b"* ESEARCH (TAG \"x\") UID%s\r\n" % (b" ALL " + uid_set(uids) if uids else b""))
        else:
            self.send(b"* SEARCH%s\r\n" % b"".join(b" %d" % uid for uid in uids))
        return None

    def do_append(self, rest, literals):
        box = self.server.boxes.get(self.name(rest, literals))
        if box is None:
            return b"NO [TRYCREATE] no such mailbox"
        flags = re.search(rb"\(([^)]*)\)", rest)
        date = re.search(rb'"([^"]*\d\d:\d\d:\d\d [-+]\d{4})"', rest)
        message = self.accept(box, literals[-1], set(flags[1].decode().split()) if flags else set(), date and date[1])
        return b"OK %sappended" % self.appenduid(box, message)
