"""Calls that Python does not have, and notes of what calls came to, for the comparison of two directories."""
import contextlib
import ctypes
import errno
import faulthandler
import os
import stat
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW = -100, 0x100, 0x400
RENAME = {"": 0, "noreplace": 1, "exchange": 2, "whiteout": 4, "noreplace+exchange": 3, "unknown": 64}
FALLOCATE = {"extend": 0, "keep": 1, "punch": 3, "punch without keep": 2, "collapse": 8, "zero": 16, "zero keep": 17, "insert": 32}
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
IN = {0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x10: "CLOSE_NOWRITE", 0x20: "OPEN", 0x40: "MOVED_FROM",
      0x80: "MOVED_TO", 0x100: "CREATE", 0x200: "DELETE", 0x400: "DELETE_SELF", 0x800: "MOVE_SELF"}
IN_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800


class Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_int64), ("tv_nsec", ctypes.c_int64)]


class Dirent(ctypes.Structure):
    _fields_ = [("d_ino", ctypes.c_uint64), ("d_off", ctypes.c_int64), ("d_reclen", ctypes.c_uint16), ("d_type", ctypes.c_uint8),
                ("d_name", ctypes.c_char * 256)]


LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
LIBC.telldir.restype = ctypes.c_long


def call(name, *arguments):
    """A function of libc that gives -1 and errno."""
    arguments = [os.fsencode(a) if isinstance(a, (str, os.PathLike)) else a for a in arguments]
    result = getattr(LIBC, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def rename(old, new, flags=""):
    return call("renameat2", AT_FDCWD, old, AT_FDCWD, new, RENAME[flags])


def link_followed(old, new):
    """A hard link to what a symbolic link points to."""
    return call("linkat", AT_FDCWD, old, AT_FDCWD, new, AT_SYMLINK_FOLLOW)


def fallocate(fd, kind, offset, length):
    return call("fallocate", fd, FALLOCATE[kind], ctypes.c_int64(offset), ctypes.c_int64(length))


def utimens(path, atime, mtime, flags=0):
    """Each time is (s, ns), UTIME_NOW or UTIME_OMIT."""
    times = [(0, t) if isinstance(t, int) else t for t in (atime, mtime)]
    return call("utimensat", AT_FDCWD, path, ctypes.byref((Timespec * 2)(*(Timespec(*t) for t in times))), flags)


def lock(kind, start=0, length=0):
    """A struct flock."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


class Directory:
    """The stream of opendir(3)."""

    def __init__(self, path):
        self.stream = ctypes.c_void_p(LIBC.opendir(os.fsencode(path)))
        assert self.stream.value

    def read(self):
        """(name, d_ino, d_type) or None."""
        found = LIBC.readdir(self.stream)
        if not found:
            return None
        entry = Dirent.from_address(found)
        return os.fsdecode(entry.d_name), entry.d_ino, entry.d_type

    def rest(self):
        return list(iter(self.read, None))

    def tell(self):
        return LIBC.telldir(self.stream)

    def seek(self, place):
        LIBC.seekdir(self.stream, ctypes.c_long(place))

    def rewind(self):
        LIBC.rewinddir(self.stream)

    def close(self):
        LIBC.closedir(self.stream)


class Watch:
    """inotify, of one directory or file."""

    def __init__(self, path, mask=IN_CHANGES):
        self.fd = call("inotify_init1", os.O_NONBLOCK)
        call("inotify_add_watch", self.fd, path, mask)

    def events(self):
        """[(what, name)] so far."""
        result = []
        with contextlib.suppress(BlockingIOError):
            octets = os.read(self.fd, 65536)
            while octets:
                _, mask, _, length = struct.unpack_from("iIII", octets)
                result.append(("+".join(IN[bit] for bit in IN if mask & bit), octets[16:16 + length].rstrip(b"\0").decode()))
                octets = octets[16 + length:]
        return result

    def close(self):
        os.close(self.fd)


def result_of(function, *arguments, **keywords):
    """What it returns, or the name of its error."""
    try:
        return function(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


class Notes(dict):
    """{what was done: what it came to}"""

    def __call__(self, label, function, *arguments, **keywords):
        assert label not in self, f"two notes {label}"
        self[label] = result_of(function, *arguments, **keywords)
        return self[label]

    def open(self, label, path, flags, mode=0o644, dir_fd=None):
        """Opens and closes; the note is the file's mode and size, or the error."""
        def opened():
            with descriptor(path, flags, mode, dir_fd=dir_fd) as fd:
                info = os.fstat(fd)
                return oct(info.st_mode), info.st_size
        return self(label, opened)

    def state(self, label, directory):
        self[label] = state(directory)


@contextlib.contextmanager
def descriptor(path, flags, mode=0o644, dir_fd=None):
    fd = os.open(path, flags, mode, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def inside(directory):
    """With that as working directory."""
    before = os.open(".", os.O_PATH)
    os.chdir(directory)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def in_child(function):
    """In a process of its own: what it returns as bytes, or (exit status, signal) when it does not."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()
            os.close(reader)
            os.write(writer, str(result_of(function)).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as said:
        octets = said.read()
    _, status = os.waitpid(pid, 0)
    return octets.decode() if status == 0 else f"status {status & 0x7f or status >> 8}"


def content(path, mode):
    if stat.S_ISLNK(mode):
        return os.readlink(os.fsencode(path))
    if stat.S_ISREG(mode) and mode & 0o400:
        with open(path, "rb") as file:
            return file.read()
    return None


def look(path):
    """What can be seen of a file, but for its numbers and times, which are never the same."""
    info = os.lstat(path)
    size = None if stat.S_ISDIR(info.st_mode) else info.st_size  # of a directory: the disk's own matter
    return oct(info.st_mode), info.st_nlink, size, info.st_uid, info.st_gid, content(path, info.st_mode)


def state(directory):
    """{path below it: what can be seen}, and the types that the listing tells; hard links are told by pairs."""
    result, by_number = {}, {}
    pending = [os.fsencode(directory)]
    while pending:
        folder = pending.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                name = os.path.relpath(entry.path, os.fsencode(directory))
                info = entry.stat(follow_symlinks=False)
                assert info.st_ino == entry.inode() == os.lstat(entry.path).st_ino, entry.path
                kind = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False), entry.is_symlink()
                result[name] = kind, look(entry.path), by_number.setdefault(info.st_ino, name)
                if kind[0] and info.st_mode & 0o700 == 0o700:
                    pending.append(entry.path)
    return result
