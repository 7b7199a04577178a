"""Real mail programs on the mount."""
import mailbox
import os
import shutil
import subprocess

import pytest

from support import equal, eventually, lf, mail


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def run(m, *command):
    result = subprocess.run([*map(str, command)], env=m.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
    return result.stdout


def run_on_terminal(m, *command):
    """For programs that want one; what they draw is thrown away."""
    ours, theirs = os.openpty()
    with subprocess.Popen([*map(str, command)], env={**m.environment, "TERM": "xterm"}, stdin=theirs, stdout=theirs,
                          stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        drawn = b""
        try:
            while octets := os.read(ours, 65536):
                drawn += octets
        except OSError:
            pass  # the other side of the terminal is closed
        os.close(ours)
        assert process.wait(30) == 0, drawn.decode(errors="replace")


def test_python_mailbox(world):
    world.witness.append("INBOX", mail("there"), ["\\Seen"])
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    box = mailbox.Maildir(m.box(), create=False)
    message = mailbox.MaildirMessage(lf(mail("made")))
    message.set_subdir("cur")
    message.set_flags("FS")
    key = box.add(message)
    eventually(lambda: world.witness.messages("INBOX")["made"].flags == {"\\Seen", "\\Flagged"})
    changed = box[key]
    changed.set_flags("RS")
    box[key] = changed
    m.sync()
    assert world.witness.tokens("INBOX") == ["made", "there"]
    assert world.witness.flags("INBOX", "made") == {"\\Seen", "\\Answered"}
    box.remove(next(k for k, v in box.items() if "there" in v["message-id"]))
    m.sync()
    assert world.witness.tokens("INBOX") == ["made"] == m.tokens()


@needs("mutt")
def test_mutt(world):
    """Reads, flags, deletes and saves to another folder, by keys."""
    for number in range(4):
        world.witness.append("INBOX", mail(f"n{number}"))
    world.witness.create("Archive")
    m = world.mailmount
    m.mount()
    muttrc = world.folder / "muttrc"
    muttrc.write_text(f"set folder={m.root}\nset mbox_type=Maildir\nset confirmappend=no\nset delete=yes\nset move=no\n"
                      "set sort=mailbox-order\nset mark_old=no\nset wait_key=no\nset header_cache=\nset quit=yes\n")
    run_on_terminal(m, "mutt", "-F", muttrc, "-f", m.box(), "-e",
        f'push "<tag-pattern>~i n1@<enter><tag-prefix><flag-message><untag-pattern>.<enter>'
        f'<delete-pattern>~i n2@<enter><tag-pattern>~i n3@<enter><tag-prefix><save-message>{m.box("Archive")}<enter>'
        f'<sync-mailbox><quit>"')
    m.sync()
    assert world.witness.tokens("INBOX") == ["n0", "n1"]
    assert world.witness.tokens("Archive") == ["n3"]
    assert "\\Flagged" in world.witness.flags("INBOX", "n1")
    assert m.tokens() == ["n0", "n1"]


@needs("notmuch")
def test_notmuch(world):
    """The index lives in the mount; tags become flags, flags become tags."""
    for number in range(3):
        world.witness.append("INBOX", mail(f"n{number}"))
    m = world.mailmount
    m.mount()
    config = world.folder / "notmuch"
    config.write_text(f"[database]\npath={m.root}\n[new]\ntags=new\nignore=\n[maildir]\nsynchronize_flags=true\n"
                      "[user]\nname=a\nprimary_email=a@example.org\n")

    def notmuch(*arguments):
        return run(m, "notmuch", f"--config={config}", *arguments)
    notmuch("new")
    assert notmuch("count", "*").strip() == "3"
    assert notmuch("count", "tag:unread").strip() == "3"
    notmuch("tag", "-unread", "+flagged", "--", "id:n1@test.example")
    equal(lambda: world.witness.flags("INBOX", "n1"), {"\\Seen", "\\Flagged"})
    world.witness.store("INBOX", world.witness.uid("INBOX", "n2"), "+FLAGS", "\\Answered", "\\Seen")
    eventually(lambda: m.letters("n2") == "RS")
    notmuch("new")
    assert notmuch("count", "tag:replied").strip() == "1"
    world.witness.append("INBOX", mail("n3"))
    world.witness.expunge("INBOX", world.witness.uid("INBOX", "n0"))
    eventually(lambda: m.tokens() == ["n1", "n2", "n3"])
    notmuch("new")
    assert notmuch("count", "*").strip() == "3"
    assert world.witness.mailboxes() == {"INBOX"}, "the index is no mailbox"
    assert notmuch("search", "--output=files", "id:n3@test.example").strip() == str(m.path("n3"))


@needs("notmuch")
def test_notmuch_insert(mounted):
    m = mounted.mailmount
    config = mounted.folder / "notmuch"
    config.write_text(f"[database]\npath={m.root}\n[user]\nname=a\nprimary_email=a@example.org\n")
    run(m, "notmuch", f"--config={config}", "new")
    subprocess.run(["notmuch", f"--config={config}", "insert", "--folder=INBOX"], input=lf(mail("inserted")), check=True,
                   env=m.environment)
    eventually(lambda: mounted.witness.tokens("INBOX") == ["inserted"])


@needs("mbsync")
def test_mbsync(world):
    """A mount as one side of another synchroniser: UIDs in names, its state file beside the mail."""
    for number in range(5):
        world.witness.append("INBOX", mail(f"n{number}"), ["\\Seen"])
    m = world.mailmount
    m.mount()
    other = world.folder / "other"
    other.mkdir()
    config = world.folder / "mbsyncrc"
    config.write_text(f"MaildirStore mount\nPath {m.root}/\nInbox {m.box()}\nSubFolders Verbatim\n\n"
                      f"MaildirStore other\nPath {other}/\nInbox {other}/INBOX\nSubFolders Verbatim\n\n"
                      "Channel c\nFar :mount:\nNear :other:\nCreate Near\nExpunge Both\nSyncState *\n")
    run(m, "mbsync", "-c", config, "c")
    copy = mailbox.Maildir(other / "INBOX", create=False)
    assert len(copy) == 5
    m.sync()
    assert world.witness.tokens("INBOX") == [f"n{n}" for n in range(5)]
    key = next(iter(copy.keys()))
    message = copy[key]
    token = message["message-id"].strip("<>").split("@")[0]
    path = next((other / "INBOX" / "cur").glob(key.split(":")[0] + "*"))
    os.rename(path, path.with_name(path.name.partition(":2,")[0] + ":2,FS"))
    run(m, "mbsync", "-c", config, "c")
    equal(lambda: world.witness.flags("INBOX", token), {"\\Seen", "\\Flagged"})
    m.sync()
    assert world.witness.tokens("INBOX") == [f"n{n}" for n in range(5)]


@needs("rsync")
def test_rsync(world, tmp_path):
    for number in range(20):
        world.witness.append("INBOX", mail(f"n{number}", "x" * number), ["\\Seen"])
    m = world.mailmount
    m.mount()
    run(m, "rsync", "-a", f"{m.root}/", f"{tmp_path}/")
    assert "n7" in str([p.read_bytes() for p in (tmp_path / "INBOX" / "cur").iterdir()])
    listed = run(m, "rsync", "-a", "--itemize-changes", "--dry-run", f"{m.root}/", f"{tmp_path}/")
    assert "cur/" not in listed, "a second look finds nothing to do"


def test_tar(world, tmp_path):
    for number in range(20):
        world.witness.append("INBOX", mail(f"n{number}", "x" * 10_000), ["\\Seen"])
    m = world.mailmount
    m.mount()
    archive = tmp_path / "mail.tar"
    run(m, "tar", "-cSf", archive, "-C", m.root, "INBOX")
    run(m, "tar", "--compare", "-f", archive, "-C", m.root)


def test_grep_and_find(world):
    for number in range(20):
        world.witness.append("INBOX", mail(f"n{number}", f"needle{number}\r\n"), ["\\Seen"], date=1_500_000_000 + number)
    m = world.mailmount
    m.mount()
    assert run(m, "grep", "-rl", "needle7$", m.root).strip() == str(m.path("n7"))
    assert len(run(m, "find", m.root, "-name", "*:2,S", "-type", "f").split()) == 20
    assert run(m, "du", "-s", m.root)
