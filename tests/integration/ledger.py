"""What must be true after a crash: for each message and mailbox, the states that it may be in."""
import copy
import re
import string
import time

from support import FLAG_LETTERS, letters, token_of

SCRATCH = re.compile("sed.{6}")


class Ledger:
    """A state is where a message's copies are: a frozenset of (mailbox, letters, octets as served); empty when there is
    none. A mailbox has the key "/name", and True or False. A list is of states that are all right, where two masters met.

    What was acknowledged must be so. What was under way may be either way. When the power fails, what was acknowledged
    in the last moments without having been asked to be durable may be as before."""

    def __init__(self):
        self.history = {}  # key: [[time, state, durable]]
        self.under_way = {}

    def copy(self):
        return copy.deepcopy(self)

    def now(self, key):
        return self.history[key][-1][1]

    def know(self, changes):
        for key, state in changes.items():
            self.history.setdefault(key, []).append([time.time_ns(), state, True])

    def act(self, changes, call, durable=False):
        """Does it; an exception leaves it under way."""
        self.under_way = changes
        result = call()
        for key, state in changes.items():
            self.history.setdefault(key, [[0, absent(key), True]]).append([time.time_ns(), state, durable])
        self.under_way = {}
        return result

    def force(self):
        """All that was acknowledged until now was synced to disk, or is on the server."""
        for entries in self.history.values():
            entries[-1][2] = True

    def allowed(self, key, lost_since_ns=None):
        states = each(self.under_way[key]) if key in self.under_way else []
        for when, state, durable in reversed(self.history.get(key, [[0, absent(key), True]])):
            # A removal is STORE and EXPUNGE: one that was forgotten between the two has left its mark.
            states += [marked(s) for s in each(state)] if lost_since_ns and absent(key) in states else []
            states += each(state)
            if durable or lost_since_ns is None or when < lost_since_ns:
                return states
        return states

    def keys(self):
        return set(self.history) | set(self.under_way)


def each(state):
    return list(state) if isinstance(state, list) else [state]


def absent(key):
    return False if key.startswith("/") else frozenset()


def marked(state):
    """The same, with \\Deleted."""
    if isinstance(state, bool):
        return state
    return frozenset((box, "".join(sorted({*flags, "T"})), octets) for box, flags, octets in state)


def served(octets):
    return octets.replace(b"\r\n", b"\n")


def server_view(witness):
    """{key: [(mailbox, letters, octets)]}, and {"/mailbox": True}."""
    view = {}
    for box in witness.mailboxes():
        view["/" + box] = True
        for message in witness.fetch(box).values():
            flags = "".join(sorted(FLAG_LETTERS.get(flag, flag) for flag in message.flags))
            view.setdefault(message.token or "?", []).append((box, flags, served(message.octets)))
    return {key: value if value is True else sorted(value) for key, value in view.items()}


def mount_view(root):
    """The same of a tree. What a killed program left is no mail: editors' scratch, and files that nothing was written
    to. Letters of keywords count as their names; one that nobody has said the name of is none."""
    view = {}

    def look(directory, box):
        entries = {e.name: e for e in directory.iterdir() if not e.name.startswith(".")}
        names = {}
        if "cur" in entries:
            view["/" + box] = True
            names = keyword_names(directory)
        for sub in ("cur", "new"):
            for path in entries[sub].iterdir() if sub in entries else ():
                octets = path.read_bytes()
                if not octets or SCRATCH.fullmatch(path.name):
                    continue
                flags = sorted(names.get(letter, letter) for letter in letters(path.name))
                view.setdefault(token_of(octets) or "?", []).append((box, "".join(flags), octets))
        for name, entry in entries.items():
            if name not in ("cur", "new", "tmp") and entry.is_dir():
                look(entry, f"{box}/{name}" if box else name)
    look(root, "")
    return {key: value if value is True else sorted(value) for key, value in view.items()}


def keyword_names(directory):
    """{letter: keyword, or nothing} of a mailbox."""
    file = directory / "dovecot-keywords"
    lines = file.read_text().splitlines() if file.exists() else ()
    return dict.fromkeys(string.ascii_lowercase, "") | {
        string.ascii_lowercase[int(number)]: name for number, name in (line.split() for line in lines)}


def short(value):
    """A view or states, readable."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(short(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {short(v)}" for k, v in sorted(value.items())) + "}"
    return f"{len(value)} octets {hash(value) & 0xffff:04x}" if isinstance(value, bytes) else repr(value)


def differences(here, there):
    return "; ".join(f"{key}: mount {short(here.get(key))}, server {short(there.get(key))}"
                     for key in sorted(set(here) | set(there)) if here.get(key) != there.get(key))


def violations(ledger, view, lost_since_ns=None):
    """What is not as it may be, in words."""
    found = []
    for key in sorted(ledger.keys() | set(view)):
        if key.startswith("/"):
            state = key in view
        else:
            copies = view.get(key, [])
            state = frozenset(copies)
            if len(state) != len(copies):
                found.append(f"{key} is doubled: {short(copies)}")
                continue
        allowed = ledger.allowed(key, lost_since_ns)
        if state not in allowed:
            found.append(f"{key} is {short(state)}, and may be {short(allowed)}")
    return found
