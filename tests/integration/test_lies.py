"""Each lie of lies.py told to the real program: no mail is lost, none is doubled, nothing goes round in circles, and other
mailboxes go on.

The scene is the same for all: INBOX is lied about, "Honest" is not, "Third" is empty at first and lied about. Both sides deliver,
flag, move and remove while the lie is told, and it never ends before both must have seen it all.
"""
import os
import re
import time

import pytest

import lies
from fakeserver import FakeServer
from proxy import Proxy
from support import equal, eventually, lf, mail

CHANGING = re.compile(r"^(UID (STORE|EXPUNGE|MOVE|COPY)|APPEND|EXPUNGE|CREATE|DELETE|RENAME|SUBSCRIBE|UNSUBSCRIBE)\b", re.I)
NEVER_ASKED = re.compile(r"ENVELOPE|BODYSTRUCTURE", re.I)
QUIET_S = 3
POLL_S = 1
COMMANDS_A_POLL = 25  # LIST, LSUB, and for three mailboxes STATUS, SELECT and two FETCH, with room for a retry
LIED, HONEST, THIRD = "INBOX", "Honest", "Third"
OWN_SCENES = {lies.LongRefused, lies.HangsUpAfterTenErrors, lies.Throttled, lies.Gmail}
TOLD = [pytest.param(lie, kind, id=f"{lie.__name__}-{kind}") for lie in lies.every() if lie not in OWN_SCENES
        for kind in lie.kinds]


class Scene:
    def __init__(self, world, lie, kind, boxes=None):
        if boxes is None:
            boxes = {LIED: [f"a{n}" for n in range(1, 8)], HONEST: ["h1", "h2", "h3"], THIRD: []}
        self.server = FakeServer({name.encode(): [mail(t) for t in tokens] for name, tokens in boxes.items()},
                                 lies.KINDS[kind], [lie], {LIED.encode(), THIRD.encode()})
        self.m = world.new_mailmount(port=self.server.port, tls="none", ca_file=None, poll=POLL_S)

    def on_server(self):
        return {name.decode(): self.server.tokens(name) for name in self.server.boxes}

    def in_mount(self):
        return {name.decode(): self.m.tokens(name.decode()) for name in self.server.boxes}

    def both_are(self, wanted, timeout=45):
        """On the server, and in the mount, with nothing doubled."""
        equal(self.on_server, wanted, timeout)
        equal(self.in_mount, wanted, timeout)

    def quiet(self):
        """Nothing goes round in circles, and nothing was asked for that no parser survives."""
        def nothing_changes():
            commands = self.server.commands_in(QUIET_S)
            assert len(commands) <= COMMANDS_A_POLL * (QUIET_S / POLL_S + 1), commands
            return not [line for line in commands if CHANGING.match(line)]
        eventually(nothing_changes, 20)
        assert not [line for line in self.server.lines if NEVER_ASKED.search(line)]

    def goes_on(self, name=HONEST):
        """A delivery and an arrival in a mailbox that nobody lies about."""
        self.m.deliver(mail("goes-out"), name, info="S")
        self.server.arrive(name.encode(), mail("comes-in"))
        eventually(lambda: "goes-out" in self.server.tokens(name.encode()), 30)
        eventually(lambda: "comes-in" in self.m.tokens(name), 30)


@pytest.fixture
def scene(world, record_property):
    """scene(lie, kind): a server that tells it, and a mailmount that is not mounted yet."""
    made = []

    def make(lie, kind, *arguments, **keywords):
        made.append(Scene(world, lie, kind, *arguments, **keywords))
        if lie is not lies.Honest:
            record_property("lie", (lie.__name__, kind))
        return made[-1]
    yield make
    for one in made:
        one.server.close()


def work_on_both_sides(s):
    """Returns what must be there afterwards."""
    m, server, inbox, honest = s.m, s.server, LIED.encode(), HONEST.encode()
    paths = {token: m.path(token) for token in ("a1", "a2", "a3", "a5", "a7")} | {"h1": m.path("h1", HONEST)}
    m.deliver(mail("d1"), LIED, info="FS")
    m.deliver(mail("d2"), HONEST, info="S")
    m.deliver(mail("d3"), THIRD, info="S")
    os.rename(paths["a1"], m.box(LIED) / "cur" / "a1:2,FS")
    os.rename(paths["a3"], m.box(HONEST) / "cur" / "a3:2,S")
    os.rename(paths["h1"], m.box(LIED) / "cur" / "h1:2,S")
    os.unlink(paths["a5"])
    os.link(paths["a2"], m.box(HONEST) / "cur" / "copy:2,S")
    m.rewrite(paths["a7"], mail("e7"))
    server.arrive(inbox, mail("r1"))
    server.arrive(honest, mail("r2"))
    server.store(inbox, "a2", "\\Answered")
    server.move(inbox, "a4", honest)
    server.expunge(inbox, "a6")
    return {LIED: ["a1", "a2", "d1", "e7", "h1", "r1"], HONEST: ["a2", "a3", "a4", "d2", "h2", "h3", "r2"], THIRD: ["d3"]}


