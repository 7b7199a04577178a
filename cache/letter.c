/* The letters a to z that stand for keywords in a mailbox's file names. One given out is never taken back: it
 * is in names. */
#include <errno.h>
#include "mailbox.h"
#include "private.h"

int mailbox_letters(cache_rd *rd, int64_t id, struct maildir_letters *ret)
{
    static const char sql[] = "SELECT letter, bit FROM letter WHERE mailbox = ?";
    struct maildir_letters letters;
    for (int i = 0; i < 26; i++)
        letters.bit[i] = -1;
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    int got;
    while ((got = statement_step(s)) > 0) {
        int64_t letter = column_int(s, 0);
        if (letter >= 0 && letter < 26)
            letters.bit[letter] = (int8_t)column_int(s, 1);
    }
    if (!got)
        *ret = letters;
    return got;
}

int mailbox_letter_lend(cache_tx *tx, int64_t id, int letter, unsigned bit)
{
    static const char sql[] = "INSERT OR IGNORE INTO letter (mailbox, letter, bit) VALUES (?, ?, ?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    put_int(s, letter);
    put_int(s, bit);
    return statement_run(s);
}

int mailbox_letters_for(cache_tx *tx, int64_t id, flags_t flags, struct maildir_letters *ret)
{
    struct maildir_letters letters;
    int err = mailbox_letters(&tx->rd, id, &letters);
    if (err)
        return err;
    flags_t without = flags & ~FLAGS_SYSTEM;
    int next = 0;
    for (int i = 0; i < 26; i++) {
        if (letters.bit[i] < 0)
            continue;
        without &= ~((flags_t)1 << letters.bit[i]);
        next = i + 1;
    }
    for (unsigned bit = FLAGS_FIRST_KEYWORD; without && bit < 64 && next < 26; bit++) {
        if (!(without & (flags_t)1 << bit))
            continue;
        err = mailbox_letter_lend(tx, id, next, bit);
        if (err)
            return err;
        letters.bit[next++] = (int8_t)bit;
    }
    *ret = letters;
    return 0;
}
