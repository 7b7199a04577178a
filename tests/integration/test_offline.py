"""Off line everything goes on from the cache; on line again, both sides meet."""
import os
import time

import pytest

from support import eventually, lf, mail


@pytest.fixture
def wired(world):
    """Five messages, two mailboxes, in sync through a wire."""
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Archive")
    world.wire = world.new_proxy()
    world.m = world.through(world.wire)
    world.m.mount()
    return world


def test_reading_goes_on(wired):
    wired.wire.cut()
    begin = time.monotonic()
    assert wired.m.read() == {f"n{n}": lf(mail(f"n{n}")) for n in range(5)}
    assert time.monotonic() - begin < 2


def work_here(m):
    m.retag("n0", "FS")
    os.unlink(m.path("n1"))
    os.rename(m.path("n2"), m.box("Archive") / "cur" / "n2:2,RS")
    m.deliver(mail("written-here"), info="S")
    (m.root / "Made").mkdir()
    for sub in ("cur", "new", "tmp"):
        (m.root / "Made" / sub).mkdir()
    m.deliver(mail("in-made"), "Made", info="S")


def work_there(w):
    w.store("INBOX", w.uid("INBOX", "n0"), "+FLAGS", "\\Answered")
    w.expunge("INBOX", w.uid("INBOX", "n3"))
    w.move("INBOX", w.uid("INBOX", "n4"), "Archive")
    w.append("INBOX", mail("arrived"), ["\\Seen"])
    w.create("Theirs")
    w.append("Theirs", mail("in-theirs"), ["\\Seen"])


EXPECTED = {"INBOX": ["arrived", "n0", "written-here"], "Archive": ["n2", "n4"], "Made": ["in-made"], "Theirs": ["in-theirs"]}


def both_agree(world):
    assert {box: world.witness.tokens(box) for box in EXPECTED} == EXPECTED
    eventually(lambda: {box: world.m.tokens(box) for box in EXPECTED} == EXPECTED)
    assert world.witness.flags("INBOX", "n0") == {"\\Seen", "\\Flagged", "\\Answered"}
    assert world.m.letters("n0") == "FRS"
    assert world.witness.flags("Archive", "n2") == {"\\Seen", "\\Answered"}


def test_work_on_both_sides(wired):
    wired.wire.cut()
    work_here(wired.m)
    work_there(wired.witness)
    wired.wire.plug()
    wired.m.sync()
    both_agree(wired)


def test_it_comes_back_by_itself(wired):
    wired.wire.cut()
    work_here(wired.m)
    work_there(wired.witness)
    time.sleep(1)
    wired.wire.plug()
    eventually(lambda: wired.witness.tokens("INBOX") == EXPECTED["INBOX"], timeout=60)
    wired.m.sync()
    both_agree(wired)


def test_a_restart_in_between(wired):
    wired.wire.cut()
    work_here(wired.m)
    wired.m.umount()
    work_there(wired.witness)
    wired.m.start()
    assert wired.m.tokens() == ["n0", "n3", "n4", "written-here"], "mounted off line, with all that was done"
    wired.wire.plug()
    wired.m.sync()
    both_agree(wired)


def test_mounted_off_line_it_says_so(wired):
    wired.m.umount()
    wired.wire.cut()
    size = len(wired.m.log())
    begin = time.monotonic()
    wired.m.start()
    assert len(wired.m.tokens()) == 5
    assert time.monotonic() - begin < 5, "a mount does not wait for the network once there is a cache"
    eventually(lambda: "off line" in wired.m.log()[size:].lower() or "offline" in wired.m.log()[size:].lower())


def test_sync_off_line_says_try_again(wired):
    wired.wire.cut()
    wired.m.deliver(mail("waiting"), info="S")
    result = wired.m.run("sync", "--wait=3")
    assert result.returncode == 75
    assert result.stderr.startswith("mailmount: ")


def test_stalled_line_holds_nothing_up(wired):
    wired.wire.stall()
    begin = time.monotonic()
    work_here(wired.m)
    assert wired.m.tokens() == ["n0", "n3", "n4", "written-here"]
    assert wired.m.run("status").returncode == 0
    assert time.monotonic() - begin < 8
    wired.wire.plug()
    wired.m.sync()
    assert wired.witness.tokens("INBOX") == ["n0", "n3", "n4", "written-here"]


def test_unmount_while_stalled(wired):
    wired.wire.stall()
    wired.m.deliver(mail("kept"), info="S")
    begin = time.monotonic()
    wired.m.umount()
    assert time.monotonic() - begin < 15
    wired.wire.plug()
    wired.m.start()
    wired.m.sync()
    assert "kept" in wired.witness.tokens("INBOX")


def test_flapping_line(wired):
    """Cut again and again in the middle of things: late, but whole."""
    for number in range(6):
        wired.m.deliver(mail(f"here{number}", "x" * 200_000 + "\r\n"), info="S")
        wired.witness.append("INBOX", mail(f"there{number}", "y" * 200_000 + "\r\n"))
        time.sleep(0.4)
        wired.wire.cut()
        time.sleep(0.1)
        wired.wire.plug()
    wired.m.sync(90)
    expected = sorted([f"n{n}" for n in range(5)] + [f"here{n}" for n in range(6)] + [f"there{n}" for n in range(6)])
    assert wired.witness.tokens("INBOX") == expected
    eventually(lambda: wired.m.tokens() == expected)


@pytest.mark.parametrize("octets", [1, 60, 400, 3_000, 40_000, 100_000, 400_000])
def test_cut_in_the_middle_of_the_first_sync(world, octets):
    for number in range(10):
        world.witness.append("INBOX", mail(f"n{number}", "x" * 50_000 + "\r\n"), ["\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    wire.cut_after(octets)
    try:
        m.start(timeout=15)
    except RuntimeError:
        assert m.process.returncode in (69, 74, 75), m.log()
        m.process = None
    wire.plug()
    if not m.process:
        m.start()
    m.sync()
    assert m.read() == {f"n{n}": lf(mail(f"n{n}", "x" * 50_000 + "\r\n")) for n in range(10)}
    assert len(world.witness.uids("INBOX")) == 10


def test_slow_line(world):
    """50 ms a piece each way: round trips are the cost."""
    for number in range(400):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    wire = world.new_proxy()
    wire.delay_s = 0.05
    m = world.through(wire)
    begin = time.monotonic()
    m.mount()
    assert len(m.tokens()) == 400
    assert time.monotonic() - begin < 40, "400 round trips of 100 ms would be 40 s"
