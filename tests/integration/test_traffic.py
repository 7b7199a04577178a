"""What goes over the wire: nothing that grows with the number of messages, nothing that changes anything twice."""
import time
import os

import pytest

from support import changing, eventually, mail


def fill(world, count, size=500):
    """Quickly: many messages with one command each way."""
    connection = world.witness.connection
    for begin in range(0, count, 200):
        batch = b""
        for number in range(begin, min(begin + 200, count)):
            octets = mail(f"n{number}", "x" * size + "\r\n")
            batch += b"f%d APPEND INBOX (\\Seen) {%d+}\r\n" % (number, len(octets)) + octets + b"\r\n"
        connection.socket.sendall(batch)
        for number in range(begin, min(begin + 200, count)):
            while not connection.file.readline().startswith(b"f%d OK" % number):
                pass


def until_silent(wire):
    """The watcher's session comes up when it does, and a look at the inbox follows: that is no part of a sync."""
    def counts():
        return wire.to_server, wire.to_client
    before = None
    while before != counts():
        before = counts()
        time.sleep(1)


def quiet_sync(world, count):
    """Octets each way of a sync when nothing has changed: of a restart, and of a running daemon."""
    fill(world, count)
    wire = world.new_proxy()
    m = world.through(wire, poll=600)
    m.mount(timeout=60)
    eventually(lambda: len(m.tokens()) == count)
    m.umount()
    wire.reset_counts()
    m.start()
    m.sync()
    until_silent(wire)
    restart = (wire.to_server, wire.to_client)
    assert changing(wire) == []
    wire.reset_counts()
    m.sync()
    assert changing(wire) == []
    return restart, (wire.to_server, wire.to_client)


def test_noop_does_not_grow(servers, world_at):
    """QRESYNC: the same for 10 messages and for 1,000."""
    server = servers.get("full")
    few = quiet_sync(world_at(server), 10)
    many = quiet_sync(world_at(server), 1000)
    for (few_out, few_in), (many_out, many_in) in zip(few, many):
        # An UNSELECT, or a second LIST, may or may not fall into the measure; a thousand messages would be 10 kB.
        assert many_out <= few_out + 400, (few, many)
        assert many_in <= few_in + 800, (few, many)
    assert many[0][0] < 6000 and many[0][1] < 10_000, many
    assert many[1][0] < 2000 and many[1][1] < 4000, many


@pytest.mark.parametrize("kind", ["no-notify", "condstore", "plain", "bare"])
def test_second_sync_changes_nothing(servers, world_at, kind):
    world = world_at(servers.get(kind))
    wire = world.new_proxy()
    fill(world, 20)
    m = world.through(wire)
    m.mount()
    m.retag("n3", "FS")
    m.deliver(mail("mine"), info="S")
    m.sync()
    wire.reset_counts()
    m.sync()
    m.sync()
    assert changing(wire) == []


def test_nothing_is_fetched_twice(world):
    fill(world, 50, size=20_000)
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    assert wire.to_client < 50 * 22_000 + 100_000
    wire.reset_counts()
    m.read()
    m.remount()
    m.read()
    m.sync()
    assert wire.to_client < 20_000


def test_a_move_sends_no_mail(world):
    fill(world, 20, size=50_000)
    world.witness.create("Archive")
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    wire.reset_counts()
    for entry in os.listdir(m.box() / "cur"):
        os.rename(m.box() / "cur" / entry, m.box("Archive") / "cur" / entry)
    m.sync()
    assert len(world.witness.uids("Archive")) == 20
    assert wire.to_server < 20_000 and wire.to_client < 100_000
    assert len([line for line in wire.commands() if "MOVE" in line.upper()]) <= 15, "moves in a row go together"


def test_secrets_are_not_sent_in_the_clear(world):
    """tls = implicit: nothing readable passes."""
    wire = world.new_proxy()
    wire.target_port = world.server.tls_port
    m = world.new_mailmount(port=wire.port)
    m.mount()
    assert world.user.encode() not in wire.sent
    assert b"LOGIN" not in wire.sent.upper() and b"AUTHENTICATE" not in wire.sent.upper()
