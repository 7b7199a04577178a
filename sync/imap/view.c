/*
 * What is known of the selected mailbox since its last scan.
 *
 * To select a mailbox again, and to be told all that has changed since a token, takes a server time by the
 * size of the mailbox: it looks through the MODSEQs of all messages. But where QRESYNC is enabled it tells a
 * session that has the mailbox selected what changes there, with UIDs (RFC 7162 3.2), behind the answer of
 * whatever command comes next. Whoever has listened since the token knows which messages are to be asked
 * about.
 *
 * The view is whole as long as all that came was understood, and was about flags and new mail. It is lost
 * with the first reply that was not: a removal, a FETCH without UID, fewer messages than there were, other
 * flags that can be stored; what libetpan read instead of us, unless that was bodies and nothing else;
 * another mailbox. Then a scan begins with SELECT, as the first one does.
 *
 * A server should tell, and need not (RFC 3501 5.2): so no more is believed for good than what a SELECT told.
 * The token keeps the MODSEQ of the last one, so that the next one tells again all that was told since, and
 * what was not; and that comes after a number of scans and some minutes, or with the next session. Only in
 * the inbox, which nobody can rename or delete: of a mailbox whose name another one has by now a server may
 * go on telling, or end the session.
 */
#include <string.h>
#include "clock.h"
#include "session.h"

#define RANGES_MAX 1000 /* of UIDs; with more, all are looked through as well */
#define LOOKS_MAX 50
#define AGE_MAX_MS 600000

void imap_view_lose(struct imap *im)
{
    uidset_finish(&im->view.touched);
    im->view = (struct imap_view){0};
}

static bool take_fetch(struct imap *im, const struct reply *r)
{
    struct reply_fetch f;
    struct uidset *touched = &im->view.touched;
    return reply_fetch(r->args, im->keywords, &f) == 0 && f.uid != 0 && uidset_add(touched, f.uid) == 0 &&
           touched->n <= RANGES_MAX;
}

/* Before im->selected follows. */
void imap_view_note(struct imap *im, const struct reply *r)
{
    if (!im->view.whole)
        return;
    bool known = true;
    if (r->kind == REPLY_STATUS)
        known = r->condition == REPLY_OK && (r->name[0] == '\0' || strcmp(r->name, "ALERT") == 0);
    else if (r->kind == REPLY_DATA && strcmp(r->name, "FETCH") == 0)
        known = take_fetch(im, r);
    else if (r->kind == REPLY_DATA && strcmp(r->name, "EXISTS") == 0)
        known = r->number >= im->selected.exists;
    else if (r->kind == REPLY_DATA)
        known = strcmp(r->name, "EXPUNGE") != 0 && strcmp(r->name, "VANISHED") != 0;
    if (!known)
        imap_view_lose(im);
}

void imap_view_begin(struct imap *im)
{
    imap_view_lose(im);
    im->view.whole = im->qresync && !im->select_plain && im->selected.modseq != 0 &&
                     strcmp(im->selected.name, "INBOX") == 0;
}

void imap_view_end(struct imap *im, uint32_t uid, const struct worker_token *at)
{
    struct uidset left = {0};
    bool kept = im->view.whole && at->uidvalidity != 0 && at->modseq != 0;
    for (size_t i = 0; kept && i < im->view.touched.n && im->view.touched.range[i].first < uid; i++) {
        uint32_t last = im->view.touched.range[i].last;
        kept = uidset_add_range(&left, im->view.touched.range[i].first, last < uid ? last : uid - 1) == 0;
    }
    imap_view_lose(im);
    if (kept)
        im->view = (struct imap_view){
            .whole = true, .at = *at, .told = at->modseq, .touched = left, .begun_ms = clock_boot_ms()};
    else
        uidset_finish(&left);
}

void imap_view_go_on(struct imap *im, const struct worker_token *at, uint64_t told)
{
    struct imap_view *v = &im->view;
    uidset_finish(&v->touched);
    v->at = *at;
    v->told = told > v->told ? told : v->told;
    if (++v->looks == LOOKS_MAX)
        imap_view_lose(im);
}

bool imap_view_tells(const struct imap *im, const char *mailbox, const struct worker_token *since)
{
    const struct worker_token *at = &im->view.at;
    bool news = im->view.touched.n > 0 || im->selected.exists > since->exists;
    return im->view.whole && news && im->selected.name != NULL && strcmp(im->selected.name, mailbox) == 0 &&
           at->uidvalidity != 0 && at->uidvalidity == since->uidvalidity && at->uidnext == since->uidnext &&
           at->exists == since->exists && at->modseq == since->modseq;
}

bool imap_view_may_stay(const struct imap *im)
{
    return im->view.whole && clock_boot_ms() - im->view.begun_ms < AGE_MAX_MS;
}
