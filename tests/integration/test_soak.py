"""A short run of what tools/soak does for as long as one likes."""
from soak import Soak


def test_soak(world):
    soak = Soak(world, seed=4)
    problems = soak.run(15, spell_seconds=8)
    print("\n".join(soak.book.lines[-200:]))
    assert not problems
    assert soak.book.done.total() > 20 and soak.book.faults.total() > 0
