"""What servers tell that is not so: one class a lie, each a switch of the server in fakeserver.py.

A lie replaces one of the pieces that Session is made of. `kinds` are the speeds at which it can be told, by the names in KINDS.
A lie about mailboxes keeps to those that the server was told to lie about (lies_about).
"""
import random
import re
import time

import fakeserver
from fakesession import SYSTEM, Session

KINDS = {"full": fakeserver.FULL, "condstore": fakeserver.CONDSTORE, "plain": fakeserver.PLAIN, "bare": fakeserver.BARE,
         "ids": fakeserver.FULL + " OBJECTID", "compress": fakeserver.FULL + " COMPRESS=DEFLATE", "move": fakeserver.BARE + " MOVE"}


class Lie(Session):
    kinds = ("full",)

    def __init_subclass__(cls):
        """Notes in the server's `told` which lies there was an occasion for."""
        for name, method in list(vars(cls).items()):
            if callable(method) and not name.startswith("_"):
                setattr(cls, name, cls._noting(method))

    @classmethod
    def _noting(cls, method):
        def noted(self, *arguments):
            self.server.told.add(cls)
            return method(self, *arguments)
        return noted


class Honest(Lie):
    """None at all: what the tests expect must hold without lies, too."""
    kinds = tuple(KINDS)


# The line

class CompressRefused(Lie):
    kinds = ("compress",)

    def do_compress(self, rest, literals):
        return b"NO not today"


class CompressIsText(Lie):
    """All goes on as if nothing had been agreed on."""
    kinds = ("compress",)

    def compress(self):
        pass


class CompressHangsUp(Lie):
    kinds = ("compress",)

    def do_compress(self, rest, literals):
        raise ConnectionError


# UIDs and UIDVALIDITY

class AppenduidExchanged(Lie):
    kinds = ("full", "plain")

    def appenduid(self, box, message):
        if not self.lies_about(box):
            return super().appenduid(box, message)
        return b"[APPENDUID %d %d] " % (message.uid, box.uidvalidity)


class CopyuidOfSource(Lie):
    """COPYUID with the UIDVALIDITY of the mailbox that was left."""
    kinds = ("full", "plain")

    def copyuid(self, target, sources, copies):
        return super().copyuid(target, sources, copies).replace(b"%d " % target.uidvalidity, b"%d " % self.box.uidvalidity, 1)


class UidplusNotUnderstood(Lie):
    """Offered, and neither is UID EXPUNGE known nor a code told."""
    kinds = ("full", "plain")

    def appenduid(self, box, message):
        return b""

    def copyuid(self, target, sources, copies):
        return b""

    def do_uid_expunge(self, rest, literals):
        return b"BAD unknown command"


class UidExpungeDoesNothing(Lie):
    kinds = ("full", "plain")

    def do_uid_expunge(self, rest, literals):
        return None if self.lies_about(self.box) else super().do_uid_expunge(rest, literals)


class UidvalidityZero(Lie):
    kinds = ("full", "plain")

    def numbers(self, box, selecting):
        return {**super().numbers(box, selecting), **({"uidvalidity": 0} if self.lies_about(box) else {})}


class UidvalidityMissing(Lie):
    kinds = ("full", "plain")

    def numbers(self, box, selecting):
        return {**super().numbers(box, selecting), **({"uidvalidity": None} if self.lies_about(box) else {})}


class UidnextMissing(Lie):
    kinds = ("full", "condstore", "bare")

    def numbers(self, box, selecting):
        return {**super().numbers(box, selecting), **({"uidnext": None} if self.lies_about(box) else {})}


class UidnextRewound(Lie):
    """Every second time it is three lower than it was."""
    kinds = ("full", "condstore", "bare")

    def numbers(self, box, selecting):
        numbers = super().numbers(box, selecting)
        if self.lies_about(box):
            count = self.server.memory["rewound"] = self.server.memory.get("rewound", 0) + 1
            numbers["uidnext"] = max(1, numbers["uidnext"] - 3 * (count % 2))
        return numbers


# Numbers and lists

class StatusStale(Lie):
    """STATUS of a mailbox that any session has selected tells what was so when it was first selected."""
    kinds = ("full", "plain")

    def numbers(self, box, selecting):
        numbers = super().numbers(box, selecting)
        if not self.lies_about(box):
            return numbers
        selected = any(s.box is box for s in self.server.sessions if s is not self or not selecting)
        if selected:
            return numbers if selecting else self.server.memory.get(box.name, numbers)
        self.server.memory[box.name] = numbers
        return numbers


class HighestmodseqZero(Lie):
    """... of a mailbox that is empty."""
    kinds = ("full", "condstore")

    def numbers(self, box, selecting):
        return {**super().numbers(box, selecting), **({"modseq": 0} if not box else {})}


