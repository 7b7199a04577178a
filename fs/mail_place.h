#pragma once
/* Shared by the mail_*.c files. */
#include "clock.h"
#include "mail.h"

static inline int64_t mail_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

static inline bool mail_is_at(const struct message *m, const struct mail_place *at)
{
    return m->mailbox == at->mailbox && m->sub == at->sub && __builtin_strcmp(m->name, at->name) == 0;
}

/* May something be put here (or be changed here)? -ENOENT, -EACCES, -ENAMETOOLONG. */
int mail_check_place(cache_rd *rd, const struct mail_place *at);
int mail_check_places(cache_rd *rd, const struct mail_place *one, const struct mail_place *other);
/* Gives the row that place; the caller stores it. The place must have been checked. */
void mail_put_at(struct message *m, const struct mail_place *at);
/* The row that has this name, as it is, also when the name is an extra one. */
int mail_at(cache_rd *rd, const struct mail_place *at, struct message *ret);
