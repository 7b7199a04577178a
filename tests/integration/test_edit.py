"""Editing a message: it is replaced on the server, at the editor's last close, with its date and flags."""
import os
import subprocess
import time

import pytest

from support import equal, eventually, lf, mail, stays

OLD = mail("draft", "old text\r\n")
NEW = mail("draft", "new text, and longer than before\r\n")


@pytest.fixture
def draft(world):
    world.witness.append("INBOX", OLD, ["\\Seen", "\\Draft", "work"], date=1_500_000_000)
    world.witness.append("INBOX", mail("bystander"), ["\\Seen"])
    world.mailmount.mount()
    return world


def is_replaced(world, octets=NEW):
    """Exactly one, with the new text and all else as it was."""
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["bystander", "draft"]
    message = world.witness.messages("INBOX")["draft"]
    assert message.octets == octets
    assert message.flags == {"\\Seen", "\\Draft", "work"}
    assert message.date == "14-Jul-2017 02:40:00 +0000"
    assert world.mailmount.tokens() == ["bystander", "draft"]
    assert world.mailmount.read()["draft"] == lf(octets)


def rename_over(path):
    scratch = path.with_name("sedXy12Zz")
    scratch.write_bytes(lf(NEW))
    os.rename(scratch, path)


def rename_over_from_tmp(path):
    scratch = path.parents[1] / "tmp" / "scratch"
    scratch.write_bytes(lf(NEW))
    os.rename(scratch, path)


def truncate_and_write(path):
    path.write_bytes(lf(NEW))


def shell(path):
    subprocess.run(["sh", "-c", 'cat > "$1"', "sh", str(path)], input=lf(NEW), check=True)


def truncate_later(path):
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(lf(NEW))


def vim(path):
    """Backup by rename, then a new file of the old name."""
    backup = path.with_name(path.name + "~")
    os.rename(path, backup)
    path.write_bytes(lf(NEW))
    os.unlink(backup)


def sed(path):
    subprocess.run(["sed", "-i", "s/old text/new text, and longer than before/", str(path)], check=True)


def slowly(path):
    with open(path, "r+b", buffering=0) as file:
        file.truncate(0)
        for line in lf(NEW).splitlines(keepends=True):
            file.write(line)
            time.sleep(0.2)


WAYS = [rename_over, rename_over_from_tmp, truncate_and_write, shell, truncate_later, vim, sed, slowly]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ways(draft, way):
    way(draft.mailmount.path("draft"))
    is_replaced(draft)


def test_append_a_line(draft):
    with open(draft.mailmount.path("draft"), "ab") as file:
        file.write(b"PS\n")
    is_replaced(draft, OLD + b"PS\r\n")


def test_in_the_middle(draft):
    path = draft.mailmount.path("draft")
    at = path.read_bytes().index(b"old text")
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"odd")
    is_replaced(draft, OLD.replace(b"old text", b"odd text"))


def test_shorter(draft):
    path = draft.mailmount.path("draft")
    os.truncate(path, len(lf(OLD)) - 5)
    is_replaced(draft, OLD[:-6])


def test_at_every_speed(any_world):
    any_world.witness.append("INBOX", OLD, ["\\Seen", "\\Draft"])
    m = any_world.mailmount
    m.mount()
    truncate_and_write(m.path("draft"))
    m.sync()
    assert any_world.witness.tokens("INBOX") == ["draft"]
    assert any_world.witness.messages("INBOX")["draft"].octets == NEW


def test_inode_stays_when_rewritten(draft):
    m = draft.mailmount
    inode = m.path("draft").stat().st_ino
    truncate_and_write(m.path("draft"))
    m.sync()
    assert m.path("draft").stat().st_ino == inode


def test_truncation_alone_is_never_sent(draft):
    m = draft.mailmount
    path = m.path("draft")
    os.truncate(path, 0)
    stays(lambda: draft.witness.messages("INBOX")["draft"].octets == OLD, 2)
    truncate_and_write(path)
    is_replaced(draft)


def test_the_same_again_changes_nothing(draft):
    m = draft.mailmount
    uids = draft.witness.uids("INBOX")
    m.path("draft").write_bytes(lf(OLD))
    m.sync()
    assert draft.witness.uids("INBOX") == uids


def test_edit_twice(draft):
    m = draft.mailmount
    m.path("draft").write_bytes(lf(OLD) + b"one\n")
    time.sleep(0.7)
    truncate_and_write(m.path("draft"))
    is_replaced(draft)


def test_rename_onto_another_message(draft):
    """The other one is gone, this one has its name."""
    m = draft.mailmount
    os.rename(m.path("draft"), m.path("bystander"))
    m.sync()
    assert draft.witness.tokens("INBOX") == ["draft"] == m.tokens()


def test_edit_against_removal(world):
    """Case 13: an edit beats a deletion."""
    world.witness.append("INBOX", OLD, ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    truncate_and_write(m.path("draft"))
    world.witness.expunge("INBOX", world.witness.uid("INBOX", "draft"))
    wire.plug()
    m.sync()
    assert world.witness.messages("INBOX")["draft"].octets == NEW
    assert m.tokens() == ["draft"]


def test_edit_against_flags(world):
    """Case 14."""
    world.witness.append("INBOX", OLD, ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    truncate_and_write(m.path("draft"))
    world.witness.store("INBOX", world.witness.uid("INBOX", "draft"), "+FLAGS", "\\Flagged")
    wire.plug()
    m.sync()
    message = world.witness.messages("INBOX")["draft"]
    assert (message.octets, message.flags) == (NEW, {"\\Seen", "\\Flagged"})


def test_reader_sees_whole_versions(draft):
    """Who opened before the replacement reads the old text to its end."""
    m = draft.mailmount
    with open(m.path("draft"), "rb") as reader:
        rename_over(m.path("draft"))
        assert reader.read() == lf(OLD)
    equal(lambda: m.read()["draft"], lf(NEW))
    eventually(lambda: draft.witness.messages("INBOX")["draft"].octets == NEW)


def test_edit_against_edit(world):
    """Case 15: both are kept, ours is marked."""
    world.witness.append("INBOX", OLD, ["\\Seen", "\\Draft"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    truncate_and_write(m.path("draft"))
    other = mail("draft", "the other client's text\r\n")
    uid = world.witness.uid("INBOX", "draft")
    world.witness.append("INBOX", other, ["\\Seen", "\\Draft"])
    world.witness.expunge("INBOX", uid)
    wire.plug()
    m.sync()
    got = {message.octets: message.flags for message in world.witness.fetch("INBOX").values()}
    assert set(got) == {NEW, other}
    assert "$SyncConflict" in got[NEW]
    assert "$SyncConflict" not in got[other]


def test_edited_through_another_mount_to_the_same_size(world):
    """Two texts of one message may agree in Message-ID, date and size: the new one must not pass for the old one, moved."""
    world.witness.append("INBOX", mail("draft", "one text\r\n"), ["\\Seen"], date=1_500_000_000)
    here, there = world.new_mailmount(), world.new_mailmount()
    here.mount()
    there.mount()
    there.path("draft").write_bytes(lf(mail("draft", "two text\r\n")))
    there.sync()
    eventually(lambda: here.read() == {"draft": lf(mail("draft", "two text\r\n"))})
