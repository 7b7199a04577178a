#pragma once
/*
 * Inode numbers, which are also the node ids that the kernel knows. A message's is its row id. Directories of
 * the mail tree have a number made of their mailbox's id. Files of the local area have the address of
 * nothing: fs numbers them itself above INO_LOCAL. No number is ever reused for something else.
 */
#include <stdbool.h>
#include <stdint.h>

enum sub { SUB_TMP = 0, SUB_NEW = 1, SUB_CUR = 2, SUB_BOX = 3 /* the mailbox's own directory */ };

#define INO_ROOT ((uint64_t)1)
#define INO_DIR ((uint64_t)1 << 62)
#define INO_LOCAL ((uint64_t)1 << 61)
/* Message row ids start above INO_ROOT: the schema seeds the sequence at 16. */

/* The root is the box of mailbox id 0. */
static inline uint64_t ino_dir(int64_t mailbox, enum sub sub)
{
    return mailbox == 0 && sub == SUB_BOX ? INO_ROOT : INO_DIR | (uint64_t)mailbox << 2 | sub;
}
static inline bool ino_is_dir(uint64_t ino)
{
    return ino == INO_ROOT || (ino & INO_DIR);
}
static inline int64_t ino_mailbox(uint64_t ino)
{
    return ino == INO_ROOT ? 0 : (int64_t)((ino & ~INO_DIR) >> 2);
}
static inline enum sub ino_sub(uint64_t ino)
{
    return ino == INO_ROOT ? SUB_BOX : (enum sub)(ino & 3);
}
static inline bool ino_is_local(uint64_t ino)
{
    return !(ino & INO_DIR) && (ino & INO_LOCAL);
}
static inline bool ino_is_message(uint64_t ino)
{
    return ino > INO_ROOT && !(ino & (INO_DIR | INO_LOCAL));
}
