"""Mailboxes are directories: made, renamed and removed from either side."""
import errno
import os
import shutil

import pytest

from support import equal, eventually, mail, stays


def make(path, order=("cur", "new", "tmp")):
    path.mkdir()
    for sub in order:
        (path / sub).mkdir()


def unmake(path):
    for sub in ("cur", "new", "tmp"):
        (path / sub).rmdir()
    path.rmdir()


@pytest.mark.parametrize("order", [("cur", "new", "tmp"), ("tmp", "new", "cur"), ("new", "tmp", "cur")])
def test_make_here(mounted, order):
    m = mounted.mailmount
    make(m.box("Fresh"), order)
    eventually(lambda: "Fresh" in mounted.witness.mailboxes())
    assert sorted(os.listdir(m.box("Fresh")))[:3] == ["cur", "new", "tmp"]


@pytest.mark.parametrize("name", ["Entwürfe", "日本語", "a & b", "100%", "two words", "Ünder/Größe"])
def test_names_from_here(mounted, name):
    m = mounted.mailmount
    m.box(name).parent.mkdir(exist_ok=True)
    make(m.box(name))
    eventually(lambda: name in mounted.witness.mailboxes())
    m.deliver(mail("in"), name, info="S")
    eventually(lambda: mounted.witness.tokens(name) == ["in"])
    m.remount()
    assert m.tokens(name) == ["in"]


def test_a_directory_is_no_mailbox_yet(mounted):
    m = mounted.mailmount
    m.box("Plain").mkdir()
    assert os.listdir(m.box("Plain")) == [], "made eagerly, they make mutt remove the mailbox"
    stays(lambda: "Plain" not in mounted.witness.mailboxes(selectable=False), 2)
    (m.box("Plain") / "cur").mkdir()
    eventually(lambda: "Plain" in mounted.witness.mailboxes())


def test_a_level_becomes_a_mailbox(mounted):
    """A level of the hierarchy that is no mailbox at the server is one as soon as somebody makes it one here."""
    m = mounted.mailmount
    mounted.witness.create("Level/Child")
    eventually(lambda: (m.box("Level") / "Child" / "cur").is_dir())
    assert not (m.box("Level") / "cur").exists()
    for sub in ("cur", "new", "tmp"):
        (m.box("Level") / sub).mkdir()
    m.deliver(mail("in"), "Level", info="S", how="direct")
    m.sync()
    assert mounted.witness.tokens("Level") == ["in"] == m.tokens("Level")
    assert (m.box("Level") / "Child").is_dir()


def test_only_cur_is_made(mounted):
    """What the server has in a mailbox shows, whatever of it was made here."""
    m = mounted.mailmount
    (m.box("Only") / "cur").mkdir(parents=True)
    eventually(lambda: "Only" in mounted.witness.mailboxes())
    mounted.witness.append("Only", mail("unread"))
    eventually(lambda: (m.box("Only") / "new").is_dir() and m.tokens("Only") == ["unread"], timeout=25)


def test_a_percent_sign_is_one(mounted):
    """Case 88: names map one to one, also those that look like an escape."""
    m = mounted.mailmount
    for name in ("a%41b", "aAb"):
        make(m.box(name))
        m.deliver(mail(name.replace("%", "-")), name, info="S")
    m.sync()
    assert mounted.witness.tokens("a%41b") == ["a-41b"]
    assert mounted.witness.tokens("aAb") == ["aAb"]
    with pytest.raises(FileExistsError):
        m.box("a%2541b").mkdir()


def test_make_there(mounted):
    m = mounted.mailmount
    mounted.witness.create("Server/Made")
    mounted.witness.append("Server/Made", mail("x"))
    eventually(lambda: m.box("Server/Made").is_dir() and m.tokens("Server/Made") == ["x"])


def test_remove_here(world):
    world.witness.create("Gone")
    m = world.mailmount
    m.mount()
    unmake(m.box("Gone"))
    eventually(lambda: "Gone" not in world.witness.mailboxes())
    assert not m.box("Gone").exists()


def test_remove_there(world):
    world.witness.create("Gone")
    world.witness.append("Gone", mail("x"))
    m = world.mailmount
    m.mount()
    world.witness.delete("Gone")
    eventually(lambda: not m.box("Gone").exists(), timeout=40)


