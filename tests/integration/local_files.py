"""Cases for test_local_posix.py: open files, locks, maps and what copies. Each gets an empty directory and notes."""
import fcntl
import mmap
import os
import signal
import struct

import syscalls
from syscalls import descriptor, fallocate, in_child, lock


def open_flags(d, note):
    (d / "f").write_bytes(b"0123456789")
    (d / "d").mkdir()
    os.symlink("f", d / "l")
    os.symlink("none", d / "dangling")
    kinds = {"read": os.O_RDONLY, "write": os.O_WRONLY, "create": os.O_CREAT | os.O_WRONLY, "exclusively": os.O_CREAT | os.O_EXCL | os.O_RDWR,
             "no follow": os.O_NOFOLLOW, "create, no follow": os.O_CREAT | os.O_NOFOLLOW | os.O_RDWR, "directory": os.O_DIRECTORY,
             "create directory": os.O_DIRECTORY | os.O_CREAT, "directory, no follow": os.O_DIRECTORY | os.O_NOFOLLOW,
             "path": os.O_PATH, "path, no follow": os.O_PATH | os.O_NOFOLLOW, "append": os.O_APPEND | os.O_WRONLY,
             "sync": os.O_SYNC | os.O_RDWR, "dsync": os.O_DSYNC | os.O_RDWR, "direct": os.O_DIRECT | os.O_RDWR,
             "no atime": os.O_NOATIME, "nonblock": os.O_NONBLOCK | os.O_RDWR, "empty, to read": os.O_TRUNC, "empty": os.O_TRUNC | os.O_WRONLY}
    for what, flags in kinds.items():
        for name in ("f", "d", "l", "dangling", "none", "d/", "f/", "none/", "f/x", "none/x"):
            note.open(f"{name}: {what}", f"{d}/{name}", flags)
        (d / "f").write_bytes(b"0123456789")
        syscalls.result_of(os.unlink, d / "none")
    note.open("temporary", d, os.O_TMPFILE | os.O_RDWR)
    note.open("temporary, to read", d, os.O_TMPFILE | os.O_RDONLY)
    for mode in (0, 0o200, 0o400):
        note(f"made with mode {mode:o}", made_with_mode, d / f"mode{mode}", mode)


def made_with_mode(path, mode):
    with descriptor(path, os.O_CREAT | os.O_RDWR, mode) as fd:
        os.write(fd, b"written")
        os.ftruncate(fd, 5)
        return os.pread(fd, 10, 0), oct(os.fstat(fd).st_mode)


def reading_and_writing(d, note):
    (d / "f").write_bytes(b"0123456789")
    with descriptor(d / "f", os.O_RDONLY) as fd:
        note("write to what is read", os.write, fd, b"x")
        note("truncate what is read", os.ftruncate, fd, 1)
        note("beyond the end", os.pread, fd, 10, 100)
        note("across the end", os.pread, fd, 10, 5)
        note("before the beginning", os.pread, fd, 10, -1)
        note("nothing", os.pread, fd, 0, 0)
        note("into two", lambda: (os.preadv(fd, buffers := [bytearray(3), bytearray(9)], 2), [bytes(b) for b in buffers]))
    with descriptor(d / "f", os.O_WRONLY) as fd:
        note("read what is written", os.read, fd, 1)
        note("write nothing", os.write, fd, b"")
        note("from two", os.pwritev, fd, [b"ab", b"cde"], 8)
        note("far out", os.pwrite, fd, b"!", 100_000)
        note("at no place", os.pwrite, fd, b"!", -5)
        note("with RWF_DSYNC", os.pwritev, fd, [b"x"], 0, os.RWF_DSYNC)
        note("with RWF_APPEND", lambda: os.pwritev(fd, [b"end"], 0, os.RWF_APPEND))
    with descriptor(d / "f", os.O_PATH) as fd:
        note("read a path", os.read, fd, 1)
        note("fsync a path", os.fsync, fd)
    note("all of it", lambda: (d / "f").read_bytes().replace(b"\0" * 50_000, b"."))
    with open(d / "large", "wb", buffering=0) as out:
        note("a large one", out.write, bytes(range(251)) * 20_000)
    note("read in one", lambda: (d / "large").read_bytes() == bytes(range(251)) * 20_000)


