"""P1 and P2: from nothing to a whole copy."""
from benchlib import floors, peers
from benchlib.results import Faster, Row, Within
from benchlib.timing import alternate, seconds

ROUND_TRIP_MS = 50


def ours(bench, corpus, user, **settings):
    def once():
        account = bench.stage.account(corpus, user, **settings)
        taken = seconds(account.first_sync)
        account.check_whole()
        account.end()
        floors.syncfs(bench.stage.folder)
        return taken
    return once


def peer(bench, kind, corpus, user, **options):
    def once():
        contender = kind(bench.stage.scratch(), bench.stage.server, user, **options)
        taken = seconds(contender.sync)
        there = peers.count_files(contender.tree)
        floors.syncfs(bench.stage.folder)
        if there != corpus.messages:
            raise RuntimeError(f"{kind.name} has {there} of {corpus.messages} messages")
        return taken
    return once


def disk(bench, sizes):
    def once():
        return seconds(floors.write_files, bench.stage.scratch(), sizes)
    return once


def wire(bench, corpus, user, tls):
    return lambda: seconds(floors.read_and_drop, bench.stage.server, user, corpus.mailboxes, tls=tls)


def p1(bench):
    """First sync of one mailbox over TLS, on loopback."""
    corpus, stage = bench.sizes.mail, bench.stage
    sizes = floors.sizes_of(stage.corpora.native(corpus))
    user = stage.new_user(corpus)
    contenders = {"wire, TLS": wire(bench, corpus, user, True), "wire, plain": wire(bench, corpus, user, False), "disk": disk(bench, sizes),
                  "ours, TLS": ours(bench, corpus, user),
                  "ours, plain": ours(bench, corpus, user, port=stage.server.plain_port, tls="none", ca_file=None)}
    for kind in (peers.Mbsync, peers.Offlineimap):
        if bench.have(kind):
            contenders[f"{kind.name}, TLS"] = peer(bench, kind, corpus, user, tls=True)
    if bench.have(peers.Mbsync):
        contenders["mbsync, plain"] = peer(bench, peers.Mbsync, corpus, user, tls=False)
    taken = alternate(contenders, bench.repeats, bench.say)
    bench.figure("P1", "bars", "s", dict(taken), f"first sync of {corpus.messages:,} messages")
    what = f"first sync, {corpus.messages:,} messages"
    floor = {kind: [a + b for a, b in zip(sorted(taken[f"wire, {kind}"]), sorted(taken["disk"]))] for kind in ("TLS", "plain")}
    return [
        Row("P1", f"{what}, TLS", "s", taken["ours, TLS"], taken["mbsync, TLS"], goal=Faster(8), peer_name="mbsync"),
        Row("P1", f"{what}, TLS", "s", taken["ours, TLS"], floor_samples=floor["TLS"], floor_name="wire + disk", goal=Within(1.5)),
        Row("P1", f"{what}, TLS", "s", taken["ours, TLS"], taken["offlineimap, TLS"], peer_name="offlineimap"),
        Row("P1", f"{what}, plain", "s", taken["ours, plain"], taken["mbsync, plain"], floor["plain"], "mbsync", "wire + disk"),
        Row("P1", "the same octets written, one syncfs", "s", [], floor_samples=taken["disk"], floor_name="disk"),
    ]


def p2(bench):
    """First sync of many mailboxes over a long line, TLS."""
    corpus, stage = bench.sizes.boxes, bench.stage
    user = stage.new_user(corpus)
    far = stage.far_wire(stage.server.tls_port, ROUND_TRIP_MS)
    contenders = {"ours": ours(bench, corpus, user, port=far.port)}
    if bench.have(peers.Mbsync):
        contenders["mbsync"] = peer(bench, peers.Mbsync, corpus, user, port=far.port)
    taken = alternate(contenders, bench.repeats, bench.say)
    bench.figure("P2", "bars", "s", dict(taken), f"first sync of {corpus.boxes:,} mailboxes, {ROUND_TRIP_MS} ms round trip")
    return [Row("P2", f"first sync, {corpus.boxes:,} mailboxes of {corpus.count:,}, {ROUND_TRIP_MS} ms round trip", "s", taken["ours"],
                taken["mbsync"], peer_name="mbsync", goal=Faster(10))]
