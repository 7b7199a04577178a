"""Flags and keywords, in both directions, by the file's name."""
import errno
import os

import pytest

from support import FLAG_LETTERS, equal, eventually, mail


def with_one(world, flags=("\\Seen",), **settings):
    world.witness.append("INBOX", mail("one"), flags)
    m = world.new_mailmount(**settings) if settings else world.mailmount
    m.mount()
    return m


def remote(world):
    return world.witness.flags("INBOX", "one")


def store(world, operation, *flags):
    world.witness.store("INBOX", world.witness.uid("INBOX", "one"), operation, *flags)


@pytest.mark.parametrize("flag,letter", FLAG_LETTERS.items())
def test_each_flag_both_ways(world, flag, letter):
    m = with_one(world, ())
    m.retag("one", letter)
    equal(lambda: remote(world), {flag})
    m.retag("one", "")
    equal(lambda: remote(world), set())
    store(world, "+FLAGS", flag)
    eventually(lambda: m.letters("one") == letter)
    store(world, "-FLAGS", flag)
    eventually(lambda: m.letters("one") == "")


def test_at_every_speed(any_world):
    world = any_world
    m = with_one(world)
    uid = world.witness.uid("INBOX", "one")
    m.retag("one", "FS")
    m.sync()
    assert remote(world) == {"\\Seen", "\\Flagged"}
    store(world, "FLAGS", "\\Answered")
    m.sync()
    assert m.letters("one") == "R"
    m.retag("one", "")
    m.sync()
    assert remote(world) == set()
    assert world.witness.uid("INBOX", "one") == uid


def test_new_to_cur_is_no_flag(world):
    m = with_one(world, ())
    assert m.path("one").parent.name == "new"
    m.retag("one", "")
    m.sync()
    assert remote(world) == set()
    assert m.path("one").parent.name == "cur", "what a client put into cur stays there"


def test_cur_to_new_is_unseen(world):
    m = with_one(world, ("\\Seen", "\\Flagged"))
    name = m.path("one").name
    os.rename(m.path("one"), m.box() / "new" / name.partition(":2,")[0])
    equal(lambda: "\\Seen" in remote(world), False)
    assert m.tokens() == ["one"]


def test_seen_elsewhere_goes_to_cur(world):
    m = with_one(world, ())
    store(world, "+FLAGS", "\\Seen")
    eventually(lambda: m.letters("one") == "S")
    assert m.path("one").parent.name == "cur", "what is in new is unread"


def test_another_base_name_is_only_a_name(world):
    m = with_one(world)
    uid = world.witness.uid("INBOX", "one")
    os.rename(m.path("one"), m.box() / "cur" / "quite-another,U=7:2,S")
    m.sync()
    assert world.witness.uids("INBOX") == [uid]
    assert m.path("one").name == "quite-another,U=7:2,S"
    store(world, "+FLAGS", "\\Flagged")
    eventually(lambda: m.path("one").name == "quite-another,U=7:2,FS")


def test_trashed_is_only_marked(world):
    """Case 16."""
    m = with_one(world)
    m.retag("one", "ST")
    m.sync()
    m.sync()
    assert remote(world) == {"\\Seen", "\\Deleted"}
    assert m.tokens() == ["one"]


def test_keywords_both_ways(world):
    m = with_one(world, ("\\Seen", "work"))
    store(world, "+FLAGS", "todo")

    def named():
        table = dict(line.split(" ", 1) for line in (m.box() / "dovecot-keywords").read_text().splitlines())
        return {table[str(ord(c) - ord("a"))]: c for c in m.letters("one") if c.islower()}
    eventually(lambda: set(named()) == {"work", "todo"})
    work = named()["work"]
    m.retag("one", m.letters("one").replace(work, ""))
    equal(lambda: remote(world), {"\\Seen", "todo"})
    m.retag("one", "".join(sorted(m.letters("one") + work)))
    equal(lambda: remote(world), {"\\Seen", "todo", "work"})


