"""Cyrus, which does many things in its own way: a whole day, and the same with kills and cut lines in the middle."""
import pytest

from day import rough_day, whole_day

pytestmark = pytest.mark.seconds(400)  # nine deaths on a machine that has much else to do


@pytest.fixture
def world(servers, world_at):
    return world_at(servers.cyrus())


def test_whole_day(world):
    whole_day(world)


def test_rough_day(world):
    rough_day(world)


def test_doctor(world):
    result = world.mailmount.run("doctor")
    assert result.returncode == 0, result.stderr
    for word in ("Cyrus", "TLS", "QRESYNC", "OBJECTID"):
        assert word in result.stdout
