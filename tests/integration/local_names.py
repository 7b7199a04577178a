"""Cases for test_local_posix.py: names, directories, and what belongs to an inode. Each gets an empty directory and notes."""
import os
import socket
import stat
import time

import syscalls
from syscalls import AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT, descriptor, in_child, inside, umask

MODES = (0, 0o400, 0o444, 0o644, 0o666, 0o755, 0o777, 0o1777, 0o2755, 0o4711, 0o7777)


def make_with_umask(d, note):
    def make(kind, path, mode):
        if kind == "open":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode))
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(os.path.relpath(path))
        else:
            {"mkdir": os.mkdir, "mknod": os.mknod, "mkfifo": os.mkfifo}[kind](path, mode)
        return oct(os.lstat(path).st_mode)
    with inside(d):
        for mask in (0, 0o002, 0o022, 0o077, 0o777):
            with umask(mask):
                for kind in ("open", "mkdir", "mknod", "mkfifo"):
                    for mode in MODES:
                        note(f"umask {mask:o}: {kind} {mode:o}", make, kind, f"{kind}{mask:o}{mode:o}", mode)
                note(f"umask {mask:o}: socket", make, "socket", f"s{mask:o}", 0)
        for entry in os.scandir():
            os.chmod(entry, 0o700)


def change_mode(d, note):
    (d / "f").write_bytes(b"x")
    (d / "d").mkdir()
    os.symlink("f", d / "l")
    for mode in MODES:
        for name in ("f", "d"):
            note(f"chmod {name} {mode:o}", lambda: os.chmod(d / name, mode) or oct(os.stat(d / name).st_mode))
    os.chmod(d / "d", 0o2775)
    (d / "d" / "below").mkdir()
    (d / "d" / "file").touch()
    note("in a directory with sgid", syscalls.state, d / "d")
    os.chmod(d / "f", 0o600)
    with descriptor(d / "f", os.O_RDONLY) as fd:
        note("fchmod", lambda: os.fchmod(fd, 0o4755) or oct(os.fstat(fd).st_mode))
    with descriptor(d / "f", os.O_PATH) as fd:
        note("fchmod of a path", os.fchmod, fd, 0o600)
    note("fchmodat of a link", syscalls.call, "fchmodat", syscalls.AT_FDCWD, d / "l", 0o600, AT_SYMLINK_NOFOLLOW)
    for what, change in (("write", lambda p: p.write_bytes(b"yy")), ("truncate", lambda p: os.truncate(p, 1)),
                         ("chown", lambda p: os.chown(p, os.getuid(), os.getgid())), ("chown -1", lambda p: os.chown(p, -1, -1)),
                         ("append", lambda p: p.open("ab").write(b"z")), ("utime", os.utime)):
        for mode in (0o6755, 0o6745, 0o2644):
            os.chmod(d / "f", mode)
            note(f"{mode:o} after {what}", lambda: change(d / "f") and None or oct(os.stat(d / "f").st_mode))


def change_owner(d, note):
    (d / "f").touch()
    os.symlink("f", d / "l")
    note("to self", os.chown, d / "f", os.getuid(), os.getgid())
    note("to root", os.chown, d / "f", 0, -1)
    note("to another group", os.chown, d / "f", -1, 0)
    note("a link to self", os.lchown, d / "l", os.getuid(), os.getgid())
    note("a link to root", os.lchown, d / "l", 0, -1)
    note("no file", os.chown, d / "none", -1, -1)


