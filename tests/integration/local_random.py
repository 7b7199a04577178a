"""Calls by chance for test_local_posix.py: the same on disk and in the mount, in three places that are local and share names."""
import fcntl
import os
import random
import shutil
import stat

import syscalls

AREAS = (".git", "", "INBOX")  # below the root of the mount; in the latter two, only names with a dot are local
NAMES = (".xa", ".xb", ".xc")
OPEN = (os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR | os.O_TRUNC, os.O_DIRECTORY,
        os.O_WRONLY | os.O_APPEND | os.O_CREAT, os.O_RDWR | os.O_NOFOLLOW, os.O_PATH | os.O_NOFOLLOW, os.O_CREAT | os.O_TRUNC | os.O_RDWR)
SLOTS = 4


class Story:
    """Calls by chance, as tuples of a Place's methods and their arguments."""

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def path(self):
        depth = self.chance.choice((1, 1, 1, 1, 2, 2, 3))
        return os.path.join(self.chance.choice(AREAS), *(self.chance.choice(NAMES) for _ in range(depth)))

    def target(self):
        """Of a symbolic link: never above its directory, for at the root that would be shared by both places."""
        return "/".join(self.chance.choice(NAMES) for _ in range(self.chance.choice((1, 1, 2))))

    def step(self):
        c = self.chance
        slot, mode, size = c.randrange(SLOTS), c.choice((0o700, 0o755, 0o750, 0o777, 0o1711, 0o2770)), c.choice((0, 1, 500, 4096, 70_000))
        octets = bytes([c.randrange(256)]) * c.randrange(1, 6000)
        kinds = {
            "open": (30, slot, self.path(), c.choice(OPEN), c.choice((0o600, 0o644, 0o777, 0o4755))), "close": (1, slot),
            "write": (15, slot, size, octets), "read": (8, slot, size), "resize": (5, slot, size), "look_at": (6, slot),
            "change_mode": (2, slot, mode), "append": (2, slot, c.random() < 0.5), "sync": (1, slot), "list_open": (2, slot),
            "mkdir": (14, self.path(), mode), "rmdir": (3, self.path()), "unlink": (5, self.path()), "clear": (6, self.path()), "mkfifo": (2, self.path(), mode),
            "symlink": (6, self.target(), self.path()), "link": (8, self.path(), self.path(), c.random() < 0.5),
            "rename": (16, self.path(), self.path(), c.choice(("", "", "", "noreplace", "exchange"))),
            "chmod": (3, self.path(), mode), "truncate": (3, self.path(), size), "touch": (3, self.path(), c.randrange(1 << 31)),
            "look": (6, self.path()), "list": (3, self.path()), "readlink": (2, self.path())}
        kind = c.choices(list(kinds), [share for share, *_ in kinds.values()])[0]
        return kind, *kinds[kind][1:]