class StarAnswersOlder(Lie):
    """n:* answers the message before, too."""
    kinds = ("full", "plain", "bare")

    def chosen(self, text):
        low, _, high = text.partition(b":")
        older = [m.uid for m in self.box if high == b"*" and m.uid < int(low)]
        if older and self.lies_about(self.box):
            text = b"%d:*" % max(older)
        return super().chosen(text)


class ListDoubled(Lie):
    kinds = ("full", "plain")

    def listed(self):
        return super().listed() * 2


class ListForgets(Lie):
    """Every second LIST leaves mailboxes out."""
    kinds = ("full", "plain")

    def listed(self):
        count = self.server.memory["lists"] = self.server.memory.get("lists", 0) + 1
        return [name for name in super().listed() if count % 2 or not self.lies_about(self.server.boxes[name])]


class SearchDoubled(Lie):
    """The same UIDs twice, in no order."""
    kinds = ("condstore", "bare")

    def found(self, uids):
        return uids[::-1] + uids


class VanishedIsThere(Lie):
    """VANISHED (EARLIER) for mail that exists."""

    def vanished(self, box, since):
        told = super().vanished(box, since)
        if not self.lies_about(box) or not box:
            return told
        return b",".join(filter(None, (told, b"%d" % box[0].uid)))


class VanishedMalformed(Lie):
    def vanished(self, box, since):
        return b"1:,x" if self.lies_about(box) else super().vanished(box, since)


class MailboxIdOfChance(Lie):
    """Another one each time."""
    kinds = ("ids",)

    def mailbox_id(self, box):
        count = self.server.memory["ids"] = self.server.memory.get("ids", 0) + 1
        return b"chance%d" % count if self.lies_about(box) else super().mailbox_id(box)


class MailboxIdOfAll(Lie):
    """All have the same one."""
    kinds = ("ids",)

    def mailbox_id(self, box):
        return b"mailbox"


class MailboxIdMalformed(Lie):
    kinds = ("ids",)

    def mailbox_id(self, box):
        return b"a\x01b" if self.lies_about(box) else super().mailbox_id(box)


class EnabledEmpty(Lie):
    """It is on all the same."""

    def enabled(self):
        return b""


class SelectParametersRefused(Lie):
    kinds = ("full", "condstore")

    def answer(self, verb, rest, literals):
        if verb in ("SELECT", "EXAMINE") and b"(" in rest:
            self.box = None
            return b"BAD no parameters"
        return super().answer(verb, rest, literals)


# Messages

