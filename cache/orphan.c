#include "orphan.h"
#include "private.h"

int orphan_put(cache_tx *tx, int64_t message)
{
    static const char sql[] = "INSERT OR IGNORE INTO orphan (message) VALUES (?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, message);
    return statement_run(s);
}

bool orphan_has(cache_rd *rd, int64_t message)
{
    static const char sql[] = "SELECT 1 FROM orphan WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, message);
    return statement_row(s) == 0;
}

bool orphan_any(cache_rd *rd)
{
    static const char sql[] = "SELECT 1 FROM orphan LIMIT 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    return statement_row(s) == 0;
}

int orphan_forget_all(cache_tx *tx)
{
    static const char sql[] = "DELETE FROM orphan";
    return statement_do(&tx->rd, sql);
}
