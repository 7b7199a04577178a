"""A small IMAP client for tests: the witness, who looks at the server's side and acts as "another client".

It is written here rather than taken from imaplib because it must send octets exactly as they are (bare LF, NUL in a
literal8) and hand them back exactly as they came.
"""
import binascii
import re
import socket
import time
from dataclasses import dataclass, field


class Refused(Exception):
    """The server said NO or BAD."""


@dataclass
class Literal:
    octets: bytes
    binary: bool = False


@dataclass
class Message:
    uid: int
    flags: set = field(default_factory=set)
    date: str = ""
    octets: bytes = b""

    @property
    def token(self):
        found = re.search(rb"(?im)^message-id:\s*<([^@>]*)", self.octets)
        return found[1].decode() if found else ""


def encode_mailbox(name):
    """Modified UTF-7, RFC 3501 5.1.3."""
    def run(match):
        if match[0] == "&":
            return "&-"
        code = binascii.b2a_base64(match[0].encode("utf-16-be"), newline=False).rstrip(b"=")
        return "&" + code.replace(b"/", b",").decode() + "-"
    return re.sub(r"&|[^\x20-\x7e]+", run, name)


def decode_mailbox(name):
    def run(match):
        if not match[1]:
            return "&"
        code = match[1].replace(",", "/")
        return binascii.a2b_base64(code + "=" * (-len(code) % 4)).decode("utf-16-be")
    return re.sub(r"&([^-]*)-", run, name)


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Parser:
    """The part of RFC 3501's grammar that answers consist of: atoms, strings, lists."""

    def __init__(self, pieces):
        self.pieces = pieces  # octets of lines and, between them, Literals
        self.text, self.at = b"", 0
        self._next_piece()

    def _next_piece(self):
        self.text, self.at = (self.pieces.pop(0), 0) if self.pieces else (b"", 0)

    def items(self):
        result = []
        while True:
            while self.at < len(self.text) and self.text[self.at:self.at + 1] == b" ":
                self.at += 1
            if self.at >= len(self.text):
                if not self.pieces:
                    return result
                self._next_piece()
                if isinstance(self.text, Literal):
                    result.append(self.text.octets)
                    self._next_piece()
                continue
            char = self.text[self.at:self.at + 1]
            if char == b")":
                self.at += 1
                return result
            result.append(self._item(char))

    def _item(self, char):
        if char == b"(":
            self.at += 1
            return self.items()
        if char == b'"':
            found = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(self.text, self.at)
            self.at = found.end()
            return re.sub(rb"\\(.)", rb"\1", found[1]).decode("utf-8", "surrogateescape")
        found = re.compile(rb"(?:[^\s()\[\"]|\[[^\]]*\])+").match(self.text, self.at)
        self.at = found.end()
        text = found[0].decode("utf-8", "surrogateescape")
        return None if text == "NIL" else text


class Connection:
    def __init__(self, port, host="127.0.0.1", timeout=60):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")
        self.number = 0
        self.greeting = self.file.readline()

    def _read_response(self):
        pieces = []
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the server hung up")
            line = line.rstrip(b"\r\n")
            found = re.search(rb"~?\{(\d+)\}$", line)
            if not found:
                return pieces + [line]
            pieces += [line[:found.start()], Literal(self.file.read(int(found[1])))]

    def command(self, *parts):
        """Sends text and Literals; returns (untagged answers as lists, text of the tagged OK)."""
        self.number += 1
        tag = b"w%d" % self.number
        out = tag
        for part in parts:
            if isinstance(part, Literal):
                out += b" %s{%d+}\r\n" % (b"~" if part.binary else b"", len(part.octets)) + part.octets
            else:
                out += b" " + part.encode()
        self.socket.sendall(out + b"\r\n")
        untagged = []
        while True:
            pieces = self._read_response()
            if pieces[0].startswith(b"* "):
                pieces[0] = pieces[0][2:]
                untagged.append(pieces)
            elif pieces[0].startswith(tag + b" "):
                text = pieces[0][len(tag) + 1:].decode("utf-8", "replace")
                if not text.startswith("OK"):
                    raise Refused(f"{parts[0]}: {text}")
                return untagged, text

    def close(self):
        self.file.close()
        self.socket.close()


