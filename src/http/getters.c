/* SPDX-License-Identifier: MIT */
/* What can be asked of a request. All of it is valid as long as the request is. */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const ac__exchange *answered(const ac_http_request *r)
{
    return r != NULL && r->x != NULL && r->x->status != 0 ? r->x : NULL;
}

int ac_http_status(const ac_http_request *r)
{
    const ac__exchange *x = answered(r);

    return x != NULL ? x->status : 0;
}

int ac_http_error(const ac_http_request *r)
{
    return r != NULL ? r->err : 0;
}

ac_http_phase_t ac_http_phase(const ac_http_request *r)
{
    return r != NULL && r->x != NULL ? r->x->phase : AC_HTTP_QUEUED;
}

const char *ac_http_reason(const ac_http_request *r)
{
    const ac__exchange *x = answered(r);

    return x != NULL ? x->block + x->reason : "";
}

const char *ac_http_version(const ac_http_request *r)
{
    const ac__exchange *x = answered(r);

    return x == NULL ? "" : x->minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

const char *ac_http_method(const ac_http_request *r)
{
    return r != NULL ? ac__request_method(r) : "";
}

const char *ac_http_url(const ac_http_request *r)
{
    ac__exchange *x = r != NULL ? r->x : NULL;
    size_t        len;

    if (x == NULL || !x->url.has_user)
        return r == NULL ? "" : x != NULL ? x->url.text : "";
    if (x->public_url == NULL) {
        len           = ac_url_public(&x->url, NULL, 0, true) + 1;
        x->public_url = ac__alloc(len);
        if (x->public_url == NULL)
            return "";
        (void)ac_url_public(&x->url, x->public_url, len, true);
    }
    return x->public_url;
}

bool ac_http_paused(const ac_http_request *r)
{
    return r != NULL && (r->flags & AC__R_PAUSED) != 0;
}

/* --- fields ------------------------------------------------------------------------------- */

static ac_http_field field_of(const ac__exchange *x, size_t base, const ac__field *f)
{
    const char *block = x->block + base;

    return (ac_http_field){block + f->name, block + f->value, f->name_len, f->value_len};
}

size_t ac_http_field_count(const ac_http_request *r)
{
    const ac__exchange *x = answered(r);

    return x != NULL ? x->field_count : 0;
}

ac_http_field ac_http_field_at(const ac_http_request *r, size_t index)
{
    const ac__exchange *x = answered(r);

    if (x == NULL || index >= x->field_count)
        return (ac_http_field){NULL, NULL, 0, 0};
    return field_of(x, 0, &x->fields[index]);
}

size_t ac_http_trailer_count(const ac_http_request *r)
{
    const ac__exchange *x = answered(r);

    return x != NULL && x->trailer_base > 0 ? x->head.count : 0;
}

ac_http_field ac_http_trailer_at(const ac_http_request *r, size_t index)
{
    const ac__exchange *x = answered(r);

    if (index >= ac_http_trailer_count(r))
        return (ac_http_field){NULL, NULL, 0, 0};
    return field_of(x, x->trailer_base, &x->fields[x->field_count + index]);
}

/* Keeps a text as long as the request; one that was asked for before is not kept twice. */
static const char *keep_joined(ac__exchange *x, struct ac__joined *fresh)
{
    for (const struct ac__joined *j = x->joined; j != NULL; j = j->next) {
        if (strcmp(j->text, fresh->text) == 0) {
            ac__free(fresh);
            return j->text;
        }
    }
    fresh->next = x->joined;
    x->joined   = fresh;
    return fresh->text;
}

const char *ac_http_field_get(const ac_http_request *r, const char *name)
{
    ac__exchange      *x     = r != NULL ? r->x : NULL;
    const ac__field   *first = NULL;
    size_t             len = 0, count = 0, name_len;
    struct ac__joined *j;
    char              *at;

    if (answered(r) == NULL || name == NULL)
        return NULL;
    name_len = strlen(name);
    for (uint32_t i = 0; i < x->field_count; i++) {
        const ac__field *f = &x->fields[i];

        if (f->name_len != name_len || strncasecmp(x->block + f->name, name, name_len) != 0)
            continue;
        if (first == NULL)
            first = f;
        len += f->value_len + 2;
        count++;
    }
    if (count <= 1)
        return first != NULL ? x->block + first->value : NULL;
    j = ac__alloc(sizeof *j + len);
    if (j == NULL)
        return NULL;
    at = j->text;
    for (uint32_t i = 0; i < x->field_count; i++) {
        const ac__field *f = &x->fields[i];

        if (f->name_len != name_len || strncasecmp(x->block + f->name, name, name_len) != 0)
            continue;
        if (at != j->text) {
            memcpy(at, ", ", 2);
            at += 2;
        }
        memcpy(at, x->block + f->value, f->value_len);
        at += f->value_len;
    }
    *at = '\0';
    return keep_joined(x, j);
}

const char *ac__location(const ac_http_request *r, bool *several)
{
    const ac__exchange *x     = answered(r);
    const ac__field    *first = NULL;

    *several = false;
    for (uint32_t i = 0; x != NULL && i < x->field_count; i++) {
        const ac__field *f = &x->fields[i];

        if (!ac__token_is(x->block + f->name, f->name_len, "location"))
            continue;
        if (first == NULL)
            first = f;
        else if (f->value_len != first->value_len
                 || memcmp(x->block + f->value, x->block + first->value, f->value_len) != 0)
            *several = true;
    }
    return first != NULL ? x->block + first->value : NULL;
}

/*
 * Bytes outside ASCII are no part of a URI, and are sent all the same, in whatever charset the server
 * writes its names. They are encoded here one by one, as they would be for UTF-8: the parser takes its
 * input for UTF-8, and would put U+FFFD in the place of others.
 */
int ac__location_parse(const ac_http_request *r, const char *location, ac_url *url)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t            len = strlen(location), count = 0;
    char             *text, *to;
    int               rc;

    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)location[i] & 0x80) != 0;
    if (count == 0)
        return ac_url_parse(url, location, len, &r->x->url);
    text = to = ac__alloc(len + 2 * count);
    if (text == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)location[i];

        if ((c & 0x80) != 0) {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 0xf];
        } else {
            *to++ = (char)c;
        }
    }
    rc = ac_url_parse(url, text, (size_t)(to - text), &r->x->url);
    ac__free(text);
    return rc;
}

