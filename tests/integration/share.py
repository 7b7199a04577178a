"""Which tests a run takes, and in which order: for runs of tools/check, with several workers.

MAILMOUNT_SHARE=one: of each test with parameters, one of them, by turns, and every other one of those without. That is for the build
with sanitizers, which look at the code, and that is the same. MAILMOUNT_SHARE=others: what that leaves, for the other build. Tests that
take long are in both; and where a sanitizer has nothing to say, it is not asked. The same for all workers.
"""
import hashlib
import os

LONG_ONES = ("test_crash_points.py", "test_cuts.py", "test_memory.py", "test_cyrus.py", "test_soak.py")
# What other programs and servers do, and what goes over the line: the code is the same as elsewhere.
NOT_SANITIZED = ("test_aerc.py", "test_agents.py", "test_bench.py", "test_clients.py", "test_copies.py", "test_dovecot_client.py",
                 "test_editors.py", "test_gnus.py", "test_indexers.py", "test_mail_readers.py", "test_synchronisers.py",
                 "test_local_speed.py", "test_replicas.py", "test_cyrus.py", "test_traffic.py", "test_counts.py", "test_push.py",
                 "test_config.py")
HOSTILE_ONES = ("test_hostile.py",)  # where the parameters are the test


def file_and_name(item):
    return item.nodeid.split("/")[-1]


def turn(item):
    """Those that take a minute come first; the others by chance, so that such that wait are beside such that compute."""
    name = file_and_name(item)
    return not name.startswith(LONG_ONES), hashlib.sha256(name.encode()).digest()


def test_of(item):
    """What is one test, with whichever parameters. A lie is one, with whichever server."""
    name = file_and_name(item)
    if name.startswith(HOSTILE_ONES):
        return name
    test, _, parameters = name.partition("[")
    return (test, parameters.rpartition("-")[0]) if test.endswith("::test_lie") else test


def split(items):
    """The one of each test, and the others."""
    ones, others = {}, []
    for item in items:
        if ones.setdefault(test_of(item), item) is not item:
            others.append(item)
    return list(ones.values()), others


def chosen(items):
    items = sorted(items, key=turn)
    share = os.environ.get("MAILMOUNT_SHARE")
    if not share:
        return items
    ones, others = split([item for item in items if not file_and_name(item).startswith(NOT_SANITIZED)])
    several = {test_of(item) for item in others}
    single = [item for item in ones if test_of(item) not in several and not file_and_name(item).startswith(LONG_ONES)]
    sanitized = [item for item in ones if item not in single[1::2]]
    if share == "one":
        return sanitized
    return [item for item in items if file_and_name(item).startswith(LONG_ONES) or item not in sanitized]
