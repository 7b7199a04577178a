"""Filing: between mailboxes, by rename, link, copy, and the ways of programs that know no better."""
import errno
import os
import shutil
import time

import pytest

from support import equal, eventually, lf, mail


@pytest.fixture
def filed(world):
    """One message in INBOX, a mailbox Archive to put it into."""
    world.witness.append("INBOX", mail("one"), ["\\Seen"], date=1_500_000_000)
    world.witness.create("Archive")
    world.mailmount.mount()
    return world


def where(world):
    return {box: world.witness.tokens(box) for box in ("INBOX", "Archive")}


def test_rename_moves(filed):
    m = filed.mailmount
    inode = m.path("one").stat().st_ino
    target = m.box("Archive") / "cur" / m.path("one").name
    os.rename(m.path("one"), target)
    assert m.tokens() == [] and m.tokens("Archive") == ["one"]
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": ["one"]}
    assert target.stat().st_ino == inode
    message = filed.witness.messages("Archive")["one"]
    assert (message.date, message.flags) == ("14-Jul-2017 02:40:00 +0000", {"\\Seen"})


def test_at_every_speed(any_world):
    world = any_world
    for number in range(3):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    os.rename(m.path("n0"), m.box("Archive") / "cur" / "x:2,FS")
    os.link(m.path("n1"), m.box("Archive") / "cur" / "y:2,S")
    os.unlink(m.path("n2"))
    m.sync()
    assert where(world) == {"INBOX": ["n1"], "Archive": ["n0", "n1"]}
    assert world.witness.flags("Archive", "n0") == {"\\Seen", "\\Flagged"}
    world.witness.copy("Archive", world.witness.uid("Archive", "n0"), "INBOX")
    world.witness.expunge("Archive", world.witness.uid("Archive", "n0"))
    m.sync()
    assert m.tokens() == ["n0", "n1"] and m.tokens("Archive") == ["n1"]
    assert where(world) == {"INBOX": ["n0", "n1"], "Archive": ["n1"]}


def test_rename_moves_and_flags(filed):
    m = filed.mailmount
    os.rename(m.path("one"), m.box("Archive") / "cur" / "x:2,FRS")
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": ["one"]}
    assert filed.witness.flags("Archive", "one") == {"\\Seen", "\\Flagged", "\\Answered"}


def test_original_is_flagged_after_the_copy(world):
    """Both wait for the line: the copy is made of the original as it was."""
    world.witness.append("INBOX", mail("one"), ["\\Seen"])
    world.witness.create("Archive")
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    os.link(m.path("one"), m.box("Archive") / "cur" / "copy:2,S")
    m.retag("one", "FS")
    time.sleep(1)  # neither is too fresh to be sent
    wire.plug()
    m.sync()
    m.sync()
    assert (world.witness.flags("INBOX", "one"), world.witness.flags("Archive", "one")) == ({"\\Seen", "\\Flagged"}, {"\\Seen"})
    assert (m.letters("one"), m.letters("one", "Archive")) == ("FS", "S")


def test_moved_what_was_edited_and_moved_there(any_world):
    """The server says OK to moving what is gone, and moves nothing: what lies in the target is another text, and so is ours."""
    w, m = any_world.witness, any_world.mailmount
    ours = [mail("grows", "first\r\n"), mail("as-large", "first\r\n")]
    theirs = [mail("grows", "first, and more\r\n"), mail("as-large", "later\r\n")]
    for box in ("Work", "Archive"):
        w.create(box)
    for octets in ours:
        w.append("Work", octets, ["\\Seen"], date=1_500_000_000)
    m.mount()
    assert m.read("Work") == {"grows": lf(ours[0]), "as-large": lf(ours[1])}
    for octets in theirs:
        w.append("Work", octets, ["\\Seen"], date=1_600_000_000)
    for uid in sorted(w.uids("Work")):
        (w.expunge if uid < 3 else lambda box, uid: w.move(box, uid, "Archive"))("Work", uid)
    for token in ("grows", "as-large"):
        os.rename(m.path(token, "Work"), m.box("Archive") / "cur" / f"{token}:2,S")
    m.sync()

    def texts():
        return (sorted(lf(message.octets) for message in w.fetch("Archive").values()),
                sorted(path.read_bytes() for path in (m.box("Archive") / "cur").iterdir()))
    all_four = sorted(map(lf, ours + theirs))
    equal(texts, (all_four, all_four))
    assert m.tokens("Work") == w.tokens("Work") == []


