"""The local area through a real mount, and what goes from it to the mail."""
import errno
import os
import shutil
import subprocess
import sys

import pytest

from mounting import BODY, eventually, fails, get, known, names, needs_fuse, put, run

pytestmark = needs_fuse


# ---- the local area ----

def test_local(mount):
    os.mkdir(mount.path(".notmuch"))
    put(mount.path(".notmuch/x"), b"1")
    put(mount.path("INBOX/dovecot-uidlist"), b"3 V1\n")
    assert names(mount.root) == [".notmuch", "INBOX"]
    assert "dovecot-uidlist" in names(mount.path("INBOX"))
    assert get(mount.path("INBOX/dovecot-uidlist")) == b"3 V1\n"
    assert os.stat(mount.root).st_nlink == 4
    put(mount.path("INBOX/tmp/y"), b"y")
    fails(errno.EXDEV, os.rename, mount.path("INBOX/tmp/y"), mount.path(".notmuch/y"))
    os.unlink(mount.path("INBOX/dovecot-uidlist"))
    shutil.rmtree(mount.path(".notmuch"))
    assert names(mount.root) == ["INBOX"]


def local(mount, data=BODY, name="x", mtime=1234567890):
    os.makedirs(mount.path(".queue"), exist_ok=True)
    path = mount.path(".queue", name)
    put(path, data)
    os.utime(path, (mtime, mtime))
    return path


@pytest.mark.parametrize("sub", ["cur", "new", "tmp"])
def test_local_file_becomes_mail(mount, sub):
    target = mount.path("INBOX", sub, "1.y:2,FS")
    assert names(mount.path("INBOX", sub)) == []
    os.rename(local(mount), target)
    row = mount.row("INBOX", sub, "1.y:2,FS")
    st = os.stat(target)
    assert (st.st_ino, st.st_size, st.st_nlink, st.st_mtime) == (row["id"], len(BODY), 1, 1234567890)
    assert (row["state"], row["date"], row["flags"]) == (2, 1234567890, 0 if sub == "tmp" else 1 | 4)
    assert get(target) == BODY
    assert names(mount.path(".queue")) == [] and names(mount.path("INBOX", sub)) == ["1.y:2,FS"]
    assert names(mount.path("INBOX/tmp")) == (["1.y:2,FS"] if sub == "tmp" else [])
    assert os.stat(target).st_ino == row["id"]


def test_local_file_becomes_mail_at_once(mount):
    """The kernel knows the local file by the new name until it is told: nobody may see that."""
    for i in range(300):
        source, target = local(mount, b"%d\n" % i), mount.path(f"INBOX/cur/{i}:2,S")
        before = os.stat(source).st_ino
        os.rename(source, target)
        if i % 3 == 0:
            assert os.stat(target).st_ino != before
        elif i % 3 == 1:
            with open(target, "ab") as f:
                f.write(b"more\n")
        else:
            os.truncate(target, 1)
        ino = os.stat(target).st_ino
        assert ino == mount.row("INBOX", "cur", f"{i}:2,S")["id"]
        assert get(target) == [b"%d\n" % i, b"%d\nmore\n" % i, (b"%d\n" % i)[:1]][i % 3]
    assert len(names(mount.path("INBOX/cur"))) == 300


def closed_copy(descriptor):
    os.close(os.dup(descriptor))


def written_by_a_child(descriptor):
    subprocess.run(["echo", "more"], stdout=descriptor, check=True)


@pytest.mark.parametrize("before", [lambda descriptor: None, closed_copy, written_by_a_child])
def test_handle_of_what_became_mail(mount, before):
    """Whoever has it open goes on, whatever was done to it before; what is asked for by name is the mail."""
    os.makedirs(mount.path(".queue"))
    source, target = mount.path(".queue/x"), mount.path("INBOX/new/x")
    operations = [
        os.fstat,
        lambda descriptor: os.pread(descriptor, 100, 0),
        lambda descriptor: os.lseek(descriptor, 0, os.SEEK_END),
        lambda descriptor: os.utime(descriptor, (1, 1)),
        lambda descriptor: os.fchmod(descriptor, 0o644),
        lambda descriptor: os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)),
        lambda descriptor: os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_APPEND)),
        lambda descriptor: os.truncate(f"/proc/self/fd/{descriptor}", 4),
        lambda descriptor: os.ftruncate(descriptor, 3),
        lambda descriptor: os.pwrite(descriptor, b"old", 0),
    ]
    for operation in operations:
        with open(source, "wb+", buffering=0) as f:
            f.write(BODY)
            before(f.fileno())
            text = get(source)
            os.rename(source, target)
            operation(f.fileno())
            assert get(target) == text
            with open(target, "ab") as mail:
                mail.write(b"more\n")
            os.truncate(target, len(text) + 2)
            assert get(target) == text + b"mo"
        os.unlink(target)


