/*
 * What a rename says about flags.
 *
 * A client that renames `x:2,S` to `x:2,FS` sets one flag; it does not state the other ones. So the
 * difference of the two names is applied to the flags that the row has, which may be more than a name can
 * show: the letters a to z of a mailbox stand for 26 keywords at most, and \Seen has no letter's certainty in
 * new/, for mail in new/ is unread by the convention, whatever its name says:
 *
 *   - cur -> new clears \Seen, new -> cur sets it when the name has an S, also when it had one before;
 *   - one client (mu) writes names without keyword letters whenever it sets another flag or files a message:
 * a rename that loses all letters a to z and changes something else besides keeps the keywords;
 *   - letters belong to a mailbox. In another mailbox they are read by that one's table. A letter that it
 * does not know means what it means where the message comes from, and gets into the table, unless the keyword
 * has another letter there: programs move files as they are;
 *   - scratch names say nothing. A message that an editor moves to `x~` keeps its flags, and gets those of
 * its name when it comes back, its keywords as they were.
 */
#include "mail.h"
#include <string.h>
#include "mailbox.h"

#define KEYWORDS (~FLAGS_SYSTEM)

static bool has_keyword_letters(const char *name, const struct maildir_name *parsed)
{
    if (!parsed->has_info)
        return false;
    const char *letter = name + parsed->base_length + strlen(":2,");
    while (*letter >= 'A' && *letter <= 'Z')
        letter++;
    return *letter >= 'a' && *letter <= 'z';
}

static struct mail_spelling spell_with(const struct maildir_letters *letters, const struct mail_place *at)
{
    struct maildir_name parsed;
    maildir_parse(at->name, letters, &parsed);
    struct mail_spelling s = {.at = *at,
                              .scratch = maildir_is_scratch(at->name),
                              .lettered = has_keyword_letters(at->name, &parsed),
                              .flags = parsed.flags};
    for (unsigned i = 0; i < sizeof(letters->bit); i++)
        s.knows_letters |= letters->bit[i] >= 0;
    return s;
}

int mail_spell(cache_rd *rd, const struct mail_place *at, struct mail_spelling *ret)
{
    struct maildir_letters letters;
    int r = mailbox_letters(rd, at->mailbox, &letters);
    if (r == 0)
        *ret = spell_with(&letters, at);
    return r;
}

int mail_spell_moved(cache_tx *tx, int64_t from, const struct mail_place *at, struct mail_spelling *ret)
{
    cache_rd *rd = cache_tx_rd(tx);
    struct maildir_letters here, lent;
    int r = mailbox_letters(rd, at->mailbox, &here);
    if (r < 0)
        return r;
    struct mail_spelling spelling = spell_with(&here, at);
    bool lends = from != at->mailbox && at->sub != SUB_TMP && !spelling.scratch && spelling.lettered;
    if (lends)
        r = mailbox_letters(rd, from, &lent);
    const char *letters = lends ? strstr(at->name, ":2,") + strlen(":2,") : "";
    for (; *letters && r == 0; letters++) {
        int i = *letters - 'a';
        if (i < 0 || i >= (int)sizeof(here.bit) || here.bit[i] >= 0 || lent.bit[i] < 0)
            continue;
        spelling.flags |= (flags_t)1 << lent.bit[i];
        spelling.knows_letters = true;
        r = mailbox_letter_lend(tx, at->mailbox, i, (unsigned)lent.bit[i]);
    }
    if (r == 0)
        *ret = spelling;
    return r;
}

static flags_t system_renamed(flags_t flags, const struct mail_spelling *from, const struct mail_spelling *to)
{
    flags_t before = (from->scratch ? flags : from->flags) & FLAGS_SYSTEM, after = to->flags & FLAGS_SYSTEM;
    flags_t added = after & ~before, removed = before & ~after;
    if (from->at.sub == SUB_NEW && to->at.sub == SUB_CUR)
        added |= after & FLAG_SEEN;
    if (from->at.sub == SUB_CUR && to->at.sub == SUB_NEW) {
        added &= ~FLAG_SEEN;
        removed |= FLAG_SEEN;
    }
    return ((flags & FLAGS_SYSTEM) | added) & ~removed;
}

static flags_t keywords_renamed(flags_t flags, const struct mail_spelling *from,
                                const struct mail_spelling *to, bool more_changed)
{
    flags_t before = from->flags & KEYWORDS, after = to->flags & KEYWORDS, mine = flags & KEYWORDS;
    bool other_mailbox = from->at.mailbox != to->at.mailbox;
    if (from->scratch || (from->lettered && !to->lettered && more_changed))
        return mine;
    if (other_mailbox)
        return to->knows_letters ? (mine & ~before) | after : mine;
    return (mine | (after & ~before)) & ~(before & ~after);
}

flags_t mail_flags_renamed(flags_t flags, const struct mail_spelling *from, const struct mail_spelling *to)
{
    if (to->scratch)
        return flags;
    flags_t system = system_renamed(flags, from, to);
    bool more_changed = system != (flags & FLAGS_SYSTEM) || from->at.mailbox != to->at.mailbox;
    return system | keywords_renamed(flags, from, to, more_changed);
}

flags_t mail_flags_copied(flags_t flags, const struct mail_spelling *to)
{
    if (to->scratch)
        return flags;
    flags_t keywords = to->lettered && to->knows_letters ? to->flags : flags;
    return (to->flags & FLAGS_SYSTEM) | (keywords & KEYWORDS);
}