def test_moved_to_what_is_gone_from_where_it_is_gone(servers, world_at):
    """Another client has moved the message, and made a mere level of the mailbox that it is moved to here: there is still only one."""
    world = world_at(servers.get("no-notify"))
    w, m = world.witness, world.mailmount
    for box in ("Before", "Target", "Target/Sub", "Elsewhere"):
        w.create(box)
    w.append("Before", mail("one"), ["\\Seen"], date=1_500_000_000)
    m.mount()
    m.sync()
    w.move("Before", w.uid("Before", "one"), "Elsewhere")
    w.delete("Target")
    os.rename(m.path("one", "Before"), m.box("Target") / "cur" / "x:2,S")
    time.sleep(2)  # it is told to the server before anybody looks
    for _ in range(2):
        m.sync()
    there = {box: w.tokens(box) for box in w.mailboxes()}
    here = {box: m.tokens(box) for box in there}
    assert sum(there.values(), []) == sum(here.values(), []) == ["one"], (there, here)


def test_there_and_back(filed):
    """Case 46."""
    m = filed.mailmount
    uid = filed.witness.uid("INBOX", "one")
    start = m.path("one")
    away = m.box("Archive") / "cur" / start.name
    os.rename(start, away)
    os.rename(away, start)
    m.sync()
    assert filed.witness.uids("INBOX") == [uid]
    assert where(filed) == {"INBOX": ["one"], "Archive": []}


def test_two_moves_in_a_row(filed):
    filed.witness.create("Second")
    m = filed.mailmount
    m.sync()
    os.rename(m.path("one"), m.box("Archive") / "cur" / "x:2,S")
    os.rename(m.box("Archive") / "cur" / "x:2,S", m.box("Second") / "cur" / "x:2,S")
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": []}
    assert filed.witness.tokens("Second") == ["one"]


def test_a_new_message_moves_before_it_was_sent(filed):
    m = filed.mailmount
    path = m.deliver(mail("fresh"), info="S")
    os.rename(path, m.box("Archive") / "cur" / "fresh:2,S")
    m.sync()
    assert where(filed) == {"INBOX": ["one"], "Archive": ["fresh"]}


def test_into_a_mailbox_made_just_now(filed):
    """Case 47."""
    m = filed.mailmount
    for sub in ("cur", "new", "tmp"):
        os.makedirs(m.root / "Made" / "Deep" / sub)
    os.rename(m.path("one"), m.root / "Made" / "Deep" / "cur" / "x:2,S")
    m.sync()
    assert filed.witness.tokens("Made/Deep") == ["one"]
    assert filed.witness.tokens("INBOX") == []


def test_link_copies(filed):
    """Case 21: the server makes the copy; nothing is sent again."""
    m = filed.mailmount
    target = m.box("Archive") / "cur" / "copy:2,FS"
    os.link(m.path("one"), target)
    assert target.read_bytes() == lf(mail("one"))
    m.sync()
    assert where(filed) == {"INBOX": ["one"], "Archive": ["one"]}
    message = filed.witness.messages("Archive")["one"]
    assert message.flags == {"\\Seen", "\\Flagged"}
    assert message.date == "14-Jul-2017 02:40:00 +0000"
    assert filed.witness.flags("INBOX", "one") == {"\\Seen"}, "each copy has its own flags"
    m.retag("one", "RS", "Archive")
    m.sync()
    assert m.letters("one") == "S"


def test_link_then_unlink_is_a_move(filed):
    m = filed.mailmount
    source = m.path("one")
    os.link(source, m.box("Archive") / "cur" / "x:2,S")
    os.unlink(source)
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": ["one"]}


def test_cp_copies(filed):
    m = filed.mailmount
    shutil.copy2(m.path("one"), m.box("Archive") / "cur" / "x:2,S")
    m.sync()
    assert where(filed) == {"INBOX": ["one"], "Archive": ["one"]}
    assert filed.witness.messages("Archive")["one"].octets == mail("one")
    assert filed.witness.messages("Archive")["one"].date == "14-Jul-2017 02:40:00 +0000"


def test_move_by_rewriting(filed):
    """Case 50: mutt writes the message into the other folder, with another header, and unlinks the old one."""
    m = filed.mailmount
    source = m.path("one")
    other = source.read_bytes().replace(b"\n\n", b"\nContent-Length: 7\n\n", 1)
    scratch = m.box("Archive") / "tmp" / "mutt-x"
    scratch.write_bytes(other)
    os.rename(scratch, m.box("Archive") / "cur" / "mutt-x:2,S")
    os.unlink(source)
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": ["one"]}
    assert b"Content-Length" in filed.witness.messages("Archive")["one"].octets


