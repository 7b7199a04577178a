#include "private.h"

int64_t cache_meta_get(cache_rd *rd, const char *key, int64_t fallback)
{
    static const char sql[] = "SELECT value FROM meta WHERE key = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_text(s, key);
    return statement_row(s) ? fallback : column_int(s, 0);
}

int cache_meta_set(cache_tx *tx, const char *key, int64_t value)
{
    static const char sql[] = "INSERT INTO meta (key, value) VALUES (?, ?)"
                              " ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_text(s, key);
    put_int(s, value);
    return statement_run(s);
}
