"""Power loss: takes back what a program did to its data directory and did not sync, from the journal of tests/crash/points.c.

What POSIX promises counts, and no more: octets of a file are on disk after fsync or fdatasync of it, names after fsync of
their directory. Two things are taken for granted: a rename happens in both of its directories or in neither, and names
go in the order in which they were made and removed, as in every file system with a journal. How much of the rest is
lost is the variant's choice.
"""
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

# (what becomes of octets, what becomes of names): lost is as before, zero is the new length without its content.
VARIANTS = (("lost", "lost"), ("lost", "kept"), ("zero", "kept"), ("some", "some"), ("kept", "lost"))


@dataclass
class Effect:
    what: str
    inode: tuple | None = None  # with the number of its use: inodes come again
    parents: tuple = ()
    path: str = ""
    target: str = ""
    offset: int = 0
    length: int = 0
    size: int = 0  # before
    octets: bytes = b""
    directory: bool = False
    durable: bool = False


def _parse(line, read):
    what, _, rest = line.partition(" ")
    if what == "W":
        inode, offset, length, size, count = map(int, rest.split(" "))
        return Effect(what, inode, offset=offset, length=length, size=size, octets=read(count))
    if what in "SA":
        return Effect(what, int(rest) if rest else None)
    inode, *parents, path = rest.split(" ", 3 if what == "R" else 2)
    effect = Effect(what, int(inode), tuple(map(int, parents)))
    if what == "R":
        effect.path, _, effect.target = path.partition("\t")
    elif what == "U":
        effect.path, _, count = path.partition("\t")
        effect.directory = count == "-1"
        effect.octets = b"" if effect.directory else read(int(count))
    else:
        effect.path = path
    return effect


def read_journal(path):
    effects = []
    with open(path, "rb") as journal:
        while line := journal.readline():
            text = line.rstrip(b"\n").decode("utf-8", "surrogateescape")
            effect = _parse(text, journal.read)
            if effect.what in "WU":
                journal.read(1)
            effects.append(effect)
    return effects


def mark_durable(effects):
    """Numbers the inodes' uses, and finds out what was synced. Returns the use that each inode is in at the end."""
    use = defaultdict(int)
    waiting_octets, waiting_names = defaultdict(list), defaultdict(list)

    def sync(waiting, key):
        for effect in waiting.pop(key, ()):
            effect.durable = True
    for effect in effects:
        if effect.what == "A":
            for waiting in (waiting_octets, waiting_names):
                for key in list(waiting):
                    sync(waiting, key)
            continue
        if effect.what == "N":
            use[effect.inode] += 1
        effect.inode = (effect.inode, use[effect.inode])
        effect.parents = tuple((parent, use[parent]) for parent in effect.parents)
        if effect.what == "S":
            sync(waiting_octets, effect.inode)
            sync(waiting_names, effect.inode)
        elif effect.what == "W":
            waiting_octets[effect.inode].append(effect)
        else:
            for parent in effect.parents:
                waiting_names[parent].append(effect)
    _join_replaced(effects)
    return use


def _join_replaced(effects):
    """What a rename replaced went with that rename."""
    for before, after in zip(effects, effects[1:]):
        if before.what == "U" and after.what == "R" and before.path == after.target:
            before.durable = after.durable


class Disk:
    """The data directory as it is, and the way back."""

    def __init__(self, data, use):
        self.data = Path(data)
        self.paths = defaultdict(set)
        for directory, names, files in os.walk(data):
            for name in ["", *names, *files] if directory == str(data) else [*names, *files]:
                path = Path(directory) / name
                inode = path.lstat().st_ino
                self.paths[inode, use[inode]].add(str(path.relative_to(data)))

    def _forget(self, path):
        for paths in self.paths.values():
            for known in list(paths):
                if known == path or path in ("", ".") or known.startswith(path + "/"):
                    paths.discard(known)

    def _free(self, path):
        return not os.path.lexists(self.data / path) and (self.data / path).parent.is_dir()

    def undo_octets(self, effect, to_zero):
        for path in sorted(self.paths[effect.inode])[:1]:
            with open(self.data / path, "r+b") as out:
                size = out.seek(0, os.SEEK_END)
                last = min(effect.offset + effect.length, size)
                if to_zero:
                    old = bytes(max(0, last - effect.offset))
                else:
                    old = effect.octets + bytes(max(0, last - effect.offset - len(effect.octets)))
                out.seek(effect.offset)
                out.write(old)
                if not to_zero and effect.size < size == effect.offset + effect.length:
                    out.truncate(effect.size)

    def undo_name(self, effect):
        mine = self.paths[effect.inode]
        if effect.what in "NL" and effect.path in {*mine, *(("",) if "." in mine else ())}:
            whole = self.data / effect.path
            if whole.is_dir() and not whole.is_symlink():
                shutil.rmtree(whole)
            else:
                whole.unlink()
            self._forget(effect.path)
        elif effect.what == "R" and effect.target in mine and self._free(effect.path):
            os.rename(self.data / effect.target, self.data / effect.path)
            mine.discard(effect.target)
            mine.add(effect.path)
        elif effect.what == "U" and self._free(effect.path):
            self._bring_back(effect, mine)

    def _bring_back(self, effect, mine):
        whole = self.data / effect.path
        if effect.directory:
            whole.mkdir(0o700)
        elif mine:
            os.link(self.data / min(mine), whole)
        else:
            whole.write_bytes(effect.octets)
        mine.add(effect.path)


def lose(data, journal, variant, rng):
    """Makes the directory what a disk may have after the power failed at the journal's end. Returns how many effects were
    taken back."""
    octets, names = variant
    effects = read_journal(journal)
    disk = Disk(data, mark_durable(effects))
    lost = 0
    loose = [e for e in effects if e.what in "NLRU" and not e.durable]
    keep = {"lost": 0, "kept": len(loose), "some": rng.randint(0, len(loose))}[names]
    kept = {id(effect) for effect in loose[:keep]}
    for effect in reversed(effects):
        if effect.durable or effect.what in "SA":
            continue
        if effect.what == "W":
            if octets in ("lost", "zero") or (octets == "some" and rng.random() < 0.5):
                disk.undo_octets(effect, octets == "zero")
                lost += 1
        elif id(effect) not in kept:
            disk.undo_name(effect)
            lost += 1
    (Path(data) / "mail.db-shm").unlink(missing_ok=True)
    os.truncate(journal, 0)
    return lost
