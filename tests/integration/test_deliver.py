"""New mail by file operations: however programs put it there, it reaches the server whole, once, and as it is."""
import os
import shutil
import subprocess
import time

import pytest

from support import equal, eventually, lf, mail, stays, token_of

WIRE = mail("new", "Grüße\r\n.\r\nlast\r\n".encode(), "X-Raw: Größe\r\n")


def arrived(world, token="new", mailbox="INBOX"):
    return eventually(lambda: world.witness.messages(mailbox).get(token))


@pytest.mark.parametrize("how", ["rename", "link", "direct"])
@pytest.mark.parametrize("info", ["", "FS"])
def test_ways(mounted, how, info):
    m = mounted.mailmount
    path = m.deliver(WIRE, how=how, info=info)
    inode = path.stat().st_ino
    message = arrived(mounted)
    assert message.octets == WIRE
    assert message.flags == ({"\\Seen", "\\Flagged"} if info else set())
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new"]
    assert m.path("new") == path, "the name stays as the program gave it"
    assert path.stat().st_ino == inode
    assert path.read_bytes() == lf(WIRE)
    assert os.listdir(m.box() / "tmp") == []


def test_at_every_speed(any_world):
    m = any_world.mailmount
    m.mount()
    m.deliver(WIRE, info="S")
    m.deliver(mail("other"))
    m.sync()
    assert any_world.witness.tokens("INBOX") == ["new", "other"]
    assert any_world.witness.messages("INBOX")["new"].octets == WIRE
    any_world.witness.append("INBOX", mail("remote"))
    m.sync()
    assert m.tokens() == ["new", "other", "remote"]


def test_link_shares_the_inode(mounted):
    m = mounted.mailmount
    scratch = m.box() / "tmp" / "x"
    scratch.write_bytes(lf(WIRE))
    target = m.box() / "new" / "y"
    os.link(scratch, target)
    assert scratch.stat().st_ino == target.stat().st_ino
    assert scratch.stat().st_nlink == target.stat().st_nlink == 2
    os.unlink(scratch)
    assert target.stat().st_nlink == 1
    arrived(mounted)


def test_internal_date_is_the_mtime(mounted):
    m = mounted.mailmount
    m.deliver(WIRE, info="S", mtime=1_500_000_000)
    assert arrived(mounted).date == "14-Jul-2017 02:40:00 +0000"
    m.sync()
    assert m.path("new").stat().st_mtime == 1_500_000_000


def test_time_set_after_it_is_in_place(mounted):
    """mutt, cp -a and tar do so: an append at first sight would have the wrong date."""
    m = mounted.mailmount
    path = m.deliver(WIRE, info="S")
    os.utime(path, (1_500_000_000, 1_500_000_000))
    assert arrived(mounted).date == "14-Jul-2017 02:40:00 +0000"
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new"]


def test_renames_in_a_row(mounted):
    m = mounted.mailmount
    m.deliver(WIRE)
    m.retag("new", "S")
    m.retag("new", "FS")
    m.retag("new", "RS")
    assert arrived(mounted).octets == WIRE
    equal(lambda: mounted.witness.flags("INBOX", "new"), {"\\Seen", "\\Answered"})
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new"]


def test_flag_while_it_is_sent(mounted):
    """Case 36."""
    m = mounted.mailmount
    m.deliver(mail("new", "x" * 2_000_000 + "\r\n"), info="S")
    time.sleep(0.5)
    for _ in range(10):
        m.retag("new", "FS")
        m.retag("new", "S")
    m.retag("new", "RS")
    m.sync()
    assert mounted.witness.flags("INBOX", "new") == {"\\Seen", "\\Answered"}
    assert mounted.witness.tokens("INBOX") == ["new"]


def test_slow_writer(mounted):
    """A file that is open for writing is not a message yet, however long that takes."""
    m = mounted.mailmount
    with open(m.box() / "cur" / "slow:2,S", "wb", buffering=0) as out:
        for line in lf(WIRE).splitlines(keepends=True):
            out.write(line)
            time.sleep(0.3)
            assert mounted.witness.tokens("INBOX") == []
    assert arrived(mounted).octets == WIRE


def test_two_files_are_two_messages(mounted):
    m = mounted.mailmount
    for name in ("a:2,S", "b:2,S"):
        (m.box() / "cur" / name).write_bytes(lf(WIRE))
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new", "new"]
    assert len(os.listdir(m.box() / "cur")) == 2


def test_file_with_crlf_reads_as_written(mounted):
    m = mounted.mailmount
    path = m.deliver(WIRE, info="S", served=False)
    assert arrived(mounted).octets == WIRE
    m.sync()
    assert path.read_bytes() == WIRE
    m.remount()
    assert path.read_bytes() == WIRE


