"""COMPRESS with a Dovecot that offers it, on a line that is long, and on one that is not."""
import re

import pytest

from support import eventually, lf, mail
from test_traffic import fill, until_silent

FAR_S = 0.04
TEXT = "It is much the same, line after line.\r\n" * 400


@pytest.fixture
def offered(servers, world_at):
    return world_at(servers.get("compressing", plugins="zlib", imap_plugins="imap_zlib"))


def on_wire(world, far):
    wire = world.new_proxy()
    wire.delay_s = FAR_S if far else 0
    wire.pieces = []

    def note(direction, octets):
        wire.pieces.append((direction, octets))
        return octets
    wire.filter = note
    return wire, world.through(wire, poll=600)


def asked(wire):
    """What clients sent with, and behind, the command."""
    return [octets for direction, octets in wire.pieces if direction == "server" and b"COMPRESS DEFLATE" in octets]


def works_both_ways(world, m):
    m.deliver(mail("goes-out", TEXT), info="S")
    world.witness.append("INBOX", mail("comes-in", TEXT))
    eventually(lambda: "goes-out" in world.witness.tokens("INBOX"))
    eventually(lambda: "comes-in" in m.tokens())
    m.sync()
    assert m.read()["comes-in"] == lf(mail("comes-in", TEXT))


def test_far_away(offered):
    """Bodies, too; and the next start loses no round trip by it."""
    wire, m = on_wire(offered, far=True)
    fill(offered, 50, size=20_000)
    m.mount(timeout=60)
    eventually(lambda: len(m.tokens()) == 50)
    assert wire.to_client < 50 * 20_000 / 4 and asked(wire)
    assert m.status()["session"]["compressed"]
    works_both_ways(offered, m)
    m.umount()
    wire.pieces.clear()
    m.start()
    m.sync()
    assert re.match(rb"m\d+ AUTHENTICATE PLAIN \S+\r\nm\d+ COMPRESS DEFLATE\r\n$", asked(wire)[0])
    assert m.status()["session"]["compressed"]
    until_silent(wire)
    doctor = m.run("doctor")
    assert re.search(r"compression +DEFLATE", doctor.stdout), doctor.stdout


def test_near_by(offered):
    """A busy machine may seem far away, now and then."""
    wire, m = on_wire(offered, far=False)
    m.mount(timeout=60)

    def is_near():
        m.umount()
        wire.pieces.clear()
        m.start()
        m.sync()
        return not m.status()["session"]["compressed"]
    eventually(is_near)
    works_both_ways(offered, m)
    if not asked(wire):
        assert any(TEXT.encode()[:1000] in octets for _, octets in wire.pieces)
    doctor = m.run("doctor")
    assert re.search(r"compression +(offered|DEFLATE)", doctor.stdout), doctor.stdout


def test_line_that_breaks(offered):
    """That is no reason not to ask again."""
    wire, m = on_wire(offered, far=True)
    m.mount(timeout=60)
    for number in range(3):
        wire.pieces.clear()
        wire.cut()
        offered.witness.append("INBOX", mail(f"n{number}"))
        wire.plug()
        eventually(lambda n=number: f"n{n}" in m.tokens())
        assert asked(wire)
    m.sync()
    assert m.status()["session"]["compressed"]
