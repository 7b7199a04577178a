"""notmuch and mu: databases that must agree with a Maildir that changes from two sides."""
import os
import subprocess

import pytest

from support import equal, mail
from test_clients import needs, run

class Notmuch:
    def __init__(self, world):
        self.m = world.mailmount
        self.config = world.folder / "notmuch"
        self.config.write_text(f"[database]\npath={self.m.root}\n[new]\ntags=new;inbox\n[maildir]\nsynchronize_flags=true\n"
                               "[user]\nname=a\nprimary_email=a@example.org\n")

    def __call__(self, *arguments):
        return run(self.m, "notmuch", f"--config={self.config}", *arguments)

    def new(self):
        """Notmuch looks into a directory whose time is not the one it knows."""
        return self("new")

    def tags(self, token):
        return set(self("search", "--output=tags", f"id:{token}@test.example").split())

    def files(self, query="*"):
        return sorted(self("search", "--output=files", query).split())


@pytest.fixture
def filled(world):
    for number in range(4):
        world.witness.append("INBOX", mail(f"n{number}", f"needle{number}\r\n"))
    world.witness.create("Archive")
    world.mailmount.mount()
    return world


def files(m):
    return sorted(str(m.path(token, box)) for box in ("INBOX", "Archive") for token in m.tokens(box))


@needs("notmuch")
def test_notmuch_tags_both_ways(filled):
    """Each flag that is a tag, set and taken off, by many in one command; then the same from the other side."""
    w, m = filled.witness, filled.mailmount
    notmuch = Notmuch(filled)
    notmuch.new()
    notmuch("tag", "-unread", "+flagged", "+replied", "+draft", "+passed", "--", "*")
    all_flags = {"\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Forwarded"}
    m.sync()
    assert all(message.flags == all_flags for message in w.messages("INBOX").values())
    notmuch("tag", "+unread", "-flagged", "-replied", "-passed", "--", "id:n1@test.example")
    equal(lambda: w.flags("INBOX", "n1"), {"\\Draft"})
    w.store("INBOX", w.uid("INBOX", "n2"), "FLAGS", "\\Answered")
    w.store("INBOX", w.uid("INBOX", "n3"), "-FLAGS", "\\Answered", "\\Draft")
    equal(lambda: (m.letters("n2"), m.letters("n3")), ("R", "FPS"))
    notmuch.new()
    assert notmuch.tags("n2") == {"new", "inbox", "unread", "replied"}
    assert notmuch.tags("n3") == {"new", "inbox", "flagged", "passed"}
    assert notmuch.files() == files(m)
    m.sync()
    assert w.tokens("INBOX") == ["n0", "n1", "n2", "n3"] == m.tokens()


@needs("notmuch")
def test_notmuch_follows(filled):
    """What others remove, move and copy remains one message of as many files as there are, with its own tags."""
    w, m = filled.witness, filled.mailmount
    notmuch = Notmuch(filled)
    notmuch.new()
    notmuch("tag", "+mine", "--", "*")
    w.expunge("INBOX", w.uid("INBOX", "n0"))
    w.move("INBOX", w.uid("INBOX", "n1"), "Archive")
    w.copy("INBOX", w.uid("INBOX", "n2"), "Archive")
    equal(lambda: (m.tokens(), m.tokens("Archive")), (["n2", "n3"], ["n1", "n2"]))
    notmuch.new()
    assert notmuch.files() == files(m)
    assert notmuch("count", "*").strip() == "3" == notmuch("count", "tag:mine").strip()
    assert notmuch("count", "--output=files", "*").strip() == "4"
    found = notmuch("search", "--output=messages", "folder:Archive").split()
    assert sorted(found) == ["id:n1@test.example", "id:n2@test.example"]
    for path in notmuch.files("id:n3@test.example"):  # as people file by tags
        os.rename(path, m.box("Archive") / "cur" / os.path.basename(path))
    notmuch.new()
    m.sync()
    notmuch.new()
    assert notmuch.files() == files(m)
    assert "mine" in notmuch.tags("n3")
    assert (w.tokens("INBOX"), w.tokens("Archive")) == (["n2"], ["n1", "n2", "n3"])


def mu_server(m, home, *commands):
    """As mu4e talks to it."""
    done = subprocess.run(["mu", "server", f"--muhome={home}"], input="\n".join([*commands, "(quit)"]), env=m.environment,
                          text=True, errors="replace", stdout=subprocess.PIPE, timeout=60, check=True)
    assert "(:error" not in done.stdout, done.stdout


@needs("mu")
def test_mu_moves(filled):
    """It drops the letters of keywords when it gives other flags, and moves with flags and under another base name."""
    w, m = filled.witness, filled.mailmount
    w.store("INBOX", "1:*", "+FLAGS", "todo", "work")
    w.store("INBOX", w.uid("INBOX", "n0"), "+FLAGS", "\\Seen")
    equal(lambda: [m.letters(f"n{number}") for number in range(4)], ["Sab", "ab", "ab", "ab"])
    home = filled.folder / "mu"
    run(m, "mu", "init", f"--muhome={home}", f"--maildir={m.root}")
    run(m, "mu", "index", f"--muhome={home}")
    mu_server(m, home, '(move :msgid "n0@test.example" :maildir "/Archive")',
              '(move :msgid "n1@test.example" :flags "+S+F-u-N")',
              '(move :msgid "n2@test.example" :maildir "/Archive" :flags "+S-u-N")',
              '(move :msgid "n3@test.example" :maildir "/Archive" :flags "+R-u-N" :rename t)')
    m.sync()
    assert (w.tokens("INBOX"), w.tokens("Archive")) == (["n1"], ["n0", "n2", "n3"])
    assert w.flags("Archive", "n0") == {"\\Seen", "todo", "work"}
    assert w.flags("INBOX", "n1") == {"\\Seen", "\\Flagged", "todo", "work"}
    assert w.flags("Archive", "n2") == {"\\Seen", "todo", "work"}
    assert w.flags("Archive", "n3") == {"\\Answered", "todo", "work"}
    run(m, "mu", "index", f"--muhome={home}")
    found = run(m, "mu", "find", f"--muhome={home}", "-f", "l", "needle1 or needle2 or needle3 or needle0").split()
    assert sorted(found) == files(m)
