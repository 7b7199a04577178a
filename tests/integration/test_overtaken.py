"""Attributes of a directory that were found out before something changed in it, and reach the kernel after that."""
import ctypes
import os
import threading
import time

import pytest

from counting import Counted, find_library
from support import eventually, mail

AT_FDCWD, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS = -100, 0x2000, 0x7FF
ATTRIBUTES = (120, 120)  # a header, and struct fuse_attr_out
LISTING = (200, 1 << 20)  # with attributes, of some names
libc = ctypes.CDLL(None, use_errno=True)


def ask_for_attributes(directory):
    """Also where the kernel has them."""
    room = ctypes.create_string_buffer(512)
    assert libc.statx(AT_FDCWD, os.fsencode(directory), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, room) == 0


@pytest.fixture(params=["fs", "maildir++"])
def counted(request, world):
    library = find_library()
    if not library:
        pytest.skip("no libcount.so: build with -Dtests=enabled, or set MAILMOUNT_TEST_COUNT")
    world.witness.create("Box")
    m = world.new_mailmount(layout=request.param)
    counted = Counted(m, None, library)
    counted.start()
    m.sync()
    counted.box = m.root / (".Box" if request.param == "maildir++" else "Box")
    eventually(lambda: counted.box.is_dir())
    return counted


def overtake(counted, held, look, change):
    """look() is answered with what is true before change(), when that is through."""
    looking = threading.Thread(target=look)
    with counted.answers_held(*held):
        looking.start()
        time.sleep(0.3)
        change()
    looking.join()


@pytest.mark.parametrize("place", [".git", ".git/d"])
def test_of_local_directories(counted, place):
    directory = counted.m.root / place
    directory.mkdir(parents=True)
    before = directory.stat().st_nlink
    overtake(counted, ATTRIBUTES, lambda: ask_for_attributes(directory), lambda: (directory / "x").mkdir())
    assert directory.stat().st_nlink == before + 1
    overtake(counted, ATTRIBUTES, lambda: ask_for_attributes(directory), lambda: (directory / "x").rmdir())
    assert directory.stat().st_nlink == before


def test_of_a_directory_that_is_listed(counted):
    """Its attributes come with those of all that are in the other one."""
    area = counted.m.root / ".git"
    (area / "d").mkdir(parents=True)
    before = (area / "d").stat().st_nlink
    overtake(counted, LISTING, lambda: os.listdir(area), lambda: (area / "d" / "x").mkdir())
    assert (area / "d").stat().st_nlink == before + 1


def test_of_a_directory_of_mail(counted):
    """A program that goes by its time would overlook what came."""
    new = counted.box / "new"
    (counted.box / "tmp" / "1").write_bytes(mail("overtakes"))
    (counted.box / "tmp").stat()  # or the rename would have to ask
    before = new.stat().st_mtime_ns
    overtake(counted, ATTRIBUTES, lambda: ask_for_attributes(new), lambda: os.rename(counted.box / "tmp" / "1", new / "1"))
    assert new.stat().st_mtime_ns > before


def test_of_a_mailbox(counted):
    """With local files in it; and looked at not by its name, which is looked up again in maildir++."""
    descriptor = os.open(counted.box, os.O_RDONLY)
    before = os.fstat(descriptor).st_nlink
    overtake(counted, ATTRIBUTES, lambda: ask_for_attributes(counted.box), lambda: os.mkdir(".git", dir_fd=descriptor))
    assert os.fstat(descriptor).st_nlink == before + 1
    os.close(descriptor)
