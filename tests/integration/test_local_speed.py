"""What is on disk is served from there: without a word to the server, while it hangs, and while everything is renamed."""
import os
import signal
import subprocess
import threading
import time

from support import equal, eventually, lf, mail


def fill(world, count):
    for number in range(count):
        world.witness.append("INBOX", mail(f"n{number}", f"needle{number}.\r\n"), ["\\Seen"])


def test_grep_asks_the_server_nothing(world):
    fill(world, 100)
    wire = world.new_proxy()
    m = world.through(wire, poll=600)
    m.mount()
    time.sleep(1)  # until the session rests in IDLE
    wire.reset_counts()
    for _ in range(2):
        found = subprocess.run(["grep", "-rl", "needle7[.]", m.root], stdout=subprocess.PIPE, check=True, timeout=30).stdout
        assert found.decode().strip() == str(m.path("n7"))
    assert (wire.to_server, wire.to_client) == (0, 0)


def test_server_that_hangs(world):
    """Everything goes on with what is here, at the speed of before; what was done reaches the server when it wakes up."""
    fill(world, 50)
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.stall()
    begin = time.monotonic()
    assert len(m.read()) == 50
    m.retag("n1", "FS")
    os.unlink(m.path("n2"))
    m.deliver(mail("made"), info="S")
    os.sync()
    assert time.monotonic() - begin < 5, "no operation waits for the server"
    eventually(lambda: m.status()["totals"]["waiting"] >= 3)
    time.sleep(2)
    wire.plug()
    m.sync()
    assert world.witness.flags("INBOX", "n1") == {"\\Seen", "\\Flagged"}
    assert "n2" not in world.witness.tokens("INBOX") and "made" in world.witness.tokens("INBOX")


def test_suspend_and_resume(world):
    """The machine sleeps, and its connections are gone when it wakes up, without a word: what is here is served at once, and
    what happened meanwhile is there a moment later."""
    fill(world, 20)
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    m.retag("n1", "FS")
    m.process.send_signal(signal.SIGSTOP)
    wire.cut()
    world.witness.append("INBOX", mail("came"))
    time.sleep(3)
    wire.plug()
    m.process.send_signal(signal.SIGCONT)
    begin = time.monotonic()
    assert len([token for token in m.tokens() if token != "came"]) == 20
    assert time.monotonic() - begin < 2
    equal(lambda: "came" in m.tokens(), True)
    equal(lambda: world.witness.flags("INBOX", "n1"), {"\\Seen", "\\Flagged"})
    m.sync()
    assert len(world.witness.tokens("INBOX")) == len(m.tokens()) == 21


def rename_at_random(cur, stop):
    while not stop.is_set():
        for name in os.listdir(cur)[::7]:
            base, _, info = name.partition(":2,")
            try:
                os.rename(cur / name, cur / f"{base}:2,{'S' if 'F' in info else 'FS'}")
            except FileNotFoundError:
                pass  # another thread has renamed it


def test_every_listing_is_whole(world):
    """A thousand messages, renamed all the time by two, and listed."""
    m = world.mailmount
    m.mount()
    cur = m.box() / "cur"
    for number in range(1000):
        (cur / f"{1_600_000_000 + number}.n{number}.here:2,S").write_bytes(lf(mail(f"n{number}")))
    stop = threading.Event()
    others = [threading.Thread(target=rename_at_random, args=(cur, stop)) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        for _ in range(30):
            names = os.listdir(cur)
            assert len({name.partition(":2,")[0] for name in names}) == len(names) == 1000
    finally:
        stop.set()
        for thread in others:
            thread.join()
    m.sync(timeout=90)
    assert len(world.witness.tokens("INBOX")) == 1000


def test_saving_in_ten_steps_is_one_version(world):
    """The server sees the old text, then the new one, and nothing between."""
    world.witness.append("INBOX", mail("draft", "old\r\n"), ["\\Draft", "\\Seen"])
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    whole = lf(mail("draft", "".join(f"line {n}\r\n" for n in range(1000))))
    wire.reset_counts()
    with open(m.path("draft"), "r+b", buffering=0) as out:
        out.truncate(0)
        for step in range(10):
            out.write(whole[step * len(whole) // 10:(step + 1) * len(whole) // 10])
            time.sleep(0.15)
    equal(lambda: world.witness.messages("INBOX")["draft"].octets, whole.replace(b"\n", b"\r\n"))
    m.sync()
    assert len([line for line in wire.commands() if " APPEND " in line]) == 1
    assert world.witness.tokens("INBOX") == ["draft"]