const char *ac_http_location(const ac_http_request *r)
{
    ac__exchange *x = r != NULL ? r->x : NULL;
    bool          several;
    const char   *text = ac__location(r, &several);
    ac_url        url;
    size_t        len;

    if (text == NULL || several)
        return NULL;
    if (x->location != NULL)
        return x->location;
    if (ac__location_parse(r, text, &url) < 0)
        return NULL;
    len         = ac_url_public(&url, NULL, 0, true) + 1;
    x->location = ac__alloc(len);
    if (x->location != NULL)
        (void)ac_url_public(&url, x->location, len, true);
    ac_url_free(&url);
    return x->location;
}

/* --- the rest ----------------------------------------------------------------------------- */

const ac_http_times *ac_http_timings(const ac_http_request *r)
{
    static const ac_http_times none = {.queued     = -1,
                                       .name       = -1,
                                       .connect    = -1,
                                       .sent       = -1,
                                       .first_byte = -1,
                                       .total      = -1,
                                       .length     = -1};

    return r != NULL && r->x != NULL ? &r->x->times : &none;
}

ac_http_client *ac_http_client_of(const ac_http_request *r)
{
    return r != NULL ? r->client : NULL;
}

ac_consumer *ac_http_consumer(const ac_http_request *r)
{
    return r != NULL ? r->consumer : NULL;
}