def test_out_of_the_mount_and_back(filed, tmp_path):
    m = filed.mailmount
    shutil.move(m.path("one"), tmp_path / "kept")
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": []}
    assert (tmp_path / "kept").read_bytes() == lf(mail("one"))
    shutil.move(tmp_path / "kept", m.box() / "cur" / "back:2,S")
    m.sync()
    assert where(filed) == {"INBOX": ["one"], "Archive": []}


def test_to_the_local_area_is_another_device(filed):
    m = filed.mailmount
    (m.root / ".local-things").mkdir()
    with pytest.raises(OSError) as caught:
        os.rename(m.path("one"), m.root / ".local-things" / "x")
    assert caught.value.errno == errno.EXDEV
    shutil.move(m.path("one"), m.root / ".local-things" / "x")
    m.sync()
    assert where(filed) == {"INBOX": [], "Archive": []}
    assert (m.root / ".local-things" / "x").read_bytes() == lf(mail("one"))


def test_to_tmp_and_back(filed):
    m = filed.mailmount
    scratch = m.box() / "tmp" / "aside"
    os.rename(m.path("one"), scratch)
    assert m.tokens() == []
    assert scratch.read_bytes() == lf(mail("one"))
    os.rename(scratch, m.box() / "cur" / "again:2,FS")
    m.sync()
    assert where(filed) == {"INBOX": ["one"], "Archive": []}
    assert filed.witness.flags("INBOX", "one") == {"\\Seen", "\\Flagged"}


def test_moved_by_another_client(filed):
    """Case 43: not downloaded again."""
    m = filed.mailmount
    inode = m.path("one").stat().st_ino
    filed.witness.move("INBOX", filed.witness.uid("INBOX", "one"), "Archive")
    eventually(lambda: m.tokens("Archive") == ["one"] and m.tokens() == [])
    assert m.path("one", "Archive").stat().st_ino == inode


@pytest.fixture
def apart(world):
    """Two messages, in sync, and the wire in hand."""
    for token in ("one", "two"):
        world.witness.append("INBOX", mail(token), ["\\Seen"])
    for box in ("Archive", "Second"):
        world.witness.create(box)
    world.wire = world.new_proxy()
    world.m = world.through(world.wire)
    world.m.mount()
    world.wire.cut()
    return world


def all_places(world):
    return {box: world.witness.tokens(box) for box in ("INBOX", "Archive", "Second")}


def converged(world, expected):
    world.wire.plug()
    world.m.sync()
    assert all_places(world) == expected
    eventually(lambda: {box: world.m.tokens(box) for box in expected} == expected)


def test_moved_to_different_folders(apart):
    """Case 44: the server's place wins; one copy."""
    os.rename(apart.m.path("one"), apart.m.box("Archive") / "cur" / "x:2,S")
    apart.witness.move("INBOX", apart.witness.uid("INBOX", "one"), "Second")
    converged(apart, {"INBOX": ["two"], "Archive": [], "Second": ["one"]})


def test_moved_to_the_same_folder(apart):
    """Case 45."""
    os.rename(apart.m.path("one"), apart.m.box("Archive") / "cur" / "x:2,S")
    apart.witness.move("INBOX", apart.witness.uid("INBOX", "one"), "Archive")
    converged(apart, {"INBOX": ["two"], "Archive": ["one"], "Second": []})


def test_moved_here_and_removed_there(apart):
    """Case 42: filing is work."""
    os.rename(apart.m.path("one"), apart.m.box("Archive") / "cur" / "x:2,S")
    apart.witness.expunge("INBOX", apart.witness.uid("INBOX", "one"))
    converged(apart, {"INBOX": ["two"], "Archive": ["one"], "Second": []})
    assert apart.witness.messages("Archive")["one"].octets == mail("one")


def test_moved_here_and_flagged_there(apart):
    """Case 41."""
    os.rename(apart.m.path("one"), apart.m.box("Archive") / "cur" / "x:2,S")
    apart.witness.store("INBOX", apart.witness.uid("INBOX", "one"), "+FLAGS", "\\Answered")
    converged(apart, {"INBOX": ["two"], "Archive": ["one"], "Second": []})
    assert apart.witness.flags("Archive", "one") == {"\\Seen", "\\Answered"}


