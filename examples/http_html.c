/* SPDX-License-Identifier: MIT */
/*
 * Prints the title and the headings of a page while it arrives:
 *
 *     http_html http://www.example.org/
 */
#include <asyncore-markup.h>

#include <stdio.h>
#include <string.h>

struct outline {
    ac_html_consumer html;
    bool             inside; /* of a title or a heading */
    int              err;
};

static bool is_heading(const char *name)
{
    return strcmp(name, "title") == 0
           || (name[0] == 'h' && name[1] >= '1' && name[1] <= '6' && name[2] == '\0');
}

static void outline_start(ac_html_consumer *c, const char *name, const char *const *attributes)
{
    struct outline *o = AC_CONTAINER(struct outline, html, c);

    (void)attributes;
    if (!is_heading(name))
        return;
    o->inside = true;
    printf("%s: ", name);
}

static void outline_end(ac_html_consumer *c, const char *name)
{
    struct outline *o = AC_CONTAINER(struct outline, html, c);

    if (!o->inside || !is_heading(name))
        return;
    o->inside = false;
    putchar('\n');
    fflush(stdout); /* there it is, though the page is still on its way */
}

static void outline_text(ac_html_consumer *c, const char *text, size_t len)
{
    struct outline *o = AC_CONTAINER(struct outline, html, c);

    /* No control characters, neither of ASCII nor those behind it (0xc2 0x80 to 0xc2 0x9f): the
     * page does not get to command the terminal. */
    for (size_t i = 0; o->inside && i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0)
            i++;
        else
            putchar(byte < ' ' || byte == 0x7f ? ' ' : byte);
    }
}

static void outline_close(ac_html_consumer *c, int err)
{
    AC_CONTAINER(struct outline, html, c)->err = err;
}

static const ac_html_class outline = {
    .start = outline_start,
    .end   = outline_end,
    .text  = outline_text,
    .close = outline_close,
};

int main(int argc, char **argv)
{
    struct outline  page   = {.err = 0};
    ac_loop        *loop   = ac_loop_new();
    ac_http_client *client = ac_http_client_new(loop, NULL);

    if (argc != 2 || client == NULL) {
        fprintf(stderr, "usage: http_html URL\n");
        return 2;
    }
    ac_html_consumer_init(&page.html, &outline);
    page.err = ac_http_get(client, argv[1], &page.html.base);
    if (page.err == 0)
        ac_run(loop);
    if (page.err < 0)
        fprintf(stderr, "http_html: %s\n", ac_strerror(page.err));
    ac_http_client_free(client);
    ac_loop_free(loop);
    return page.err < 0;
}
