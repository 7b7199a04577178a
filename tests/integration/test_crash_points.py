"""The real program ends at each of its effects, and again at those of its recovery: nothing is lost, doubled or altered."""
import itertools
import os
import random
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import crash_story
import power
from crashlab import Lab, start, unmount
from points import KINDS, Point, find_library, spread
from support import eventually, is_sanitized

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
STEP = int(os.environ.get("MAILMOUNT_LONG_STEP") or 1)
AT_ONCE = 4
SYNCED_WITHIN_NS = 1_500_000_000  # a second, and what a busy machine adds to it
pytestmark = pytest.mark.xdist_group("crash-points")


@pytest.fixture(scope="module")
def lab(servers, program, workplace):
    if is_sanitized(program):
        pytest.skip("the program is built with a sanitizer, and what ends it is a matter of the normal build")
    library = find_library()
    if not library:
        pytest.skip("no libpoints.so: build with -Dtests=enabled, or set MAILMOUNT_TEST_POINTS")
    folder = workplace / "crash"
    folder.mkdir()
    return Lab(servers.get("full"), program, library, folder)


@pytest.fixture(scope="module")
def stories(lab):
    """{name: (an account to begin with, what is done there)}"""
    empty, furnished, bare = lab.account(), lab.account(), lab.account(bodies="on-demand", cache_limit="1M")
    crash_story.furnish_nothing(empty)
    crash_story.furnish(furnished)
    crash_story.furnish(bare, crash_story.FURNITURE + crash_story.LARGE)
    synced = furnished.clone()
    synced.live(crash_story.recover)
    bare.live(crash_story.recover)
    for account in (empty, furnished, synced, bare):
        account.leave()
    return {"new": (empty, crash_story.first_day), "first sync": (furnished, crash_story.first_day),
            "work": (synced, crash_story.work), "bare": (bare, crash_story.bare_work)}


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
        return [Point(n, how="half") for n in range(1, report.points + 1, STEP)]
    return list(spread(report.count(), per_kind))


def tell(request, what, wholes, reports):
    """How many points there are, and which kinds were died at."""
    hit = Counter(report.died_of for report in reports if report.died_at)
    points = ", ".join(f"{name} {report.points}" for name, report in wholes.items())
    text = (f"{what}: points {points}; {len(reports)} lives, deaths "
            + ", ".join(f"{kind} {hit[kind]}" for kind in KINDS if hit[kind]))
    lost = [report.lost for report in reports if report.lost]
    if lost:
        text += f"; in {len(lost)} of them {sum(lost)} effects were lost"
    request.node.user_properties.append(("crash points", text))
    return hit


def test_dies_anywhere(request, stories):
    lives, wholes = {}, {}
    for what, per_kind in (("first sync", 1), ("work", 2), ("bare", 1)):
        model, story = stories[what]
        wholes[what] = whole(model, story)
        for point in chosen(wholes[what], per_kind):
            lives[f"{what}, {point}"] = partial(die_and_check, model, story, point)
    reports = try_all(lives)
    hit = tell(request, "one death", wholes, reports)
    assert sum(hit.values()) >= 0.9 * len(lives)
    assert LONG or all(hit[kind] for kind in KINDS)


def first_deaths(name, whole_report):
    """After which the recovery is one from file operations, from a sync, of mail on its way, or of what was evicted."""
    points = list(chosen(whole_report, 4))
    if LONG:
        return points
    wanted = ("rename", "send", "commit") if name == "work" else ("remove",)
    return [p for p in points if p.kind in wanted and p.n * 3 > whole_report.count()[p.kind] * 2 and p.how == "half"]


def test_dies_again_while_recovering(request, stories):
    wholes, lives = {}, {}
    for what in ("work", "bare"):
        model, story = stories[what]
        wholes[what] = whole(model, story)
        for point in first_deaths(what, wholes[what]):
            lives[f"{what}, {point}"] = partial(die_twice, model, story, point, partial(chosen, per_kind=1))
    chains = try_all(lives)
    reports = [report for chain in chains for report in chain]
    hit = tell(request, f"a second death after each of {len(lives)}", wholes, reports)
    assert sum(hit.values()) >= 0.7 * len(reports)  # a recovery may take a shorter way than the one that was counted
    assert LONG or all(hit[kind] for kind in ("database", "sync", "commit", "send", "receive"))


def test_power_fails_anywhere(request, stories):
    lives, wholes, variants = {}, {}, itertools.cycle(power.VARIANTS)
    for what, per_kind in (("new", 1), ("work", 2), ("bare", 1)):
        model, story = stories[what]
        wholes[what] = whole(model, story)
        for point in chosen(wholes[what], per_kind):
            for variant in power.VARIANTS if LONG else [next(variants)]:
                lives[f"{what}, {point}, {variant}"] = partial(lose_power_and_check, model, story, point, variant)
    reports = try_all(lives)
    hit = tell(request, "power loss", wholes, reports)
    assert sum(hit.values()) >= 0.9 * len(lives)
    assert LONG or all(hit[kind] for kind in KINDS)
    assert sum(report.lost > 0 for report in reports) >= len(lives) / 3


@pytest.mark.parametrize("together", (1, 5))
@pytest.mark.parametrize("variant", power.VARIANTS, ids="-".join)
def test_settled_mail_is_on_disk(stories, together, variant):
    """No server is there, and mail was settled: its work files' names went. The next delivery syncs their directory, so
    that these removals are on disk; what if all went that nobody synced, then? The names in bodies/, above all."""
    account = stories["work"][0].clone()
    m, hands, journal = account.mailmount, crash_story.Hands(account), account.folder / "journal"

    def deliver_and_die(_):
        start(account)
        for n in range(together):
            hands.deliver(f"t{n}", "INBOX")
        if together > 1:  # the end of the mount settles them with one sync, before they were quiet for long enough
            unmount(account)
            start(account)
        eventually(lambda: not os.listdir(m.data / "work"), 10)
        hands.deliver("u0", "INBOX")
        m.kill9()
    keep = True
    try:
        m.set(port=1)
        account.live(deliver_and_die, journal=journal)
        account.lost_since_ns = time.time_ns() - SYNCED_WITHIN_NS
        power.lose(m.data, journal, variant, random.Random(together))
        account.check()
        keep = False
    finally:
        problem = account.close(keep)
    assert not problem, problem


@pytest.mark.parametrize("how", ("closed", "open"))
@pytest.mark.parametrize("variant", power.VARIANTS, ids="-".join)
def test_written_again_after_its_fsync(stories, how, variant):
    """What a program wrote after its fsync is delivered by the rename like the rest: it is on disk then."""
    account = stories["work"][0].clone()
    m, hands, journal = account.mailmount, crash_story.Hands(account), account.folder / "journal"

    def deliver_and_die(_):
        start(account)
        hands.deliver_in_two("u0", "INBOX", how)
        m.kill9()
    keep = True
    try:
        m.set(port=1)
        account.live(deliver_and_die, journal=journal)
        account.lost_since_ns = time.time_ns() - SYNCED_WITHIN_NS
        power.lose(m.data, journal, variant, random.Random(1))
        account.check()
        keep = False
    finally:
        problem = account.close(keep)
    assert not problem, problem
