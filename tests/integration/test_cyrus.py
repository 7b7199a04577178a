"""Cyrus, which does many things in its own way: a whole day, and the same with kills and cut lines in the middle."""
import re
import shutil

import pytest

from day import rough_day, whole_day
from private_cyrus import PrivateCyrus, Unavailable


@pytest.fixture(scope="module")
def cyrus(workplace):
    folder = workplace / "cyrus"
    folder.mkdir()
    for name in ("ca.pem", "ca.key", "server.pem", "server.key"):
        shutil.copy2(workplace / name, folder / name)
    try:
        server = PrivateCyrus(folder)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield server.start()
    server.stop()


@pytest.fixture
def world(cyrus, world_at):
    return world_at(cyrus)


def test_whole_day(world):
    whole_day(world)


def test_rough_day(world):
    rough_day(world)


def test_doctor(world):
    result = world.mailmount.run("doctor")
    assert result.returncode == 0, result.stderr
    for word in ("Cyrus", "TLS", "QRESYNC", "OBJECTID"):
        assert word in result.stdout
