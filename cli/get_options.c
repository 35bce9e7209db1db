/* SPDX-License-Identifier: MIT */
/* The values of the options of `asyncore get`. */
#include "get.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void options_init(struct get_options *o)
{
    *o = (struct get_options){.parallel       = 50,
                              .per_host       = 6,
                              .max_redirects  = 20,
                              .timeout        = AC_FOREVER,
                              .retry_max_wait = 120 * AC_SECOND,
                              .limits         = {.size = sizeof o->limits}};
}

static void discard_const(const char *text)
{
    char *mine;

    memcpy(&mine, &text, sizeof mine);
    free(mine);
}

void options_free(struct get_options *o)
{
    for (size_t i = 0; i < o->field_count; i++)
        discard_const(o->fields[i].name); /* the value lies behind it */
    free(o->fields);
    for (size_t i = 0; i < o->resolve_count; i++)
        free(o->resolves[i].host); /* the address lies behind it */
    free(o->resolves);
    text_free(&o->data);
}

int option_rate(const char *text, int64_t *spacing)
{
    char  *end;
    double rate, unit = 1;

    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return -EINVAL;
    rate = strtod(text, &end);
    if (strcmp(end, "/m") == 0)
        unit = 60;
    else if (strcmp(end, "/h") == 0)
        unit = 3600;
    else if (*end != '\0' && strcmp(end, "/s") != 0)
        return -EINVAL;
    if (!(rate >= 1e-6 && rate <= 1e9))
        return -EINVAL;
    *spacing = (int64_t)(unit * (double)AC_SECOND / rate);
    if (*spacing < 1)
        *spacing = 1;
    return 0;
}

int option_size(const char *text, int64_t *size)
{
    static const char units[] = "KMGT";
    char             *end;
    const char       *unit;
    long long         value;
    int               shift = 0;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0)
        return -EINVAL;
    if (*end != '\0') {
        unit = strchr(units, toupper((unsigned char)*end));
        if (unit == NULL || end[1] != '\0')
            return -EINVAL;
        shift = 10 * (int)(unit - units + 1);
    }
    if (value < 1 || value > INT64_MAX >> shift)
        return -EINVAL;
    *size = (int64_t)value << shift;
    return 0;
}

/* --- fields and methods ------------------------------------------------------------------- */

