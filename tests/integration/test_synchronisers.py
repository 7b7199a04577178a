"""Other synchronisers, with the mount as one side and a mailbox elsewhere as the other."""
import os
import re

import pytest

from imapclient import Witness
from support import mail
from test_clients import needs, run


class Elsewhere:
    """Another account, on a server of its own kind, and mbsync or offlineimap between it and the mount."""

    def __init__(self, world, servers):
        self.world, self.m = world, world.mailmount
        self.server = servers.get("plain")
        self.user = f"{world.user}e"
        self.there = Witness(self.server.plain_port, self.user, self.server.password)

    def mbsync(self):
        config = self.world.folder / "mbsyncrc"
        config.write_text(
            f"IMAPStore there\nHost 127.0.0.1\nPort {self.server.plain_port}\nUser {self.user}\nPass {self.server.password}\n"
            f"SSLType None\nAuthMechs LOGIN\n\n"
            f"MaildirStore mount\nPath {self.m.root}/\nInbox {self.m.box()}\nSubFolders Verbatim\n\n"
            "Channel c\nFar :there:\nNear :mount:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSyncState *\n")
        return lambda: run(self.m, "mbsync", "-c", config, "-a")

    def offlineimap(self):
        config = self.world.folder / "offlineimaprc"
        config.write_text(
            f"[general]\naccounts = a\nmetadata = {self.world.folder}/offlineimap\n\n"
            "[Account a]\nlocalrepository = mount\nremoterepository = there\n\n"
            f"[Repository mount]\ntype = Maildir\nlocalfolders = {self.m.root}\nsep = /\n\n"
            f"[Repository there]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {self.server.plain_port}\n"
            f"remoteuser = {self.user}\nremotepass = {self.server.password}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n")
        return lambda: run(self.m, "offlineimap", "-o", "-c", config, "-u", "basic")


@pytest.fixture(params=[pytest.param("mbsync", marks=needs("mbsync")), pytest.param("offlineimap", marks=needs("offlineimap"))])
def pair(request, world, servers):
    result = Elsewhere(world, servers)
    for number in range(4):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
        result.there.append("INBOX", mail(f"e{number}"))
    world.mailmount.mount()
    result.sync = getattr(result, request.param)()
    yield result
    result.there.close()


def agree(pair, boxes):
    """Both servers have the same mail with the same flags (mbsync marks what it copies), and the mount too."""
    pair.sync()
    pair.m.sync()
    for box in boxes:
        here, there = ({token: (message.flags, re.sub(rb"X-TUID: .*\r\n", b"", message.octets))
                        for token, message in witness.messages(box).items()} for witness in (pair.world.witness, pair.there))
        assert here == there
        assert pair.m.tokens(box) == sorted(here)


def test_both_directions(pair):
    """New mail, flags, removals and a new mailbox, from each of three sides; and then there is nothing to do."""
    here, there, m = pair.world.witness, pair.there, pair.m
    agree(pair, ["INBOX"])
    assert here.tokens("INBOX") == [f"e{n}" for n in range(4)] + [f"n{n}" for n in range(4)]
    uids = here.uids("INBOX"), there.uids("INBOX")
    agree(pair, ["INBOX"])
    assert uids == (here.uids("INBOX"), there.uids("INBOX"))
    there.store("INBOX", there.uid("INBOX", "n1"), "+FLAGS", "\\Flagged")
    there.expunge("INBOX", there.uid("INBOX", "e1"))
    here.store("INBOX", here.uid("INBOX", "e0"), "+FLAGS", "\\Answered")
    here.expunge("INBOX", here.uid("INBOX", "n2"))
    os.unlink(m.path("n3"))
    m.retag("e2", "FS")
    there.create("Made")
    there.append("Made", mail("far"))
    m.sync()
    agree(pair, ["INBOX", "Made"])
    assert here.tokens("INBOX") == ["e0", "e2", "e3", "n0", "n1"] and here.tokens("Made") == ["far"]
    assert [here.flags("INBOX", token) for token in ("n1", "e0", "e2")] == [
        {"\\Seen", "\\Flagged"}, {"\\Answered"}, {"\\Seen", "\\Flagged"}]
    assert here.mailboxes() == {"INBOX", "Made"} == there.mailboxes()
