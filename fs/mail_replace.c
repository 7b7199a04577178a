/*
 * Replacement: one row's content takes the place of another one's (case 12).
 *
 * Editors never change a message, they make a new file under its name: vim and emacs rename the old one to
 * `x~` and create `x`, sed -i and rsync rename a temporary file over it. For the server all of that is one
 * message with new content. The old row becomes GONE with `after` set to its heir, so that the server's copy
 * is expunged only once the new one is there, and the heir takes over INTERNALDATE and flags.
 *
 * Saving twice before the server has seen the first version makes a chain, old <- first <- second. It is kept
 * short: whoever waited for a row that itself is removed and not known to the server waits for that row's
 * heir instead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base_state.h"
#include "body.h"
#include "clock.h"
#include "mail.h"
#include "pending.h"

static int has_base(cache_rd *rd, int64_t id, bool *ret)
{
    struct base_state b;
    int r = base_of_message(rd, id, &b);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = r == 0;
    return 0;
}

/* Known to the server, or perhaps: an append may be on its way. */
static int is_known(cache_rd *rd, int64_t id, bool *ret)
{
    struct pending p;
    bool based;
    int r = has_base(rd, id, &based);
    if (r < 0)
        return r;
    r = based ? 0 : pending_of_message(rd, id, &p);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = r == 0;
    return 0;
}

int mail_is_kept(cache_rd *rd, const struct message *m, bool *ret)
{
    bool known;
    int r = is_known(rd, m->id, &known);
    if (r == 0)
        *ret = known || (m->sub != SUB_TMP && !m->scratch && m->has_hash);
    return r;
}

#define BACKUPS_MAX 64 /* of one file: of all but one nobody asks */

struct waiting {
    int64_t for_id;
    int64_t found[32];
    unsigned n;
};

static int collect_waiting(void *arg, const struct message *m)
{
    struct waiting *w = arg;
    if (m->after != w->for_id)
        return 0;
    w->found[w->n++] = m->id;
    return w->n == sizeof(w->found) / sizeof(w->found[0]);
}

static int wait_for_another(cache_tx *tx, int64_t id, int64_t after)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r;
    m.after = after;
    return message_put(tx, &m);
}

/* Those that wait for `gone` wait for `after` from now on; *ret_any: there were some. Without an heir nothing
 * is to be done: nobody waits for a row that is GONE. */
static int pass_on_waiting(cache_tx *tx, int64_t gone, int64_t after, bool *ret_any)
{
    for (*ret_any = false;;) {
        struct waiting w = {.for_id = gone};
        int r = message_each_gone(cache_tx_rd(tx), collect_waiting, &w);
        if (r < 0)
            return r;
        for (unsigned i = 0; i < w.n; i++) {
            int err = wait_for_another(tx, w.found[i], after);
            if (err < 0)
                return err;
            *ret_any = true;
        }
        if (r == 0)
            return 0;
    }
}

/* The heir is the same message to its readers: it keeps when that arrived, and what they marked it with. (The
 * flags that Maildir has letters for are in the name that both have.) What the server has already is as it
 * is. */
static int inherit(cache_tx *tx, const struct message *old, struct message *heir)
{
    bool based;
    int r = has_base(cache_tx_rd(tx), heir->id, &based);
    if (r < 0 || based)
        return r;
    if (old->date_s) {
        heir->date_s = old->date_s;
        heir->zone_min = old->zone_min;
    }
    heir->flags |= old->flags & ~FLAGS_SYSTEM;
    return 0;
}

static enum mail_fate fate_of(const struct message *m, bool kept)
{
    if (!kept)
        return MAIL_FATE_FORGET;
    return m->state == MESSAGE_WRITING ? MAIL_FATE_DROP : MAIL_FATE_NONE;
}

