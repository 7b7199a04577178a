"""What people do with mutt and neomutt besides reading: both in the same words, for their keys are the same."""
import os
import re
import shlex
import time

import pytest

from support import equal, eventually, lf, mail
from terminal import Terminal
from test_clients import needs, run_on_terminal

DATE = "06-May-2024 08:00:00 +0000"  # of its header, which is what they give to the files that they make
SECOND = 1.1  # they compare times in whole seconds
RC = """set folder={root} mbox_type=Maildir record= trash= postponed= header_cache=
set delete=yes move=no sort=mailbox-order mark_old=no wait_key=no quit=yes sleep_time=0 abort_unmodified=no
set {confirm}append=no {confirm}create=no from=me@example.org realname=Me hostname=example.org
set editor='true' sendmail='{sendmail}' fast_reply=yes copy=yes
"""


class Mutt:
    def __init__(self, world, program):
        self.m, self.program = world.mailmount, program
        self.rc = world.folder / "rc"
        self.outbox = world.folder / "outbox"
        sendmail = self.script(f"cat >> {shlex.quote(str(self.outbox))}")
        self.rc.write_text(RC.format(root=self.m.root, sendmail=sendmail,
                                     confirm="confirm_" if program == "neomutt" else "confirm"))

    def script(self, commands):
        """A program as a person would give for editor or sendmail."""
        path = self.rc.with_name(f"script{len(list(self.rc.parent.glob('script*')))}")
        path.write_text(f"#!/bin/sh\n{commands}\n")
        path.chmod(0o755)
        return path

    def set(self, **settings):
        with open(self.rc, "a") as out:
            for name, value in settings.items():
                out.write(f"set {name}='{value}'\n")

    def command(self, box="INBOX"):
        return self.program, "-n", "-F", self.rc, "-f", self.m.box(box)

    def keys(self, keys, box="INBOX"):
        """Opens the mailbox, does that, syncs and ends."""
        run_on_terminal(self.m, *self.command(box), "-e", f'push "{keys}<sync-mailbox><quit>"')


@pytest.fixture(params=[pytest.param(name, marks=needs(name)) for name in ("mutt", "neomutt")])
def mutt(request, world):
    return Mutt(world, request.param)


def fill(world, count):
    for number in range(count):
        world.witness.append("INBOX", mail(f"n{number:02}", f"body {number}\r\n"), date=1_500_000_000)


def on(token):
    return f"<tag-pattern>~i {token}@<enter><tag-prefix>"


def test_saves_into_a_new_mailbox(world, mutt):
    """It makes cur, new and tmp itself, and gives up where one is there already."""
    fill(world, 3)
    world.mailmount.mount()
    mutt.keys(f"{on('n00')}<save-message>=Saved<enter><untag-pattern>.<enter>{on('n01')}<copy-message>=Copied<enter>")
    world.mailmount.sync()
    assert world.witness.mailboxes() == {"INBOX", "Saved", "Copied"}
    there = {box: world.witness.tokens(box) for box in world.witness.mailboxes()}
    assert there == {"INBOX": ["n01", "n02"], "Saved": ["n00"], "Copied": ["n01"]}
    assert {box: world.mailmount.tokens(box) for box in there} == there
    assert world.witness.messages("Copied")["n01"].date == DATE


def test_edits_a_message(world, mutt):
    """It writes a new message, which is unread, and marks the old one as deleted."""
    world.witness.append("INBOX", mail("other", "old text\r\n"), ["\\Seen"])
    world.witness.append("INBOX", mail("edited", "old text\r\n"), ["\\Seen", "\\Flagged"])
    world.mailmount.mount()
    mutt.set(editor=mutt.script("sed -i 's/old text/new text/' \"$1\"; touch -d '+2 sec' \"$1\""))
    mutt.keys("<search>~i edited@<enter><edit>")
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["edited", "other"] == world.mailmount.tokens()
    message = world.witness.messages("INBOX")["edited"]
    assert message.octets.endswith(b"\r\n\r\nnew text\r\n")
    assert (message.flags, message.date) == ({"\\Flagged"}, DATE)


def test_postpones_recalls_and_sends(world, mutt):
    """The draft is in the mount until it is sent; then the copy of what was sent is."""
    for box in ("Drafts", "Sent"):
        world.witness.create(box)
    world.mailmount.mount()
    mutt.set(postponed="=Drafts", record="=Sent", editor=mutt.script("echo 'a line' >> \"$1\""))
    mutt.keys("<mail>you@example.org<enter>subject one<enter><postpone-message>")
    equal(lambda: len(world.witness.uids("Drafts")), 1)
    draft = next(iter(world.witness.fetch("Drafts").values()))
    assert b"Subject: subject one\r\n" in draft.octets and draft.octets.count(b"a line\r\n") == 1
    mutt.keys("<recall-message><send-message>")
    world.mailmount.sync()
    assert world.witness.uids("Drafts") == [] == os.listdir(world.mailmount.box("Drafts") / "cur")
    sent = list(world.witness.fetch("Sent").values())
    assert len(sent) == 1 and sent[0].octets.count(b"a line\r\n") == 2 and "\\Seen" in sent[0].flags
    assert world.mailmount.read("Sent")[sent[0].token] == lf(sent[0].octets)
    assert b"a line\na line\n" in mutt.outbox.read_bytes()


