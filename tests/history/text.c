/*
 * Stories as text, for people and for tests/history/kept. A line is
 *
 *   [at STEP] WORDS NUMBER...
 *
 * with +\Flagged and -\Seen for flags; "at STEP": not at once, but before that step of the next round. The
 * first line tells what the server offers.
 */
#include "history.h"
#include <stdlib.h>
#include <string.h>
#include "verbs.h"

static const char *const feature_name[] = {"uidplus",      "move",   "mailboxid", "lying-sizes",
                                           "altered-mail", "masked", "last-first"};
static const char *const flag_name[] = {"\\Seen", "\\Flagged", "\\Deleted", "keyword"};

static void write_flags(FILE *out, char sign, unsigned number)
{
    for (size_t i = 0; i < sizeof flag_name / sizeof *flag_name; i++)
        if (number >> i & 1)
            fprintf(out, " %c%s", sign, flag_name[i]);
}

static void write_act(const struct act *a, FILE *out)
{
    const struct verb *v = &verbs[a->code];

    if (a->at && !v->itself)
        fprintf(out, "at %u ", a->at);
    fputs(v->words, out);
    for (int k = 0; v->form[k]; k++)
        if (v->form[k] == '+' || v->form[k] == '-')
            write_flags(out, v->form[k], a->arg[k]);
        else if (v->form[k] != ' ')
            fprintf(out, " %u", a->arg[k]);
    fputc('\n', out);
}

void history_write(const struct history *h, FILE *out)
{
    fputs("server:", out);
    for (size_t i = 0; i < sizeof feature_name / sizeof *feature_name; i++)
        if (h->features >> i & 1)
            fprintf(out, " %s", feature_name[i]);
    fputc('\n', out);
    for (size_t i = 0; i < h->n; i++)
        write_act(&h->act[i], out);
}

/* ---- reading ---- */

/* The bit of one of n names; -1. */
static int find_name(const char *word, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, name[i]) == 0)
            return (int)i;
    return -1;
}

static bool read_features(struct history *h, char *words)
{
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        int bit = find_name(word, feature_name, sizeof feature_name / sizeof *feature_name);
        if (bit < 0)
            return false;
        h->features |= 1u << bit;
    }
    return true;
}

static bool read_number(const char *word, unsigned char *ret)
{
    char *end;
    unsigned long n = strtoul(word, &end, 10);
    if (end == word || *end || n > UINT8_MAX)
        return false;
    *ret = (unsigned char)n;
    return true;
}

static bool read_flag(struct act *a, const char *form, const char *word)
{
    const char *place = strchr(form, word[0]);
    int bit = find_name(word + 1, flag_name, sizeof flag_name / sizeof *flag_name);
    if (!place || bit < 0)
        return false;
    a->arg[place - form] |= (unsigned char)(1u << bit);
    return true;
}

/* What follows the verb's words. */
static bool read_args(struct act *a, const char *form, char *words)
{
    int k = 0;
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        if (*word == '+' || *word == '-') {
            if (!read_flag(a, form, word))
                return false;
            continue;
        }
        while (form[k] == '+' || form[k] == '-')
            k++;
        if (!form[k] || form[k] == ' ' || !read_number(word, &a->arg[k++]))
            return false;
    }
    return true;
}

static bool read_act(struct act *a, char *line)
{
    size_t best = 0, found = 0;
    int used = 0;
    unsigned at = 0;

    *a = (struct act){0};
    if (sscanf(line, "at %u %n", &at, &used) == 1 && used) {
        a->at = (unsigned char)at;
        line += used;
    }
    for (size_t i = 0; i < verbs_n; i++) {
        size_t n = strlen(verbs[i].words);
        if (n > best && strncmp(line, verbs[i].words, n) == 0 && (line[n] == ' ' || !line[n])) {
            best = n;
            found = i;
        }
    }
    a->code = (unsigned char)found;
    return best && read_args(a, verbs[found].form, line + best);
}

int history_read(struct history *h, FILE *in)
{
    char line[200];

    *h = (struct history){0};
    for (int number = 1; fgets(line, sizeof line, in); number++) {
        line[strcspn(line, "#\n")] = '\0';
        size_t length = strlen(line);
        while (length && line[length - 1] == ' ')
            line[--length] = '\0';
        if (!length)
            continue;
        bool good = strncmp(line, "server:", 7) == 0 ? read_features(h, line + 7)
                                                     : h->n < ACTS && read_act(&h->act[h->n++], line);
        if (!good)
            return number;
    }
    return 0;
}
