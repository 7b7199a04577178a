"""The real program ends at each of its effects, and again at those of its recovery: nothing is lost, doubled or altered."""
import os
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import crash_story
from crashlab import Lab
from points import KINDS, Point, find_library, spread

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
AT_ONCE = 4
pytestmark = pytest.mark.xdist_group("crash-points")


@pytest.fixture(scope="module")
def lab(servers, program, workplace):
    library = find_library()
    if not library:
        pytest.skip("no libpoints.so: build with -Dtests=enabled, or set MAILMOUNT_TEST_POINTS")
    folder = workplace / "crash"
    folder.mkdir()
    return Lab(servers.get("full"), program, library, folder)


@pytest.fixture(scope="module")
def furnished(lab):
    """An account that was never synced."""
    account = lab.account()
    crash_story.furnish(account)
    account.leave()
    return account


@pytest.fixture(scope="module")
def synced(furnished):
    account = furnished.clone()
    account.live(crash_story.first_sync)
    account.leave()
    return account


def die_and_check(model, story, point):
    """One life from the model's state that ends at a point, then a clean one. The report of the first."""
    account = model.clone()
    keep = True
    try:
        report = account.live(story, point)
        account.check()
        keep = False
    finally:
        problem = account.close(keep)
    assert not problem, problem
    return report


def try_all(lives):
    """{name: function} -> reports; all failures together."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(life) for name, life in lives.items()}
    problems = {name: future.exception() for name, future in running.items() if future.exception()}
    assert not problems, f"{len(problems)} of {len(lives)} lives:\n" + "\n".join(
        f"{name}: {''.join(traceback.format_exception(problem)[-3:])}" for name, problem in problems.items())
    return [future.result() for future in running.values()]


def whole(model, story):
    """A life that does not die: how many points of which kind there are."""
    account = model.clone()
    report = account.live(story)
    account.check()
    assert not account.close()
    return report


def chosen(report, per_kind):
    if LONG:
        return [Point(n, how=how) for n in range(1, report.points + 1) for how in ("after", "half")]
    return list(spread(report.count(), per_kind))


def tell(request, what, report, died, lives):
    hit = Counter(died)
    text = (f"{what}: {report.points} points in a whole life, {lives} lives, died at {sum(hit.values())}: "
            + ", ".join(f"{kind} {hit[kind]}" for kind in KINDS if hit[kind]))
    print(text)
    request.node.user_properties.append(("crash points", text))
    return hit


@pytest.mark.parametrize("what", ["first_sync", "work"])
def test_dies_anywhere(request, furnished, synced, what):
    model, story = {"first_sync": (furnished, crash_story.first_sync), "work": (synced, crash_story.work)}[what]
    report = whole(model, story)
    points = chosen(report, {"first_sync": 1, "work": 3}[what])
    reports = try_all({f"{what}, {point}": lambda point=point: die_and_check(model, story, point) for point in points})
    hit = tell(request, what, report, [r.died_of for r in reports if r.died_at], len(points))
    assert sum(hit.values()) >= 0.8 * len(points)
    if what == "work":
        assert all(hit[kind] for kind in KINDS)