def test_removed_here_and_flagged_there(apart):
    """Case 10: \\Flagged is a person's act: it comes back. Other changes are not."""
    os.unlink(apart.m.path("one"))
    os.unlink(apart.m.path("two"))
    apart.witness.store("INBOX", apart.witness.uid("INBOX", "one"), "+FLAGS", "\\Flagged")
    apart.witness.store("INBOX", apart.witness.uid("INBOX", "two"), "+FLAGS", "\\Answered")
    converged(apart, {"INBOX": ["one"], "Archive": [], "Second": []})
    assert apart.m.read()["one"] == lf(mail("one"))


def test_removed_there_and_answered_here(apart):
    """The mirror, case 11; the body stays restorable."""
    apart.m.retag("one", "RS")
    apart.witness.expunge("INBOX", apart.witness.uid("INBOX", "one"))
    converged(apart, {"INBOX": ["two"], "Archive": [], "Second": []})
    apart.m.need("restore")
    assert apart.m.run("restore", "--list").stdout.strip()


def test_removed_on_both_sides(apart):
    """Case 4."""
    os.unlink(apart.m.path("one"))
    apart.witness.expunge("INBOX", apart.witness.uid("INBOX", "one"))
    converged(apart, {"INBOX": ["two"], "Archive": [], "Second": []})


def test_filed_on_both_sides(apart):
    """Case 22: the server's own copy of what a program filed too."""
    apart.m.deliver(mail("fcc"), "Second", info="S")
    apart.witness.append("Second", mail("fcc"), ["\\Seen"])
    converged(apart, {"INBOX": ["one", "two"], "Archive": [], "Second": ["fcc"]})


def test_same_id_other_content(apart):
    """Case 23."""
    apart.m.deliver(mail("twin", "from here\r\n"), "Second", info="S")
    apart.witness.append("Second", mail("twin", "from there\r\n"), ["\\Seen"])
    apart.wire.plug()
    apart.m.sync()
    assert apart.witness.tokens("Second") == ["twin", "twin"]
    assert len(os.listdir(apart.m.box("Second") / "cur")) == 2


@pytest.mark.parametrize("killed", [False, True])
def test_delivered_here_and_moved_on_by_both(world, killed):
    """Mail that was made here is known again as any other: moved here, and on by another client before the outcome was
    known, it is one message in the place of the server's choice (cases 42 to 44)."""
    for box in ("Archive", "Work"):
        world.witness.create(box)
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    m.deliver(mail("own"), "Work", info="S")
    m.sync()

    def lose_the_answer(way, octets):
        if way == "server" and b"UID MOVE" in octets:
            wire.limit_to_client = 1
        return octets
    wire.filter = lose_the_answer
    os.rename(m.path("own", "Work"), m.box("Archive") / "cur" / "x:2,S")
    equal(lambda: world.witness.tokens("Archive"), ["own"])
    wire.cut()
    if killed:
        m.kill9()
    world.witness.move("Archive", world.witness.uid("Archive", "own"), "INBOX")
    wire.filter = None
    wire.plug()
    if killed:
        m.start()
    m.sync()
    assert [world.witness.tokens(box) for box in ("INBOX", "Archive", "Work")] == [["own"], [], []]
    equal(lambda: [m.tokens(box) for box in ("INBOX", "Archive", "Work")], [["own"], [], []])


def test_what_was_delivered_here_keeps_its_inode(world):
    """Case 43, for mail that this mount has made."""
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    m.deliver(mail("own"), info="S")
    m.sync()
    inode = m.path("own").stat().st_ino
    world.witness.move("INBOX", world.witness.uid("INBOX", "own"), "Archive")
    equal(lambda: m.tokens("Archive"), ["own"], timeout=30)
    assert m.path("own", "Archive").stat().st_ino == inode


def test_moved_away_meanwhile(world):
    """Case 44, in a mailbox that nobody waits in for news: that it cannot be moved tells to look for it."""
    for box in ("Lists", "Archive", "Other"):
        world.witness.create(box)
    world.witness.append("Lists", mail("m1"), ["\\Seen"])
    m = world.new_mailmount(poll=600)
    m.mount()
    m.sync()
    path = m.path("m1", "Lists")
    world.witness.move("Lists", world.witness.uid("Lists", "m1"), "Other")
    os.rename(path, m.box("Archive") / "cur" / path.name)
    eventually(lambda: m.tokens("Other") == ["m1"], 10)
    assert m.tokens("Lists") == m.tokens("Archive") == []
    assert m.log().count("did not happen") <= 3
    m.sync()
    assert [world.witness.tokens(box) for box in ("Lists", "Archive", "Other")] == [[], [], ["m1"]]