def test_mixed_line_ends(mounted):
    """What is on the wire has CRLF only; what was written stays as it was written."""
    m = mounted.mailmount
    written = lf(mail("new")) + b"one\r\ntwo\nthree"
    path = m.box() / "cur" / "mixed:2,S"
    path.write_bytes(written)
    m.sync()
    assert path.read_bytes() == written
    assert mounted.witness.messages("INBOX")["new"].octets.endswith(b"one\r\ntwo\r\nthree")


def test_copies_by_cp_and_tar(mounted, tmp_path):
    m = mounted.mailmount
    for number in range(5):
        path = tmp_path / f"{number}.x:2,S"
        path.write_bytes(lf(mail(f"n{number}")))
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    subprocess.run(["cp", "-a", *map(str, tmp_path.glob("[01].x:2,S")), str(m.box() / "cur")], check=True)
    archive = subprocess.run(["tar", "cf", "-", "2.x:2,S", "3.x:2,S", "4.x:2,S"], cwd=tmp_path, check=True,
                             stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "xf", "-"], cwd=m.box() / "cur", input=archive, check=True)
    m.sync()
    assert mounted.witness.tokens("INBOX") == [f"n{n}" for n in range(5)]
    dates = {token: message.date for token, message in mounted.witness.messages("INBOX").items()}
    assert dates["n4"] == "14-Jul-2017 02:40:04 +0000"
    assert dates["n0"] == "14-Jul-2017 02:40:00 +0000"


def test_moved_in_from_another_disk(mounted, tmp_path):
    m = mounted.mailmount
    (tmp_path / "f").write_bytes(lf(WIRE))
    shutil.move(tmp_path / "f", m.box() / "cur" / "f:2,S")
    assert arrived(mounted).octets == WIRE


def test_empty_file_is_never_sent(mounted):
    m = mounted.mailmount
    path = m.box() / "cur" / "empty:2,S"
    path.touch()
    stays(lambda: mounted.witness.tokens("INBOX") == [] and path.exists(), 2)
    assert m.run("sync", "--wait=20").returncode == 0, "a file without content must not hold up agreement"
    path.write_bytes(lf(WIRE))
    assert arrived(mounted).octets == WIRE


@pytest.mark.parametrize("name", [".hidden", "backup~", "#auto#", "4913", "5036", "sedAb3xYz", "m.swp", ".m.swp", "m.swx"])
def test_scratch_is_never_sent(mounted, name):
    m = mounted.mailmount
    path = m.box() / "cur" / name
    path.write_bytes(lf(WIRE))
    stays(lambda: mounted.witness.tokens("INBOX") == [], 2)
    assert path.read_bytes() == lf(WIRE)
    os.rename(path, m.box() / "cur" / "mail:2,S")
    assert arrived(mounted).octets == WIRE


def test_emacs_lock_link(mounted):
    m = mounted.mailmount
    link = m.box() / "cur" / ".#mail"
    os.symlink("me@host.1", link)
    assert os.readlink(link) == "me@host.1"
    m.sync()
    os.unlink(link)
    assert mounted.witness.tokens("INBOX") == []


def test_nothing_in_tmp_is_sent(mounted):
    m = mounted.mailmount
    (m.box() / "tmp" / "rest").write_bytes(lf(WIRE))
    stays(lambda: mounted.witness.tokens("INBOX") == [], 2)
    m.remount()
    assert (m.box() / "tmp" / "rest").read_bytes() == lf(WIRE)


@pytest.fixture
def queued(mounted):
    path = mounted.mailmount.root / ".queue" / "x"
    path.parent.mkdir()
    path.write_bytes(lf(WIRE))
    os.utime(path, (1_500_000_000, 1_500_000_000))
    return path


def test_from_the_local_area(mounted, queued):
    m = mounted.mailmount
    target = m.box() / "cur" / "x:2,S"
    os.rename(queued, target)
    inode = target.stat().st_ino
    assert not queued.exists() and target.read_bytes() == lf(WIRE)
    message = arrived(mounted)
    assert message.octets == WIRE and message.flags == {"\\Seen"}
    assert message.date == "14-Jul-2017 02:40:00 +0000"
    m.sync()
    assert target.stat().st_ino == inode and target.read_bytes() == lf(WIRE)
    assert mounted.witness.tokens("INBOX") == ["new"]
    m.remount()
    assert target.stat().st_ino == inode and target.read_bytes() == lf(WIRE)


