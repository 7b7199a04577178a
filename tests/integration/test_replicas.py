"""Two servers that replicate each other, and a mount on each: work on both while they are apart comes together everywhere."""
import os

import pytest

from support import FLAG_LETTERS, letters, lf, mail, token_of

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Replicas:
    """One user on two servers; doveadm makes them equal when told to. A mount and a witness for each."""

    def __init__(self, worlds):
        self.worlds = worlds
        worlds[1].user = worlds[0].user
        self.mounts = [world.new_mailmount(brake="off") for world in worlds]

    def replicate(self):
        """Fully, for two mailboxes that got equally many messages count as equal otherwise. Without a clean environment, the
        second program would take the first one's configuration."""
        here, there = (world.server for world in self.worlds)
        here.doveadm("sync", "-f", "-u", self.worlds[0].user, "env", "-i", f"PATH={PATH}",
                     "doveadm", "-c", str(there.config), "dsync-server", "-u", self.worlds[0].user, timeout=60)

    def settle(self):
        """Each mount tells its server, the servers tell each other, and the mounts hear of it."""
        for _ in range(2):
            for mount in self.mounts:
                mount.sync()
            self.replicate()
        for mount in self.mounts:
            mount.sync()

    def equal(self):
        """What all four sides show, {mailbox: [(token, letters, octets)]}."""
        shown = {}
        for number, (world, mount) in enumerate(zip(self.worlds, self.mounts)):
            shown[f"server {number}"] = {box: sorted(stored(world.witness, box)) for box in world.witness.mailboxes()}
            shown[f"mount {number}"] = {str(cur.parent.relative_to(mount.root)): sorted(served(cur.parent))
                                        for cur in mount.root.rglob("cur")}
        for side, boxes in shown.items():
            assert brief(boxes) == brief(shown["server 0"]), side
            assert boxes == shown["server 0"], side
        return shown["server 0"]


def stored(witness, box):
    for message in witness.fetch(box).values():
        flags = "".join(sorted(FLAG_LETTERS[flag] for flag in message.flags if flag in FLAG_LETTERS))
        yield message.token, flags, lf(message.octets)


def served(box):
    for sub in ("cur", "new"):
        for path in (box / sub).iterdir():
            octets = path.read_bytes()
            yield token_of(octets), letters(path.name), octets


def brief(boxes):
    return {box: [(token, flags) for token, flags, _ in there] for box, there in boxes.items()}


@pytest.fixture
def replicas(servers, world_at):
    made = Replicas([world_at(servers.get("full")), world_at(servers.get("replica"))])
    for number in range(6):
        made.worlds[0].witness.append("INBOX", mail(f"old{number}"), ["\\Seen"])
    for box in ("Archive", "Work"):
        made.worlds[0].witness.create(box)
    made.replicate()
    for mount in made.mounts:
        mount.mount()
    return made


def test_both_worked_on_while_apart(replicas):
    a, b = replicas.mounts
    for number, mount in enumerate(replicas.mounts):  # these get the same UIDs, and new ones when they meet
        for i in range(3):
            mount.deliver(mail(f"new{number}{i}"), info="S")
    a.retag("old0", "FS")
    b.retag("old0", "RS")
    os.rename(a.path("old1"), a.box("Archive") / "cur" / "moved:2,S")
    os.rename(b.path("old2"), b.box("Work") / "cur" / "moved:2,S")
    text = mail("old3", "another text\r\n")
    path = a.path("old3")
    path.with_name("sedXy12Zz").write_bytes(lf(text))
    os.rename(path.with_name("sedXy12Zz"), path)
    os.unlink(b.path("old4"))
    for sub in ("cur", "new", "tmp"):
        (b.box("Made") / sub).mkdir(parents=True)
    b.deliver(mail("made"), "Made", info="S")
    replicas.settle()
    there = replicas.equal()
    assert brief(there) == {
        "INBOX": sorted([(f"new{n}{i}", "S") for n in range(2) for i in range(3)] + [("old0", "FRS"), ("old3", "S"), ("old5", "S")]),
        "Archive": [("old1", "S")], "Work": [("old2", "S")], "Made": [("made", "S")]}
    assert ("old3", "S", lf(text)) in there["INBOX"]


def test_again_and_again(replicas):
    """The mail that gets a new UID at each meeting stays one."""
    for turn in range(3):
        for number, mount in enumerate(replicas.mounts):
            mount.deliver(mail(f"turn{turn}{number}"), info="S")
            mount.retag(f"old{turn + 3 * number}", "FS")
        replicas.settle()
    assert brief(replicas.equal())["INBOX"] == sorted([(f"old{n}", "FS") for n in range(6)] +
                                                      [(f"turn{t}{n}", "S") for t in range(3) for n in range(2)])
