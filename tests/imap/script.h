#pragma once
/*
 * Tests that play a script: what a server says, and what it must be told (fake.h). For one file each that
 * includes this.
 */
#include "rig.h"
#include "fake.h"
#include "session.h"

/* A session that is logged in, and offers this. */
#define OPEN(capabilities) "S:* PREAUTH hi", "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1" capabilities, "S:$ OK"
#define OPEN_QRESYNC                                                                                         \
    OPEN(" ENABLE QRESYNC ESEARCH UIDPLUS MOVE UNSELECT"), "C:ENABLE QRESYNC", "S:* ENABLED QRESYNC", "S:$ OK"
#define SELECTED(exists, validity, next)                                                                     \
    "C:SELECT", "S:* " exists " EXISTS", "S:* OK [UIDVALIDITY " validity "] x", "S:* OK [UIDNEXT " next "] x"
#define MODSEQ(n) "S:* OK [HIGHESTMODSEQ " n "] x"
#define BYE "C:LOGOUT", NULL

static struct fake server;
static struct rig rig;
static struct worker_scan scan;

static void begin(const char *const *script)
{
    fake_start(&server, script);
    rig_init(&rig, "127.0.0.1", server.port, CONFIG_TLS_NONE);
    imap_of(rig.w)->idle_ms = 2000;
}

static void end(void)
{
    worker_scan_finish(&scan);
    rig_finish(&rig);
    assert_string_equal(fake_stop(&server), "");
}

static inline enum worker_result look(const struct worker_token *since, enum worker_depth depth)
{
    worker_scan_finish(&scan);
    enum worker_result r = rig.w->ops->scan(rig.w, "INBOX", since, depth, &scan, &rig.e);
    if (r != WORKER_DONE)
        print_message("%d: %s\n", r, rig.e.text);
    return r;
}