def test_local_file_replaces_mail(mount):
    name = "1.z:2,S"
    path = known(mount, name)
    assert get(path) == BODY
    with open(path, "rb") as old:
        os.rename(local(mount, b"new\n"), path)
        assert get(path) == b"new\n" and old.read() == BODY
    row = mount.row("INBOX", "cur", name)
    assert os.stat(path).st_ino == row["id"]
    assert (row["flags"], row["date"], row["based"]) == (1, 1000000000, 0)
    assert mount.server("gone") == [f"{name}:{row['id']}:1"]


def test_local_file_that_is_open_becomes_mail(mount):
    with open(local(mount), "rb") as f:
        os.rename(f.name, mount.path("INBOX/cur/o:2,"))
        assert f.read() == BODY and os.fstat(f.fileno()).st_nlink == 0
    eventually(lambda: os.stat(mount.path("INBOX/cur/o:2,")).st_ino == mount.row("INBOX", "cur", "o:2,")["id"])


def test_only_files_leave_the_local_area(mount):
    os.makedirs(mount.path(".queue/d"))
    os.symlink("d", mount.path(".queue/s"))
    os.mkfifo(mount.path(".queue/p"))
    for name in "dsp":
        fails(errno.EXDEV, os.rename, mount.path(".queue", name), mount.path("INBOX/cur/x"))
    fails(errno.EXDEV, os.link, mount.path(".queue/p"), mount.path("INBOX/cur/x"))
    fails(errno.EXDEV, os.rename, local(mount), mount.path("Box"))
    assert names(mount.path(".queue")) == ["d", "p", "s", "x"]
    assert names(mount.path("INBOX/cur")) == names(mount.path("INBOX/tmp")) == []


def test_local_file_is_linked_as_a_copy(mount):
    source, target = local(mount), mount.path("INBOX/new/l")
    os.link(source, target)
    st = os.stat(target)
    assert (st.st_ino, st.st_nlink, st.st_mtime) == (mount.row("INBOX", "new", "l")["id"], 1, 1234567890)
    assert os.stat(source).st_nlink == 1 and get(source) == get(target) == BODY
    fails(errno.EEXIST, os.link, source, target)
    os.unlink(source)
    assert get(target) == BODY and names(mount.path("INBOX/tmp")) == []


def test_emacs_locks(mount):
    known(mount, "1.B:2,S")
    for directory in ("cur", "new"):
        link = mount.path("INBOX", directory, ".#1.B:2,S")
        os.symlink("me@host.1", link)
        assert os.readlink(link) == "me@host.1"
        assert ".#1.B:2,S" in names(mount.path("INBOX", directory))
    assert names(mount.path("INBOX/cur")) == [".#1.B:2,S", "1.B:2,S"]
    assert names(mount.path("INBOX")) == ["cur", "new", "tmp"]
    fails(errno.ENOTEMPTY, os.rmdir, mount.path("INBOX/new"))
    os.unlink(mount.path("INBOX/new/.#1.B:2,S"))
    assert names(mount.path("INBOX/new")) == []
    fails(errno.EPERM, os.mkdir, mount.path("INBOX/cur/.#x"))


def test_made_up_names_can_be_replaced(mount):
    path = mount.path("INBOX/dovecot-keywords")
    fails(errno.ENOENT, get, path)
    put(path + ".lock", b"this is something else\n")
    os.rename(path + ".lock", path)
    assert get(path) == b"this is something else\n"
    assert "dovecot-keywords" in names(mount.path("INBOX"))
    os.unlink(path)
    fails(errno.ENOENT, get, path)


def test_letters_are_taken_over(mount):
    """Once for good: what the file said is made up from then on, letters are not taken back, and no other one is lent again."""
    path = mount.path("INBOX/dovecot-keywords")
    put(mount.path("INBOX/cur/1.k:2,Sab"), BODY)
    put(path + ".lock", b"0 mine\n3 other\n")
    os.rename(path + ".lock", path)
    assert get(path) == b"0 mine\n3 other\n"
    assert names(mount.path("INBOX")) == ["cur", "new", "tmp"]
    put(path + ".lock", b"0 changed\n1 more\n2 other\n")
    os.rename(path + ".lock", path)
    assert get(path) == b"0 mine\n1 more\n3 other\n"
    assert names(mount.path("INBOX/cur")) == ["1.k:2,Sab"]
    for spoiled in (b"", b"0\n", b"x mine\n", b"0 two words\n"):
        put(path + ".lock", spoiled)
        os.rename(path + ".lock", path)
        assert get(path) == spoiled
        os.unlink(path)
        assert get(path) == b"0 mine\n1 more\n3 other\n"


if __name__ == "__main__":
    sys.exit(run(__file__))
