#include "story.h"

enum {
    MOVED = 1,
    MOVED_TOO,
    FLAGGED,
    REMOVED,
    EDITED,
    REWRITTEN,
    REFILED,
    UNTOUCHED,
    NEW,
    NEW_SEEN,
    SECOND,
    FILED,
    THERE
};

void story_begin(struct rig *r, const struct model_features *f)
{
    rig_begin(r, f);
    r->account.connections = 1; /* one session, so that the nth operation is the same each time */
    model_create(r->model, "Archive");
    for (unsigned i = MOVED; i <= UNTOUCHED; i++)
        model_append(r->model, "INBOX", mail_wire(i), FLAG_SEEN, 1600000000 + i);
    rig_start(r);
    rig_agree(r);
    rig_stop(r);
    model_append(r->model, "INBOX", mail_wire(THERE), 0, 1600000000 + THERE);
}

void story_work(struct rig *r)
{
    file_move(r, file_find(r, "INBOX", mail_file(MOVED)), "Archive");
    file_move(r, file_find(r, "INBOX", mail_file(MOVED_TOO)), "Archive");
    file_flag(r, file_find(r, "INBOX", mail_file(FLAGGED)), FLAG_FLAGGED, FLAG_SEEN);
    file_remove(r, file_find(r, "INBOX", mail_file(REMOVED)));
    file_replace(r, file_find(r, "INBOX", mail_file(EDITED)), mail_file(EDITED + 100));
    file_rewrite(r, file_find(r, "INBOX", mail_file(REWRITTEN)), mail_file(REWRITTEN + 100));
    file_deliver(r, "Archive", SUB_CUR, mail_file(REFILED), FLAG_SEEN, 1600000000 + REFILED);
    file_remove(r, file_find(r, "INBOX", mail_file(REFILED)));
    file_deliver(r, "INBOX", SUB_NEW, mail_file(NEW), 0, 1600000050);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(NEW_SEEN), FLAG_SEEN, 1600000051);
    /* The same octets twice are two messages. */
    file_deliver(r, "INBOX", SUB_CUR, mail_file(SECOND), FLAG_SEEN, 1600000052);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(SECOND), FLAG_SEEN, 1600000052);
    file_make_box(r, "Made");
    file_deliver(r, "Made", SUB_CUR, mail_file(FILED), FLAG_SEEN, 1600000053);
}

void story_check(struct rig *r)
{
    static const unsigned inbox[] = {FLAGGED, EDITED + 100, REWRITTEN + 100, UNTOUCHED, NEW, NEW_SEEN, THERE};
    static const unsigned archive[] = {MOVED, MOVED_TOO, REFILED};
    static const unsigned nowhere[] = {REMOVED, EDITED, REWRITTEN};
    for (size_t i = 0; i < sizeof inbox / sizeof *inbox; i++)
        rig_assert_once(r, "INBOX", mail_wire(inbox[i]));
    for (size_t i = 0; i < sizeof archive / sizeof *archive; i++)
        rig_assert_once(r, "Archive", mail_wire(archive[i]));
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_int_equal(rig_copies(r, NULL, mail_wire(nowhere[i])), 0);
    rig_assert_once(r, "Made", mail_wire(FILED));
    assert_int_equal(rig_copies(r, "INBOX", mail_wire(SECOND)), 2);
    assert_int_equal(model_count(r->model, "INBOX"), sizeof inbox / sizeof *inbox + 2);
    assert_int_equal(model_count(r->model, "Archive"), sizeof archive / sizeof *archive);
    assert_int_equal(model_count(r->model, "Made"), 1);
}
