"""Gnus reads the mount as nnmaildir: articles have numbers, which are hard links in a directory of its own."""
import pytest

from support import eventually, mail
from test_clients import needs, run

pytestmark = needs("emacs")

START = """
(require 'gnus)
(setq gnus-select-method '(nnmaildir "m" (directory "{root}"))
      gnus-home-directory "{home}/" gnus-directory "{home}/" message-directory "{home}/" gnus-startup-file "{home}/newsrc"
      gnus-init-file nil gnus-site-init-file nil gnus-use-dribble-file nil gnus-interactive-exit nil gnus-expert-user t
      gnus-novice-user nil gnus-agent nil gnus-message-archive-group nil
      gnus-subscribe-newsgroup-method 'gnus-subscribe-alphabetically)
(defun go-to (token)
  (gnus-summary-goto-subject
   (seq-some (lambda (data) (let ((header (gnus-data-header data)))
     (and (equal (mail-header-subject header) token) (mail-header-number header)))) gnus-newsgroup-data)))
(gnus)
"""
WORK = """
(gnus-group-read-group t t "INBOX")
(switch-to-buffer gnus-summary-buffer)
(go-to "n0") (gnus-summary-mark-article nil gnus-read-mark)
(go-to "n1") (gnus-summary-tick-article)
(go-to "n2") (gnus-summary-move-article nil "Archive")
(go-to "n3") (gnus-summary-copy-article nil "Archive")
(go-to "n4") (gnus-summary-delete-article)
(gnus-summary-exit)
(gnus-group-save-newsrc)
"""
LOOK = """
(dolist (box '("INBOX" "Archive"))
  (gnus-group-read-group t t box)
  (switch-to-buffer gnus-summary-buffer)
  (dolist (data gnus-newsgroup-data)
    (princ (format "shown: %s %s %c\\n" box (mail-header-subject (gnus-data-header data)) (gnus-data-mark data))))
  (gnus-summary-exit))
"""


@pytest.fixture
def gnus(world):
    home = world.folder / "gnus"
    home.mkdir()

    def do(commands):
        script = home / "script.el"
        script.write_text((START + commands).format(root=world.mailmount.root, home=home))
        return run(world.mailmount, "emacs", "-Q", "--batch", "-l", script)
    return do


def test_gnus(world, gnus):
    """Marks, moves, copies and deletes; a second session shows that, and what others did."""
    w, m = world.witness, world.mailmount
    for number in range(5):
        w.append("INBOX", mail(f"n{number}"))
    w.create("Archive")
    m.mount()
    gnus(WORK)
    m.sync()
    assert (w.tokens("INBOX"), w.tokens("Archive")) == (["n0", "n1", "n3"], ["n2", "n3"])
    assert (m.tokens(), m.tokens("Archive")) == (["n0", "n1", "n3"], ["n2", "n3"])
    assert (w.flags("INBOX", "n0"), w.flags("INBOX", "n1")) == ({"\\Seen"}, {"\\Flagged", "\\Seen"})
    assert w.mailboxes() == {"INBOX", "Archive"}
    w.append("INBOX", mail("n5"), ["\\Flagged", "\\Seen"])
    w.move("INBOX", w.uid("INBOX", "n0"), "Archive")
    eventually(lambda: m.tokens() == ["n1", "n3", "n5"])
    shown = sorted(line[7:] for line in gnus(LOOK).splitlines() if line.startswith("shown: "))
    assert shown == ["Archive n0 O", "Archive n2  ", "Archive n3  ", "INBOX n1 !", "INBOX n3  ", "INBOX n5 !"]
    m.sync()
    assert (w.tokens("INBOX"), w.tokens("Archive")) == (["n1", "n3", "n5"], ["n0", "n2", "n3"])
