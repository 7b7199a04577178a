"""Mail that is over the quota waits here, and does not hold up anything else (case 61)."""
import json
import os
import re

import pytest

from support import equal, eventually, lf, mail

LIMIT_KB = 100
DOVECOT = f"""
plugin {{
  quota = count:User quota
  quota_rule = *:storage={LIMIT_KB}K
  quota_grace = 0
  quota_vsizes = yes
}}
"""


def mail_of(token, kilobytes):
    return mail(token, ("x" * 62 + "\r\n") * (16 * kilobytes))


def dovecot(servers, world_at):
    return world_at(servers.get("quota", plugins="quota", imap_plugins="imap_quota", extra=DOVECOT))


def cyrus(servers, world_at):
    world = world_at(servers.cyrus())
    assert world.witness.tokens("INBOX") == []  # the first login makes the mailbox
    world.server.set_quota(world.user, LIMIT_KB)
    return world


@pytest.fixture(params=[dovecot, cyrus], ids=lambda make: make.__name__)
def narrow(request, servers, world_at):
    """A mailbox that holds 75 of 100 kB, mounted."""
    world = request.param(servers, world_at)
    for number in range(5):
        world.witness.append("INBOX", mail_of(f"old{number}", 15), ["\\Seen"])
    world.witness.create("Archive")
    world.mailmount.mount()
    return world


def parked(m):
    """(mailbox, what, why) of what was refused, and all places that tell of it agree."""
    status = m.status()
    told = [(f["mailbox"], f["what"], f["why"]) for f in status["failures"]]
    held = json.loads(m.run("held", "--json").stdout)["refused"]
    assert [(f["mailbox"], f["what"], f["why"]) for f in held] == told
    assert status["totals"]["failed"] == sum(box["failed"] for box in status["mailboxes"]) == len(told)
    errors = (m.root / ".mailmount" / "errors").read_text()
    text = m.run("status").stdout
    for mailbox, what, why in told:
        assert re.search(f"^{mailbox}: message \\d+: {what}: {re.escape(why)} ", errors, re.M), errors
        assert f"refused     {mailbox}: {what}: {why} " in text
    return told


def is_parked(m, mailbox, what):
    """Waits until just one thing is refused, for the quota."""
    told = eventually(lambda: parked(m), 30)
    assert [(f[0], f[1]) for f in told] == [(mailbox, what)]
    assert "quota" in told[0][2].lower()


def test_over_quota(narrow):
    m, w = narrow.mailmount, narrow.witness
    room = os.statvfs(m.root)
    assert 0 < room.f_blocks * room.f_frsize <= LIMIT_KB * 1024
    m.deliver(mail_of("big", 60), info="S")
    is_parked(m, "INBOX", "append")
    m.retag("old0", "FS")
    os.unlink(m.path("old1"))
    m.deliver(mail("small"), info="S")
    os.rename(m.path("old2"), m.box("Archive") / "cur" / "x:2,S")
    equal(lambda: w.tokens("INBOX"), ["old0", "old3", "old4", "small"], 30)
    equal(lambda: w.flags("INBOX", "old0"), {"\\Seen", "\\Flagged"})
    equal(lambda: w.tokens("Archive"), ["old2"])
    is_parked(m, "INBOX", "append")
    m.remount()
    assert m.read()["big"] == lf(mail_of("big", 60))
    is_parked(m, "INBOX", "append")
    for token in ("old3", "old4"):
        os.unlink(m.path(token))
    equal(lambda: w.tokens("INBOX"), ["old0", "small"], 30)
    assert m.run("held", "approve", "all").returncode == 0
    m.sync()
    assert w.tokens("INBOX") == ["big", "old0", "small"] == m.tokens()
    assert parked(m) == []


def test_edit_and_copy_over_quota(narrow):
    """The text before the edit stays on the server; a copy that does not fit stays here."""
    m, w = narrow.mailmount, narrow.witness
    edited = mail_of("old0", 40)
    m.rewrite(m.path("old0"), edited)
    is_parked(m, "INBOX", "append")
    assert w.messages("INBOX")["old0"].octets == mail_of("old0", 15)
    assert m.read()["old0"] == lf(edited)
    os.unlink(m.path("old1"))
    os.unlink(m.path("old2"))
    equal(lambda: w.tokens("INBOX"), ["old0", "old3", "old4"], 30)
    assert m.run("held", "approve", "all").returncode == 0
    m.sync()
    assert w.messages("INBOX")["old0"].octets == edited
    os.link(m.path("old0"), m.box("Archive") / "cur" / "copy:2,S")
    eventually(lambda: parked(m), 30)
    assert w.tokens("Archive") == [] and m.tokens("Archive") == ["old0"]
    assert m.run("held", "revert", "all").returncode == 0
    m.sync()
    assert m.tokens("Archive") == [] == w.tokens("Archive")
    assert w.tokens("INBOX") == ["old0", "old3", "old4"] == m.tokens()