def append_and_direct(d, note):
    """What a descriptor is open for can be changed, and a shared map is no append."""
    path = d / "f"
    with descriptor(path, os.O_CREAT | os.O_RDWR | os.O_APPEND) as fd:
        os.write(fd, b"a" * 5000)
        note("pwrite appends", lambda: os.pwrite(fd, b"b" * 10, 0) and os.fstat(fd).st_size)
        with mmap.mmap(fd, 5000) as view:
            view[100:105] = b"hello"
            view.flush()
        note("after the map", lambda: (os.fsync(fd), os.fstat(fd).st_size, os.pread(fd, 5, 100)))
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        note("taken back", lambda: os.pwrite(fd, b"c" * 10, 0) and os.fstat(fd).st_size)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        note("and again", lambda: os.pwrite(fd, b"d" * 10, 0) and os.fstat(fd).st_size)
        note("flags", lambda: fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NOFOLLOW)
    note("all of it", path.read_bytes)
    with descriptor(d / "direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT) as fd, mmap.mmap(-1, 8192) as block:
        block[:] = b"x" * 8192
        note("write directly", os.pwritev, fd, [block], 0)
        note("write directly behind", os.pwritev, fd, [block], 8192)
        block[:] = bytes(8192)
        note("read directly", lambda: os.preadv(fd, [block], 4096) and block[:] == b"x" * 8192)
        note("read directly at the end", os.preadv, fd, [block], 12288)
        with descriptor(d / "direct", os.O_RDWR) as other:
            os.pwrite(other, b"cached", 0)
            note("what was cached", lambda: os.preadv(fd, [block], 0) and block[:6])
            block[:6] = b"direct"
            note("what was direct", lambda: os.pwritev(fd, [block], 0) and os.pread(other, 6, 0))


def appended_by_several(d, note):
    """Nothing is lost and nothing is torn."""
    def append(who):
        with descriptor(d / "f", os.O_WRONLY | os.O_APPEND) as fd:
            for n in range(300):
                os.write(fd, f"{who} {n}".ljust(20 + n % 100, ".").encode() + b"\n")
    (d / "f").touch()
    pids = []
    for who in "abc":
        pids.append(os.fork())
        if pids[-1] == 0:
            append(who)
            os._exit(0)
    note("they end well", lambda: [os.waitpid(pid, 0)[1] for pid in pids])
    lines = (d / "f").read_text().splitlines()
    note("in order", lambda: [[line.split(".")[0] for line in lines if line[0] == who] == [f"{who} {n}" for n in range(300)]
                              for who in "abc"])


def shared_offsets(d, note):
    (d / "f").write_bytes(b"0123456789")
    with descriptor(d / "f", os.O_RDWR) as fd:
        copy = os.dup(fd)
        note("dup", lambda: (os.read(fd, 3), os.read(copy, 3), os.lseek(fd, 0, os.SEEK_CUR)))
        note("in a child", lambda: (in_child(lambda: os.read(fd, 2)), os.read(copy, 5)))
        os.close(copy)
        with descriptor(f"/proc/self/fd/{fd}", os.O_RDONLY) as other:
            note("opened again", os.read, other, 3)


def sizes(d, note):
    (d / "f").write_bytes(b"x" * 10_000)
    (d / "d").mkdir()

    def to(size):
        os.truncate(d / "f", size)
        return os.stat(d / "f").st_size, (d / "f").read_bytes() if size < 100_000 else None
    for size in (9999, 4096, 4095, 20_000, 0, 5000, -1, 1 << 40, 1 << 62, (1 << 63) - 1, 100):
        note(f"to {size}", to, size)
    note("a directory", os.truncate, d / "d", 0)
    note("none", os.truncate, d / "none", 0)
    with descriptor(d / "d", os.O_RDONLY) as fd:
        note("a directory by descriptor", os.ftruncate, fd, 0)
    note("after a write beyond it", stale_tail, d / "tail")


def stale_tail(path):
    """What was cut off does not come back."""
    path.write_bytes(b"x" * 6000)
    with descriptor(path, os.O_RDWR) as fd:
        os.ftruncate(fd, 100)
        os.pwrite(fd, b"y", 5000)
        os.ftruncate(fd, 200)
        os.ftruncate(fd, 7000)
        return os.pread(fd, 8000, 0)


def seeking(d, note):
    with descriptor(d / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b"x" * 65536, 1 << 20)
        os.ftruncate(fd, 3 << 20)
        for whence in ("SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE"):
            for offset in (0, 100, 1 << 20, (1 << 20) + 70_000, 3 << 20, (3 << 20) + 1, -1, -(4 << 20)):
                os.lseek(fd, 0, os.SEEK_SET)
                note(f"{whence} {offset}", os.lseek, fd, offset, getattr(os, whence))
        note("nonsense", os.lseek, fd, 0, 99)
        note("blocks of holes", lambda: os.fstat(fd).st_blocks < 1024)


def without_a_name(d, note):
    (d / "f").write_bytes(b"0123456789")
    with descriptor(d / "f", os.O_RDWR) as fd, descriptor(d / "f", os.O_PATH) as path:
        os.unlink(d / "f")
        note("links", lambda: os.fstat(fd).st_nlink)
        note("read", os.pread, fd, 10, 0)
        note("write", os.pwrite, fd, b"more", 10)
        note("truncate", lambda: os.ftruncate(fd, 12) or os.fstat(fd).st_size)
        note("chmod", lambda: os.fchmod(fd, 0o640) or oct(os.fstat(fd).st_mode))
        note("times", lambda: os.utime(fd, ns=(1, 2)) or os.fstat(fd).st_mtime_ns)
        note("fsync", os.fsync, fd)
        note("a path to it", lambda: os.fstat(path).st_nlink)
        note("opened by the path", lambda: os.close(os.open(f"/proc/self/fd/{path}", os.O_RDONLY)))
        (d / "f").write_bytes(b"another")
        note("it stays", os.pread, fd, 20, 0)
        with mmap.mmap(fd, 12) as view:
            view[0:1] = b"m"
            note("map", lambda: os.pread(fd, 3, 0))
    with descriptor(d / "f", os.O_PATH) as path:
        os.unlink(d / "f")
        note("only a path", lambda: os.fstat(path).st_nlink)
        note("opened by only a path", lambda: os.close(os.open(f"/proc/self/fd/{path}", os.O_RDONLY)))
    (d / "a").write_bytes(b"a")
    (d / "b").write_bytes(b"b")
    with descriptor(d / "b", os.O_RDWR) as fd:
        os.rename(d / "a", d / "b")
        note("replaced", lambda: (os.fstat(fd).st_nlink, os.pread(fd, 5, 0), (d / "b").read_bytes()))
        os.write(fd, b"changed")
        note("written to meanwhile", lambda: (os.pread(fd, 9, 0), (d / "b").read_bytes()))
    with descriptor(d / "b", os.O_RDWR) as fd:
        os.rename(d / "b", d / "c")
        os.write(fd, b"moved")
        note("renamed", lambda: (os.fstat(fd).st_nlink, (d / "c").read_bytes()))
        syscalls.rename(d / "c", d / "new", "noreplace")
        os.write(fd, b"on")
        note("renamed again", lambda: (d / "new").read_bytes())
    note("left", sorted, os.listdir(d))


def allocation(d, note):
    (d / "f").write_bytes(b"x" * 20_000)

    def change(kind, offset, length):
        (d / "f").write_bytes(b"x" * 20_000)
        with descriptor(d / "f", os.O_RDWR) as fd:
            fallocate(fd, kind, offset, length)
            return os.fstat(fd).st_size, os.pread(fd, 1 << 20, 0)
    for kind in syscalls.FALLOCATE:
        for offset, length in ((4096, 4096), (100, 10_000), (18_000, 50_000), (40_000, 10), (0, 0), (-1, 5), (0, -1), (1 << 62, 1 << 62)):
            note(f"{kind} {offset} {length}", change, kind, offset, length)
    with descriptor(d / "f", os.O_RDONLY) as fd:
        note("of what is read", fallocate, fd, "extend", 0, 10)
    with descriptor(d, os.O_RDONLY) as fd:
        note("of a directory", fallocate, fd, "extend", 0, 10)
    with descriptor(d / "f", os.O_RDWR) as fd:
        note("posix_fallocate", lambda: os.posix_fallocate(fd, 0, 50_000) or os.fstat(fd).st_size)
        note("posix_fadvise", os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)


def maps(d, note):
    path = d / "f"
    path.write_bytes(b"x" * 10_000)
    with descriptor(path, os.O_RDWR) as fd:
        with mmap.mmap(fd, 10_000) as view:
            view[5000:5005] = b"hello"
            note("read sees it", os.pread, fd, 5, 5000)
            note("another process sees it", in_child, lambda: path.read_bytes()[5000:5005])
            os.pwrite(fd, b"there", 6000)
            note("it sees a write", lambda: view[6000:6005])
            in_child(lambda: os.close(os.open(path, os.O_WRONLY)) or path.open("r+b").write(b"child"))
            note("it sees another process' write", lambda: view[0:5])
            view.flush()
        with mmap.mmap(fd, 10_000, mmap.MAP_PRIVATE) as view:
            view[0:3] = b"own"
            note("a private one", os.pread, fd, 3, 0)
        view = mmap.mmap(fd, 10_000)
    view[9000:9003] = b"end"
    view.flush()
    note("kept after close", lambda: path.read_bytes()[9000:9003])
    os.truncate(path, 4000)
    note("in the last page", in_child, lambda: view[4090])
    note("beyond the last page", in_child, lambda: view[8000])
    os.truncate(path, 10_000)
    note("longer again", in_child, lambda: view[8000])
    os.unlink(path)
    view[0:2] = b"go"
    note("without a name", in_child, lambda: view[0:2])
    view.close()
    path.touch()
    with descriptor(path, os.O_RDWR) as fd:
        os.ftruncate(fd, 1)
        view = mmap.mmap(fd, 1)
        os.ftruncate(fd, 0)
        note("of nothing", in_child, lambda: view[0])
        view.close()
    with descriptor(path, os.O_RDONLY) as fd:
        os.truncate(path, 100)
        note("written, of what is read", lambda: mmap.mmap(fd, 100).close())
        note("only read", lambda: mmap.mmap(fd, 100, prot=mmap.PROT_READ)[:3])
    with descriptor(path, os.O_WRONLY) as fd:
        note("read, of what is written", lambda: mmap.mmap(fd, 100, prot=mmap.PROT_READ).close())


def locks(d, note):
    """Each kind between two processes, and between two descriptors of one."""
    path = d / "f"
    path.write_bytes(b"x" * 100)
    nonblocking = fcntl.LOCK_EX | fcntl.LOCK_NB
    with open(path, "r+b") as one, open(path, "r+b") as two, open(path, "rb") as reader:
        fcntl.lockf(one, nonblocking, 10, 0)
        note("POSIX, same process", fcntl.lockf, two, nonblocking, 10, 0)
        note("POSIX, another process", in_child, lambda: fcntl.lockf(two, nonblocking, 10, 5))
        note("POSIX, beside", in_child, lambda: fcntl.lockf(two, nonblocking, 10, 10))
        note("POSIX, shared", in_child, lambda: fcntl.lockf(reader, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 0))
        note("POSIX, who has it", in_child, lambda: struct.unpack("hhqqi4x", fcntl.fcntl(two, fcntl.F_GETLK, lock(fcntl.F_WRLCK)))[:4])
        note("POSIX, exclusive of what is read", fcntl.lockf, reader, nonblocking)
        os.close(os.dup(two.fileno()))
        note("POSIX, after any close", in_child, lambda: fcntl.lockf(two, nonblocking, 10, 0))
        note("OFD", fcntl.fcntl, one, fcntl.F_OFD_SETLK, lock(fcntl.F_WRLCK, 50, 10))
        note("OFD, same process", fcntl.fcntl, two, fcntl.F_OFD_SETLK, lock(fcntl.F_WRLCK, 55, 1))
        note("OFD, another process", in_child, lambda: fcntl.lockf(two, nonblocking, 1, 55))
        note("OFD, shared beside", fcntl.fcntl, two, fcntl.F_OFD_SETLK, lock(fcntl.F_RDLCK, 60, 5))
        note("flock", fcntl.flock, one, nonblocking)
        note("flock, same process", fcntl.flock, two, nonblocking)
        note("flock, another process", in_child, lambda: fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB))
        note("flock, inherited", in_child, lambda: fcntl.flock(one, nonblocking))
        note("flock, down", fcntl.flock, one, fcntl.LOCK_SH | fcntl.LOCK_NB)
        note("flock, shared", fcntl.flock, reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        note("flock, up again", fcntl.flock, one, nonblocking)
    with open(path, "r+b") as one:
        note("nothing is left", fcntl.flock, one, nonblocking)
        note("handed over", handed_over, one)
        note("on a directory", flock_of_directory, d)


def handed_over(file):
    """Who waits gets it as soon as the other lets go."""
    fcntl.lockf(file, fcntl.LOCK_EX)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"before ")
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.write(writer, b"after")
        os._exit(0)
    os.close(writer)
    first = os.read(reader, 100)
    fcntl.lockf(file, fcntl.LOCK_UN)
    os.waitpid(pid, 0)
    second = os.read(reader, 100)
    os.close(reader)
    return first, second


