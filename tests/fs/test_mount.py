"""The file side through a real mount: mountfs, with this test as its server. Skipped where there is no FUSE."""
import errno
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

MOUNTFS = os.environ.get("MOUNTFS", "mountfs")
TEXT = "Subject: a\\n\\nbody\\n"
BODY = b"Subject: a\n\nbody\n"


def can_mount():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return os.geteuid() == 0 or shutil.which("fusermount3") is not None


pytestmark = pytest.mark.skipif(not can_mount(), reason="no FUSE here")


class Mount:
    def __init__(self, base, layout="fs"):
        self.base, self.layout = base, layout
        self.root = os.path.join(base, "mnt")
        os.makedirs(self.root, exist_ok=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen([MOUNTFS, os.path.join(self.base, "cache"), self.root, self.layout],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        if line != "mounted":
            raise RuntimeError(f"mountfs: {line!r} {self.process.wait()}")

    def server(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer and answer[0] == "ok", (words, answer)
        return answer[1:]

    def row(self, *place):
        keys = ["id", "state", "flags", "based", "date", "size", "mailbox"]
        return dict(zip(keys, map(int, self.server("row", *place))))

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.flush()
        assert self.process.wait(timeout=20) == 0

    def end(self):
        if self.process.poll() is None:
            try:
                self.stop()
            except (subprocess.TimeoutExpired, AssertionError, OSError):
                self.process.kill()
                self.process.wait()
                if os.geteuid() == 0:
                    subprocess.run(["umount", "-l", self.root], stderr=subprocess.DEVNULL)
                else:
                    subprocess.run(["fusermount3", "-uzq", self.root])
                raise


@pytest.fixture
def base():
    path = tempfile.mkdtemp(prefix="mailmount-test-")
    yield path
    assert not os.path.ismount(os.path.join(path, "mnt"))
    shutil.rmtree(path)


@pytest.fixture
def mount(base):
    m = Mount(base)
    m.server("box", "INBOX")
    yield m
    m.end()


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def names(path):
    return sorted(os.listdir(path))


def eventually(check, seconds=5):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def fails(error, function, *args):
    with pytest.raises(OSError) as raised:
        function(*args)
    assert raised.value.errno == error, raised.value


# ---- reading ----

def test_tree(mount):
    assert names(mount.root) == ["INBOX"]
    assert names(mount.path("INBOX")) == ["cur", "new", "tmp"]
    assert os.stat(mount.path("INBOX")).st_nlink == 5
    assert os.stat(mount.path("INBOX/cur")).st_nlink == 2
    st = os.stat(mount.path("INBOX/cur"))
    assert (st.st_mode, st.st_uid) == (0o40700, os.getuid())


def test_read(mount):
    mount.server("mail", "INBOX", "cur", "1.a.host:2,S", TEXT)
    path = mount.path("INBOX/cur/1.a.host:2,S")
    assert names(mount.path("INBOX/cur")) == ["1.a.host:2,S"]
    assert get(path) == BODY
    st = os.stat(path)
    assert (st.st_size, st.st_nlink, st.st_blocks > 0, st.st_mode) == (len(BODY), 1, True, 0o100600)
    assert st.st_ino == mount.row("INBOX", "cur", "1.a.host:2,S")["id"]
    assert int(st.st_mtime) == 1000000000


def test_many_are_listed_once(mount):
    for i in range(500):
        put(mount.path(f"INBOX/tmp/{i}"), b"x")
    with os.scandir(mount.path("INBOX/tmp")) as entries:
        seen = []
        for n, e in enumerate(entries):
            seen.append(e.inode())
            if n % 50 == 0:
                os.rename(e.path, e.path + ".renamed")
    assert len(seen) == len(set(seen)) == 500


def test_virtual(mount):
    assert ".mailmount" not in names(mount.root)
    assert names(mount.path(".mailmount")) == ["status"]
    assert get(mount.path(".mailmount/status")) == b'{"state": "a test"}\n'
    fails(errno.ENOENT, get, mount.path(".mailmount/errors"))
    fails(errno.EACCES if os.getuid() else errno.EACCES, put, mount.path(".mailmount/status"), b"x")


def test_statfs(mount):
    assert os.statvfs(mount.root).f_namemax == 255
    fails(errno.ENAMETOOLONG, os.stat, mount.path("INBOX/cur/" + "x" * 256))


# ---- what comes from the server shows ----

def test_new_mail_shows(mount):
    path = mount.path("INBOX/new/1.b.host")
    assert names(mount.path("INBOX/new")) == []
    fails(errno.ENOENT, os.stat, path)
    mtime = os.stat(mount.path("INBOX/new")).st_mtime_ns
    mount.server("mail", "INBOX", "new", "1.b.host", TEXT)
    eventually(lambda: os.path.exists(path))
    eventually(lambda: names(mount.path("INBOX/new")) == ["1.b.host"])
    assert os.stat(mount.path("INBOX/new")).st_mtime_ns > mtime


def test_remote_rename_and_removal_show(mount):
    old, new = mount.path("INBOX/cur/1.c:2,"), mount.path("INBOX/cur/1.c:2,S")
    mount.server("mail", "INBOX", "cur", "1.c:2,", TEXT)
    eventually(lambda: os.path.exists(old))
    ino = os.stat(old).st_ino
    assert not os.path.exists(new)
    with open(old, "rb") as f:
        mount.server("mv", "INBOX", "cur", "1.c:2,", "1.c:2,S")
        eventually(lambda: os.path.exists(new) and not os.path.exists(old))
        assert names(mount.path("INBOX/cur")) == ["1.c:2,S"]
        assert os.stat(new).st_ino == ino
        mount.server("rm", "INBOX", "cur", "1.c:2,S")
        eventually(lambda: not os.path.exists(new))
        assert names(mount.path("INBOX/cur")) == []
        assert f.read() == BODY
        eventually(lambda: os.fstat(f.fileno()).st_nlink == 0)


def test_remote_mailboxes_show(mount):
    assert not os.path.exists(mount.path("Archive"))
    mount.server("box", "Archive")
    eventually(lambda: os.path.isdir(mount.path("Archive/cur")))
    mount.server("box", "Archive/2024")
    eventually(lambda: names(mount.path("Archive")) == ["2024", "cur", "new", "tmp"])
    assert os.stat(mount.path("Archive")).st_nlink == 6


# ---- delivery ----

def test_deliver_by_rename(mount):
    tmp, new = mount.path("INBOX/tmp/1.d"), mount.path("INBOX/new/1.d")
    put(tmp, BODY)
    os.utime(tmp, (5, 1234567890))
    ino = os.stat(tmp).st_ino
    os.rename(tmp, new)
    assert os.stat(new).st_ino == ino
    assert get(new) == BODY
    row = mount.row("INBOX", "new", "1.d")
    assert (row["state"], row["date"], row["based"], row["size"]) == (2, 1234567890, 0, len(BODY))
    mount.server("settle")
    assert mount.row("INBOX", "new", "1.d")["state"] == 1
    assert get(new) == BODY


def test_deliver_by_link(mount):
    tmp, new = mount.path("INBOX/tmp/1.e"), mount.path("INBOX/new/1.e")
    put(tmp, BODY)
    os.link(tmp, new)
    assert os.stat(tmp).st_ino == os.stat(new).st_ino
    assert os.stat(new).st_nlink == os.stat(tmp).st_nlink == 2
    assert names(mount.path("INBOX/tmp")) == ["1.e"]
    os.unlink(tmp)
    assert os.stat(new).st_nlink == 1
    assert names(mount.path("INBOX/tmp")) == []
    assert get(new) == BODY


def test_create_in_cur(mount):
    path = mount.path("INBOX/cur/1.f:2,FS")
    put(path, BODY)
    assert get(path) == BODY
    row = mount.row("INBOX", "cur", "1.f:2,FS")
    assert (row["state"], row["flags"], row["size"]) == (2, 1 | 4, len(BODY))
    fails(errno.EEXIST, os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.EPERM, put, mount.path("INBOX/stray"), b"")
    fails(errno.EPERM, os.symlink, "x", mount.path("INBOX/cur/link"))


# ---- flags, moves, copies ----

def test_flags_and_moves(mount):
    mount.server("mail", "INBOX", "new", "1.g", TEXT)
    mount.server("box", "Archive")
    new, cur = mount.path("INBOX/new/1.g"), mount.path("INBOX/cur/1.g:2,S")
    eventually(lambda: os.path.exists(new))
    ino = os.stat(new).st_ino
    os.rename(new, cur)
    assert mount.row("INBOX", "cur", "1.g:2,S")["flags"] == 1
    moved = mount.path("Archive/cur/1.g:2,FS")
    eventually(lambda: os.path.exists(mount.path("Archive/cur")))
    os.rename(cur, moved)
    row = mount.row("Archive", "cur", "1.g:2,FS")
    assert (row["flags"], row["id"], row["based"]) == (5, ino, 1)
    assert os.stat(moved).st_ino == ino
    os.link(moved, mount.path("INBOX/cur/1.h:2,S"))
    copy = mount.row("INBOX", "cur", "1.h:2,S")
    assert copy["id"] != ino and copy["state"] == 1 and copy["based"] == 0
    assert get(mount.path("INBOX/cur/1.h:2,S")) == BODY
    assert os.stat(moved).st_nlink == 1


def test_exchange_and_noreplace(mount):
    a, b = mount.path("INBOX/cur/a"), mount.path("INBOX/cur/b")
    put(a, b"a\n")
    put(b, b"b\n")
    assert subprocess.run(["mv", "-n", a, b], stderr=subprocess.DEVNULL).returncode in (0, 1)
    assert get(a) == b"a\n" and get(b) == b"b\n"


def test_remove(mount):
    mount.server("mail", "INBOX", "cur", "1.i:2,", TEXT)
    path = mount.path("INBOX/cur/1.i:2,")
    eventually(lambda: os.path.exists(path))
    with open(path, "rb") as f:
        os.unlink(path)
        assert f.read() == BODY
        assert os.fstat(f.fileno()).st_nlink == 0
    assert not os.path.exists(path)
    assert mount.server("gone") == ["1.i:2,:0:1"]


def test_scratch_leaves_nothing(mount):
    path = mount.path("INBOX/cur/.1.j.swp")
    with open(path, "w+b") as f:
        f.write(b"swap")
        f.flush()
        os.unlink(path)
        f.seek(0)
        assert f.read() == b"swap"
    put(mount.path("INBOX/tmp/x"), b"x")
    os.unlink(mount.path("INBOX/tmp/x"))
    # The kernel releases a file some time after close(2): until then its row waits, gone, for that.
    eventually(lambda: mount.server("gone") == [])
    eventually(lambda: os.listdir(os.path.join(mount.base, "cache/work")) == [])


def test_removed_before_it_was_settled(mount):
    put(mount.path("INBOX/cur/1.k:2,"), BODY)
    time.sleep(0.2)  # the kernel releases a file some time after its close
    os.unlink(mount.path("INBOX/cur/1.k:2,"))
    assert mount.server("gone") == ["1.k:2,:0:0"]
    eventually(lambda: os.listdir(os.path.join(mount.base, "cache/work")) == [])


# ---- edits ----

def known(mount, name):
    mount.server("mail", "INBOX", "cur", name, TEXT)
    path = mount.path("INBOX/cur", name)
    eventually(lambda: os.path.exists(path))
    return path


def test_rewrite_in_place(mount):
    path = known(mount, "1.l:2,S")
    reader = open(path, "rb")
    assert reader.read() == BODY
    with open(path, "wb") as f:
        f.write(b"Subject: other\n")
        f.flush()
        assert os.stat(path).st_size == 15
        reader.seek(0)
        assert reader.read() == b"Subject: other\n"
    reader.close()
    row = mount.row("INBOX", "cur", "1.l:2,S")
    assert (row["state"], row["size"], row["based"]) == (2, 15, 1)
    mount.server("settle")
    row2 = mount.row("INBOX", "cur", "1.l:2,S")
    assert (row2["state"], row2["based"], row2["id"], row2["date"]) == (1, 0, row["id"], 1000000000)
    assert mount.server("gone") == [f"1.l:2,S:{row['id']}:1"]
    assert get(path) == b"Subject: other\n"


def test_append_and_truncate(mount):
    path = known(mount, "1.m:2,S")
    with open(path, "ab") as f:
        f.write(b"more\n")
    assert get(path) == BODY + b"more\n"
    os.truncate(path, 7)
    assert get(path) == BODY[:7] and os.stat(path).st_size == 7
    # The row is brought up to date by the last writer, and the kernel releases a file some time after its close.
    eventually(lambda: mount.row("INBOX", "cur", "1.m:2,S")["size"] == 7)
    mount.server("settle")
    with open(path, "r+b") as f:
        os.ftruncate(f.fileno(), 3)
        f.seek(0)
        assert f.read() == BODY[:3]
    mount.server("settle")
    assert get(path) == BODY[:3]


def test_settled_while_open_is_copied_on_write(mount):
    path = mount.path("INBOX/cur/1.n:2,")
    put(path, BODY)
    reader = open(path, "rb")
    mount.server("settle")
    with open(path, "r+b") as f:
        f.write(b"S")
        f.seek(0, 2)
        f.write(b"!")
    assert get(path) == BODY + b"!"
    assert reader.read() == BODY + b"!"
    reader.close()
    mount.server("settle")
    assert get(path) == BODY + b"!"


@pytest.mark.parametrize("keep_backup", [False, True])
def test_vim(mount, keep_backup):
    name = "1.o:2,FS"
    path = known(mount, name)
    old = mount.row("INBOX", "cur", name)["id"]
    os.rename(path, path + "~")
    assert mount.row("INBOX", "cur", name + "~")["flags"] == 5
    put(path, b"Subject: new\n")
    if not keep_backup:
        os.unlink(path + "~")
    row = mount.row("INBOX", "cur", name)
    assert row["id"] != old
    assert (row["flags"], row["date"], row["based"]) == (5, 1000000000, 0)
    assert mount.server("gone") == [f"{name}:{row['id']}:1"]


def test_saved_twice_before_the_server_saw_it(mount):
    name = "1.p:2,S"
    path = known(mount, name)
    for text in (b"first\n", b"second\n"):
        os.rename(path, path + "~")
        put(path, text)
        mount.server("settle")
        os.unlink(path + "~")
    row = mount.row("INBOX", "cur", name)
    based = [g for g in mount.server("gone") if g.endswith(":1")]
    assert based == [f"{name}:{row['id']}:1"]
    assert row["date"] == 1000000000 and get(path) == b"second\n"


def test_sed(mount):
    name = "1.q:2,S"
    path = known(mount, name)
    subprocess.run(["sed", "-i", "s/body/soul/", path], check=True)
    assert get(path) == BODY.replace(b"body", b"soul")
    row = mount.row("INBOX", "cur", name)
    assert (row["flags"], row["date"], row["based"]) == (1, 1000000000, 0)
    assert mount.server("gone") == [f"{name}:{row['id']}:1"]


def test_detached(mount):
    path = known(mount, "1.r:2,S")
    os.rename(path, mount.path("INBOX/tmp/1.r"))
    assert get(mount.path("INBOX/tmp/1.r")) == BODY
    assert mount.row("INBOX", "tmp", "1.r")["based"] == 0
    assert mount.server("gone") == ["1.r:2,S:0:1"]


def test_time_set_while_the_kernel_releases(mount):
    """The release comes some time after close has returned: it must not set the time that it found before."""
    def deliver(who):
        for number in range(200):
            path = mount.path("INBOX", "tmp", f"r{who}.{number}")
            with open(path, "wb") as out:
                out.write(BODY)
            os.utime(path, (1_500_000_000, 1_500_000_000))
    threads = [threading.Thread(target=deliver, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.2)
    tmp = mount.path("INBOX", "tmp")
    assert {os.stat(os.path.join(tmp, name)).st_mtime for name in os.listdir(tmp)} == {1_500_000_000}


def test_modes_and_owners(mount):
    path = known(mount, "1.s:2,S")
    os.chmod(path, 0o644)
    assert os.stat(path).st_mode == 0o100600
    os.chown(path, os.getuid(), os.getgid())
    fails(errno.EPERM, os.chown, path, os.getuid() + 1, -1)


# ---- mailboxes ----

def test_mkdir(mount):
    box = mount.path("Lists")
    os.mkdir(box)
    assert names(box) == []
    for sub in ("tmp", "new", "cur"):
        os.mkdir(os.path.join(box, sub))
        fails(errno.EEXIST, os.mkdir, os.path.join(box, sub))
    fails(errno.EPERM, os.mkdir, os.path.join(box, "cur/x"))
    fails(errno.EPERM, os.mkdir, mount.path("cur"))
    os.mkdir(os.path.join(box, "dev"))
    assert names(box) == ["cur", "dev", "new", "tmp"]
    os.rename(box, mount.path("Listen"))
    assert names(mount.path("Listen")) == ["cur", "dev", "new", "tmp"]
    fails(errno.EBUSY, os.rename, mount.path("INBOX"), mount.path("Inbox2"))
    fails(errno.EINVAL, os.rename, mount.path("Listen"), mount.path("Listen/dev/x"))
    shutil.rmtree(mount.path("Listen"))
    assert names(mount.root) == ["INBOX"]
    assert [b.split(":")[0] for b in mount.server("boxes")] == ["INBOX"]


def test_rmdir(mount):
    mount.server("box", "Old")
    eventually(lambda: os.path.exists(mount.path("Old")))
    mount.server("mail", "Old", "cur", "1.t:2,", TEXT)
    eventually(lambda: names(mount.path("Old/cur")) == ["1.t:2,"])
    fails(errno.ENOTEMPTY, os.rmdir, mount.path("Old/cur"))
    fails(errno.ENOTEMPTY, os.rmdir, mount.path("Old"))
    fails(errno.EBUSY, os.rmdir, mount.path("INBOX"))
    os.unlink(mount.path("Old/cur/1.t:2,"))
    os.rmdir(mount.path("Old"))
    assert not os.path.exists(mount.path("Old"))
    assert "Old:0:7:1" in mount.server("boxes")


def test_hidden_comes_back(mount):
    os.rmdir(mount.path("INBOX/tmp"))
    assert names(mount.path("INBOX")) == ["cur", "new"]
    fails(errno.ENOENT, os.stat, mount.path("INBOX/tmp"))
    eventually(lambda: os.path.isdir(mount.path("INBOX/tmp")), 15)
    assert names(mount.path("INBOX")) == ["cur", "new", "tmp"]


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


# ---- bodies that are not here ----

def test_lost_body_is_waited_for(mount):
    path = known(mount, "1.u:2,S")
    mount.server("lose", "INBOX", "cur", "1.u:2,S")
    got = []
    reader = threading.Thread(target=lambda: got.append(get(path)))
    reader.start()
    time.sleep(0.2)
    assert not got
    mount.server("find", "INBOX", "cur", "1.u:2,S", TEXT)
    reader.join(5)
    assert got == [BODY]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_waiting_is_interruptible(mount, signal_number):
    path = known(mount, "1.v:2,S")
    mount.server("lose", "INBOX", "cur", "1.v:2,S")
    cats = [subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL) for _ in range(15)]
    time.sleep(0.3)
    assert names(mount.path("INBOX/cur")) == ["1.v:2,S"], "fifteen waiting opens block nobody else"
    for cat in cats:
        assert cat.poll() is None
        cat.send_signal(signal_number)
    for cat in cats:
        assert cat.wait(5) == -signal_number
    mount.server("find", "INBOX", "cur", "1.v:2,S", TEXT)
    assert get(path) == BODY


def test_unmounted_while_a_reader_waits(mount):
    path = known(mount, "1.w:2,S")
    mount.server("lose", "INBOX", "cur", "1.w:2,S")
    cat = subprocess.Popen(["cat", path], stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    mount.stop()
    assert cat.wait(5) == 1


# ---- mounting ----

def test_refused_mount_points(base):
    root = os.path.join(base, "mnt")
    os.makedirs(root)
    put(os.path.join(root, "x"), b"")
    run = subprocess.run([MOUNTFS, os.path.join(base, "cache"), root, "fs"], capture_output=True, text=True)
    assert run.returncode == 73
    assert f"{root}: not empty (choose an empty directory)" in run.stderr
    run = subprocess.run([MOUNTFS, os.path.join(base, "cache"), os.path.join(root, "x"), "fs"],
                         capture_output=True, text=True)
    assert "not a directory" in run.stderr


def test_stale_mount_is_cleaned_up(base):
    mount = Mount(base)
    mount.server("box", "INBOX")
    mount.process.kill()
    mount.process.wait()
    fails(errno.ENOTCONN, os.listdir, mount.root)
    mount.start()
    assert names(mount.root) == ["INBOX"]
    second = os.path.join(base, "other")
    run = subprocess.run([MOUNTFS, second, mount.root, "fs"], capture_output=True, text=True)
    assert "in use" in run.stderr
    mount.end()


def test_what_was_closed_is_there_after_a_kill(base):
    mount = Mount(base)
    mount.server("box", "INBOX")
    put(mount.path("INBOX/tmp/1.x"), BODY)
    os.rename(mount.path("INBOX/tmp/1.x"), mount.path("INBOX/new/1.x"))
    put(mount.path("INBOX/cur/1.y:2,S"), BODY)
    mount.process.kill()
    mount.process.wait()
    mount.start()
    assert get(mount.path("INBOX/new/1.x")) == BODY
    assert get(mount.path("INBOX/cur/1.y:2,S")) == BODY
    mount.end()


def test_unmounted_while_a_file_is_written(base):
    mount = Mount(base)
    mount.server("box", "INBOX")
    fd = os.open(mount.path("INBOX/cur/1.A:2,S"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, BODY)
    mount.stop()
    fails(errno.ENOTCONN, os.write, fd, b"more")
    fails(errno.ENOTCONN, os.close, fd)
    mount.start()
    assert get(mount.path("INBOX/cur/1.A:2,S")) == BODY
    mount.end()


def test_maildirpp(base):
    mount = Mount(base, "maildir++")
    mount.server("box", "INBOX")
    eventually(lambda: names(mount.root) == ["cur", "new", "tmp"])
    mount.server("box", "Archive")
    mount.server("box", "Archive/20.24")
    eventually(lambda: names(mount.root) == [".Archive", ".Archive.20%2E24", "cur", "new", "tmp"])
    assert names(mount.path(".Archive")) == ["cur", "new", "tmp"]
    assert os.stat(mount.root).st_nlink == 2 + 5
    mount.server("mail", "INBOX", "cur", "1.z:2,S", TEXT)
    eventually(lambda: names(mount.path("cur")) == ["1.z:2,S"])
    os.mkdir(mount.path(".Lists.dev"))
    os.mkdir(mount.path(".Lists.dev/cur"))
    assert ".Lists" in names(mount.root) and ".Lists.dev" in names(mount.root)
    os.rename(mount.path(".Archive"), mount.path(".Old"))
    assert ".Old.20%2E24" in names(mount.root)
    assert not os.path.exists(mount.path(".Archive.20%2E24"))
    assert os.path.isdir(mount.path(".Old.20%2E24/cur"))
    fails(errno.EPERM, os.mkdir, mount.path("Plain"))
    mount.end()


if __name__ == "__main__":
    several = ["-n", "2"] if importlib.util.find_spec("xdist") else []  # by itself the longest of all unit tests
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider", *several, *sys.argv[1:]]))
