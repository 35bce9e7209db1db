/* SPDX-License-Identifier: MIT */
/* What is done with URLs once they are parsed: released, copied, compared, shown. */
#include "asyncore/url.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

void ac_url_free(ac_url *url)
{
    if (url == NULL)
        return;
    ac__free(url->text);
    *url = (ac_url){0};
}

int ac_url_copy(ac_url *to, const ac_url *from)
{
    char *text;

    if (to == NULL || from == NULL || from->text == NULL)
        return -EINVAL;
    text = ac__alloc((size_t)from->len + 1);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, from->text, (size_t)from->len + 1);
    *to      = *from;
    to->text = text;
    return 0;
}

bool ac_url_same_origin(const ac_url *a, const ac_url *b)
{
    if (a == NULL || b == NULL || a->text == NULL || b->text == NULL)
        return false;
    return a->secure == b->secure && a->port == b->port && a->host.len == b->host.len
           && memcmp(a->text + a->host.at, b->text + b->host.at, a->host.len) == 0;
}

size_t ac_url_public(const ac_url *url, char *buf, size_t room, bool fragment)
{
    size_t scheme, end, len, cut;

    if (url == NULL || url->text == NULL) {
        if (room > 0)
            buf[0] = '\0';
        return 0;
    }
    scheme = url->secure ? sizeof "https://" - 1 : sizeof "http://" - 1;
    end    = url->has_fragment && !fragment ? url->fragment.at - 1U : url->len;
    len    = scheme + (end - url->host.at);
    if (room == 0)
        return len;
    cut = scheme < room ? scheme : room - 1;
    memcpy(buf, url->text, cut);
    end = len < room ? len : room - 1;
    memcpy(buf + cut, url->text + url->host.at, end - cut);
    buf[end] = '\0';
    return len;
}
