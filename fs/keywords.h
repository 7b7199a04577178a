#pragma once
/* A `dovecot-keywords` that a program writes: Dovecot gives letters to keywords that way. */
#include "private.h"

/*
 * Takes over what the file behind fd says of a mailbox: its letters are given to its keywords, unless either
 * is taken already, and messages whose names have such a letter get the keyword. The file is not needed any
 * more then: what is made up (virtual.c) says the same, and the kernel is told to look for it. -EBADMSG: it
 * is no such file.
 */
int keywords_adopt(struct fs *fs, int64_t mailbox, int fd);