class Place:
    """Where a story is played: below a directory."""

    def __init__(self, root):
        self.root = root
        self.slots = [None] * SLOTS

    def play(self, kind, *arguments):
        return syscalls.result_of(getattr(self, kind), *arguments)

    def at(self, path):
        return os.path.join(self.root, path)

    def state(self):
        return {(area, name): (syscalls.result_of(syscalls.look, self.at(os.path.join(area, name))),
                               syscalls.result_of(syscalls.state, self.at(os.path.join(area, name))))
                for area in AREAS for name in NAMES}

    def finish(self):
        for slot in range(SLOTS):
            self.close(slot)

    def fd(self, slot):
        if self.slots[slot] is None:
            raise OSError(9, "nothing is open")
        return self.slots[slot]

    def open(self, slot, path, flags, mode):
        self.close(slot)
        self.slots[slot] = os.open(self.at(path), flags | os.O_NONBLOCK, mode)
        return self.look_at(slot)

    def close(self, slot):
        fd, self.slots[slot] = self.slots[slot], None
        if fd is not None:
            os.close(fd)

    def write(self, slot, offset, octets):
        return os.pwrite(self.fd(slot), octets, offset), self.look_at(slot)

    def read(self, slot, offset):
        return os.pread(self.fd(slot), 10_000, offset)

    def resize(self, slot, size):
        return os.ftruncate(self.fd(slot), size), self.look_at(slot)

    def look_at(self, slot):
        info = os.fstat(self.fd(slot))
        return oct(info.st_mode), info.st_nlink, None if stat.S_ISDIR(info.st_mode) else info.st_size

    def change_mode(self, slot, mode):
        return os.fchmod(self.fd(slot), mode), self.look_at(slot)

    def append(self, slot, on):
        return fcntl.fcntl(self.fd(slot), fcntl.F_SETFL, os.O_APPEND if on else 0)

    def sync(self, slot):
        return os.fsync(self.fd(slot))

    def list_open(self, slot):
        return sorted(os.listdir(self.fd(slot)))

    def mkdir(self, path, mode):
        return os.mkdir(self.at(path), mode), self.look(path)

    def rmdir(self, path):
        return os.rmdir(self.at(path))

    def unlink(self, path):
        return os.unlink(self.at(path))

    def clear(self, path):
        is_directory = stat.S_ISDIR(os.lstat(self.at(path)).st_mode)  # rmtree would open a fifo, and wait
        return shutil.rmtree(self.at(path)) if is_directory else os.unlink(self.at(path))

    def mkfifo(self, path, mode):
        return os.mkfifo(self.at(path), mode), self.look(path)

    def symlink(self, target, path):
        return os.symlink(target, self.at(path)), self.look(path)

    def link(self, old, new, follow):
        link = syscalls.link_followed if follow else os.link
        return link(self.at(old), self.at(new)), self.look(old), self.look(new)

    def rename(self, old, new, flags):
        return syscalls.rename(self.at(old), self.at(new), flags), syscalls.result_of(self.look, old), self.look(new)

    def chmod(self, path, mode):
        return os.chmod(self.at(path), mode), self.look(path)

    def truncate(self, path, size):
        return os.truncate(self.at(path), size), self.look(path)

    def touch(self, path, when):
        return os.utime(self.at(path), ns=(when, when)), os.stat(self.at(path)).st_mtime_ns

    def look(self, path):
        return syscalls.look(self.at(path))

    def list(self, path):
        return sorted(os.listdir(self.at(path)))

    def readlink(self, path):
        return os.readlink(self.at(path))


class Crowded(Place):
    """With others at work there. Without fifos: what has just been a file could be one, and opening it would wait."""

    def mkfifo(self, path, mode):
        return None


def play_at_once(seed, steps, players, root):
    """Each player with a story of its own, in a process of its own. Their exit statuses."""
    pids = []
    for player in range(players):
        pids.append(os.fork())
        if pids[-1] == 0:
            status = 1
            try:
                story, place = Story(f"{seed} {player}"), Crowded(root)
                for _ in range(steps):
                    place.play(*story.step())
                status = 0
            finally:
                os._exit(status)
    return [os.waitpid(pid, 0)[1] for pid in pids]


def compare(seed, steps, on_disk, mounted):
    """Plays a story in both places. What first differs, as text, or None."""
    story, told = Story(seed), []
    for number in range(steps):
        step = story.step()
        results = [place.play(*step) for place in (on_disk, mounted)]
        told.append(f"{number} {step!r:.150} -> {results[0]!r:.300}")
        if results[0] == results[1] and (number % 100 == 99 or number == steps - 1):
            results = [place.state() for place in (on_disk, mounted)]
            if results[0] != results[1]:
                results = [{k: v for k, v in one.items() if other[k] != v} for one, other in (results, results[::-1])]
        if results[0] != results[1]:
            return "\n".join([*told[-20:], f"seed {seed}: in the mount {results[1]!r:.3000}", f"and on disk {results[0]!r:.3000}"])
    return None
