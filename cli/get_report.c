/* SPDX-License-Identifier: MIT */
/* The texts that standard output gets instead of bodies: reports and links. */
#include "get.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Frees the text. */
static void print(struct transfer *t, struct text *text)
{
    int rc = text->failed ? -ENOMEM : order_feed(t, text->data, text->len);

    text_free(text);
    if (rc < 0 && !t->ended)
        transfer_fail_output(t, rc);
    else if (rc < 0)
        t->out_err = rc;
}

static bool is_on(const struct transfer *t)
{
    return t->get->o.text == TEXT_REPORT && t->get->out_err == 0;
}

/* --- reports ------------------------------------------------------------------------------ */

void report_head(struct transfer *t, const ac_http_request *r)
{
    struct text text = {.data = NULL};
    const char *reason;

    if (!is_on(t))
        return;
    if (ac_http_status(r) == 0) {
        text_puts(&text, "connection failed\n");
        print(t, &text);
        return;
    }
    reason = ac_http_reason(r);
    text_printf(&text, "status => %s %d%s", ac_http_version(r), ac_http_status(r),
                reason[0] != '\0' ? " " : "");
    text_shown(&text, reason, strlen(reason));
    text_puts(&text, "\n");
    for (size_t i = 0; i < ac_http_field_count(r); i++) {
        ac_http_field f = ac_http_field_at(r, i);

        text_shown(&text, f.name, f.name_len);
        text_puts(&text, " = ");
        text_shown(&text, f.value, f.value_len);
        text_puts(&text, "\n");
    }
    print(t, &text);
}

void report_hop(struct transfer *t, const char *to)
{
    struct text text = {.data = NULL};

    if (!is_on(t))
        return;
    text_puts(&text, "redirecting to ");
    text_shown(&text, to, strlen(to));
    text_puts(&text, " ...\n");
    print(t, &text);
}

void report_end(struct transfer *t, int err)
{
    struct text text = {.data = NULL};

    if (!is_on(t) || t->result.attempts == 0)
        return;
    text_printf(&text, "%" PRIu64 " bytes in body%s\n", t->result.times.bytes,
                err != 0 && err != -AC_ESTATUS ? " (not whole)" : "");
    print(t, &text);
}

/* The report is that of the last attempt. */
void report_forget(struct transfer *t)
{
    if (t->get->o.text == TEXT_REPORT)
        order_rewind(t);
}

/* --- links -------------------------------------------------------------------------------- */

static void found(void *context, const char *url, size_t len)
{
    struct transfer *t    = context;
    struct text      text = {.data = NULL};

    if (t->links == NULL || t->get->out_err != 0)
        return;
    text_shown(&text, url, len);
    text_puts(&text, "\n");
    print(t, &text);
}

static bool is_page(const ac_http_request *r)
{
    const char *type = ac_http_field_get(r, "Content-Type");

    return type == NULL || strncasecmp(type, "text/html", 9) == 0
           || strncasecmp(type, "application/xhtml+xml", 21) == 0;
}

int links_begin(struct transfer *t, ac_http_request *r)
{
    if (!is_page(r) || t->links != NULL)
        return 0;
    t->links = malloc(sizeof *t->links);
    if (t->links == NULL)
        return -ENOMEM;
    cli_markup()->link_consumer_init(t->links, t, found, NULL);
    ac_consumer_header(&t->links->html.base, r);
    return 0;
}

/* What was held back is told now, unless the page was given up. */
void links_end(struct transfer *t, int err)
{
    ac_link_consumer *links = t->links;

    if (links == NULL)
        return;
    if (err == -AC_ECANCELED)
        t->links = NULL;
    ac_consumer_close(&links->html.base, err);
    t->links = NULL;
    free(links);
}
