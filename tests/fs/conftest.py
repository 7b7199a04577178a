"""Each test has a mount of its own, in a folder of its own."""
import os
import shutil
import tempfile

import pytest

from mounting import Mount


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