def empty_and_fill(s):
    """The third mailbox is empty again, and then it is not."""
    os.unlink(s.m.path("d3", THIRD))
    eventually(lambda: s.server.tokens(THIRD.encode()) == [], 30)
    s.server.arrive(THIRD.encode(), mail("r3"))
    eventually(lambda: s.m.tokens(THIRD) == ["r3"], 30)


@pytest.mark.parametrize("lie, kind", TOLD)
def test_lie(scene, lie, kind):
    """Cases 1 to 7, 18, 19, 33, 35, 40, 43, 49, 63, 72, 74, 75, 89."""
    s = scene(lie, kind)
    s.m.start()
    first = s.on_server()
    equal(s.in_mount, first, 45)
    wanted = work_on_both_sides(s)
    comes_back = lie is lies.UidExpungeDoesNothing
    if comes_back:  # and without MOVE, what was moved stays where it was, too
        wanted[LIED] = sorted(wanted[LIED] + ["a5", "a7"] + ["a3"] * (kind == "plain"))
    s.both_are(wanted)
    if not comes_back:
        empty_and_fill(s)
        wanted[THIRD] = ["r3"]
    s.quiet()
    s.goes_on()
    wanted[HONEST] = sorted(wanted[HONEST] + ["comes-in", "goes-out"])
    s.both_are(wanted)
    s.server.tell()
    s.m.sync()
    s.both_are(wanted)
    check_flags(s)
    check_octets(s, lie)
    assert lie in s.server.told or lie is lies.Honest, "there was no occasion for it"


@pytest.mark.parametrize("kind", lies.LongRefused.kinds)
def test_long_commands_are_refused(world, scene, kind):
    """Case 37: half of many messages are marked off line, with UIDs of ten digits."""
    s = scene(lies.LongRefused, kind, {LIED: ["i"], HONEST: []})
    wire = Proxy(s.server.port)
    world.proxies.append(wire)
    s.m.set(port=wire.port)
    box = s.server.boxes[LIED.encode()]
    box.next_uid = 1_000_000_000
    for number in range(1200):
        box.add(mail(f"n{number}"))
    s.m.start()
    eventually(lambda: len(os.listdir(s.m.box(LIED) / "new")) == 1201, 60)
    s.m.sync()
    wire.cut()
    names = sorted(os.listdir(s.m.box(LIED) / "new"))
    for name in names[::2]:
        os.rename(s.m.box(LIED) / "new" / name, s.m.box(LIED) / "cur" / f"{name}:2,S")
    wire.plug()
    s.m.sync()
    assert sum("\\Seen" in m.flags for m in box) == 601
    assert [line for line in s.server.lines if len(line) > 4096], "no command was long enough to be refused"
    s.quiet()
    s.goes_on()


def test_it_hangs_up_after_ten_errors(scene):
    """The mail that is refused stays, and is not tried for ever."""
    s = scene(lies.HangsUpAfterTenErrors, "full")
    s.m.start()
    equal(s.in_mount, s.on_server(), 45)
    mine = [f"d{n}" for n in range(14)]
    for token in mine:
        s.m.deliver(mail(token), LIED, info="S")
    eventually(lambda: s.server.log.count("APPEND") >= len(mine), 30)
    s.goes_on()
    s.quiet()
    assert set(mine) <= set(s.m.tokens(LIED)) and "not today" in s.m.run("status").stdout
    assert s.server.log.count("APPEND") <= 3 * len(mine)
    s.server.tell()
    eventually(lambda: set(mine) <= set(s.server.tokens(LIED.encode())), 60)
    s.m.sync()
    assert s.server.tokens(LIED.encode()) == sorted(mine + [f"a{n}" for n in range(1, 8)])


@pytest.mark.parametrize("kind", lies.Throttled.kinds)
def test_throttled(scene, kind):
    """As long as it says, and people are told."""
    s = scene(lies.Throttled, kind)
    s.m.start()
    equal(s.in_mount, s.on_server(), 45)
    s.m.sync()
    lies.Throttled.throttled_until = time.monotonic() + 12
    wanted = work_on_both_sides(s)
    eventually(lambda: "asks for a pause" in s.m.run("status").stdout, 6)
    commands = s.server.commands_in(4)
    assert len(commands) <= 8, commands
    s.both_are(wanted)
    s.quiet()
    s.goes_on()


@pytest.mark.parametrize("lie, kind", [pytest.param(lie, kind, id=f"{lie.__name__}-{kind}")
                                       for lie in (lies.KeywordForgotten, lies.KeywordsRefused) for kind in lie.kinds])