class Witness:
    """Another client of the same account. Each question is put to the server anew."""

    def __init__(self, port, user, password):
        self.connection = Connection(port)
        self.connection.command("LOGIN", quote(user), quote(password))

    def close(self):
        self.connection.close()

    def command(self, *parts):
        return self.connection.command(*parts)

    def _select(self, mailbox):
        untagged, _ = self.command("SELECT", quote(encode_mailbox(mailbox)))
        return [b"".join(p for p in u if isinstance(p, bytes)).decode("utf-8", "replace") for u in untagged]

    # Mailboxes

    def mailboxes(self, selectable=True):
        return self._names("LIST", selectable)

    def _names(self, verb, selectable=True):
        untagged, _ = self.command(f'{verb} "" "*"')
        result = set()
        for pieces in untagged:
            items = Parser(pieces).items()
            if items[0] == verb and not (selectable and "\\Noselect" in items[1]):
                name = items[3].decode() if isinstance(items[3], bytes) else items[3]
                result.add(decode_mailbox(name))
        return result

    def create(self, mailbox):
        self.command("CREATE", quote(encode_mailbox(mailbox)))

    def delete(self, mailbox):
        self.command("DELETE", quote(encode_mailbox(mailbox)))

    def rename(self, old, new):
        self.command("RENAME", quote(encode_mailbox(old)), quote(encode_mailbox(new)))

    def subscribe(self, mailbox, yes=True):
        self.command("SUBSCRIBE" if yes else "UNSUBSCRIBE", quote(encode_mailbox(mailbox)))

    def subscribed(self):
        """Sorted names."""
        return sorted(self._names("LSUB"))

    def uidvalidity(self, mailbox):
        return int(re.search(r"UIDVALIDITY (\d+)", " ".join(self._select(mailbox)))[1])

    # Messages

    def append(self, mailbox, octets, flags=(), date=None):
        """date: seconds since 1970. Returns the UID."""
        parts = ["APPEND", quote(encode_mailbox(mailbox)), "(" + " ".join(flags) + ")"]
        if date is not None:
            parts.append(time.strftime('"%d-%b-%Y %H:%M:%S +0000"', time.gmtime(date)))
        _, text = self.command(*parts, Literal(octets, binary=b"\0" in octets))
        found = re.search(r"APPENDUID \d+ (\d+)", text)
        return int(found[1]) if found else self.uids(mailbox)[-1]

    def fetch(self, mailbox, what="(UID FLAGS INTERNALDATE BODY.PEEK[])", uids="1:*"):
        """Message by UID, in the order of the UIDs."""
        self._select(mailbox)
        untagged, _ = self.command("UID FETCH", uids, what)
        messages = {}
        for pieces in untagged:
            items = Parser(pieces).items()
            if len(items) < 3 or items[1] != "FETCH":
                continue
            pairs = dict(zip(items[2][::2], items[2][1::2]))
            if "UID" not in pairs:
                continue  # news of another client's change
            octets = pairs.get("BODY[]") or b""
            message = Message(int(pairs["UID"]), set(pairs.get("FLAGS", [])) - {"\\Recent"}, pairs.get("INTERNALDATE", ""),
                              octets.encode() if isinstance(octets, str) else octets)
            messages[message.uid] = message
        return dict(sorted(messages.items()))

    def uids(self, mailbox):
        return list(self.fetch(mailbox, "(UID FLAGS)"))

    def messages(self, mailbox):
        """Message by token; a token that is there twice is an error."""
        result = {}
        for message in self.fetch(mailbox).values():
            assert message.token not in result, f"{message.token} is twice in {mailbox}"
            result[message.token] = message
        return result

    def tokens(self, mailbox):
        """The sorted tokens, doubles and all."""
        return sorted(m.token for m in self.fetch(mailbox).values())

    def flags(self, mailbox, token):
        return self.messages(mailbox)[token].flags

    def uid(self, mailbox, token):
        return self.messages(mailbox)[token].uid

    def store(self, mailbox, uid, operation, *flags):
        """operation: +FLAGS, -FLAGS or FLAGS."""
        self._select(mailbox)
        self.command("UID STORE", str(uid), operation, "(" + " ".join(flags) + ")")

    def move(self, mailbox, uid, target):
        self._select(mailbox)
        self.command("UID MOVE", str(uid), quote(encode_mailbox(target)))

    def copy(self, mailbox, uid, target):
        self._select(mailbox)
        self.command("UID COPY", str(uid), quote(encode_mailbox(target)))

    def expunge(self, mailbox, uid):
        self._select(mailbox)
        self.command("UID STORE", str(uid), "+FLAGS.SILENT (\\Deleted)")
        self.command("UID EXPUNGE", str(uid))