def test_remove_there_with_unsent_mail_here(world):
    """Case 83: created again, with that mail only."""
    world.witness.create("Gone")
    world.witness.append("Gone", mail("old"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    m.deliver(mail("unsent"), "Gone", info="S")
    world.witness.delete("Gone")
    wire.plug()
    m.sync()
    assert world.witness.tokens("Gone") == ["unsent"]


def test_not_empty(world):
    world.witness.create("Full")
    world.witness.append("Full", mail("x"))
    m = world.mailmount
    m.mount()
    for path in (m.box("Full"), m.box("Full") / "new"):
        with pytest.raises(OSError) as caught:
            path.rmdir()
        assert caught.value.errno == errno.ENOTEMPTY
    assert "Full" in world.witness.mailboxes()


def rmdir_errno(path):
    with pytest.raises(OSError) as caught:
        path.rmdir()
    return caught.value.errno


def test_inbox_stays(mounted):
    """No client can remove it: it is in use. A program that removes what is empty hears that it is not, where it is not."""
    m = mounted.mailmount
    for sub in ("cur", "new", "tmp"):
        try:
            (m.box() / sub).rmdir()
        except OSError:
            pass
    assert rmdir_errno(m.box()) == errno.EBUSY
    eventually(lambda: sorted(os.listdir(m.box()))[:3] == ["cur", "new", "tmp"], timeout=30)
    assert rmdir_errno(m.box()) == errno.EBUSY
    mounted.witness.append("INBOX", mail("x"))
    m.sync()
    assert rmdir_errno(m.box()) == errno.ENOTEMPTY
    m.path("x").unlink()
    assert rmdir_errno(m.box()) == errno.EBUSY
    assert "INBOX" in os.listdir(m.root)


def test_removed_halves_come_back(world):
    """rmdir of cur alone hides it; it is back when the mailbox stays."""
    world.witness.create("Half")
    m = world.mailmount
    m.mount()
    (m.box("Half") / "cur").rmdir()
    assert not (m.box("Half") / "cur").exists()
    eventually(lambda: (m.box("Half") / "cur").is_dir(), timeout=30)
    assert "Half" in world.witness.mailboxes()


def test_rename_here(world):
    """Case 84: one RENAME, children with it."""
    for name in ("Old", "Old/Child"):
        world.witness.create(name)
        world.witness.append(name, mail("in-" + name.replace("/", "-")), ["\\Seen"])
    validity = world.witness.uidvalidity("Old")
    m = world.mailmount
    m.mount()
    inode = m.path("in-Old", "Old").stat().st_ino
    os.rename(m.box("Old"), m.box("New"))
    assert m.tokens("New") == ["in-Old"]
    m.sync()
    assert {"New", "New/Child"} <= world.witness.mailboxes()
    assert not {"Old", "Old/Child"} & world.witness.mailboxes()
    assert world.witness.uidvalidity("New") == validity
    assert world.witness.tokens("New/Child") == ["in-Old-Child"]
    assert m.path("in-Old", "New").stat().st_ino == inode


def test_rename_into_another(world):
    for name in ("A", "B"):
        world.witness.create(name)
    world.witness.append("A", mail("x"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    os.rename(m.box("A"), m.box("B") / "A")
    m.sync()
    assert world.witness.tokens("B/A") == ["x"]
    assert "A" not in world.witness.mailboxes()


@pytest.mark.parametrize("line", ["up", "down"])
def test_renamed_away_and_made_again(world, line):
    """As at the end of a year."""
    world.witness.create("Archive")
    world.witness.append("Archive", mail("old"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    if line == "down":
        wire.cut()
    os.rename(m.box("Archive"), m.box("Archive-2024"))
    for sub in ("cur", "new", "tmp"):
        os.makedirs(m.box("Archive") / sub)
    m.deliver(mail("new"), "Archive")
    wire.plug()
    m.sync()
    assert world.witness.tokens("Archive-2024") == ["old"] == m.tokens("Archive-2024")
    assert world.witness.tokens("Archive") == ["new"] == m.tokens("Archive")


@pytest.mark.parametrize("line", ["up", "down"])
def test_removed_and_another_one_renamed_to_it(world, line):
    for name in ("Old", "New"):
        world.witness.create(name)
        world.witness.append(name, mail("in-" + name), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    if line == "down":
        wire.cut()
    shutil.rmtree(m.box("Old"))
    os.rename(m.box("New"), m.box("Old"))
    wire.plug()
    m.sync()
    assert world.witness.tokens("Old") == ["in-New"] == m.tokens("Old")
    assert "New" not in world.witness.mailboxes()


def test_renamed_apart(world):
    """Case 86: the server's name wins."""
    world.witness.create("Old")
    world.witness.append("Old", mail("x"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    os.rename(m.box("Old"), m.box("Mine"))
    world.witness.rename("Old", "Theirs")
    wire.plug()
    m.sync()
    eventually(lambda: m.box("Theirs").is_dir() and m.tokens("Theirs") == ["x"])
    boxes = world.witness.mailboxes()
    assert "Theirs" in boxes and "Old" not in boxes and "Mine" not in boxes


def test_subscriptions(world):
    """Case 91: name by name. What is made here is subscribed to, a rename takes that along, and what others do stays."""
    w, m = world.witness, world.mailmount
    for box in ("Old", "Old/below", "Quiet"):
        w.create(box)
    for box in ("Old/below", "Quiet"):
        w.subscribe(box)
    m.mount()
    make(m.box("Made"))
    os.rename(m.box("Old"), m.box("New"))
    m.sync()
    assert w.subscribed() == ["Made", "New/below", "Quiet"]
    w.subscribe("Made", False)
    w.subscribe("Quiet", False)
    w.subscribe("New")
    m.sync()
    os.rename(m.box("New"), m.box("Newer"))
    os.rename(m.box("Made"), m.box("Later"))
    m.sync()
    assert w.subscribed() == ["Newer", "Newer/below"]
    for box in ("Newer/below", "Newer"):
        unmake(m.box(box))
    m.sync()
    assert w.subscribed() == []


@pytest.mark.parametrize("where", ["here", "there"])
def test_exchanged(world, where):
    """Case 86: through a temporary name, of which nothing stays; nothing is downloaded again."""
    for box in ("A", "B", "A/below"):
        world.witness.create(box)
        world.witness.append(box, mail(box.replace("/", "-")), ["\\Seen"])
    m = world.mailmount
    m.mount()
    inodes = {box: m.box(box).stat().st_ino for box in ("A", "B")}
    if where == "here":
        for old, new in (("A", "T"), ("B", "A"), ("T", "B")):
            os.rename(m.box(old), m.box(new))
    else:
        for old, new in (("A", "T"), ("B", "A"), ("T", "B")):
            world.witness.rename(old, new)
    m.sync()
    equal(lambda: [m.tokens(box) if m.box(box).is_dir() else None for box in ("A", "B", "B/below")], [["B"], ["A"], ["A-below"]])
    assert [world.witness.tokens(box) for box in ("A", "B", "B/below")] == [["B"], ["A"], ["A-below"]]
    assert sorted(world.witness.mailboxes()) == ["A", "B", "B/below", "INBOX"]
    assert {box: m.box(box).stat().st_ino for box in ("A", "B")} == {"A": inodes["B"], "B": inodes["A"]}


def test_made_on_both_sides(world):
    """Case 80: contents merged."""
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    make(m.box("Both"))
    m.deliver(mail("here"), "Both", info="S")
    world.witness.create("Both")
    world.witness.append("Both", mail("there"), ["\\Seen"])
    wire.plug()
    m.sync()
    assert world.witness.tokens("Both") == ["here", "there"]
    eventually(lambda: m.tokens("Both") == ["here", "there"])


def test_strange_names_from_the_server(world):
    """Case 88: one path component each, whatever the server calls it."""
    for name in ("cur", "new/tmp", ".hidden", "A%41"):
        world.witness.create(name)
        world.witness.append(name, mail("in-it"))
    m = world.mailmount
    m.mount()
    names = set(os.listdir(m.root))
    assert not {"cur", "new", "tmp"} & names
    assert m.tokens("%63ur") == ["in-it"]
    assert m.tokens("%6Eew/%74mp") == ["in-it"]
    assert m.tokens("%2Ehidden") == ["in-it"]
    m.deliver(mail("mine"), "%2Ehidden", info="S")
    m.sync()
    assert world.witness.tokens(".hidden") == ["in-it", "mine"]
    assert len(names) == 5


def test_patterns(world):
    for name in ("Keep", "Keep/Sub", "Skip", "Other"):
        world.witness.create(name)
    m = world.new_mailmount(mailboxes="INBOX, Keep*, !Keep/Sub")
    m.mount()
    assert set(os.listdir(m.root)) >= {"INBOX", "Keep"}
    assert not m.box("Skip").exists() and not m.box("Other").exists()
    assert not (m.box("Keep/Sub") / "cur").exists()
    assert {"Skip", "Other", "Keep/Sub"} <= world.witness.mailboxes()


def test_not_in_the_wrong_places(mounted):
    m = mounted.mailmount
    for path in (m.box() / "cur" / "dir", m.box() / "tmp" / "dir"):
        with pytest.raises(OSError) as caught:
            path.mkdir()
        assert caught.value.errno == errno.EPERM
    for path in (m.root / "stray", m.box() / "stray"):
        with pytest.raises(OSError) as caught:
            path.write_text("x")
        assert caught.value.errno == errno.EPERM


def test_rename_there(world):
    """Case 85: nothing is downloaded again."""
    world.witness.create("Old")
    for number in range(25):
        world.witness.append("Old", mail(f"n{number}", "x" * 20_000 + "\r\n"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    inodes = {token: m.path(token, "Old").stat().st_ino for token in m.tokens("Old")}
    wire.reset_counts()
    world.witness.rename("Old", "New")
    eventually(lambda: m.box("New").is_dir() and len(m.tokens("New")) == 25 and not m.box("Old").exists(), timeout=40)
    assert {token: m.path(token, "New").stat().st_ino for token in m.tokens("New")} == inodes
    assert wire.to_client < 100_000
    assert not m.run("held").stdout


def test_deleted_when_the_last_removal_had_to_wait(world):
    """Mail that is on its way holds removals back, as it may be what was removed, filed; nothing else need happen then."""
    world.witness.create("Old")
    world.witness.append("Old", mail("o"), ["\\Seen"])
    m = world.new_mailmount(poll=600)
    m.mount()
    m.deliver(mail("x"), info="S")
    os.unlink(m.path("o", "Old"))
    unmake(m.box("Old"))
    m.sync(15)
    assert "Old" not in world.witness.mailboxes()
