"""aerc on the mount, on a terminal, by its commands."""
import os

import pytest

from support import equal, eventually, mail
from terminal import Terminal
from test_clients import needs

pytestmark = needs("aerc")


class Aerc(Terminal):
    """What a person sees and does in the list of messages."""

    def __init__(self, m):
        folder = m.folder / ".config" / "aerc"
        folder.mkdir(parents=True)
        accounts = folder / "accounts.conf"
        accounts.write_text(f"[test]\nsource = maildir://{m.root}\ndefault = INBOX\nfrom = Me <me@example.org>\n")
        accounts.chmod(0o600)
        super().__init__(m, "aerc", XDG_CONFIG_HOME=str(folder.parent))

    def command(self, text):
        self.press(f":{text}\r")

    def rows(self):
        """{subject: number of the line on the screen}"""
        return {line.split()[-1]: row for row, line in enumerate(str(self).splitlines()) if " Ada " in line}

    def lists(self, *subjects):
        """Waits until it shows these, and no others."""
        self.waits(lambda: sorted(self.rows()) == list(subjects), subjects)

    def on(self, subject, command):
        row = self.rows()[subject]
        self.command(f"select {row - 1}")
        self.waits(lambda: self.screen.buffer[row][25].reverse, f"the choice of {subject}")
        self.command(command)


def test_aerc(world):
    """Reads, flags, copies, archives, moves and deletes; what comes, and what goes, appears by itself: it only watches."""
    w = world.witness
    for number in range(5):
        w.append("INBOX", mail(f"n{number}", f"body of {number}\r\n"))
    for box in ("Archive", "Work"):
        w.create(box)
    m = world.mailmount
    m.mount()
    with Aerc(m) as aerc:
        aerc.lists("n0", "n1", "n2", "n3", "n4")
        aerc.on("n0", "view")
        aerc.shows("body of 0")
        aerc.command("close")
        aerc.lists("n0", "n1", "n2", "n3", "n4")
        aerc.on("n1", "flag -t")
        equal(lambda: w.flags("INBOX", "n1"), {"\\Flagged"})
        aerc.on("n1", "copy Work")
        aerc.on("n2", "archive flat")
        aerc.lists("n0", "n1", "n3", "n4")
        aerc.on("n3", "move Work")
        aerc.lists("n0", "n1", "n4")
        aerc.on("n4", "delete")
        aerc.lists("n0", "n1")
        w.append("INBOX", mail("n5"))
        aerc.lists("n0", "n1", "n5")
        w.expunge("INBOX", w.uid("INBOX", "n0"))
        aerc.lists("n1", "n5")
        aerc.command("quit")
        aerc.ends()
    m.sync()
    assert [w.tokens(box) for box in ("INBOX", "Work", "Archive")] == [["n1", "n5"], ["n1", "n3"], ["n2"]]
    assert [m.tokens(box) for box in ("INBOX", "Work", "Archive")] == [["n1", "n5"], ["n1", "n3"], ["n2"]]
    assert w.flags("Work", "n1") == {"\\Flagged"}
    assert w.messages("Work")["n3"].octets == mail("n3", "body of 3\r\n")
