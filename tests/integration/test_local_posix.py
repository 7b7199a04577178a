"""The local area against a directory on disk: the same calls must come to the same, but for what is meant to differ."""
import os
import time

import pytest

import local_files
import local_names
import local_random
import syscalls

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
SEED = time.time_ns() % 1_000_000

# {case: ({what was done: what it comes to in the mount}, why that is right)}
INTENDED = {
    "attributes": ({"set user.x": "ENOTSUP", "get user.x": "ENOTSUP", "remove user.x": "ENOTSUP", "get security.x": "ENOTSUP",
                    "list": "ENOTSUP"},
                   "the mount has no extended attributes: asked for with each file, they would cost more than they are worth"),
    "open_flags": ({"temporary": "ENOTSUP"},
                   "libfuse has no such request; programs that know O_TMPFILE know what to do without"),
    "permissions": ({"run 100": "EACCES", "run 300": "EACCES"},
                    "what may be run but not read is read by the kernel itself on disk, and here by a program, which may not"),
    "seeking": ({"SEEK_DATA 0": 0, "SEEK_DATA 100": 100, f"SEEK_DATA {(1 << 20) + 70_000}": (1 << 20) + 70_000,
                 **{f"SEEK_HOLE {offset}": 3 << 20 for offset in (0, 100, 1 << 20, (1 << 20) + 70_000)}},
                "all is data: what a shared map has written is not on disk yet, where it would look like a hole, and cp would lose it"),
    "allocation": ({f"{kind} {place}": "ENOTSUP" for kind in ("collapse", "insert")
                    for place in ("4096 4096", "100 10000", "18000 50000", "40000 10")},
                   "the kernel knows no such request to a FUSE file system"),
}


@pytest.fixture
def two_roots(mounted):
    """One on disk, one in the mount, each with the same directories."""
    native = mounted.folder / "native"
    for area in local_random.AREAS:
        (native / area).mkdir(parents=True, exist_ok=True)
    (mounted.mailmount.root / ".git").mkdir()
    return native, mounted.mailmount.root


def notes_of(case, directory):
    directory.mkdir()
    notes = syscalls.Notes()
    case(directory, notes)
    return notes


def compare(case, native, area):
    """What differs and is not meant to, as lines."""
    on_disk, mounted = (notes_of(case, directory / case.__name__) for directory in (native, area))
    assert on_disk.keys() == mounted.keys()
    intended, _ = INTENDED.get(case.__name__, ({}, ""))
    return [f"{case.__name__}: {what}: {mounted[what]!r:.300} and on disk {on_disk[what]!r:.300}" for what in on_disk
            if mounted[what] != on_disk[what] and (what not in intended or mounted[what] != intended[what])]


@pytest.mark.parametrize("cases", [local_names.CASES, local_files.CASES], ids=["names", "files"])
def test_calls_come_to_the_same(two_roots, cases):
    differences = []
    for case in cases:
        differences += compare(case, *(root / ".git" for root in two_roots))
    assert not differences, "\n".join(differences)


@pytest.mark.seconds(3600 if LONG else 150)
def test_calls_by_chance_come_to_the_same(two_roots):
    """The same story in both, one of them new every time; also between the local areas of the root and of a mailbox."""
    for seed, steps in [(n, 10_000) for n in range(10)] + [(SEED, 50_000)] if LONG else ((1, 2000), (SEED, 2000)):
        places = [local_random.Place(root) for root in two_roots]
        try:
            difference = local_random.compare(seed, steps, *places)
        finally:
            for place in places:
                place.finish()
        assert not difference, difference


def behind(m):
    """The same places, behind the mount."""
    box = m.data / "local" / str((m.box().stat().st_ino & ~(1 << 62)) >> 2)
    return {"": m.data / "local" / "0", ".git": m.data / "local" / "0" / ".git", "INBOX": box}


def test_what_several_do_at_once_is_what_is_on_disk(mounted, two_roots):
    """What the kernel remembers of files, after four processes have used the same names, is what they are."""
    m = mounted.mailmount
    for turn in range(20 if LONG else 2):
        assert local_random.play_at_once(f"{SEED} {turn}", 600, 4, m.root) == [0] * 4, SEED
        seen = local_random.Place(m.root).state()
        for (area, name), found in seen.items():
            path = behind(m)[area] / name
            assert found == (syscalls.result_of(syscalls.look, path), syscalls.result_of(syscalls.state, path)), (SEED, area, name)
    m.remount()
    assert local_random.Place(m.root).state() == seen


class Forgetful(local_random.Place):
    """Where one call is forgotten."""

    def chmod(self, path, mode):
        return None, self.look(path)


def test_a_difference_by_chance_is_noticed(tmp_path):
    """The control, of two directories on disk."""
    for name in ("good", "bad"):
        for area in local_random.AREAS:
            (tmp_path / name / area).mkdir(parents=True, exist_ok=True)
    places = local_random.Place(tmp_path / "good"), Forgetful(tmp_path / "bad")
    try:
        assert "'chmod'" in local_random.compare(1, 2000, *places)
    finally:
        for place in places:
            place.finish()


def test_a_difference_is_noticed(tmp_path):
    """The control, of a case that comes to something else in each directory."""
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
    differences = compare(lambda d, note: note("name", lambda: d.parent.name), tmp_path / "one", tmp_path / "another")
    assert len(differences) == 1 and "name: 'another' and on disk 'one'" in differences[0]
