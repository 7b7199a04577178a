#include "mountopts.h"

#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "io.h"

/* What mount(8) and fstab lines carry that says nothing to a file system, or says what is so anyway. `dev`
 * and `suid` are given by mount.fuse3 when root mounts; no mail is ever a device or runs as its owner, so
 * they stay off. libfuse does not know `nodiratime`, and the kernel keeps no access times of directories
 * here. */
static const char *const ignored[] = {
    "",
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "async",
    "_netdev",
    "dev",
    "suid",
    "exec",
    "atime",
    "relatime",
    "norelatime",
    "nodiratime",
    "x-*",
    "comment=*",
    "default_permissions", /* always on */
};

static const char *const passed_on[] = {"nosuid", "nodev", "noexec", "noatime", "dirsync", "sync"};

static const struct {
    const char *name;
    size_t offset;
} switches[] = {
    {"ro", offsetof(struct mountopts, read_only)},
    {"allow_other", offsetof(struct mountopts, allow_other)},
    {"allow_root", offsetof(struct mountopts, allow_root)},
    {"auto_unmount", offsetof(struct mountopts, auto_unmount)},
    {"debug", offsetof(struct mountopts, debug)},
};

static bool is_one_of(const char *const *pattern, size_t n, const char *option)
{
    for (size_t i = 0; i < n; i++) {
        if (fnmatch(pattern[i], option, 0) == 0)
            return true;
    }
    return false;
}

static bool set_switch(struct mountopts *m, const char *option)
{
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(switches[i].name, option) == 0) {
            *(bool *)((char *)m + switches[i].offset) = true;
            return true;
        }
    }
    return false;
}

static bool names_caller(const char *option)
{
    const struct passwd *me = getpwuid(getuid());
    return me && strncmp(option, "user=", 5) == 0 && strcmp(option + 5, me->pw_name) == 0;
}

static int add_override(struct mountopts *m, const char *option)
{
    char **grown = reallocarray(m->override, m->overrides + 2, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    m->override = grown;
    grown[m->overrides] = strdup(option);
    if (!grown[m->overrides])
        return -ENOMEM;
    grown[++m->overrides] = NULL;
    return 0;
}

static int add_one(struct mountopts *m, const char *option, bool from_mount8, struct fault *f)
{
    if (is_one_of(ignored, sizeof ignored / sizeof *ignored, option) || set_switch(m, option))
        return 0;
    if (from_mount8 && names_caller(option))
        return 0;
    if (is_one_of(passed_on, sizeof passed_on / sizeof *passed_on, option))
        return buf_addf(&m->extra, "%s%s", m->extra.length > 0 ? "," : "", option);
    if (!config_is_key(option))
        return fault_set(f, FAULT_USAGE, -EINVAL, "-o %s: no such option (see mailmount(1) and mailmount(5))",
                         option);
    if (!strchr(option, '='))
        return fault_set(f, FAULT_USAGE, -EINVAL, "-o %s: needs a value (%s=VALUE)", option, option);
    return add_override(m, option);
}

/* Takes the next option off the list into out; false at the end. */
static bool next_option(const char **list, struct buf *out)
{
    const char *p = *list;
    if (!p)
        return false;
    buf_clear(out);
    buf_adds(out, "");
    for (; *p && *p != ','; p++) {
        if (*p == '\\' && (p[1] == ',' || p[1] == '\\'))
            p++;
        buf_add(out, p, 1);
    }
    *list = *p ? p + 1 : NULL;
    return true;
}

int mountopts_add(struct mountopts *m, const char *list, bool from_mount8, struct fault *f)
{
    CLEANUP(buf_finish) struct buf option = {0};
    int r = 0;
    while (r == 0 && next_option(&list, &option))
        r = option.failed ? -ENOMEM : add_one(m, option.data, from_mount8, f);
    if (r == -ENOMEM)
        fault_set(f, FAULT_AGAIN, r, "mount: no memory");
    return r;
}

void mountopts_finish(struct mountopts *m)
{
    for (unsigned i = 0; i < m->overrides; i++)
        free(m->override[i]);
    free(m->override);
    buf_finish(&m->extra);
    *m = (struct mountopts){0};
}
