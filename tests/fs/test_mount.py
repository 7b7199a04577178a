"""The file side through a real mount."""
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from mounting import BODY, MOUNTFS, Mount, TEXT, eventually, fails, get, known, names, needs_fuse, put, run

pytestmark = needs_fuse


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
    sys.exit(run(__file__))
