/* SPDX-License-Identifier: MIT */
/* See markup.h. The library is looked for beside the program (as built, as installed), then anywhere. */
#include "markup.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct markup library;
static const char   *failure;

static void *load(void)
{
    static const char *const places[] = {"/src/", "/../lib/"};
    static const char        name[]   = "libasyncore-markup.so.0";
    char                     self[3072], path[4096];
    ssize_t                  len = readlink("/proc/self/exe", self, sizeof self - 1);
    void                    *found;
    char                    *slash;

    self[len > 0 ? len : 0] = '\0';
    slash                   = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
        *slash = '\0';
        (void)snprintf(path, sizeof path, "%s%s%s", self, places[i], name);
        found = dlopen(path, RTLD_NOW);
        if (found != NULL)
            return found;
    }
    return dlopen(name, RTLD_NOW);
}

/* POSIX has functions and objects of one size; ISO C has no conversion between their pointers. */
static int resolve(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);

    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL ? 0 : -1;
}

const struct markup *cli_markup(void)
{
    void *handle;

    if (library.link_consumer_init != NULL)
        return &library;
    handle = load();
    if (handle == NULL || resolve(handle, "ac_html_consumer_init", &library.html_consumer_init) < 0
        || resolve(handle, "ac_link_consumer_init", &library.link_consumer_init) < 0) {
        failure = dlerror();
        return NULL;
    }
    return &library;
}

const char *cli_markup_error(void)
{
    return failure != NULL ? failure : "";
}
