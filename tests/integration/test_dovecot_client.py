"""A Dovecot whose mail lies on the mount: another program that keeps its own files in a Maildir, and renames a lot."""
import os

import pytest

from imapclient import Witness
from support import equal, eventually, mail

LAYOUTS = {"fs": ":INBOX={root}/INBOX:LAYOUT=fs", "maildir++": ""}
# It looks for mailboxes made by others only without its index of them, on a mount as on a disk.
SETTINGS = "mailbox_list_index = no"
OWN_FILES = {"dovecot-uidlist", "dovecot.index.log"}
OLD = 1_500_000_000


class Served:
    """A mount, and a client of the Dovecot that serves it: one for all tests, whose users are links to their mounts."""

    def __init__(self, world, workplace, servers, layout):
        self.world, self.layout = world, layout
        self.m = world.new_mailmount(layout=layout)
        self.m.mount()
        mounts = workplace / "served"
        mounts.mkdir(exist_ok=True)
        (mounts / world.user).symlink_to(self.m.root)
        location = f"maildir:{mounts}/%u" + LAYOUTS[layout].format(root=mounts / "%u")
        self.server = servers.get(f"serving-{layout}", location=location, extra=SETTINGS)
        self.connect()

    def connect(self):
        self.client = Witness(self.server.plain_port, self.world.user, self.server.password)

    def log(self):
        return "\n".join(line for line in self.server.log().splitlines() if self.world.user in line)

    def box(self, name):
        if self.layout == "fs":
            return self.m.root / name
        return self.m.root if name == "INBOX" else self.m.root / f".{name}"


@pytest.fixture(params=list(LAYOUTS))
def served(request, world, workplace, servers):
    for number in range(4):
        world.witness.append("INBOX", mail(f"n{number}", "Grüße\r\n" * number), ["\\Seen"] if number else [], date=OLD)
    world.witness.create("Archive")
    result = Served(world, workplace, servers, request.param)
    yield result
    result.client.close()
    print(result.log())


def shown(client, mailbox):
    return {token: (m.octets, m.flags, m.date) for token, m in client.messages(mailbox).items()}


def test_reads(served):
    """The same mailboxes, octets, dates and flags; what arrives appears, what is removed goes; UIDs stay, also when the
    mount was away, for its lists lie beside the mail."""
    w, c = served.world.witness, served.client
    assert c.mailboxes() == {"INBOX", "Archive"}
    assert shown(c, "INBOX") == shown(w, "INBOX")
    uids = {token: m.uid for token, m in c.messages("INBOX").items()}
    w.append("INBOX", mail("later"), ["\\Flagged"])
    w.expunge("INBOX", w.uid("INBOX", "n1"))
    w.store("INBOX", w.uid("INBOX", "n2"), "+FLAGS", "\\Answered")
    equal(lambda: shown(c, "INBOX"), shown(w, "INBOX"))
    c.close()
    assert OWN_FILES <= set(os.listdir(served.box("INBOX")))
    served.m.remount()
    served.m.sync()
    served.connect()
    assert OWN_FILES <= set(os.listdir(served.box("INBOX")))
    c = served.client
    assert [c.uid("INBOX", token) for token in ("n0", "n2", "n3")] == [uids[token] for token in ("n0", "n2", "n3")]
    assert shown(c, "INBOX") == shown(w, "INBOX")
    assert w.mailboxes() == {"INBOX", "Archive"}


def test_changes(served):
    """Flags, copies, moves, appends and removals are the server's, each once."""
    w, c = served.world.witness, served.client
    c.store("INBOX", c.uid("INBOX", "n0"), "+FLAGS", "\\Flagged")
    c.copy("INBOX", c.uid("INBOX", "n1"), "Archive")
    c.move("INBOX", c.uid("INBOX", "n2"), "Archive")
    c.expunge("INBOX", c.uid("INBOX", "n3"))
    c.append("Archive", mail("made", "Grüße\r\n"), ["\\Draft"], date=1_600_000_000)
    served.m.sync()
    assert w.tokens("INBOX") == ["n0", "n1"] and w.tokens("Archive") == ["made", "n1", "n2"]
    assert w.flags("INBOX", "n0") == {"\\Flagged"}
    got = shown(w, "Archive")
    assert got["made"] == (mail("made", "Grüße\r\n"), {"\\Draft"}, "13-Sep-2020 12:26:40 +0000")
    assert got["n2"] == (mail("n2", "Grüße\r\n" * 2), {"\\Seen"}, "14-Jul-2017 02:40:00 +0000")
    assert shown(c, "INBOX") == shown(w, "INBOX") and shown(c, "Archive") == got


def test_keyword_from_there(served):
    """It is shown, and goes with a message into another mailbox."""
    w, c = served.world.witness, served.client
    w.store("INBOX", w.uid("INBOX", "n1"), "+FLAGS", "work")
    equal(lambda: c.flags("INBOX", "n1"), {"\\Seen", "work"})
    c.move("INBOX", c.uid("INBOX", "n1"), "Archive")
    c.store("Archive", c.uid("Archive", "n1"), "+FLAGS", "\\Flagged")
    served.m.sync()
    assert w.flags("Archive", "n1") == {"\\Seen", "\\Flagged", "work"} == c.flags("Archive", "n1")


def test_new_keyword(served):
    """It gives a letter to a keyword by writing dovecot-keywords. Another one from there has another letter."""
    w, c = served.world.witness, served.client
    c.store("INBOX", c.uid("INBOX", "n2"), "+FLAGS", "home")
    served.m.sync()
    w.store("INBOX", w.uid("INBOX", "n1"), "+FLAGS", "work")
    served.m.sync()
    for client in (w, c):
        assert client.flags("INBOX", "n2") == {"\\Seen", "home"}
        assert client.flags("INBOX", "n1") == {"\\Seen", "work"}


def test_mailboxes(served):
    """Made, filled, renamed with what is in it, and removed by renaming it away."""
    w, c = served.world.witness, served.client
    c.create("Made")
    c.subscribe("Made")
    assert c.subscribed() == ["Made"]
    c.append("Made", mail("one"))
    served.m.sync()
    assert w.tokens("Made") == ["one"]
    c.rename("Made", "Renamed")
    served.m.sync()
    assert w.mailboxes() == {"INBOX", "Archive", "Renamed"} == c.mailboxes()
    assert w.tokens("Renamed") == ["one"] == c.tokens("Renamed")
    c.tokens("INBOX")  # who deletes what is selected is thrown out
    c.subscribe("Made", False)
    c.delete("Renamed")
    served.m.sync()
    assert w.mailboxes() == {"INBOX", "Archive"} == c.mailboxes()
    assert not [name for name in os.listdir(served.m.root) if "TRASHED" in name]
    w.create("There")
    eventually(lambda: c.mailboxes() == {"INBOX", "Archive", "There"})
