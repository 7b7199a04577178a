"""Removal: exactly what was meant, held when it looks like an accident, and restorable."""
import os
import re
import shutil

import pytest

from support import eventually, lf, mail, stays


def fill(world, count, mailbox="INBOX", needs=None, **settings):
    if needs:
        world.new_mailmount().need_key(needs)
    for number in range(count):
        world.witness.append(mailbox, mail(f"n{number:03}"), ["\\Seen"])
    m = world.new_mailmount(**settings)
    m.mount()
    return m


def test_unlink_takes_that_one_only(world):
    """Case 16: another client's \\Deleted message survives."""
    m = fill(world, 4)
    world.witness.store("INBOX", world.witness.uid("INBOX", "n001"), "+FLAGS", "\\Deleted")
    m.sync()
    os.unlink(m.path("n002"))
    assert "n002" not in m.tokens()
    eventually(lambda: world.witness.tokens("INBOX") == ["n000", "n001", "n003"])
    m.sync()
    assert m.tokens() == ["n000", "n001", "n003"]
    assert "\\Deleted" in world.witness.flags("INBOX", "n001")


def test_at_every_speed(any_world):
    world = any_world
    m = fill(world, 4)
    world.witness.store("INBOX", world.witness.uid("INBOX", "n001"), "+FLAGS", "\\Deleted")
    os.unlink(m.path("n002"))
    world.witness.expunge("INBOX", world.witness.uid("INBOX", "n003"))
    # Without UIDPLUS an EXPUNGE takes what is marked just then: nobody can be kept from that who marks it between.
    eventually(lambda: "n002" not in world.witness.tokens("INBOX"))
    world.witness.store("INBOX", world.witness.uid("INBOX", "n001"), "+FLAGS", "\\Deleted")
    m.sync()
    assert world.witness.tokens("INBOX") == ["n000", "n001"]
    assert m.tokens() == ["n000", "n001"]


def test_removed_by_another_client(world):
    m = fill(world, 3)
    world.witness.expunge("INBOX", world.witness.uid("INBOX", "n001"))
    eventually(lambda: m.tokens() == ["n000", "n002"])


def test_unlink_of_what_was_never_sent(world):
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    os.unlink(m.deliver(mail("short-lived"), info="S"))
    wire.plug()
    m.sync()
    assert world.witness.tokens("INBOX") == [] == m.tokens()


def test_to_trash(world):
    world.witness.create("Trash")
    m = fill(world, 2, delete="trash")
    os.unlink(m.path("n000"))
    m.sync()
    assert world.witness.tokens("INBOX") == ["n001"]
    assert world.witness.tokens("Trash") == ["n000"]
    eventually(lambda: m.tokens("Trash") == ["n000"])
    os.unlink(m.path("n000", "Trash"))
    m.sync()
    assert world.witness.tokens("Trash") == []


def restorable(m):
    """Identifiers in front of the lines of restore --list."""
    m.need("restore")
    result = m.run("restore", "--list")
    assert result.returncode == 0, result.stderr
    return re.findall(r"(?m)^\s*(\d+)\b", result.stdout)


@pytest.mark.parametrize("side", ["here", "there"])
def test_restore(world, side):
    m = fill(world, 2)
    if side == "here":
        os.unlink(m.path("n000"))
    else:
        world.witness.expunge("INBOX", world.witness.uid("INBOX", "n000"))
    m.sync()
    assert m.tokens() == ["n001"]
    ids = restorable(m)
    assert len(ids) == 1
    result = m.run("restore", ids[0])
    assert result.returncode == 0, result.stderr
    m.sync()
    assert m.tokens() == ["n000", "n001"] == world.witness.tokens("INBOX")
    assert world.witness.messages("INBOX")["n000"].octets == mail("n000")
    assert m.read()["n000"] == lf(mail("n000"))


def held(m):
    m.need("held")
    result = m.run("held")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_brake_here(world):
    """Case 75: a mailbox of 20 or more is emptied."""
    m = fill(world, 30, needs="brake")
    for path in [m.path(token) for token in m.tokens()]:  # without a pause between them
        os.unlink(path)
    m.run("sync", "--wait=5")
    stays(lambda: len(world.witness.tokens("INBOX")) == 30, 2)
    assert held(m)


