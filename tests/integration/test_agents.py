"""Programs that deliver, file and edit mail, each in its own way of writing a Maildir."""
import os
import shutil
import subprocess

import pytest

from support import equal, eventually, lf, mail
from test_clients import needs, run, run_on_terminal

SENT = 1_500_000_000


def pipe(m, octets, *command):
    done = subprocess.run([*map(str, command)], env=m.environment, input=lf(octets), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def is_delivered(world, token, mailbox="INBOX"):
    """On the server, and here, once and whole."""
    eventually(lambda: mailbox in world.witness.mailboxes())
    equal(lambda: world.witness.tokens(mailbox), [token])
    world.mailmount.sync()
    assert world.mailmount.tokens(mailbox) == [token]


@needs("procmail")
def test_procmail(mounted):
    """Writes into tmp/, links it into new/ and unlinks the first name. (Debian has it setuid root, and the kernel lets a
    program of two users in only where allow_other is given: so a copy without that is used.)"""
    procmail = shutil.copy(shutil.which("procmail"), mounted.folder / "procmail")
    mounted.witness.create("Lists")
    eventually(lambda: mounted.mailmount.box("Lists").is_dir())
    rules = mounted.folder / "procmailrc"
    rules.write_text(f"DEFAULT={mounted.mailmount.box()}/\n:0\n* ^Subject:.*listed\n{mounted.mailmount.box('Lists')}/\n")
    pipe(mounted.mailmount, mail("plain"), procmail, rules)
    pipe(mounted.mailmount, mail("listed"), procmail, rules)
    is_delivered(mounted, "plain")
    is_delivered(mounted, "listed", "Lists")


@needs("maildrop")
def test_maildrop(mounted):
    """As procmail does it, but for the number of the file, which goes into its name. (It is setgid in Debian.)"""
    maildrop = shutil.copy(shutil.which("maildrop"), mounted.folder / "maildrop")
    mounted.witness.create("Lists")
    eventually(lambda: mounted.mailmount.box("Lists").is_dir())
    rules = mounted.folder / "filter"
    rules.write_text(f'if (/^Subject:.*listed/)\n{{\n    to "{mounted.mailmount.box("Lists")}"\n}}\n'
                     f'to "{mounted.mailmount.box()}"\n')
    rules.chmod(0o600)
    pipe(mounted.mailmount, mail("plain"), maildrop, rules)
    pipe(mounted.mailmount, mail("listed"), maildrop, rules)
    is_delivered(mounted, "plain")
    is_delivered(mounted, "listed", "Lists")


@needs("fdm")
def test_fdm(mounted):
    """The same, and makes a mailbox that is not there yet."""
    config = mounted.folder / "fdm.conf"
    config.write_text(f'account "in" stdin\naction "new" maildir "{mounted.mailmount.root}/Made"\nmatch all action "new"\n')
    config.chmod(0o600)
    pipe(mounted.mailmount, mail("fetched"), "fdm", "-f", config, "-a", "in", "fetch")
    is_delivered(mounted, "fetched", "Made")


@needs("mdeliver")
def test_mblaze(world):
    """Delivers, lists, flags, and files under another base name."""
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    pipe(m, mail("one"), "mdeliver", m.box())
    eventually(lambda: world.witness.tokens("INBOX") == ["one"])
    assert len(run(m, "mlist", m.box()).split()) == 1
    run(m, "minc", m.box())
    run(m, "mflag", "-SF", run(m, "mlist", m.box()).strip())
    equal(lambda: world.witness.flags("INBOX", "one"), {"\\Seen", "\\Flagged"})
    run(m, "mrefile", run(m, "mlist", m.box()).strip(), m.box("Archive"))
    is_delivered(world, "one", "Archive")
    assert world.witness.flags("Archive", "one") == {"\\Seen", "\\Flagged"}
    assert world.witness.tokens("INBOX") == []


@needs("mu")
def test_mu(world):
    """Indexes, finds, and moves with flags, under another base name."""
    for number in range(3):
        world.witness.append("INBOX", mail(f"n{number}", f"needle{number}\r\n"), ["\\Seen"])
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    home = world.folder / "mu"
    run(m, "mu", "init", f"--muhome={home}", f"--maildir={m.root}")
    run(m, "mu", "index", f"--muhome={home}")
    assert run(m, "mu", "find", f"--muhome={home}", "-f", "i", "needle1").strip() == "n1@test.example"
    os.unlink(m.path("n2"))
    run(m, "mu", "index", f"--muhome={home}")
    assert len(run(m, "mu", "find", f"--muhome={home}", "-f", "i", "maildir:/INBOX").split()) == 2


@needs("neomutt")
def test_neomutt(world):
    """Reads, flags, deletes, copies and saves, by keys; then writes to a folder of what it sends."""
    for number in range(4):
        world.witness.append("INBOX", mail(f"n{number}"))
    for name in ("Archive", "Copies"):
        world.witness.create(name)
    m = world.mailmount
    m.mount()
    rc = world.folder / "neomuttrc"
    rc.write_text(f"set folder={m.root}\nset mbox_type=Maildir\nset confirm_append=no\nset delete=yes\nset move=no\n"
                  "set sort=mailbox-order\nset mark_old=no\nset wait_key=no\nset header_cache=\nset quit=yes\n")
    run_on_terminal(m, "neomutt", "-n", "-F", rc, "-f", m.box(), "-e",
        f'push "<tag-pattern>~i n1@<enter><tag-prefix><flag-message><untag-pattern>.<enter>'
        f'<delete-pattern>~i n2@<enter><tag-pattern>~i n3@<enter><tag-prefix><save-message>{m.box("Archive")}<enter>'
        f'<untag-pattern>.<enter><tag-pattern>~i n0@<enter><tag-prefix><copy-message>{m.box("Copies")}<enter>'
        f'<sync-mailbox><quit>"')
    m.sync()
    assert world.witness.tokens("INBOX") == ["n0", "n1"] == m.tokens()
    assert world.witness.tokens("Archive") == ["n3"]
    assert world.witness.tokens("Copies") == ["n0"]
    assert "\\Flagged" in world.witness.flags("INBOX", "n1")


@needs("vim")
@pytest.mark.parametrize("backup", ["yes", "no", "auto"])
def test_vim(world, backup):
    """Its three ways to save: a copy first and in place, renamed away and written anew, whichever is better."""
    world.witness.append("INBOX", mail("draft", "first\r\n"), ["\\Draft", "\\Seen"])
    m = world.mailmount
    m.mount()
    path = m.path("draft")
    run_on_terminal(m, "vim", "-n", "-i", "NONE", "-u", "NONE", "-c", f"set backupcopy={backup} nocompatible writebackup",
                    "-c", "%s/first/second/", "-c", "wq", path)
    equal(lambda: world.witness.messages("INBOX")["draft"].octets, mail("draft", "second\r\n"))
    m.sync()
    assert world.witness.tokens("INBOX") == ["draft"] == m.tokens()
    assert world.witness.flags("INBOX", "draft") == {"\\Draft", "\\Seen"}
    assert sorted(os.listdir(path.parent)) == [m.path("draft").name], "no backup and no swap file is left"


@needs("vim")
def test_vim_with_swap_and_backup_files(world):
    """They lie beside the mail while it is edited, and the backup stays: neither is mail."""
    world.witness.append("INBOX", mail("draft", "first\r\n"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    path = m.path("draft")
    run_on_terminal(m, "vim", "-i", "NONE", "-u", "NONE", "-c", "set nocompatible backup directory=. backupdir=. backupskip=",
                    "-c", "%s/first/second/", "-c", "wq", path)
    equal(lambda: world.witness.messages("INBOX")["draft"].octets, mail("draft", "second\r\n"))
    m.sync()
    assert world.witness.tokens("INBOX") == ["draft"]
    assert (path.parent / (path.name + "~")).read_bytes() == lf(mail("draft", "first\r\n"))


@needs("vim")
@pytest.mark.parametrize("pause", ["", " | sleep 500m"], ids=["at once", "while it is sent"])
def test_vim_saves_again_and_again(world, pause):
    """Each save renames the version before over the backup, also one that the server has not seen, or is just being sent."""
    world.witness.append("INBOX", mail("draft", "v0\r\n"), ["\\Seen", "todo"], date=SENT)
    m = world.mailmount
    m.mount()
    path = m.path("draft")
    saves = [word for n in range(3) for word in ("-c", f"%s/v{n}/v{n + 1}/ | w{pause}")]
    run_on_terminal(m, "vim", "-n", "-i", "NONE", "-u", "NONE",
                    "-c", "set nocompatible backup backupcopy=no backupdir=. backupskip=", *saves, "-c", "q", path)
    m.sync()
    assert world.witness.tokens("INBOX") == ["draft"]
    message = world.witness.messages("INBOX")["draft"]
    assert (message.octets, message.flags) == (mail("draft", "v3\r\n"), {"\\Seen", "todo"})
    assert message.date == "14-Jul-2017 02:40:00 +0000"


@needs("rsync")
def test_rsync_into_the_mount(mounted, tmp_path):
    """A temporary name in cur/, renamed; and again over what is there, with times."""
    m = mounted.mailmount
    source = tmp_path / "cur"
    source.mkdir()
    for number in range(3):
        path = source / f"{SENT + number}.x{number}.there:2,S"
        path.write_bytes(lf(mail(f"n{number}")))
        os.utime(path, (SENT, SENT + number))
    run(m, "rsync", "-rt", f"{source}/", m.box() / "cur")
    equal(lambda: mounted.witness.tokens("INBOX"), ["n0", "n1", "n2"])
    changed = source / f"{SENT}.x0.there:2,S"
    changed.write_bytes(lf(mail("n0", "another text, and a longer one\r\n")))
    run(m, "rsync", "-rt", f"{source}/", m.box() / "cur")
    equal(lambda: mounted.witness.messages("INBOX")["n0"].octets, mail("n0", "another text, and a longer one\r\n"))
    m.sync()
    assert mounted.witness.tokens("INBOX") == ["n0", "n1", "n2"] == m.tokens()


def test_cp_a_of_a_whole_tree(mounted, tmp_path):
    """As somebody who moves an old Maildir in."""
    m = mounted.mailmount
    old = tmp_path / "Old"
    for sub in ("cur", "new", "tmp"):
        (old / sub).mkdir(parents=True)
    for number in range(5):
        path = old / "cur" / f"{SENT + number}.x{number}.there:2,RS"
        path.write_bytes(lf(mail(f"n{number}")))
        os.utime(path, (SENT, SENT + number))
    run(m, "cp", "-a", old, m.root)
    eventually(lambda: "Old" in mounted.witness.mailboxes())
    equal(lambda: mounted.witness.tokens("Old"), [f"n{n}" for n in range(5)])
    m.sync()
    assert mounted.witness.flags("Old", "n3") == {"\\Answered", "\\Seen"}
    assert mounted.witness.messages("Old")["n3"].date == "14-Jul-2017 02:40:03 +0000"
    run(m, "diff", "-r", old, m.box("Old"))
