#pragma once
/* The message table's row, for the files that read and write it: message.c, message_list.c, link.c. */
#include "message.h"
#include "private.h"

/* What follows id, mailbox, sub and name: an extra name brings its own place and name. */
#define MESSAGE_REST                                                                                         \
    "state, scratch, flags, form, hash, size, wire_size, mtime_ns, ctime_ns, date_s, zone_min, message_id, " \
    "links,"                                                                                                 \
    " dirty, after, changed_ms, gone_at"
#define MESSAGE_COLUMNS "id, mailbox, sub, name, " MESSAGE_REST
#define MESSAGE_EXTRA_COLUMNS "message.id, link.mailbox, link.sub, link.name, " MESSAGE_REST

/* The only row: 0, -ENOENT, -errno. */
int message_row(struct statement *s, struct message *ret);
/* All rows. A non-zero result of each ends it and is returned. */
int message_rows(struct statement *s, int (*each)(void *arg, const struct message *m), void *arg);

static inline bool message_shown(const struct message *m)
{
    return m->state == MESSAGE_PRESENT || m->state == MESSAGE_WRITING;
}

/* -EEXIST when a shown row other than `except`, or an extra name, is there. */
int message_taken(cache_rd *rd, int64_t mailbox, enum sub sub, const char *name, int64_t except);

/* An entry of a directory came or went: the event, and the directory's time. */
int message_entry(cache_tx *tx, enum cache_event_kind kind, int64_t mailbox, enum sub sub, const char *name,
                  int64_t id);
void message_attributes(cache_tx *tx, int64_t mailbox, int64_t id);

/* link.c: the row is shown no more, and neither are its extra names. */
int link_drop_all(cache_tx *tx, int64_t id);
