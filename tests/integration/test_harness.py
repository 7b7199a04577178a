"""The tests' own tools, tried on the server alone: a harness that sees nothing would let everything pass."""
import socket

import pytest

from imapclient import Refused, Witness, decode_mailbox, encode_mailbox
from support import lf, mail


@pytest.fixture
def witness(servers):
    server = servers.get("full")
    made = Witness(server.plain_port, "harness", server.password)
    for uid in made.uids("INBOX"):
        made.expunge("INBOX", uid)
    yield made
    made.close()


def test_names():
    for name, code in (("Entwürfe/Größe", "Entw&APw-rfe/Gr&APYA3w-e"), ("日本語", "&ZeVnLIqe-"), ("a & b", "a &- b")):
        assert encode_mailbox(name) == code
        assert decode_mailbox(code) == name


def test_octets_come_back_as_they_were_sent(witness):
    octets = mail("odd", b"bare\rreturn, \xff\xfe, " + b"x" * 100_000 + b"\r\n.\r\n")
    uid = witness.append("INBOX", octets, ["\\Flagged", "work"], date=1_500_000_000)
    message = witness.messages("INBOX")["odd"]
    assert (message.uid, message.octets, message.flags) == (uid, octets, {"\\Flagged", "work"})
    assert message.date == "14-Jul-2017 02:40:00 +0000"
    assert lf(octets) != octets


def test_expunge_takes_one(witness):
    one, two = witness.append("INBOX", mail("one")), witness.append("INBOX", mail("two"))
    witness.store("INBOX", two, "+FLAGS", "\\Deleted")
    witness.expunge("INBOX", one)
    assert witness.tokens("INBOX") == ["two"]


def test_wrong_password_is_refused(servers):
    server = servers.get("full")
    with pytest.raises(Refused):
        Witness(server.plain_port, "harness", "wrong")


def test_capabilities_can_be_taken_away(servers):
    server = servers.get("bare")
    witness = Witness(server.plain_port, "harness", server.password)
    assert "MOVE" not in str(witness.command("CAPABILITY"))
    witness.close()


def test_the_wire(servers):
    from proxy import Proxy
    server = servers.get("full")
    proxy = Proxy(server.plain_port)
    witness = Witness(proxy.port, "harness", server.password)
    assert "w1 LOGIN" in "\n".join(proxy.commands())
    assert proxy.to_server > 20 < proxy.to_client
    proxy.cut()
    with pytest.raises(OSError):
        witness.uids("INBOX")
    with pytest.raises((OSError, ConnectionError)):
        Witness(proxy.port, "harness", server.password)
    proxy.plug()
    proxy.cut_after(30)
    with pytest.raises((OSError, ConnectionError)):
        Witness(proxy.port, "harness", server.password)
    proxy.plug()
    proxy.stall()
    with pytest.raises(socket.timeout):
        with socket.create_connection(("127.0.0.1", proxy.port), 0.3) as s:
            s.recv(1)
    proxy.close()
