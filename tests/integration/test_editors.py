"""Emacs and its files beside the mail: the draft is replaced on the server once, and the rest stays here."""
import os

import pytest

from support import equal, eventually, lf, mail
from terminal import Terminal
from test_clients import needs, run

FLAGS = {"\\Draft", "\\Seen"}
EDIT = '(progn (goto-char (point-min)) (search-forward "first") (replace-match "second" t t) (save-buffer))'

ALWAYS = "(setq backup-enable-predicate (lambda (_) t))"  # also below $TMPDIR, where tests live
ANSWER_YES = "(defalias 'yes-or-no-p (lambda (&rest _) t))"

pytestmark = needs("emacs")


@pytest.fixture
def draft(world):
    world.witness.append("INBOX", mail("draft", "first\r\n"), list(FLAGS), date=1_500_000_000)
    world.mailmount.mount()
    return world


def files_of(m):
    return sorted(os.listdir(m.box() / "cur"))


def is_replaced(world, path, body="second\r\n"):
    world.mailmount.sync()
    assert world.witness.tokens("INBOX") == ["draft"]
    message = world.witness.messages("INBOX")["draft"]
    assert (message.octets, message.flags) == (mail("draft", body), FLAGS)
    assert message.date == "14-Jul-2017 02:40:00 +0000"
    assert path.read_bytes() == lf(message.octets)


@pytest.mark.parametrize("settings, backup", [
    ("(setq backup-by-copying nil)", True), ("(setq backup-by-copying t)", True), ("(setq make-backup-files nil)", False),
    ("(setq file-precious-flag t)", True)],
    ids=["renames", "copies", "in-place", "precious"])
def test_saves(draft, settings, backup):
    """Its ways to save: renamed away and written anew, a copy first, in place, and a temporary file that replaces it."""
    m = draft.mailmount
    path = m.path("draft")
    run(m, "emacs", "-Q", "--batch", "--eval", ALWAYS, "--eval", settings, path, "--eval", EDIT)
    is_replaced(draft, path)
    backups = [path.name + "~"] if backup else []
    assert files_of(m) == sorted([path.name, *backups])
    if backup:
        assert (path.parent / backups[0]).read_bytes() == lf(mail("draft", "first\r\n"))


def test_saves_again_and_again(draft):
    """Numbered backups of one session, and of the next."""
    m = draft.mailmount
    path = m.path("draft")
    for before, after in (("first", "second"), ("second", "third")):
        run(m, "emacs", "-Q", "--batch", "--eval", ALWAYS, "--eval", "(setq version-control t)", path, "--eval",
            EDIT.replace("first", before).replace('match "second"', f'match "{after}"'))
    is_replaced(draft, path, "third\r\n")
    assert files_of(m) == [path.name, f"{path.name}.~1~", f"{path.name}.~2~"]


def test_on_a_terminal(draft):
    """The lock is a link, the unsaved text a file beside it: neither is mail, and both go when it is saved."""
    m = draft.mailmount
    path = m.path("draft")
    with Terminal(m, "emacs", "-Q", "-nw", "--eval", "(setq auto-save-interval 20 make-backup-files nil)", path) as terminal:
        terminal.shows("first")
        terminal.press("\x1b>a line of more than twenty characters")
        eventually(lambda: f"#{path.name}#" in files_of(m))
        assert files_of(m) == sorted([f".#{path.name}", f"#{path.name}#", path.name])
        m.sync()
        assert draft.witness.messages("INBOX")["draft"].octets == mail("draft", "first\r\n")
        terminal.press("\x18\x13")
        equal(lambda: files_of(m), [path.name])
        terminal.press("\x18\x03")
        terminal.ends()
    is_replaced(draft, path, "first\r\na line of more than twenty characters")


def test_recovers(draft):
    """Killed with unsaved text: that is still there, and becomes the message when it is asked for."""
    m = draft.mailmount
    path = m.path("draft")
    with Terminal(m, "emacs", "-Q", "-nw", "--eval", "(setq auto-save-interval 20 make-backup-files nil)", path) as terminal:
        terminal.shows("first")
        terminal.press("\x1b>a line of more than twenty characters\r")
        eventually(lambda: f"#{path.name}#" in files_of(m))
    run(m, "emacs", "-Q", "--batch", "--eval", ANSWER_YES, "--eval",
        f'(progn (setq make-backup-files nil) (recover-file "{path}") (save-buffer))')
    is_replaced(draft, path, "first\r\n" + "a line of more than twenty characters\r\n")