int mail_supersede(cache_tx *tx, struct message *old, struct message *heir, struct mail_left *ret_left)
{
    cache_rd *rd = cache_tx_rd(tx);
    bool kept = false, based = false, any;
    int r = mail_is_kept(rd, old, &kept);
    if (r == 0)
        r = has_base(rd, old->id, &based);
    if (r == 0 && heir)
        r = inherit(tx, old, heir);
    if (r < 0)
        return r;
    struct mail_left left = {.id = old->id, .fate = fate_of(old, kept)};
    old->state = MESSAGE_GONE;
    old->gone_at = clock_now_ns() / 1000000000;
    old->after = heir && kept ? heir->id : 0;
    if (heir && old->scratch) /* a backup: who restores it wants it by its own name */
        memcpy(old->name, heir->name, sizeof(old->name));
    r = message_put(tx, old);
    if (r == 0 && !based && heir)
        r = pass_on_waiting(tx, old->id, heir->id, &any);
    if (r == 0)
        *ret_left = left;
    return r;
}

int mail_bury_base(cache_tx *tx, const struct message *m, const struct message *heir)
{
    bool based, known;
    int r = has_base(cache_tx_rd(tx), m->id, &based);
    if (r == 0)
        r = is_known(cache_tx_rd(tx), m->id, &known);
    if (r < 0 || !known)
        return r;
    struct message tomb = *m;
    tomb.id = 0;
    tomb.size = body_served_size(cache_tx_cache(tx), m); /* the row may have the work file's */
    tomb.state = MESSAGE_GONE;
    tomb.links = 0;
    tomb.after = heir ? heir->id : 0;
    tomb.gone_at = clock_now_ns() / 1000000000;
    tomb.dirty = true;
    if (heir)
        memcpy(tomb.name, heir->name, sizeof(tomb.name));
    r = message_put(tx, &tomb);
    if (r == 0)
        r = pending_give(tx, m->id, tomb.id);
    return r < 0 || !based ? r : base_give(tx, m->id, tomb.id);
}

/* The backup is what the server has, or is about to have; or it is a version that the server never saw, of
 * what it has, and that waits for it. Any other one is an old file that nobody asks for. One whose text only
 * the server has stays a message of its own. */
static int take_over(cache_tx *tx, const struct message *old, const struct message *m, bool *ret_any)
{
    bool known, any;
    if (!body_is_here(cache_tx_cache(tx), old))
        return 0;
    int r = is_known(cache_tx_rd(tx), old->id, &known);
    if (r == 0 && known)
        r = mail_bury_base(tx, old, m);
    if (r == 0)
        r = pass_on_waiting(tx, old->id, m->id, &any);
    if (r == 0)
        *ret_any = known || any;
    return r;
}

struct backups {
    int64_t found[BACKUPS_MAX];
    unsigned n;
    const struct message *of;
};

static int collect_backup(void *arg, const struct message *m)
{
    struct backups *b = arg;
    size_t stem;
    if (m->id != b->of->id && mail_is_backup(m->name, &stem) && stem == strlen(b->of->name))
        b->found[b->n++] = m->id;
    return b->n == BACKUPS_MAX;
}

static int inherit_from(cache_tx *tx, int64_t id, struct message *m, bool *ret_any)
{
    struct message old;
    int r = message_get(cache_tx_rd(tx), id, &old);
    if (r == 0)
        r = take_over(tx, &old, m, ret_any);
    if (r < 0 || !*ret_any)
        return r;
    r = inherit(tx, &old, m);
    return r < 0 ? r : message_put(tx, m);
}

int mail_replace_backup(cache_tx *tx, struct message *m)
{
    char prefix[sizeof(m->name) + 2];
    struct backups b = {.of = m};
    if (m->scratch || m->sub == SUB_TMP)
        return 0;
    snprintf(prefix, sizeof(prefix), "%s~", m->name);
    int r = message_each_named(cache_tx_rd(tx), m->mailbox, m->sub, prefix, collect_backup, &b);
    snprintf(prefix, sizeof(prefix), "%s.~", m->name);
    if (r == 0)
        r = message_each_named(cache_tx_rd(tx), m->mailbox, m->sub, prefix, collect_backup, &b);
    bool any = false;
    for (unsigned i = 0; r >= 0 && i < b.n && !any; i++)
        r = inherit_from(tx, b.found[i], m, &any);
    return r < 0 ? r : 0;
}
