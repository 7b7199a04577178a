"""Changes arrive as they happen, in both directions."""
import os
import time

from support import eventually, letters, mail

SECOND = 1.0


def best_of(count, attempt):
    """The promise is about mailmount, not about what else this machine is doing: the best of a few tries counts."""
    return min(attempt(number) for number in range(count))


def measure(act, done):
    begin = time.monotonic()
    act()
    eventually(done, interval=0.005)
    return time.monotonic() - begin


def test_new_mail_within_a_second(mounted):
    m = mounted.mailmount
    took = best_of(5, lambda n: measure(lambda: mounted.witness.append("INBOX", mail(f"n{n}")),
                                        lambda: len(os.listdir(m.box() / "new")) == n + 1))
    assert took < SECOND


def test_flag_from_there_within_a_second(world):
    uid = world.witness.append("INBOX", mail("x"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    cur = m.box() / "cur"
    took = best_of(5, lambda n: measure(
        lambda: world.witness.store("INBOX", uid, "+FLAGS" if n % 2 == 0 else "-FLAGS", "\\Flagged"),
        lambda: letters(os.listdir(cur)[0]) == ("FS" if n % 2 == 0 else "S")))
    assert took < SECOND


def test_removal_from_there_within_a_second(world):
    uids = [world.witness.append("INBOX", mail(f"n{n}"), ["\\Seen"]) for n in range(5)]
    m = world.mailmount
    m.mount()
    took = best_of(5, lambda n: measure(lambda: world.witness.expunge("INBOX", uids[n]),
                                        lambda: len(os.listdir(m.box() / "cur")) == 4 - n))
    assert took < SECOND


def test_flag_from_here_within_a_second(world):
    world.witness.append("INBOX", mail("x"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    took = best_of(5, lambda n: measure(
        lambda: m.retag("x", "FS" if n % 2 == 0 else "S"),
        lambda: ("\\Flagged" in world.witness.fetch("INBOX", "(UID FLAGS)").popitem()[1].flags) == (n % 2 == 0)))
    assert took < SECOND


def test_move_from_here_within_a_second(world):
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    took = best_of(5, lambda n: measure(
        lambda: os.rename(m.path(f"n{n}"), m.box("Archive") / "cur" / f"{n}:2,S"),
        lambda: len(world.witness.uids("Archive")) == n + 1))
    assert took < SECOND


def test_other_mailboxes_are_polled(any_world):
    """Push for all mailboxes where the server can, polling where not."""
    any_world.witness.create("Other")
    m = any_world.mailmount
    m.mount()
    any_world.witness.append("Other", mail("x"))
    eventually(lambda: m.tokens("Other") == ["x"], timeout=15)
    any_world.witness.store("Other", 1, "+FLAGS", "\\Flagged", "\\Seen")
    eventually(lambda: m.letters("x", "Other") == "FS", timeout=15)
    any_world.witness.expunge("Other", 1)
    eventually(lambda: m.tokens("Other") == [], timeout=15)


def test_without_idle(world):
    m = world.new_mailmount(idle="no", poll=1)
    m.mount()
    world.witness.append("INBOX", mail("x"))
    eventually(lambda: m.tokens() == ["x"], timeout=10)


def test_watching_does_not_keep_the_mount_busy(mounted):
    for number in range(20):
        mounted.witness.append("INBOX", mail(f"n{number}"))
    eventually(lambda: len(mounted.mailmount.tokens()) == 20)
    mounted.mailmount.umount()
