"""The real program ends at each of its effects, and again at those of its recovery: nothing is lost, doubled or altered."""
import os
import random
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import crash_story
import power
from crashlab import Lab
from points import KINDS, Point, find_library, spread

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
AT_ONCE = 4
SYNCED_WITHIN_NS = 1_500_000_000  # a second, and what a busy machine adds to it
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


def die_twice(model, story, point, again):
    """A life that ends at a point; then recoveries, each from that state, that end at points of theirs, and clean ones."""
    account = model.clone()
    reports, keep, second = [], True, "a whole recovery"
    try:
        account.live(story, point)
        whole_report = whole(account, crash_story.recover)
        for second in again(whole_report):
            reports.append(die_and_check(account, crash_story.recover, second))
        keep = False
    except AssertionError as problem:
        raise AssertionError(f"then {second}: {problem}") from problem
    finally:
        problem = account.close(keep)
    assert not problem, problem
    return reports


def lose_power_and_check(model, story, point, variant):
    """The power fails at a point. The report, and how much was lost."""
    account = model.clone()
    journal = account.folder / "journal"
    keep = True
    try:
        report = account.live(story, point, journal)
        if report.died_at:
            account.lost_since_ns = report.died_ns - SYNCED_WITHIN_NS
            report.lost = power.lose(account.mailmount.data, journal, variant, random.Random(point.n))
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


def test_dies_again_while_recovering(request, synced):
    report = whole(synced, crash_story.work)
    points = chosen(report, 1)
    chains = try_all({str(point): lambda point=point: die_twice(synced, crash_story.work, point, lambda r: chosen(r, 1))
                      for point in points[::1 if LONG else 4]})
    reports = [r for chain in chains for r in chain]
    hit = tell(request, "recovery", report, [r.died_of for r in reports if r.died_at], len(reports))
    assert sum(hit.values()) >= 0.8 * len(reports)


@pytest.mark.parametrize("what", ["first_sync", "work"])
def test_power_fails_anywhere(request, furnished, synced, what):
    model, story = {"first_sync": (furnished, crash_story.first_sync), "work": (synced, crash_story.work)}[what]
    report = whole(model, story)
    points = chosen(report, {"first_sync": 1, "work": 3}[what])
    cases = [(point, variant) for n, point in enumerate(points)
             for variant in (power.VARIANTS if LONG else [power.VARIANTS[n % len(power.VARIANTS)]])]
    reports = try_all({f"{what}, {point}, {variant}": lambda point=point, variant=variant:
                       lose_power_and_check(model, story, point, variant) for point, variant in cases})
    hit = tell(request, f"power loss, {what}", report, [r.died_of for r in reports if r.died_at], len(cases))
    lost = sum(r.lost > 0 for r in reports)
    print(f"something was lost in {lost} of them")
    assert sum(hit.values()) >= 0.8 * len(cases)
    assert lost >= len(cases) / 3