def set_times(d, note):
    def times(name, follow=False):
        info = os.stat(d / name, follow_symlinks=follow)
        recent = time.time_ns() - 10_000_000_000
        return ["now" if t > recent else t for t in (info.st_atime_ns, info.st_mtime_ns)]
    (d / "f").touch()
    (d / "d").mkdir()
    os.symlink("f", d / "l")
    os.symlink("none", d / "dangling")
    start = ((100, 1), (200, 2))
    wanted = {"both": ((3, 999_999_999), (4, 1)), "now": (UTIME_NOW, UTIME_NOW), "omit": (UTIME_OMIT, UTIME_OMIT),
              "atime": ((5, 5), UTIME_OMIT), "mtime": (UTIME_OMIT, (6, 6)), "atime now": (UTIME_NOW, UTIME_OMIT),
              "mtime now": (UTIME_OMIT, UTIME_NOW), "now and then": (UTIME_NOW, (7, 7)), "negative": ((-5, 5), (-6, 600)),
              "beyond 2038": ((1 << 32, 1), (1 << 33, 2)), "ns too large": ((1, 1_000_000_000), (1, 1))}
    for name in ("f", "d", "l", "dangling"):
        flags = AT_SYMLINK_NOFOLLOW if name in ("l", "dangling") else 0
        for what, (atime, mtime) in wanted.items():
            syscalls.utimens(d / name, *start, flags)
            note(f"{name}: {what}", syscalls.utimens, d / name, atime, mtime, flags)
            note(f"{name} after {what}", times, name)
    note("a link is followed", lambda: syscalls.utimens(d / "l", (8, 8), (9, 9)) or times("l", follow=True))
    note("a dangling one is followed", syscalls.utimens, d / "dangling", (8, 8), (9, 9))
    os.chmod(d / "f", 0o444)
    note("read-only, explicit", syscalls.utimens, d / "f", (1, 1), (1, 1))
    note("read-only, now", syscalls.utimens, d / "f", UTIME_NOW, UTIME_NOW)