class SizeOfAThird(Lie):
    kinds = ("full", "bare")

    def size(self, message):
        return b"%d" % (len(message.octets) // 3)


class SizeNil(Lie):
    kinds = ("full", "bare")

    def size(self, message):
        return b"NIL"


class AlteredOnAppend(Lie):
    """A scanner on the way in leaves its mark."""
    kinds = ("full", "bare", "move")

    def accept(self, box, octets, flags, date):
        return super().accept(box, b"X-Scanned: yes\r\n" + octets if self.lies_about(box) else octets, flags, date)


class AlteredOnFetch(Lie):
    """A scanner on the way out leaves its mark."""
    kinds = ("full", "bare")

    def shown(self, message, section):
        octets = super().shown(message, section)
        return b"X-Scanned: yes\r\n" + octets if self.lies_about(self.box) else octets


class NeverTheSame(Lie):
    """Each look at a message shows another text."""
    kinds = ("full", "bare")

    def shown(self, message, section):
        count = self.server.memory["shown"] = self.server.memory.get("shown", 0) + 1
        return super().shown(message, section) + b"-- \r\n%d\r\n" % count if self.lies_about(self.box) else message.octets


class OtherMessage(Lie):
    """The first time, instead of a body that is asked for, its neighbour comes under its own UID."""
    kinds = ("full", "bare")

    def sent_for(self, message, what):
        seen = self.server.memory.setdefault("sent", set())
        if b"BODY.PEEK[]" not in what or message in seen or not self.lies_about(self.box):
            return message
        seen.add(message)
        return next((m for m in self.box if m is not message), message)


class OtherBody(Lie):
    """The first time, a body is the neighbour's."""
    kinds = ("full", "bare")

    def shown(self, message, section):
        seen = self.server.memory.setdefault("shown", set())
        if section != b"[]" or message in seen or not self.lies_about(self.box):
            return message.octets
        seen.add(message)
        return next((m for m in self.box if m is not message), message).octets


class KeywordForgotten(Lie):
    """Accepted and not stored, though PERMANENTFLAGS says that any is."""
    kinds = ("full", "plain")

    def kept(self, flags):
        return flags & SYSTEM if self.lies_about(self.box) else flags

    def accept(self, box, octets, flags, date):
        return super().accept(box, octets, flags & SYSTEM if self.lies_about(box) else flags, date)


class AppendForgetsFlagged(Lie):
    kinds = ("full", "plain", "bare")

    def accept(self, box, octets, flags, date):
        return super().accept(box, octets, flags - {"\\Flagged"} if self.lies_about(box) else flags, date)


class OneOfEach(Lie):
    """What a mailbox has already is not stored again, and OK."""
    kinds = ("full", "plain", "bare")

    def accept(self, box, octets, flags, date):
        return next((m for m in box if m.octets == octets), None) or super().accept(box, octets, flags, date)


class KeywordsRefused(Lie):
    """One keyword is one too many."""
    kinds = ("full", "bare")

    def do_uid_store(self, rest, literals):
        if re.search(rb'\+FLAGS\S* \([^)]*(?<![\\\w$])[\w$]', rest) and self.lies_about(self.box):
            return b"NO [LIMIT] too many keywords"
        return super().do_uid_store(rest, literals)


class EnvelopeUnreadable(Lie):
    """An answer that no parser survives, to those who ask for it."""
    kinds = ("full", "bare")

    def tell_message(self, number, message, what, with_modseq):
        if b"ENVELOPE" in what or b"BODYSTRUCTURE" in what:
            self.send(b'* %d FETCH (ENVELOPE ("\\"((" NIL {3}\r\n' % number)
        super().tell_message(number, message, what, with_modseq)


# Commands and connections

class LongRefused(Lie):
    """Commands over 4,096 octets."""
    kinds = ("full", "plain")

    def answer(self, verb, rest, literals):
        return b"BAD command line too long" if len(rest) > 4096 else super().answer(verb, rest, literals)


class HangsUpAfterTenErrors(Lie):
    """... and takes no mail, so that there are some."""
    kinds = ("full", "plain")

    def do_append(self, rest, literals):
        return b"NO not today" if self.name(rest, literals) in (self.server.about or ()) else super().do_append(rest, literals)

    def after(self, verb, answer):
        if self.errors >= 10:
            self.send(b"* BYE too many errors\r\n")
            raise ConnectionError


class Throttled(Lie):
    """For as long as `throttled_until` says, all commands are refused."""
    kinds = ("full", "plain")
    throttled_until = 0  # time.monotonic()

    def answer(self, verb, rest, literals):
        left = type(self).throttled_until - time.monotonic()
        if left > 0 and verb not in ("CAPABILITY", "LOGOUT"):
            return b"BAD throttled. Suggested Backoff Time: %d milliseconds" % (left * 1000 + 1)
        return super().answer(verb, rest, literals)


class ByeAtAnyTime(Lie):
    kinds = ("full", "plain", "bare")

    def answer(self, verb, rest, literals):
        chance = self.server.memory.setdefault("chance", random.Random(1))
        if not hasattr(self, "left"):
            self.left = chance.randint(6, 40)
        self.left -= 1
        if self.left <= 0:
            if chance.random() < 0.5:
                super().answer(verb, rest, literals)
            self.send(b"* BYE for no reason\r\n")
            raise ConnectionError
        return super().answer(verb, rest, literals)


class LineBeforeGoAhead(Lie):
    """Legal lines before the "+" of a literal."""
    kinds = ("plain", "bare")

    def go_ahead(self, line):
        self.send(b"* OK one moment\r\n* FLAGS (\\Seen)\r\n")
        super().go_ahead(line)


class Gmail(Lie):
    """Mailboxes are labels of one store: expunging takes the label off, a message that is known is not stored again."""
    kinds = ("condstore",)
    ALL, TRASH = b"[Gmail]/All Mail", b"[Gmail]/Trash"

    def accept(self, box, octets, flags, date):
        known = next((m for m in self.server.boxes[self.ALL] if m.octets == octets), None)
        if known is None:
            known = self.server.boxes[self.ALL].add(octets, flags, date)
        return self.label(known, box)

    def label(self, message, box):
        there = next((m for m in box if m.flags is message.flags), None)
        return there or box.add(message.octets, message.flags, message.date)

    def copy(self, message, box, target):
        if target.name == self.TRASH:
            for other in self.server.boxes.values():
                for m in [m for m in other if m.flags is message.flags and other is not target]:
                    other.take_out(m)
        return self.label(message, target)

    def take_out(self, box, message):
        if box.name != self.ALL:
            box.take_out(message)

    leave = take_out

    def touch(self, box, message):
        for other in self.server.boxes.values():
            for m in other:
                if m.flags is message.flags:
                    other.touch(m)


def every():
    """All lies, in the order in which they stand here."""
    return Lie.__subclasses__()
