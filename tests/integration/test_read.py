"""Listing and reading: what the server has is in the tree, byte for byte, by the rules of Maildir."""
import ctypes
import errno
import json
import os
import random

import pytest

from private_dovecot import PrivateDovecot
from support import eventually, lf, letters, mail, read_box, stays

PNG = bytes(range(256)) * 40


def multipart(token):
    import email.message
    import email.policy
    message = email.message.EmailMessage()
    message["From"], message["Subject"] = "Jörg <j@example.org>", "Größe 日本"
    message["Message-ID"] = f"<{token}@test.example>"
    message.set_content("plain ü\n")
    message.add_alternative("<p>html ü</p>\n", subtype="html")
    message.add_attachment(PNG, maintype="image", subtype="png", filename="Größe.png")
    return message.as_bytes(policy=email.policy.SMTP)


MESSAGES = {
    "plain": mail("plain"),
    "empty-body": mail("empty-body", ""),
    "no-end": mail("no-end", "the last line has no end"),
    "attachment": multipart("attachment"),
    "eight-bit": mail("eight-bit", "Grüße, 日本語\r\n".encode(), "X-Raw: Größe\r\n"),
    "latin1": mail("latin1", b"Gr\xfc\xdfe\r\n" + bytes(range(128, 256)) + b"\r\n"),
    "long-line": mail("long-line", "x" * 100_000 + "\r\n"),
    "dots": mail("dots", ".\r\n..\r\n.\r\n"),
    "from-line": mail("from-line", "From here on\r\n>From there\r\n"),
    "many-lines": mail("many-lines", "\r\n" * 5000),
    "control": mail("control", bytes(c for c in range(1, 32) if c not in (10, 13)) + b"\x7f\r\n"),
    "bare-cr": mail("bare-cr", b"one\rtwo\r\nthree\r\n"),
}


def test_octets(world):
    for octets in MESSAGES.values():
        world.witness.append("INBOX", octets)
    world.mailmount.mount()
    served = world.mailmount.read()
    assert set(served) == set(MESSAGES)
    for token, octets in world.witness.messages("INBOX").items():
        assert served[token] == lf(octets.octets), token
        assert served[token] == lf(MESSAGES[token]), token


def test_octets_with_crlf(world):
    for octets in MESSAGES.values():
        world.witness.append("INBOX", octets)
    mailmount = world.new_mailmount(line_endings="crlf")
    mailmount.mount()
    assert mailmount.read() == MESSAGES


def test_new_and_cur(world):
    world.witness.append("INBOX", mail("unseen"))
    world.witness.append("INBOX", mail("seen"), ["\\Seen"])
    world.witness.append("INBOX", mail("all"), ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "\\Deleted", "$Forwarded"])
    world.witness.append("INBOX", mail("flagged"), ["\\Flagged"])
    m = world.mailmount
    m.mount()
    assert m.path("unseen").parent.name == "new"
    assert ":2," not in m.path("unseen").name
    assert m.path("seen").parent.name == "cur"
    assert m.letters("seen") == "S"
    assert m.letters("all") == "DFPRST"
    assert m.letters("flagged") == "F"
    assert os.listdir(m.box() / "tmp") == []


def test_names_of_mailboxes(world):
    names = {"Entwürfe/Größe", "日本語", "a & b", "Work/Projects/Bridge", "with space", "dotted.name", "star"}
    for name in names:
        world.witness.create(name)
        world.witness.append(name, mail("in-" + str(len(name))))
    m = world.mailmount
    m.mount()
    for name in names:
        assert len(m.tokens(name)) == 1, name
    assert set(os.listdir(m.root)) == {"INBOX", "Entwürfe", "日本語", "a & b", "Work", "with space", "dotted.name", "star"}
    assert os.listdir(m.root / "Work") == ["Projects"], "a mailbox that holds no mail has no cur, new, tmp (case 87)"