def test_from_the_local_area_over_a_message(mounted, queued):
    mounted.witness.append("INBOX", mail("old"), ["\\Seen", "\\Flagged"])
    m = mounted.mailmount
    m.sync()
    path = m.path("old")
    assert path.read_bytes() == lf(mail("old"))
    os.rename(queued, path)
    assert path.read_bytes() == lf(WIRE)
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new"]
    assert mounted.witness.messages("INBOX")["new"].flags == {"\\Seen", "\\Flagged"}
    assert os.listdir(m.box() / "cur") == [path.name]


def test_link_from_the_local_area(mounted, queued):
    m = mounted.mailmount
    target = m.box() / "new" / "x"
    os.link(queued, target)
    assert target.stat().st_ino != queued.stat().st_ino
    assert target.stat().st_nlink == queued.stat().st_nlink == 1
    assert arrived(mounted).octets == WIRE
    os.unlink(queued)
    m.sync()
    assert target.read_bytes() == lf(WIRE)


def test_from_the_local_area_is_on_disk(mounted, queued):
    m = mounted.mailmount
    os.rename(queued, m.box() / "cur" / "x:2,S")
    m.kill9()
    m.start()
    assert arrived(mounted).octets == WIRE
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["new"] and not queued.exists()


def test_into_a_mailbox_made_just_now(mounted):
    """Case 47: the mailbox comes before its mail."""
    m = mounted.mailmount
    for sub in ("tmp", "new", "cur"):
        os.makedirs(m.root / "Fresh" / sub)
    m.deliver(WIRE, "Fresh", info="S")
    eventually(lambda: "Fresh" in mounted.witness.mailboxes())
    assert arrived(mounted, mailbox="Fresh").octets == WIRE


def test_many(mounted):
    m = mounted.mailmount
    wanted = [mail(f"n{n:03}", "x" * n + "\r\n") for n in range(200)]
    for octets in wanted:
        m.deliver(octets, info="S")
    m.sync()
    got = mounted.witness.messages("INBOX")
    assert {token: message.octets for token, message in got.items()} == {token_of(o): o for o in wanted}


def test_sixty_megabytes(mounted):
    m = mounted.mailmount
    line = b"0123456789abcdef" * 4 + b"\r\n"
    octets = mail("huge", line * (60_000_000 // len(line)))
    path = m.deliver(octets, info="S")
    m.sync(timeout=120)
    assert mounted.witness.messages("INBOX")["huge"].octets == octets
    assert path.read_bytes() == lf(octets)


def test_message_with_nul(mounted):
    """Case 62: as it is where the server can take it, else parked; never stripped, never lost."""
    m = mounted.mailmount
    octets = mail("nul", b"before\0after\r\n")
    path = m.deliver(octets, info="S")
    m.run("sync", "--wait=10", timeout=40)
    assert path.read_bytes() == lf(octets)
    if "nul" not in mounted.witness.tokens("INBOX"):
        assert (m.root / ".mailmount" / "errors").read_text().strip(), "parked, and nobody is told"
    m.remount()
    assert path.read_bytes() == lf(octets)


@pytest.mark.parametrize("octets", [
    mail("odd", b"a\rb\r\nc\r\n"), mail("odd", "x" * 100_000 + "\r\n"), mail("odd", "", "X: Größe \xff\r\n"),
    mail("odd", b"\xff\xfe\x80\r\n"), mail("odd", "no end"),
], ids=["bare-cr", "long-line", "raw-header", "not-utf-8", "no-end"])
def test_odd_octets(mounted, octets):
    m = mounted.mailmount
    path = m.deliver(octets, info="S")
    m.sync()
    assert mounted.witness.messages("INBOX")["odd"].octets == octets
    assert path.read_bytes() == lf(octets)


def test_server_alters_what_it_gets(mounted):
    """Case 63: Dovecot drops a CR in front of CR LF. That is no edit, and no second message."""
    m = mounted.mailmount
    octets = mail("odd", b"one\r\r\ntwo\r\n")
    path = m.deliver(octets, info="S")
    m.sync()
    assert mounted.witness.messages("INBOX")["odd"].octets in (octets, octets.replace(b"\r\r\n", b"\r\n"))
    uids = mounted.witness.uids("INBOX")
    m.remount()
    m.sync()
    assert mounted.witness.uids("INBOX") == uids
    assert path.read_bytes() in (lf(octets), lf(octets.replace(b"\r\r\n", b"\r\n")))


def test_no_message_id(mounted):
    """Nothing to recognise it by but its content."""
    m = mounted.mailmount
    for number in range(3):
        (m.box() / "cur" / f"{number}:2,S").write_bytes(b"Subject: nameless\n\nsame\n")
    m.sync()
    assert len(mounted.witness.uids("INBOX")) == 3
    m.sync()
    assert len(os.listdir(m.box() / "cur")) == 3 == len(mounted.witness.uids("INBOX"))