def test_brake_here_approved(world):
    m = fill(world, 30, needs="brake")
    for path in [m.path(token) for token in m.tokens()]:  # without a pause between them
        os.unlink(path)
    m.run("sync", "--wait=5")
    assert held(m)
    result = m.run("held", "approve", "all")
    assert result.returncode == 0, result.stderr
    m.sync()
    assert world.witness.tokens("INBOX") == [] == m.tokens()
    assert not held(m)


def test_brake_here_reverted(world):
    m = fill(world, 30, needs="brake")
    for path in [m.path(token) for token in m.tokens()]:  # without a pause between them
        os.unlink(path)
    m.run("sync", "--wait=5")
    assert held(m)
    result = m.run("held", "revert", "all")
    assert result.returncode == 0, result.stderr
    m.sync()
    eventually(lambda: len(m.tokens()) == 30)
    assert len(world.witness.tokens("INBOX")) == 30


def test_brake_there(world):
    """Nothing disappears from view when the server lost a mailbox' mail."""
    m = fill(world, 30, needs="brake")
    world.witness._select("INBOX")
    world.witness.command("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
    world.witness.command("EXPUNGE")
    m.run("sync", "--wait=5")
    stays(lambda: len(m.tokens()) == 30, 2)
    assert held(m)
    result = m.run("held", "approve", "all")
    assert result.returncode == 0, result.stderr
    m.sync()
    assert m.tokens() == []


@pytest.mark.parametrize("unsent", [False, True])
def test_brake_a_whole_mailbox(world, unsent):
    """It is gone on the server: nothing disappears from view, even if something in it has to be sent (case 83)."""
    world.witness.create("Old")
    for number in range(25):
        world.witness.append("Old", mail(f"n{number:03}"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    world.witness.delete("Old")
    if unsent:
        m.deliver(mail("unsent"), "Old", info="S")
    wire.plug()
    m.run("sync", "--wait=5")
    stays(lambda: len(m.tokens("Old")) == 25 + unsent, 2)
    assert held(m)
    result = m.run("held", "approve", "all")
    assert result.returncode == 0, result.stderr
    m.sync()
    assert not held(m)
    if unsent:
        assert m.tokens("Old") == ["unsent"] == world.witness.tokens("Old")
    else:
        assert not m.box("Old").exists() and "Old" not in world.witness.mailboxes()
    assert len(restorable(m)) == 25


def test_brake_off(world):
    m = fill(world, 30, needs="brake", brake="off")
    for path in [m.path(token) for token in m.tokens()]:  # without a pause between them
        os.unlink(path)
    m.sync()
    assert world.witness.tokens("INBOX") == []


def test_brake_does_not_mind_moves(world):
    """Mail that was recognised elsewhere does not count."""
    world.witness.create("Archive")
    m = fill(world, 30)
    for token in m.tokens():
        os.rename(m.path(token), m.box("Archive") / "cur" / f"{token}:2,S")
    m.sync()
    assert world.witness.tokens("INBOX") == []
    assert len(world.witness.tokens("Archive")) == 30
    world.witness._select("Archive")
    world.witness.command("UID MOVE 1:* INBOX")
    m.sync()
    eventually(lambda: len(m.tokens()) == 30 and m.tokens("Archive") == [])


def test_remove_a_whole_mailbox(world):
    world.witness.create("Old")
    m = fill(world, 5, mailbox="Old")
    shutil.rmtree(m.box("Old"))
    m.sync()
    assert "Old" not in world.witness.mailboxes()
    assert not m.box("Old").exists()
    assert len(restorable(m)) == 5


def test_remove_here_while_new_mail_comes_there(world):
    """Case 82: the folder stays, with the new mail only."""
    world.witness.create("Old")
    for number in range(3):
        world.witness.append("Old", mail(f"n{number:03}"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    shutil.rmtree(m.box("Old"))
    world.witness.append("Old", mail("late"))
    wire.plug()
    m.sync()
    assert world.witness.tokens("Old") == ["late"]
    eventually(lambda: m.tokens("Old") == ["late"])