def test_maildirpp(world):
    world.witness.append("INBOX", mail("in"), ["\\Seen"])
    world.witness.create("Archive/2024")
    world.witness.append("Archive/2024", mail("old"), ["\\Seen"])
    m = world.new_mailmount(layout="maildir++")
    m.mount()
    assert list(read_box(m.root)) == ["in"]
    assert list(read_box(m.root / ".Archive.2024")) == ["old"]
    assert "Archive" not in os.listdir(m.root)
    (m.root / ".Made.here").mkdir()
    for sub in ("cur", "new", "tmp"):
        (m.root / ".Made.here" / sub).mkdir()
    m.sync()
    assert "Made/here" in world.witness.mailboxes()


def test_keywords_have_letters(world):
    world.witness.append("INBOX", mail("kw"), ["\\Seen", "work", "todo"])
    m = world.mailmount
    m.mount()
    table = dict(line.split(" ", 1) for line in (m.box() / "dovecot-keywords").read_text().splitlines())
    got = {table[str(ord(letter) - ord("a"))] for letter in m.letters("kw") if letter.islower()}
    assert got == {"work", "todo"}


def test_stat(world):
    date = 1_600_000_000
    world.witness.append("INBOX", mail("dated", "x" * 5000), ["\\Seen"], date=date)
    m = world.mailmount
    m.mount()
    path = m.path("dated")
    info = path.stat()
    assert info.st_mtime == date
    assert info.st_size == len(path.read_bytes())
    assert info.st_blocks > 0, "tar -S takes a file without blocks for a hole"
    assert info.st_nlink == 1
    assert info.st_uid == os.getuid()


