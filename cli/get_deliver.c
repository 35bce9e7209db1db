/* SPDX-License-Identifier: MIT */
/* Where the body of a response goes. */
#include "get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool deliver_needs_bytes(const struct get *g)
{
    return g->o.body != BODY_NOWHERE || g->o.text == TEXT_LINKS;
}

/* --- files -------------------------------------------------------------------------------- */

static int begin_named(struct transfer *t, const ac_http_request *r)
{
    const struct get_options *o     = &t->get->o;
    const char               *field = NULL;
    char                      name[NAME_MAX_BYTES + 1];

    if (o->header_name)
        field = ac_http_field_get(r, "Content-Disposition");
    if (field == NULL || !name_of_disposition(field, name))
        name_of_url(t->url, name);
    return file_begin(&t->file, o->directory != NULL ? o->directory : ".", name, !o->force);
}

static int begin_output(struct transfer *t)
{
    const char *path  = t->get->o.output;
    const char *slash = strrchr(path, '/');
    char       *directory;
    int         rc;

    if (slash == NULL)
        return file_begin(&t->file, ".", path, false);
    directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (directory == NULL)
        return -ENOMEM;
    rc = file_begin(&t->file, directory, slash + 1, false);
    free(directory);
    return rc;
}

/* --- the body ----------------------------------------------------------------------------- */

int deliver_begin(struct transfer *t, ac_http_request *r)
{
    int rc = 0;

    resume_note(t, r);
    report_head(t, r);
    if (t->get->o.text == TEXT_LINKS)
        rc = links_begin(t, r);
    if (rc < 0 || t->file.fd > 0)
        return rc;
    if (t->get->o.body == BODY_FILE)
        return begin_output(t);
    if (t->get->o.body == BODY_DIRECTORY)
        return begin_named(t, r);
    return 0;
}

static int to_terminal(struct transfer *t, const void *data, size_t len)
{
    struct text text = {.data = NULL};
    int         rc   = text_body(&text, &t->shown, data, len);

    if (rc == -EILSEQ)
        t->result.text = "the body is binary; -o FILE keeps it, -o - shows it all the same";
    if (rc == 0)
        rc = order_feed(t, text.data, text.len);
    text_free(&text);
    return rc;
}

static int to_target(struct transfer *t, const void *data, size_t len)
{
    struct sink *s  = &t->get->target;
    int          rc = sink_write(s, data, len);

    if (rc == 0 && sink_full(s) && ac_http_pause(t->request) == 0)
        t->paused = true;
    return rc;
}

int deliver(struct transfer *t, const void *data, size_t len)
{
    if (t->links != NULL)
        ac_consumer_feed(&t->links->html.base, data, len);
    switch (t->get->o.body) {
    case BODY_STDOUT:
        return t->get->terminal ? to_terminal(t, data, len) : order_feed(t, data, len);
    case BODY_TARGET:
        return to_target(t, data, len);
    case BODY_FILE:
    case BODY_DIRECTORY:
        return file_write(&t->file, data, len);
    case BODY_NOWHERE:
        break;
    }
    return 0;
}

int deliver_end(struct transfer *t, int err)
{
    struct text text = {.data = NULL};
    int         rc   = 0;

    links_end(t, err);
    if (t->get->terminal) {
        text_body_end(&text, &t->shown);
        rc = order_feed(t, text.data, text.len);
        text_free(&text);
    }
    if (t->file.fd > 0 && err == 0)
        rc = file_commit(&t->file, &t->get->o, &t->result.file);
    else
        file_abandon(&t->file, t->get->o.keep_partial);
    return rc;
}