static bool is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-.^_`|~", text[i]) == NULL)
            return false;
    return len > 0;
}

/* Framing is the library's matter. */
static bool may_be_set(const char *name, size_t len)
{
    static const char *const refused[] = {
        "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE",
        "Trailer",        "Upgrade",           "Expect"};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strlen(refused[i]) == len && strncasecmp(refused[i], name, len) == 0)
            return false;
    return is_token(name, len);
}

static bool is_value(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* The name and value in one block, which `name` is the beginning of. */
static int add_field(struct get_options *o, const char *name, size_t name_len, const char *value,
                     size_t len)
{
    ac_http_field *fields = realloc(o->fields, (o->field_count + 1) * sizeof *fields);
    char          *block  = fields != NULL ? malloc(name_len + len + 2) : NULL;

    if (fields != NULL)
        o->fields = fields;
    if (block == NULL)
        return -ENOMEM;
    memcpy(block, name, name_len);
    block[name_len] = '\0';
    if (len > 0)
        memcpy(block + name_len + 1, value, len);
    block[name_len + 1 + len] = '\0';
    o->fields[o->field_count++] =
        (ac_http_field){block, value != NULL ? block + name_len + 1 : NULL, name_len, len};
    return 0;
}

int option_field(struct get_options *o, const char *text)
{
    size_t      name  = strcspn(text, ":;");
    const char *value = text + name + 1;
    size_t      len;

    if (text[name] == '\0' || !may_be_set(text, name))
        return -EINVAL;
    if (name == 4 && strncasecmp(text, "Host", 4) == 0 && options_have_field(o, "Host"))
        return -EINVAL; /* a request has one */
    if (text[name] == ';') {
        if (*value != '\0')
            return -EINVAL;
        o->keep_empty = true;
        return add_field(o, text, name, "", 0);
    }
    value += strspn(value, " \t");
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    if (!is_value(value, len))
        return -EINVAL;
    if (name == 5 && strncasecmp(text, "Range", 5) == 0)
        o->own_range = true;
    return add_field(o, text, name, len > 0 ? value : NULL, len);
}

bool options_have_field(const struct get_options *o, const char *name)
{
    for (size_t i = 0; i < o->field_count; i++)
        if (strcasecmp(o->fields[i].name, name) == 0)
            return true;
    return false;
}

int option_method(struct get_options *o, const char *text)
{
    if (!is_token(text, strlen(text)) || strcmp(text, "CONNECT") == 0)
        return -EINVAL;
    o->method = text;
    return 0;
}

const char *options_method(const struct get_options *o)
{
    if (o->method != NULL)
        return o->method;
    return o->has_data || o->data_file != NULL ? "POST" : "GET";
}

int option_data(struct get_options *o, const char *text)
{
    if (o->has_data)
        text_puts(&o->data, "&");
    text_puts(&o->data, text);
    o->has_data = true;
    return o->data.failed ? -ENOMEM : 0;
}

/* --- names -------------------------------------------------------------------------------- */

int option_resolve(struct get_options *o, const char *text)
{
    const char     *port = strchr(text, ':'), *address, *end;
    struct resolve *list;
    size_t          host_len, len;
    char            number[8], *block;
    long            value;
    ac_addr         addr;

    address = port != NULL ? strchr(port + 1, ':') : NULL;
    if (address == NULL || port == text || (size_t)(address - port - 1) >= sizeof number)
        return -EINVAL;
    memcpy(number, port + 1, (size_t)(address - port - 1));
    number[address - port - 1] = '\0';
    if (cli_number(number, 1, UINT16_MAX, &value) < 0)
        return -EINVAL;
    address++;
    end = address + strlen(address);
    if (*address == '[' && end > address + 1 && end[-1] == ']') {
        address++;
        end--;
    }
    host_len = (size_t)(port - text);
    len      = (size_t)(end - address);
    list     = realloc(o->resolves, (o->resolve_count + 1) * sizeof *list);
    block    = list != NULL ? malloc(host_len + len + 2) : NULL;
    if (list != NULL)
        o->resolves = list;
    if (block == NULL)
        return -ENOMEM;
    memcpy(block, text, host_len);
    block[host_len] = '\0';
    memcpy(block + host_len + 1, address, len);
    block[host_len + 1 + len] = '\0';
    o->resolves[o->resolve_count++] =
        (struct resolve){block, (uint16_t)value, block + host_len + 1};
    if (ac_addr_ip(&addr, block, 0) == 0) /* an address is not looked up */
        return -EINVAL;
    return ac_addr_ip(&addr, block + host_len + 1, 0) < 0 ? -EINVAL : 0;
}

int option_nameservers(const char *list)
{
    char        one[AC_ADDR_TEXT];
    const char *end;
    ac_addr     addr;

    for (;; list = end + 1) {
        size_t len = strcspn(list, ",");

        if (len == 0 || len >= sizeof one)
            return -EINVAL;
        memcpy(one, list, len);
        one[len] = '\0';
        if (ac_addr_parse(&addr, one, 53) < 0 || ac_addr_family(&addr) == AF_UNIX)
            return -EINVAL;
        end = list + len;
        if (*end == '\0')
            return 0;
    }
}

int descriptor_of(const char *name, int dash)
{
    static const char prefix[] = "/dev/fd/";
    long              number;

    if (strcmp(name, "-") == 0)
        return dash;
    if (strcmp(name, "/dev/stdin") == 0)
        return 0;
    if (strcmp(name, "/dev/stdout") == 0)
        return 1;
    if (strcmp(name, "/dev/stderr") == 0)
        return 2;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0
        && cli_number(name + sizeof prefix - 1, 0, INT32_MAX, &number) == 0)
        return (int)number;
    return -1;
}