def flock_of_directory(d):
    with descriptor(d, os.O_RDONLY) as one, descriptor(d, os.O_RDONLY) as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        return syscalls.result_of(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)


def leases(d, note):
    (d / "f").touch()
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with descriptor(d / "f", os.O_RDONLY) as fd:
            note("to read", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            note("which", fcntl.fcntl, fd, fcntl.F_GETLEASE)
            note("broken", in_child, lambda: os.close(os.open(d / "f", os.O_WRONLY | os.O_NONBLOCK)))
            note("given back", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        with descriptor(d / "f", os.O_RDWR) as fd:
            note("to write", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            note("given back, too", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        signal.signal(signal.SIGIO, signal.SIG_DFL)


def copies(d, note):
    (d / "f").write_bytes(b"0123456789" * 1000)
    (d / "d").mkdir()
    with descriptor(d / "f", os.O_RDWR) as one, descriptor(d / "g", os.O_CREAT | os.O_RDWR) as two:
        note("copy", os.copy_file_range, one, two, 5000, 5, 100)
        note("copy, more than there is", os.copy_file_range, one, two, 50_000, 9000, 0)
        note("copy, beyond the end", os.copy_file_range, one, two, 10, 20_000, 0)
        note("copy within", os.copy_file_range, one, one, 100, 0, 9950)
        note("copy onto itself", os.copy_file_range, one, one, 100, 0, 50)
        note("copy by offsets", lambda: (os.lseek(one, 10, os.SEEK_SET), os.copy_file_range(one, two, 7), os.lseek(two, 0, os.SEEK_CUR)))
        with descriptor(d / "g", os.O_RDONLY) as reader, descriptor(d / "g", os.O_WRONLY | os.O_APPEND) as appender:
            note("copy to what is read", os.copy_file_range, one, reader, 10, 0)
            note("copy to what is appended to", os.copy_file_range, one, appender, 10, 0)
        with descriptor(d / "d", os.O_RDONLY) as directory:
            note("copy of a directory", os.copy_file_range, directory, two, 10)
        note("sendfile", lambda: os.sendfile(two, one, 100, 300))
        note("the place afterwards", os.lseek, two, 0, os.SEEK_CUR)
        reader, writer = os.pipe()
        note("splice from it", os.splice, one, writer, 1000, 20)
        note("splice to it", os.splice, reader, two, 1000, None, 6000)
        os.write(writer, b"piped")
        with descriptor(d / "g", os.O_WRONLY | os.O_APPEND) as appender:
            note("splice to what is appended to", os.splice, reader, appender, 5)
        note("sendfile to a pipe", lambda: (os.read(reader, 100), os.sendfile(writer, one, 0, 64), os.read(reader, 100)))
        os.close(reader)
        os.close(writer)
    note.state("after all", d)


def durable(d, note):
    (d / "f").write_bytes(b"x")
    for label, flags in {"file": os.O_RDWR, "file that is read": os.O_RDONLY, "directory": os.O_RDONLY}.items():
        with descriptor(d / "f" if "file" in label else d, flags) as fd:
            for call in ("fsync", "fdatasync", "syncfs"):
                note(f"{call} of a {label}", syscalls.call, call, fd)
            note(f"sync_file_range of a {label}", syscalls.call, "sync_file_range", fd, 0, 0, 7)
    os.mkfifo(d / "fifo")
    with descriptor(d / "fifo", os.O_RDWR) as fd:
        note("fsync of a fifo", os.fsync, fd)
    note("length of names", lambda: os.statvfs(d).f_namemax)
    note("the longest path", os.pathconf, d, "PC_PATH_MAX")
    note("room", lambda: os.statvfs(d).f_blocks > 0 and os.statvfs(d / "f").f_bavail > 0)


CASES = (open_flags, reading_and_writing, append_and_direct, appended_by_several, shared_offsets, sizes, seeking, without_a_name, allocation,
         maps, locks, leases, copies, durable)
