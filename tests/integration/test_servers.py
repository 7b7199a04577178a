"""A whole day (day.py) with Dovecot as it is and without each of the extensions that mailmount uses."""
import pytest

from day import rough_day, whole_day

pytestmark = pytest.mark.seconds(400)  # nine deaths on a machine that has much else to do
BARE = "QRESYNC CONDSTORE UIDPLUS MOVE LIST-STATUS IDLE"
MISSING = ["", "QRESYNC", "CONDSTORE", "UIDPLUS", "MOVE", "LIST-STATUS", "IDLE", "IDLE NOTIFY", "CONDSTORE QRESYNC",
           "UIDPLUS MOVE", "QRESYNC LIST-STATUS NOTIFY", BARE]


@pytest.fixture(params=MISSING, ids=lambda names: "without-" + "-".join(names.split()) if names else "all")
def without(request, servers, world_at):
    """A world whose server says nothing of these extensions."""
    return world_at(servers.without(*request.param.split()))


def test_whole_day(without):
    whole_day(without)


@pytest.mark.parametrize("without", ["", BARE], ids=["all", "bare"], indirect=True)
def test_rough_day(without):
    rough_day(without)