def keywords_here(m, token, box):
    """By the letters in the name and the mailbox's own list of them."""
    table = dict(line.split(" ", 1) for line in (m.box(box) / "dovecot-keywords").read_text().splitlines())
    return {table.get(str(ord(c) - ord("a")), c) for c in m.letters(token, box) if c.islower()}


@pytest.mark.parametrize("known", [(), ("work",), ("work", "todo")], ids=["none", "others", "another-letter"])
@pytest.mark.parametrize("way", [os.rename, os.link])
def test_keyword_goes_into_another_mailbox(world, way, known):
    """Programs move files as they are, with the letters of the mailbox that they come from."""
    w, m = world.witness, world.mailmount
    w.create("Archive")
    w.append("Archive", mail("there"), known)
    w.append("INBOX", mail("x"), ["\\Seen", "first"])
    w.append("INBOX", mail("y"), ["\\Seen", "second"])
    m.mount()
    w.append("INBOX", mail("one"), ["\\Seen", "todo"])
    m.sync()
    path = m.path("one")
    assert keywords_here(m, "one", "INBOX") == {"todo"} and path.name.endswith(":2,Sc")
    way(path, m.box("Archive") / "cur" / path.name)
    m.sync()
    assert w.flags("Archive", "one") == {"\\Seen", "todo"}
    assert w.flags("Archive", "there") == set(known)
    if known != ("work", "todo"):
        assert keywords_here(m, "one", "Archive") == {"todo"}
        assert keywords_here(m, "there", "Archive") == set(known)
    w.store("Archive", w.uid("Archive", "one"), "+FLAGS", "new")
    equal(lambda: keywords_here(m, "one", "Archive"), {"todo", "new"})


def test_program_that_drops_all_letters(world):
    """mu knows no keywords: its renames must not take them off."""
    m = with_one(world, ("\\Seen", "work"))
    m.retag("one", "FS")
    equal(lambda: "\\Flagged" in remote(world), True)
    m.sync()
    assert remote(world) == {"\\Seen", "\\Flagged", "work"}


def test_unknown_letters_are_harmless(world):
    m = with_one(world)
    m.retag("one", "FSX")
    equal(lambda: remote(world), {"\\Seen", "\\Flagged"})


def test_both_sides_at_once(world):
    """Per flag: with a true base a flag cannot conflict."""
    world.witness.append("INBOX", mail("one"), ["\\Seen", "\\Answered"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    m.retag("one", "FRS")
    store(world, "-FLAGS", "\\Answered")
    store(world, "+FLAGS", "\\Draft")
    wire.plug()
    m.sync()
    assert remote(world) == {"\\Seen", "\\Flagged", "\\Draft"}
    eventually(lambda: m.letters("one") == "DFS")


def test_hundreds_in_few_commands(world):
    """Case 37: grouped by what changes."""
    for number in range(300):
        world.witness.append("INBOX", mail(f"n{number}"))
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.cut()
    for entry in os.listdir(m.box() / "new"):
        os.rename(m.box() / "new" / entry, m.box() / "cur" / f"{entry}:2,S")
    wire.reset_counts()
    wire.plug()
    m.sync()
    assert all(x.flags == {"\\Seen"} for x in world.witness.fetch("INBOX", "(UID FLAGS)").values())
    stores = [line for line in wire.commands() if " STORE " in line.upper()]
    assert 0 < len(stores) <= 2, stores
    assert max(map(len, wire.commands())) <= 8000


def test_read_only_mount(world):
    world.witness.append("INBOX", mail("one"), ["\\Seen"])
    m = world.mailmount
    m.start(options=["-o", "ro"])
    eventually(lambda: m.tokens() == ["one"])
    for act in (lambda: m.retag("one", "FS"), lambda: os.unlink(m.path("one")), lambda: m.deliver(mail("two"))):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno == errno.EROFS
    store(world, "+FLAGS", "\\Flagged")
    eventually(lambda: m.letters("one") == "FS")
