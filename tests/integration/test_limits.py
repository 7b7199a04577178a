"""What a server says beforehand that it will not take."""
import errno

import pytest

import lies
from fakeserver import FakeServer
from support import equal, eventually, mail


def test_a_size_that_is_known(world):
    """Case 60: the write is told, so that a copy of too large a file fails and no half of it is taken for mail."""
    server = FakeServer({b"INBOX": [mail("a")]}, lies.KINDS["full"] + " APPENDLIMIT=5000", [lies.Honest], set())
    m = world.new_mailmount(port=server.port, tls="none", ca_file=None)
    try:
        m.start()
        equal(lambda: m.tokens(), ["a"])
        m.sync()
        for text in ("x" * 6000, "x" * 4990 + "\n" * 9):
            path = m.box() / "tmp" / "big"
            with pytest.raises(OSError) as caught, open(path, "wb", buffering=0) as out:
                out.write(mail("big", text))
                raise AssertionError("it was written")
            assert caught.value.errno == errno.EFBIG
            path.unlink()
        with open(m.box() / "tmp" / "sparse", "wb") as out, pytest.raises(OSError) as caught:
            out.truncate(5001)
        assert caught.value.errno == errno.EFBIG
        m.deliver(mail("fits", "x" * 4000 + "\r\n"), info="S")
        # Lines end in one octet here and in two there: nothing but the server's form is too large.
        m.deliver(mail("grows", "\r\n" * 2600), info="S")
        eventually(lambda: server.tokens(b"INBOX") == ["a", "fits"])
        eventually(lambda: "at most" in m.run("held").stdout)
        assert m.tokens() == ["a", "fits", "grows"]
        assert server.log.count("APPEND") == 1
    finally:
        server.close()