def test_inode_numbers_agree(world):
    for number in range(20):
        world.witness.append("INBOX", mail(f"i{number}"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    for folder, _, _ in os.walk(m.root):
        for entry in os.scandir(folder):
            assert entry.inode() == entry.stat(follow_symlinks=False).st_ino, entry.path
    numbers = [entry.inode() for entry in os.scandir(m.box() / "cur")]
    assert len(set(numbers)) == 20


def test_inode_outlives_everything(world):
    world.witness.append("INBOX", mail("same"), ["\\Seen"])
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    inode = m.path("same").stat().st_ino
    m.retag("same", "FS")
    assert m.path("same").stat().st_ino == inode
    world.witness.store("INBOX", world.witness.uid("INBOX", "same"), "+FLAGS", "\\Answered")
    eventually(lambda: "R" in m.letters("same"))
    assert m.path("same").stat().st_ino == inode
    os.rename(m.path("same"), m.box("Archive") / "cur" / "other-name:2,FS")
    m.sync()
    assert m.path("same", "Archive").stat().st_ino == inode
    world.witness.move("Archive", world.witness.uid("Archive", "same"), "INBOX")
    m.sync()
    eventually(lambda: m.path("same").stat().st_ino == inode)
    m.remount()
    assert m.path("same").stat().st_ino == inode


def test_directories(world):
    for name in ("A", "A/B", "A/C"):
        world.witness.create(name)
    m = world.mailmount
    m.mount()
    for folder in ("A", "INBOX", ".", "A/B/cur"):
        path = m.root / folder
        count = sum(1 for entry in os.scandir(path) if entry.is_dir())
        assert path.stat().st_nlink == 2 + count, folder


def test_directory_time_grows(world):
    world.witness.append("INBOX", mail("t"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    cur = m.box() / "cur"
    last = cur.stat().st_mtime_ns
    for wanted in ("FS", "S", "RS", "S", "FS"):
        m.retag("t", wanted)
        now = cur.stat().st_mtime_ns
        assert now > last
        last = now
    m.sync()  # several renames in a row are sent as one change, a moment later
    last = cur.stat().st_mtime_ns
    world.witness.store("INBOX", world.witness.uid("INBOX", "t"), "-FLAGS", "\\Flagged")
    eventually(lambda: cur.stat().st_mtime_ns > last)
    last = cur.stat().st_mtime_ns
    m.remount()
    assert cur.stat().st_mtime_ns >= last
    m.retag("t", "RS")
    assert cur.stat().st_mtime_ns > last


def test_quiet_directory_keeps_its_time(world):
    world.witness.append("INBOX", mail("t"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    before = (m.box() / "cur").stat().st_mtime_ns
    stays(lambda: (m.box() / "cur").stat().st_mtime_ns == before, 3)


def test_status_files(mounted):
    m = mounted.mailmount
    assert ".mailmount" not in os.listdir(m.root)
    assert isinstance(json.loads((m.root / ".mailmount" / "status").read_text()), dict)
    for name in ("errors", "held", "log"):
        (m.root / ".mailmount" / name).read_bytes()
    with pytest.raises(OSError):
        (m.root / ".mailmount" / "status").write_text("x")


def test_statfs(mounted):
    info = os.statvfs(mounted.mailmount.root)
    assert info.f_bsize > 0 and info.f_blocks > 0 and 0 < info.f_bavail <= info.f_blocks
    assert info.f_namemax == 255


def test_statfs_tells_the_quota(workplace, world_at):
    """What is less: the room on the disk, or at the server."""
    folder = workplace / f"quota-{os.getpid()}"
    user = {"as_user": "nobody"} if os.getuid() == 0 else {}
    server = PrivateDovecot(
        folder, plugins="quota", imap_plugins="imap_quota", **user,
        extra="plugin {\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage=40M\n}").start()
    try:
        world = world_at(server)
        world.witness.append("INBOX", mail("big", "x" * 76 + "\r\n" + ("y" * 76 + "\r\n") * 130_000))
        m = world.mailmount
        m.mount()
        info = eventually(lambda: (s := os.statvfs(m.root)).f_blocks * s.f_frsize == 40 << 20 and s)
        free = info.f_bavail * info.f_frsize
        assert 28 << 20 < free < 31 << 20, "10 MB of 40 are used"
        assert info.f_bfree == info.f_bavail
        (m.root / ".git").mkdir()
        on_disk = os.statvfs(m.data)
        assert os.statvfs(m.root / ".git").f_blocks == on_disk.f_blocks, "what is no mail needs no room at the server"
        m.umount()
        m.set(port=1)
        m.start()
        assert os.statvfs(m.root).f_blocks == info.f_blocks, "off line, what was known last"
    finally:
        server.stop()


def test_no_extended_attributes(world):
    world.witness.append("INBOX", mail("x"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    with pytest.raises(OSError) as caught:
        os.getxattr(m.path("x"), "user.x")
    assert caught.value.errno in (errno.ENOTSUP, errno.ENOSYS)


def test_listing_while_renaming(world):
    """Ordinary file systems may show a file twice or not at all here; this one promises exactly once."""
    for number in range(600):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    cur = m.box() / "cur"
    rng, seen = random.Random(1), []
    with os.scandir(cur) as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.inode())
            if count % 50 == 0:
                name = rng.choice(os.listdir(cur))
                other = name.replace(":2,S", ":2,FS") if letters(name) == "S" else name.replace(":2,FS", ":2,S")
                os.rename(cur / name, cur / other)
    assert len(seen) == len(set(seen)) == 600


def test_shared_map(world):
    world.witness.append("INBOX", mail("map", "y" * 9000), ["\\Seen"])
    m = world.mailmount
    m.mount()
    import mmap
    with open(m.path("map"), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[:] == m.read()["map"]


def test_open_file_survives_its_removal(world):
    world.witness.append("INBOX", mail("open", "z" * 50_000), ["\\Seen"])
    m = world.mailmount
    m.mount()
    whole = m.read()["open"]
    with open(m.path("open"), "rb") as file:
        os.unlink(m.path("open"))
        assert file.read() == whole


def test_fsync_of_what_is_only_read(world):
    world.witness.append("INBOX", mail("f"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    for path in (m.path("f"), m.box() / "cur", m.root):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def test_renameat2(world):
    for token in ("a", "b"):
        world.witness.append("INBOX", mail(token), ["\\Seen"])
    m = world.mailmount
    m.mount()
    libc = ctypes.CDLL(None, use_errno=True)
    at_fdcwd, noreplace, exchange = -100, 1, 2

    def rename(source, target, flags):
        code = libc.renameat2(at_fdcwd, os.fsencode(source), at_fdcwd, os.fsencode(target), flags)
        return ctypes.get_errno() if code else 0
    assert rename(m.path("a"), m.path("b"), noreplace) == errno.EEXIST
    assert rename(m.path("a"), m.path("b"), exchange) == errno.EINVAL
    target = m.path("a").with_name("fresh:2,FS")
    assert rename(m.path("a"), target, noreplace) == 0
    assert m.tokens() == ["a", "b"]