def what_sets_times(d, note):
    """Which of the times of a file, its directory and another directory a call moves."""
    def made(name, octets=b"0123456789"):
        (d / "a" / name).write_bytes(octets)
        return d / "a" / name
    calls = {
        "nothing": lambda f: None, "write": lambda f: f.write_bytes(b"x"), "write nothing": lambda f: f.open("ab").close(),
        "truncate": lambda f: os.truncate(f, 3), "truncate to the same": lambda f: os.truncate(f, 10),
        "open to empty": lambda f: os.close(os.open(f, os.O_WRONLY | os.O_TRUNC)), "chmod": lambda f: os.chmod(f, 0o640),
        "chown": lambda f: os.chown(f, os.getuid(), -1), "link": lambda f: os.link(f, d / "b" / "x"),
        "link beside": lambda f: os.link(f, f.with_name("y")), "symlink": lambda f: os.symlink("f", f.with_name("y")),
        "rename": lambda f: os.rename(f, f.with_name("y")), "rename away": lambda f: os.rename(f, d / "b" / "x"),
        "unlink": os.unlink, "create": lambda f: f.with_name("y").touch(), "mkdir": lambda f: f.with_name("y").mkdir(),
        "create what is there": lambda f: os.close(os.open(f, os.O_CREAT | os.O_WRONLY)),
        "rename over": lambda f: os.rename(f, made("y")), "fallocate": allocate, "copy": copy_beside,
        "rmdir": lambda f: (d / "a" / "d").rmdir(), "mkdir of what is there": lambda f: syscalls.result_of(f.mkdir),
        "link of what is there": lambda f: syscalls.result_of(os.link, f, f), "utime": lambda f: os.utime(f, ns=(5, 5))}
    for label, function in calls.items():
        for sub in ("a", "b"):
            (d / sub).mkdir(exist_ok=True)
            for entry in os.scandir(d / sub):
                os.rmdir(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
        (d / "a" / "d").mkdir()
        note(f"moved by {label}", moved_times, d, made("f"), function)


def allocate(f):
    with descriptor(f, os.O_RDWR) as fd:
        syscalls.fallocate(fd, "extend", 0, 5000)


def copy_beside(f):
    with descriptor(f, os.O_RDONLY) as source, descriptor(f.with_name("y"), os.O_WRONLY | os.O_CREAT) as target:
        os.copy_file_range(source, target, 10)


def moved_times(d, file, function):
    with descriptor(file, os.O_RDONLY) as fd:
        places = {"file": fd, "a": d / "a", "b": d / "b"}
        for place in places.values():
            os.utime(place, ns=(1000, 1000))
        before = {name: os.stat(place) for name, place in places.items()}
        time.sleep(0.012)  # a tick of the clock that file systems use
        function(file)
        after = {name: os.stat(place) for name, place in places.items()}
    return sorted(f"{name} {what}" for name in places for what in ("st_mtime_ns", "st_ctime_ns")
                  if getattr(before[name], what) != getattr(after[name], what))


def links(d, note):
    (d / "f").write_bytes(b"content")
    (d / "d").mkdir()
    os.symlink("f", d / "l")
    note("a file", os.link, d / "f", d / "f2")
    note("a name that is taken", os.link, d / "f", d / "f2")
    note("onto a directory", os.link, d / "f", d / "d")
    note("a directory", os.link, d / "d", d / "d2")
    note("a link itself", os.link, d / "l", d / "l2", follow_symlinks=False)
    note("where a link points", syscalls.link_followed, d / "l", d / "l3")
    note("none", os.link, d / "none", d / "x")
    note("into none", os.link, d / "f", d / "none" / "x")
    note("into a file", os.link, d / "f", d / "f2" / "x")
    os.mkfifo(d / "fifo")
    note("a fifo", os.link, d / "fifo", d / "fifo2")
    with descriptor(d / "f", os.O_RDWR) as fd:
        note("by a descriptor", syscalls.link_followed, f"/proc/self/fd/{fd}", d / "f3")
        for name in ("f", "f2", "f3", "l3"):
            os.unlink(d / name)
        note("of what has no name", syscalls.link_followed, f"/proc/self/fd/{fd}", d / "f4")
        note("no name left", lambda: os.fstat(fd).st_nlink)
    note.state("left", d)


def symlinks(d, note):
    def describe(name):
        return oct(os.lstat(d / name).st_mode), os.lstat(d / name).st_size, os.readlink(os.fsencode(d / name))
    for label, target in {"short": "x", "long": "y/" * 2047 + "z", "odd": b"\xff\n\x01 caf\xc3\xa9", "absolute": "/nowhere",
                          "dots": "../../../../../../../../etc/passwd"}.items():
        note(f"make {label}", os.symlink, target, d / label)
        note(label, describe, label)
    note("too long", os.symlink, "x" * 4096, d / "toolong")
    note("empty", os.symlink, "", d / "empty")
    note("taken", os.symlink, "x", d / "short")
    note("readlink of a file", lambda: (d / "f").touch() or os.readlink(d / "f"))
    os.symlink("loop", d / "loop")
    note.open("loop", d / "loop", os.O_RDONLY)
    note("stat of a loop", os.stat, d / "loop")
    (d / "c0").write_bytes(b"end")
    for n in range(1, 43):
        os.symlink(f"c{n - 1}", d / f"c{n}")
    for n in (39, 40, 41, 42):
        note.open(f"chain of {n}", d / f"c{n}", os.O_RDONLY)
    note.open("dangling", d / "short", os.O_RDONLY)
    note.open("dangling, made", d / "short", os.O_WRONLY | os.O_CREAT)
    note.open("dangling, exclusively", d / "absolute", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    note("unlink", os.unlink, d / "long")
    (d / "d").mkdir()
    (d / "d" / "x").touch()
    os.symlink("d", d / "tod")
    note("rmdir of a link", os.rmdir, d / "tod")
    note("list by a link", os.listdir, d / "tod")
    note("rename by a link", os.rename, d / "tod" / "x", d / "y")


KINDS = {"file": lambda p: p.write_bytes(b"f"), "empty": lambda p: p.mkdir(), "link": lambda p: os.symlink("to", p),
         "full": lambda p: p.mkdir() or (p / "below").touch(), "fifo": os.mkfifo, "none": lambda p: None}


def renames(d, note):
    for flags in ("", "noreplace", "exchange"):
        for old, make_old in KINDS.items():
            for new, make_new in KINDS.items():
                place = d / f"{flags}-{old}-{new}"
                place.mkdir()
                make_old(place / "a")
                make_new(place / "b")
                note(f"{old} over {new}, {flags}", syscalls.rename, place / "a", place / "b", flags)
    note.state("after all", d)


def special_renames(d, note):
    (d / "d" / "e" / "f").mkdir(parents=True)
    (d / "x").write_bytes(b"x")
    os.link(d / "x", d / "y")
    for flags in ("whiteout", "noreplace+exchange", "unknown"):
        note(f"{flags} over a file", syscalls.rename, d / "x", d / "y", flags)
        note(f"{flags} over nothing", syscalls.rename, d / "x", d / "z", flags)
    note.state("after flags", d)
    note("onto another name of it", os.rename, d / "x", d / "y")
    note("onto itself", os.rename, d / "x", d / "x")
    note("both exchanged", syscalls.rename, d / "x", d / "y", "exchange")
    note("another name, not replaced", syscalls.rename, d / "x", d / "y", "noreplace")
    for old, new in (("d", "d/e/g"), ("d", "d/g"), ("d/e/f", "d"), ("d/e", "d"), ("d", "d"), ("d/.", "z"), ("d/..", "z"), ("d", "d/e/.."),
                     ("x", "z/"), ("x/", "z"), ("d/e/", "g/"), ("x", "d/"), ("x", "none/x"), ("x", "y/x"), ("d", "x/")):
        note(f"{old} to {new}", os.rename, f"{d}/{old}", f"{d}/{new}")
    note("exchange with one's parent", syscalls.rename, f"{d}/d", f"{d}/d/.", "exchange")
    (d / "p" / "q").mkdir(parents=True)
    note("exchange with what is below", syscalls.rename, d / "p", d / "p" / "q", "exchange")
    (d / "here").mkdir()
    with inside(d / "here"):
        os.rename(d / "here", d / "there")
        note("where one is", lambda: os.path.basename(os.getcwd()))
        note.open("make a file there", "made", os.O_CREAT | os.O_WRONLY)
    (d / "from" / "sub").mkdir(parents=True)
    (d / "to").mkdir()
    os.rename(d / "from" / "sub", d / "to" / "sub")
    note("parent of what was moved", lambda: os.stat(d / "to" / "sub" / "..").st_ino == os.stat(d / "to").st_ino)
    note("links of the two", lambda: [os.stat(d / name).st_nlink for name in ("from", "to")])
    note.state("after all", d)


def remove(d, note):
    (d / "full" / "x").mkdir(parents=True)
    (d / "f").touch()
    (d / "e").mkdir()
    os.symlink("e", d / "l")
    for path in ("full", "f", "none", "e/.", "e/..", "l", "l/", "f/x", "e/", "e"):
        note(f"rmdir {path}", os.rmdir, f"{d}/{path}")
    for path in ("full", "none", "f/", "l/x", "l", "f", "full/."):
        note(f"unlink {path}", os.unlink, f"{d}/{path}")
    (d / "cwd").mkdir()
    with descriptor(d / "cwd", os.O_RDONLY) as fd, inside(d / "cwd"):
        note("rmdir of where one is", os.rmdir, d / "cwd")
        note("where one is now", os.getcwd)
        note("list it", os.listdir, ".")
        note("list it by descriptor", os.listdir, fd)
        note("make a file in it", os.open, "x", os.O_CREAT | os.O_WRONLY)
        note("make a directory in it", os.mkdir, "y")
        note("move into it", os.rename, d / "full", "y")
        note("link into it", lambda: (d / "g").touch() or os.link(d / "g", "g"))
        note("its links", lambda: os.fstat(fd).st_nlink)
        note("fsync of it", os.fsync, fd)
        note("chmod of it", os.fchmod, fd, 0o700)
    with descriptor(d / "full", os.O_RDONLY) as fd:
        note("exchanged while open", lambda: (d / "h").mkdir() or syscalls.rename(d / "full", d / "h", "exchange") or os.listdir(fd))


def names(d, note):
    d = os.fsencode(d)
    for label, name in {"255": b"n" * 255, "256": b"n" * 256, "255 in UTF-8": "é".encode() * 127 + b"x", "not UTF-8": b"\xff\xfe\x80",
                        "newline": b"a\nb", "control": bytes(range(1, 32)), "blank": b" ", "three dots": b"...", "dots": b"..a",
                        "star": b"*?[", "backslash": b"a\\b", "like a message": b"1.x.y:2,S", "like a folder": b"cur", "upper": b"N",
                        "status": b".mailmount", "lock": b".#x", "scratch": b"x~", "keywords": b"dovecot-keywords"}.items():
        path = d + b"/" + name
        note.open(f"make {label}", path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        note(f"is {label}", os.access, path, os.F_OK)
        note(f"mkdir {label}", os.mkdir, path[:-1] + b"d")
        note(f"link {label}", os.symlink, name, path[:-1] + b"l")
        note(f"rename {label}", os.rename, path, path[:-1] + b"m")
    note.open("no name", b"", os.O_RDONLY)
    note("listed", lambda: sorted(os.listdir(d)))
    note("too long to find", os.stat, d + b"/" + b"x" * 256)
    for length in (4095, 4096):
        path = (d + b"/.").ljust(length, b"/")
        note(f"path of {length}", lambda: stat.S_ISDIR(os.stat(path).st_mode))


def deeper_than_a_path(d, note):
    name = "deep" * 60
    with inside(d):
        for _ in range(20):
            os.mkdir(name)
            os.chdir(name)
        note.open("make a file at the bottom", "x", os.O_CREAT | os.O_WRONLY)
        note("the name of it", lambda: len(os.getcwd()) - len(str(d)))
        note("found from above", os.stat, "/".join([str(d)] + [name] * 20))
        note("up again", lambda: os.path.samefile("/".join([".."] * 20), d))
        os.unlink("x")
        for _ in range(20):
            os.chdir("..")
            os.rmdir(name)
        note("nothing is left", os.listdir, ".")


def special_files(d, note):
    os.mkfifo(d / "fifo")
    note.open("fifo, to write, nobody reads", d / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    note("through a fifo", through_fifo, d / "fifo")
    with inside(d), socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        note("bind", server.bind, "s")
        note("bind again", lambda: socket.socket(socket.AF_UNIX).bind("s"))
        note("connect, nobody listens", client.connect, "s")
        server.listen()
        note("connect", client.connect, "s")
        os.rename("s", "renamed")
        with socket.socket(socket.AF_UNIX) as second:
            note("connect by another name", second.connect, "renamed")
        note("connect by the old name", lambda: socket.socket(socket.AF_UNIX).connect("s"))
        note.open("open a socket", "renamed", os.O_RDWR)
    (d / "f").touch()
    note("connect to a file", lambda: socket.socket(socket.AF_UNIX).connect(os.path.relpath(d / "f")))
    note("character device", os.mknod, d / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    note("block device", os.mknod, d / "disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))
    note("whiteout", os.mknod, d / "white", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    note("mknod of a file", os.mknod, d / "plain", stat.S_IFREG | 0o600)
    note("mknod of what is there", os.mknod, d / "plain", stat.S_IFREG | 0o600)
    note("mknod of a directory", os.mknod, d / "dir", stat.S_IFDIR | 0o700)
    note("mknod of anything", os.mknod, d / "any", 0o600)
    note.state("all", d)


def through_fifo(path):
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    in_child(lambda: path.open("wb", buffering=0).write(b"word"))
    octets = os.read(reader, 100)
    os.close(reader)
    return octets


def permissions(d, note):
    (d / "f").write_bytes(b"#!/bin/sh\nexit 7\n")
    (d / "d").mkdir()
    (d / "d" / "x").touch()
    for mode in (0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700, 0o077):
        os.chmod(d / "f", mode)
        os.chmod(d / "d", mode)
        for name in ("f", "d"):
            note(f"{name} {mode:o}", lambda: [os.access(d / name, how) for how in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)])
        for label, flags in {"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR, "empty": os.O_RDONLY | os.O_TRUNC}.items():
            note(f"open {mode:o} to {label}", lambda: os.close(os.open(d / "f", flags)))
        note(f"truncate {mode:o}", os.truncate, d / "f", 17)
        note(f"run {mode:o}", in_child, lambda: os.execv(d / "f", ["f"]))
        note(f"list {mode:o}", os.listdir, d / "d")
        note(f"look into {mode:o}", lambda: os.stat(d / "d" / "x").st_size)
        note(f"make in {mode:o}", lambda: (d / "d" / "y").touch())
        note(f"remove from {mode:o}", os.unlink, d / "d" / "y")
        note(f"enter {mode:o}", lambda: enter(d / "d"))
    os.chmod(d / "d", 0o700)
    note("no file", os.access, d / "none", os.F_OK)
    note("executed while written", executed_while_written, d)


def enter(directory):
    with inside(directory):
        return os.listdir(".")


def executed_while_written(d):
    with open("/bin/true", "rb") as source:
        (d / "true").write_bytes(source.read())
    os.chmod(d / "true", 0o700)
    good = in_child(lambda: os.execv(d / "true", ["true"]))
    with descriptor(d / "true", os.O_WRONLY):
        return good, in_child(lambda: os.execv(d / "true", ["true"]))


def numbers(d, note):
    (d / "f").write_bytes(b"x")
    first = os.stat(d / "f").st_ino
    with descriptor(d / "f", os.O_RDONLY) as fd:
        os.rename(d / "f", d / "g")
        note("renamed", lambda: os.stat(d / "g").st_ino == os.fstat(fd).st_ino == first)
        os.unlink(d / "g")
        (d / "g").touch()
        note("another file", lambda: os.stat(d / "g").st_ino != os.fstat(fd).st_ino == first)
    (d / "d").mkdir()
    note("links of a directory", lambda: [os.stat(d).st_nlink, (d / "d" / "e").mkdir(), os.stat(d / "d").st_nlink,
                                          (d / "d" / "e").rmdir(), os.stat(d / "d").st_nlink, (d / "d").rmdir(), os.stat(d).st_nlink])


def listings(d, note):
    (d / "sub").mkdir()
    (d / "f").touch()
    os.symlink("f", d / "l")
    os.mkfifo(d / "p")
    stream = syscalls.Directory(d)
    entries = stream.rest()
    note("all", sorted, [(name, kind) for name, _, kind in entries])
    note("their numbers", lambda: all(os.lstat(d / name).st_ino == ino for name, ino, _ in entries))
    stream.rewind()
    places = []
    while True:
        place, entry = stream.tell(), stream.read()
        if not entry:
            break
        places.append((place, entry))
    note("each is found again", lambda: [stream.seek(place) or stream.read() == entry for place, entry in reversed(places)])
    (d / "made").touch()
    stream.rewind()
    note("rewound", lambda: sorted(name for name, _, _ in stream.rest()))
    os.unlink(d / "made")
    note("at the end", stream.read)
    stream.rewind()
    note("rewound again", lambda: sorted(name for name, _, _ in stream.rest()))
    stream.close()
    with descriptor(d, os.O_RDONLY) as fd:
        note("by a descriptor twice", lambda: [sorted(os.listdir(fd)), sorted(os.listdir(fd))])
        note("read a directory", os.read, fd, 10)
    with descriptor(d, os.O_PATH) as fd:
        note("list a path", os.listdir, fd)
    note("list a file", os.listdir, d / "f")


def listing_while_it_changes(d, note):
    """Of 5,000 entries half are removed and others made meanwhile: those that stay are seen once, also after a seek."""
    for n in range(5000):
        os.mknod(d / f"n{n}")
    stream = syscalls.Directory(d)
    seen, gone = [stream.read()[0] for _ in range(1500)], []
    for n in range(0, 5000, 2):
        os.unlink(d / f"n{n}")
        if n % 500 == 0:
            (d / f"new{n}").touch()
            seen += [name for name, _, _ in filter(None, (stream.read() for _ in range(100)))]
            stream.seek(stream.tell())
    seen += [name for name, _, _ in stream.rest()]
    stream.close()
    stay = {f"n{n}" for n in range(1, 5000, 2)}
    note("those that stay", lambda: sorted(name for name in seen if name in stay) == sorted(stay))
    note("none is twice", lambda: [name for name in set(seen) if seen.count(name) > 1] if len(seen) != len(set(seen)) else [])
    note("the rest is gone", lambda: sorted(os.listdir(d)) == sorted(stay | {f"new{n}" for n in range(0, 5000, 500)}) or gone)


def watched(d, note):
    watch = syscalls.Watch(d)
    (d / "f").write_bytes(b"x")
    (d / "d").mkdir()
    os.rename(d / "f", d / "g")
    os.rename(d / "g", d / "d" / "g")
    os.rename(d / "d" / "g", d / "g")
    os.chmod(d / "g", 0o600)
    os.utime(d / "g")
    os.truncate(d / "g", 5)
    os.link(d / "g", d / "h")
    os.symlink("g", d / "l")
    os.rename(d / "h", d / "l")
    syscalls.rename(d / "l", d / "d", "exchange")
    os.unlink(d / "g")
    os.rmdir(d / "l")
    note("events", watch.events)
    watch.close()
    (d / "file").write_bytes(b"x")
    watch = syscalls.Watch(d / "file")
    with descriptor(d / "file", os.O_RDWR) as fd:
        os.write(fd, b"y")
        os.rename(d / "file", d / "other")
        os.unlink(d / "other")
        os.ftruncate(fd, 0)
    note("events of a file", watch.events)
    watch.close()


def attributes(d, note):
    (d / "f").touch()
    for name in ("user.x", "security.x", "trusted.x", "nonsense"):
        note(f"set {name}", os.setxattr, d / "f", name, b"1")
        note(f"get {name}", os.getxattr, d / "f", name)
        note(f"remove {name}", os.removexattr, d / "f", name)
    note("list", os.listxattr, d / "f")


CASES = (make_with_umask, change_mode, change_owner, set_times, what_sets_times, links, symlinks, renames, special_renames, remove, names,
         deeper_than_a_path, special_files, permissions, numbers, listings, listing_while_it_changes, watched, attributes)
