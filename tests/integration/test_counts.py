"""What work costs, counted instead of timed: it must not become more, on whatever machine. Each number is what it was found to be,
with room for a few rounds of the engine more where the machine is slow: what matters grows by thousands, or is a sync or a request."""
import os
import subprocess

import pytest

from counting import Counted, find_library
from support import equal, eventually, mail
from test_traffic import fill, until_silent

MANY = 1000


@pytest.fixture
def counted(servers, world_at):
    library = find_library()
    if not library:
        pytest.skip("no libcount.so: build with -Dtests=enabled, or set MAILMOUNT_TEST_COUNT")
    world = world_at(servers.get("full"))
    wire = world.new_proxy()
    m = world.through(wire, poll=600)
    m.world = world
    return Counted(m, wire, library)


@pytest.fixture
def costs():
    """A function that notes what something cost and what it may; all that is too much fails together, at the end."""
    problems, seen = [], {}

    def note(what, cost, **most):
        seen[what] = {**cost.__dict__, "commands": len(cost.commands)}
        problems.extend(f"{what}: {problem}" for problem in cost.over(most))
    yield note
    for what, cost in seen.items():
        print(what, cost)
    assert not problems, "\n".join(problems)


def list_long(m):
    subprocess.run(["ls", "-l", m.box() / "cur"], check=True, stdout=subprocess.DEVNULL)


def read_all(m):
    for entry in os.scandir(m.box() / "cur"):
        with open(entry.path, "rb", buffering=0) as file:
            file.read()


def flag_all(m):
    cur = m.box() / "cur"
    for name in os.listdir(cur):
        os.rename(cur / name, cur / f"{name.partition(':2,')[0]}:2,FS")


def test_many(counted, costs):
    """An account of 1,000 messages, from its first sync on."""
    m, world = counted.m, counted.m.world
    fill(world, MANY)

    def first_sync():
        m.sync()
        counted.settled()  # of what was listed before, the kernel would have to be told
        eventually(lambda: len(os.listdir(m.box() / "cur")) == MANY)

    def flags_there():
        world.witness.store("INBOX", "1:*", "+FLAGS", "\\Answered")
        equal(lambda: [name for name in os.listdir(m.box() / "cur") if not name.endswith("RS")], [])
    counted.start()
    costs("first sync", counted.cost(first_sync), answers=60, notices=6, statements=20 * MANY, syncs=16, sent=4000, commands=90)
    until_silent(counted.wire)
    costs("no-op", counted.cost(lambda: None), answers=0, notices=0, statements=120, rows=40, syncs=1, sent=600, received=1000,
          commands=8)
    costs("ls -l, first", counted.cost(lambda: list_long(m), sync=False), answers=60, statements=200, commands=12)
    costs("ls -l, again", counted.cost(lambda: list_long(m), sync=False), answers=60, statements=200, commands=12)
    costs("reading, first", counted.cost(lambda: read_all(m), sync=False), answers=3 * MANY + 60, statements=2.4 * MANY, commands=12)
    costs("reading, again", counted.cost(lambda: read_all(m), sync=False), answers=3 * MANY + 60, statements=2.4 * MANY, commands=12)
    costs("flags here", counted.cost(lambda: flag_all(m)), answers=3 * MANY + 60, notices=MANY + 10, statements=34 * MANY, syncs=20, commands=100)
    costs("flags there", counted.cost(flags_there), notices=4 * MANY, statements=12 * MANY, syncs=8, sent=1200, commands=24)


def test_one(counted, costs):
    """One of a thing."""
    m, world = counted.m, counted.m.world
    fill(world, 100)
    world.witness.create("Archive")
    counted.start()
    m.sync()
    eventually(lambda: len(os.listdir(m.box() / "cur")) == 100)
    until_silent(counted.wire)

    def mail_comes():
        world.witness.append("INBOX", mail("comes"))
        eventually(lambda: os.listdir(m.box() / "new"))
    costs("mail there", counted.cost(mail_comes), answers=120, notices=6, statements=350, syncs=4, sent=900, commands=20)
    flagged, moved, removed = (m.path(token) for token in ("n1", "n2", "n3"))
    base = flagged.name.partition(":2,")[0]
    counted.settled()  # path() opened some
    costs("delivery", counted.cost(lambda: m.deliver(mail("delivered"), info="S")), answers=18, notices=5, statements=400,
          syncs=14, sent=900, commands=24)
    costs("flag", counted.cost(lambda: os.rename(flagged, flagged.parent / f"{base}:2,FS")), answers=8, notices=2, statements=300,
          syncs=3, sent=900, commands=20)
    costs("move", counted.cost(lambda: os.rename(moved, m.box("Archive") / "cur" / moved.name)), answers=10, notices=2,
          statements=350, syncs=6, sent=900, commands=20)
    costs("removal", counted.cost(lambda: os.unlink(removed)), answers=6, notices=2, statements=450, syncs=3, sent=1100, commands=26)
    equal(lambda: len(world.witness.tokens("INBOX")), 100)
