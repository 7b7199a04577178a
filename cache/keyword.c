#include "private.h"
#include <errno.h>

int keyword_load(struct cache_rd *rd, struct keywords *k, unsigned *ret_n)
{
    static const char sql[] = "SELECT bit, name FROM keyword ORDER BY bit";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    unsigned n = 0;
    int got;
    while ((got = statement_step(s)) > 0) {
        char name[FLAGS_KEYWORD_NAME_MAX + 1];
        column_text(s, 1, name, sizeof name);
        /* The bits in all rows of flags depend on this: better no mount than wrong keywords. */
        if (keywords_bit(k, name) != column_int(s, 0))
            return -EIO;
        n++;
    }
    if (got < 0)
        return got;
    *ret_n = n;
    return 0;
}

int keyword_store(struct cache_rd *rd, struct keywords *k, unsigned from, unsigned *ret_n)
{
    static const char sql[] = "INSERT INTO keyword (bit, name) VALUES (?, ?)";
    unsigned n = keywords_count(k);
    for (unsigned i = from; i < n; i++) {
        CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
        put_int(s, FLAGS_FIRST_KEYWORD + i);
        put_text(s, keywords_name(k, FLAGS_FIRST_KEYWORD + i));
        int err = statement_run(s);
        if (err)
            return err;
    }
    *ret_n = n;
    return 0;
}
