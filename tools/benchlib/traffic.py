"""P3 and P12: what goes over the line when nothing, or next to nothing, has changed; and how that grows with the account.

Octets are those that the line carries: compressed, where a program compresses. The line of P3 is long, for on a short one nobody needs to."""
from benchlib import peers
from benchlib.corpus import Corpus
from benchlib.results import AtMost, Row, Within
from benchlib.timing import seconds
from support import eventually

LOUD_S = 600  # between polls, so that none falls into a measure
FLAT = 1.5  # the largest account may take so many times as long as the smallest one, and still count as flat
SOON_S = 60
ROUND_TRIP_MS = 50  # of P3, where they are counted
NEWS = Corpus("news", 1, 1000, small=True)


def plain(port, **settings):
    return {"port": port, "tls": "none", "ca_file": None, "poll": LOUD_S, **settings}


class Watched:
    """An account in step, on a wire that takes notes. Without IDLE: the watcher's session is no part of a sync."""

    def __init__(self, bench, corpus, server, round_trip_ms=0):
        self.bench, self.corpus = bench, corpus
        self.wire, self.notes = bench.stage.noted_wire(server.plain_port, round_trip_ms)
        self.account = bench.stage.account(corpus, server=server, **plain(self.wire.port, idle="no"))
        self.account.first_sync()
        self.account.check_whole()
        self.restart()

    def restart(self):
        """What a start and its first round send; to ask for a sync would be one more."""
        self.account.umount()
        self.notes.reset()
        self.account.start_and_wait()
        eventually(lambda: self.account.status()["rounds"] >= 1, SOON_S)
        self.notes.until_silent()
        return self.notes.traffic()

    def noop(self):
        """(seconds, traffic)"""
        self.notes.reset()
        taken = seconds(self.account.sync, SOON_S)
        return taken, self.notes.traffic()

    def end(self):
        self.account.end()
        self.wire.close()


def peer_noop(bench, kind, corpus, server):
    """Syncs of a peer when nothing has changed, each from its start: [(seconds, traffic)]"""
    stage = bench.stage
    user = stage.new_user(corpus, server)
    wire, notes = stage.noted_wire(server.plain_port, ROUND_TRIP_MS)
    contender = kind(stage.scratch(), server, user, port=wire.port, tls=False)
    contender.sync()
    contender.sync()  # the first one may have left something to write down

    def once():
        notes.reset()
        taken = seconds(contender.sync)
        return taken, notes.traffic()
    results = [once() for _ in range(bench.repeats.long)]
    wire.close()
    return results


FIGURES = (("round trips", "round_trips", "", AtMost(1, "")), ("octets to the server", "to_server", "B", AtMost(2000, "B")),
           ("octets to the client", "to_client", "B", AtMost(2000, "B")))


def noop_rows(bench, corpus):
    server = bench.stage.compressing_server
    account = Watched(bench, corpus, server, ROUND_TRIP_MS)
    start = [account.restart() for _ in range(bench.repeats.long)]
    running = [account.noop() for _ in range(bench.repeats.long)]
    account.end()
    others = {kind.name: peer_noop(bench, kind, corpus, server) if bench.have(kind) else [] for kind in (peers.Interimap, peers.Mbsync)}
    what = f"no-op of {corpus.boxes:,} mailboxes, {corpus.messages:,} messages"
    rows = []
    for title, name, unit, goal in FIGURES:
        peer = {kind: [getattr(traffic, name) for _, traffic in results] for kind, results in others.items()}
        for when, ours in (("after login", start), ("of a running mount", [traffic for _, traffic in running])):
            rows.append(Row("P3", f"{what}, {when}: {title}", unit, [getattr(traffic, name) for traffic in ours], peer["interimap"],
                            peer_name="interimap", goal=goal))
        rows.append(Row("P3", f"{what}, after login: {title}", unit, [getattr(traffic, name) for traffic in start], peer["mbsync"],
                        peer_name="mbsync"))
    for kind, results in others.items():
        rows.append(Row("P3", f"{what}: time (ours: of a running mount)", "s", [taken for taken, _ in running],
                        [taken for taken, _ in results], peer_name=kind))
    return rows


def p3(bench):
    """One mailbox with much in it, then many mailboxes; the server offers COMPRESS, and is far away."""
    return noop_rows(bench, bench.sizes.mail) + noop_rows(bench, bench.sizes.boxes)


class Growth:
    """One size of account, and three things that happen to it: each gives seconds and octets."""

    def __init__(self, bench, corpus):
        self.watched = Watched(bench, corpus, bench.stage.server)
        self.witness = bench.stage.witness(self.watched.account.user)
        self.messages = ((octets, flags, date) for _, _, octets, flags, date in NEWS.each(bench.stage.corpora.writer))
        self.witness.command("SELECT INBOX")
        self.flagged = 0

    def _sync(self):
        taken, traffic = self.watched.noop()
        return taken, traffic.to_server + traffic.to_client

    def noop(self):
        return self._sync()

    def new_mail(self):
        octets, flags, date = next(self.messages)
        self.witness.append("INBOX", octets, flags, date)
        return self._sync()

    def flag(self):
        self.flagged += 1
        self.witness.command(f"UID STORE {self.flagged} +FLAGS (\\Draft)")
        return self._sync()


EVENTS = (("no-op", "noop"), ("one new mail", "new_mail"), ("one flag", "flag"))


def p12(bench):
    """Each thing at each size of account; the goal compares the largest with the smallest, which is the floor here."""
    figures = {}
    for corpus in bench.sizes.scale:
        bench.say(f"   with {corpus.messages:,} messages")
        growth = Growth(bench, corpus)
        for title, name in EVENTS:
            getattr(growth, name)()
            figures[title, corpus.messages] = [getattr(growth, name)() for _ in range(2 * bench.repeats.short)]
        growth.watched.end()
    rows, sizes = [], [corpus.messages for corpus in bench.sizes.scale]
    for place, (kind, unit) in enumerate((("time", "s"), ("octets", "B"))):
        series = {}
        for title, _ in EVENTS:
            by_size = {size: [figure[place] for figure in figures[title, size]] for size in sizes}
            series[title] = by_size
            rows.append(Row("P12", f"{title}, {kind}, with {sizes[-1]:,} messages", unit, by_size[sizes[-1]],
                            floor_samples=by_size[sizes[0]], floor_name=f"with {sizes[0]:,}", goal=Within(FLAT)))
        bench.figure("P12", "growth", unit, series)
    return rows