def test_keywords_stay_here(scene, lie, kind):
    """Cases 32 and 33: what the server does not keep is kept here, is tried twice at most, and holds nothing else up."""
    s = scene(lie, kind)
    s.m.start()
    equal(s.in_mount, s.on_server(), 45)
    s.server.store(LIED.encode(), "a3", "Todo")
    eventually(lambda: "a" in s.m.letters("a3"), 30)
    s.m.retag("a1", "FSa")
    s.m.retag("a2", "Sa")
    s.m.sync()
    s.server.store(LIED.encode(), "a1", "\\Answered")
    eventually(lambda: "R" in s.m.letters("a1"), 30)
    s.quiet()
    assert [s.m.letters(token) for token in ("a1", "a2")] == ["FRSa", "Sa"]
    assert s.server.flags(LIED.encode(), "a1") >= {"\\Flagged", "\\Seen", "\\Answered"}
    assert "Todo" not in s.server.flags(LIED.encode(), "a1")
    assert s.server.log.count("UID_STORE") <= 12
    s.goes_on()


@pytest.mark.parametrize("kind", lies.OneOfEach.kinds)
def test_a_server_that_keeps_one_of_each(scene, kind):
    """Case 64."""
    s = scene(lies.OneOfEach, kind)
    s.m.start()
    equal(s.in_mount, s.on_server(), 45)
    s.m.deliver(mail("a1"), LIED, info="FS")
    s.m.sync()
    s.both_are({LIED: [f"a{n}" for n in range(1, 8)], HONEST: ["h1", "h2", "h3"], THIRD: []})
    assert s.server.flags(LIED.encode(), "a1") >= {"\\Flagged", "\\Seen"}
    s.quiet()
    assert s.server.log.count("APPEND") == 1


@pytest.mark.parametrize("deletion", ["expunge", "trash"])
def test_labels(scene, deletion):
    """As Gmail has them: what is removed here loses its label there, or goes to the trash, and is nowhere else."""
    whole, trash = lies.Gmail.ALL.decode(), lies.Gmail.TRASH.decode()
    s = scene(lies.Gmail, "condstore", {LIED: [], HONEST: [], THIRD: [], whole: [], trash: []})
    s.server.attributes = {lies.Gmail.ALL: b"\\All", lies.Gmail.TRASH: b"\\Trash"}
    for name, tokens in ((LIED, [f"a{n}" for n in range(1, 8)]), (HONEST, ["h1", "h2", "h3"])):
        for token in tokens:
            s.server.arrive(name.encode(), mail(token))
    s.m.set(delete=deletion)
    s.m.start()
    equal(s.in_mount, s.on_server(), 45)
    wanted = work_on_both_sides(s)
    removed = {"a5", "a7"}
    everything = {"a6", *wanted[LIED], *wanted[HONEST], *wanted[THIRD], *(removed if deletion == "expunge" else ())}
    wanted |= {whole: sorted(everything), trash: [] if deletion == "expunge" else sorted(removed)}
    s.both_are(wanted)
    os.rename(s.m.path("a1"), s.m.box(trash) / "cur" / "a1:2,S")
    os.unlink(s.m.path("h2", whole))  # is there again: nothing expunges it from there
    wanted[LIED].remove("a1")
    wanted[whole].remove("a1")
    wanted[trash] = sorted(wanted[trash] + ["a1"])
    if deletion == "trash":
        wanted[HONEST].remove("h2")
        wanted[whole].remove("h2")
        wanted[trash] = sorted(wanted[trash] + ["h2"])
    s.both_are(wanted)
    s.quiet()
    assert s.server.tokens(lies.Gmail.ALL) == wanted[whole]


@pytest.mark.parametrize("kind", ["full", "bare", "move"])
@pytest.mark.parametrize("lie", [lies.AlteredOnAppend, lies.AlteredOnFetch])
def test_moved_after_it_was_altered(scene, lie, kind):
    """Mail that was made here and that the server has in another form is known again where it is moved to."""
    s = scene(lie, kind)
    s.m.mount()
    s.m.deliver(mail("made"), info="S")
    eventually(lambda: "made" in s.server.tokens(LIED.encode()), 30)
    s.m.sync()
    path = s.m.path("made")
    os.rename(path, s.m.box(THIRD) / "cur" / path.name)
    s.m.sync()
    time.sleep(POLL_S + 0.5)
    s.m.sync()
    wanted = {LIED: [f"a{n}" for n in range(1, 8)], HONEST: ["h1", "h2", "h3"], THIRD: ["made"]}
    s.both_are(wanted)
    s.quiet()


def check_flags(s):
    """What people marked is marked on both sides."""
    for token, flags in (("a1", "FS"), ("a2", "R"), ("d1", "FS")):
        names = {"F": "\\Flagged", "S": "\\Seen", "R": "\\Answered"}
        assert set(s.m.letters(token)) >= set(flags), token
        assert s.server.flags(LIED.encode(), token) >= {names[letter] for letter in flags}, token


def check_octets(s, lie):
    """What is in the mount is what was sent, or what the server made of it; never anything third."""
    altered = {lies.AlteredOnAppend, lies.AlteredOnFetch, lies.NeverTheSame}
    for name, box in s.server.boxes.items():
        for token, octets in s.m.read(name.decode()).items():
            if lie not in altered:
                assert octets == lf(mail(token)) == lf(box.find(token).octets)
            else:
                assert lf(mail(token)) in octets