def test_trash(world, mutt):
    """What is deleted is written into that folder; what is deleted there is gone."""
    fill(world, 3)
    world.witness.create("Trash")
    world.mailmount.mount()
    mutt.set(trash="=Trash")
    mutt.keys("<delete-pattern>~i n00@|~i n02@<enter>")
    world.mailmount.sync()
    assert (world.witness.tokens("INBOX"), world.witness.tokens("Trash")) == (["n01"], ["n00", "n02"])
    mutt.keys("<delete-pattern>~i n02@<enter>", "Trash")
    world.mailmount.sync()
    assert (world.witness.tokens("INBOX"), world.witness.tokens("Trash")) == (["n01"], ["n00"])
    assert (world.mailmount.tokens(), world.mailmount.tokens("Trash")) == (["n01"], ["n00"])


def test_undeletes(world, mutt):
    """Three are marked, one is not deleted after all; and one becomes unread again."""
    fill(world, 5)
    world.witness.store("INBOX", world.witness.uid("INBOX", "n04"), "+FLAGS", "\\Seen")
    world.mailmount.mount()
    mutt.keys("<delete-pattern>~i n0[012]@<enter><undelete-pattern>~i n01@<enter>" + on("n04") + "<toggle-new>")
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["n01", "n03", "n04"] == world.mailmount.tokens()
    assert world.witness.flags("INBOX", "n04") == set()


def test_saves_many(world, mutt):
    """Thirty tagged ones at once, by rewriting each: with flags and body."""
    fill(world, 30)
    world.witness.create("Archive")
    world.witness.store("INBOX", "1:10", "+FLAGS", "\\Seen", "\\Flagged")
    world.mailmount.mount()
    mutt.keys("<tag-pattern>~i n[0-9]*@<enter><untag-pattern>~i n29@<enter><tag-prefix><save-message>=Archive<enter>")
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["n29"] == world.mailmount.tokens()
    got = world.witness.messages("Archive")
    assert sorted(got) == [f"n{n:02}" for n in range(29)] == world.mailmount.tokens("Archive")
    for number in range(29):
        message = got[f"n{number:02}"]
        assert b"\r\nContent-Length: " in message.octets
        assert message.octets.partition(b"\r\n\r\n")[2] == b"body %d\r\n" % number
        assert message.date == DATE
        assert message.flags == ({"\\Seen", "\\Flagged"} if number < 10 else set())


def test_saves_what_was_edited(world, mutt):
    """Both in one session: neither the old text nor the new one is left in the mailbox that it was in."""
    fill(world, 2)
    world.witness.create("Archive")
    world.mailmount.mount()
    mutt.set(editor=mutt.script("sleep 1.1; sed -i 's/^body/edited body/' \"$1\"; touch -d '+2 sec' \"$1\""))
    mutt.keys(f"<search>~i n01@<enter><edit>{on('n01').replace('~i', '~b edited ~i')}<save-message>=Archive<enter>")
    world.mailmount.sync()
    assert (world.witness.tokens("INBOX"), world.witness.tokens("Archive")) == (["n00"], ["n01"])
    assert world.witness.messages("Archive")["n01"].octets.endswith(b"\r\n\r\nedited body 1\r\n")
    assert (world.mailmount.tokens(), world.mailmount.tokens("Archive")) == (["n00"], ["n01"])


def test_header_cache(world, mutt):
    """The second opening takes the headers from its cache, and shows what has changed meanwhile."""
    fill(world, 4)
    world.witness.append("INBOX", mail("draft", subject="old subject"), ["\\Draft", "\\Seen"])
    m = world.mailmount
    m.mount()
    mutt.set(header_cache=world.folder / "headers")
    mutt.keys("")
    assert (world.folder / "headers").exists()
    world.witness.store("INBOX", world.witness.uid("INBOX", "n01"), "+FLAGS", "\\Flagged")
    world.witness.expunge("INBOX", world.witness.uid("INBOX", "n02"))
    world.witness.append("INBOX", mail("n04"))
    time.sleep(SECOND)
    m.path("draft").write_bytes(lf(mail("draft", subject="new subject")))
    equal(m.tokens, ["draft", "n00", "n01", "n03", "n04"])
    eventually(lambda: m.letters("n01") == "F")
    shown = world.folder / "shown"
    mutt.set(pipe_split="yes", pipe_decode="no")
    mutt.keys(f"<tag-pattern>~F|~s new.subject|~i n04@<enter><tag-prefix><pipe-message>cat >>{shown}<enter>")
    tokens = re.findall(r"(?m)^Message-ID: <(.*)@", shown.read_text())
    assert sorted(tokens) == ["draft", "n01", "n04"]
    assert "Subject: new subject" in shown.read_text()


def test_waits_for_mail(world, mutt):
    """It sits in the index, and what arrives appears by itself: mutt looks only when it is told that something has changed;
    neomutt misses what comes in the second in which it looked, and so looks again now and then."""
    fill(world, 2)
    world.mailmount.mount()
    mutt.set(timeout=600 if mutt.program == "mutt" else 2, mail_check=1)
    with Terminal(world.mailmount, *mutt.command()) as terminal:
        terminal.shows("n01")
        time.sleep(SECOND)
        world.witness.append("INBOX", mail("arrives", subject="just arrived"))
        terminal.shows("just arrived")
        time.sleep(SECOND)
        world.witness.append("INBOX", mail("second", subject="another one"))
        terminal.shows("another one")
        terminal.press("q")
        terminal.ends()
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["arrives", "n00", "n01", "second"]
