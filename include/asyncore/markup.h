/* SPDX-License-Identifier: MIT */
/**
 * HTML, XML and links as consumers: what htmllib and xmllib were to the consumer interface. Each is
 * in storage of the caller's with `ac_consumer base` first; put it in a structure of your own and
 * use AC_CONTAINER, or a context of your own with the slots.
 *
 * The conventions at the top of <asyncore/base.h> hold here. Texts are UTF-8, borrowed until the
 * slot returns.
 */
#ifndef ASYNCORE_MARKUP_MARKUP_H
#define ASYNCORE_MARKUP_MARKUP_H

#include "asyncore/http.h"
#include "asyncore/timer.h" /* AC_CONTAINER */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ac_html_consumer ac_html_consumer;
typedef struct ac_xml_consumer  ac_xml_consumer;
typedef struct ac_link_consumer ac_link_consumer;

/* --- HTML --------------------------------------------------------------------------------- */

/** What is done with a page; constant, kept. Every slot may be left empty. */
typedef struct ac_html_class {
    /** @param attributes  name, value, name, value, ..., NULL; a value may be NULL. NULL: none. */
    void (*start)(ac_html_consumer *c, const char *name, const char *const *attributes);
    void (*end)(ac_html_consumer *c, const char *name);
    void (*text)(ac_html_consumer *c, const char *text, size_t len);
    void (*comment)(ac_html_consumer *c, const char *text);
    /** The response's head, before anything else; as a consumer's slot. */
    void (*header)(ac_html_consumer *c, ac_http_request *request);
    /** The last call, exactly once. @param err as a consumer's close; it may free the structure. */
    void (*close)(ac_html_consumer *c, int err);
    void (*reserved_[4])(void);
} ac_html_class;

/**
 * Parses HTML with libxml2's push parser: slots are called while the page still arrives. The
 * character set is found as browsers do: byte order mark, the charset of Content-Type, <meta> in
 * the first 1,024 bytes, else UTF-8 if these are valid, else windows-1252.
 *
 * Limits: 1 MiB without an event, depth 1,024, 10,000 attributes an element: -AC_ETOOLARGE. A slot
 * may pause the request; what is parsed already of the piece that came (16 KiB at most) is still
 * told. One run of text may come in several calls. White space between the elements of a head is
 * not told, elements that HTML implies (html, head, body, p) are. -AC_EPROTO: libxml2 has given the
 * page up.
 */
struct ac_html_consumer {
    ac_consumer          base;
    const ac_html_class *cls; /**< read only */
    struct ac__html     *state_;
};

/** Makes one of storage of the caller's. @param cls  kept until `close` has returned. */
AC_API void ac_html_consumer_init(ac_html_consumer *c, const ac_html_class *cls);

/* --- XML ---------------------------------------------------------------------------------- */

/** What is done with a document; constant, kept. Every slot may be left empty. */
typedef struct ac_xml_class {
    void (*start)(ac_xml_consumer *c, const char *name, const char *const *attributes);
    void (*end)(ac_xml_consumer *c, const char *name);
    void (*text)(ac_xml_consumer *c, const char *text, size_t len);
    void (*comment)(ac_xml_consumer *c, const char *text);
    void (*header)(ac_xml_consumer *c, ac_http_request *request);
    /**
     * @param err  as a consumer's close; -AC_EPROTO: not well-formed (see ac_xml_error_text()),
     *             -AC_ETRUNCATED: the document is not whole.
     */
    void (*close)(ac_xml_consumer *c, int err);
    void (*reserved_[4])(void);
} ac_xml_class;

/**
 * Parses XML with expat. The charset of Content-Type goes before the declaration's. A slot may
 * pause the request: the next slot comes after it is resumed (at the end of the response, where
 * nothing is left to hold back, all the rest is told). One run of text may come in several calls.
 * Entity declarations are refused (-AC_EPROTO) unless allowed; external entities are never fetched.
 * Depth 1,024, one token 1 MiB: -AC_ETOOLARGE.
 */
struct ac_xml_consumer {
    ac_consumer         base;
    const ac_xml_class *cls; /**< read only */
    bool                allow_entities;
    struct ac__xml     *state_;
    char                error_[96];
};

/** Makes one of storage of the caller's. @param cls  kept until `close` has returned. */
AC_API void ac_xml_consumer_init(ac_xml_consumer *c, const ac_xml_class *cls, bool allow_entities);

/** "line 3, column 7: mismatched tag", in `close`; "" without an error. Borrowed till it returns. */
AC_API const char *ac_xml_error_text(const ac_xml_consumer *c);

/* --- links -------------------------------------------------------------------------------- */

/**
 * Finds links of an HTML page while it arrives: href of a, area and link; src of img, script,
 * iframe, frame, source, audio, video and embed. Each is told absolute, resolved against the first
 * <base href> and the URL of the page; only http and https; with fragments; each as often as it
 * occurs.
 */
struct ac_link_consumer {
    ac_html_consumer html; /* its base is the consumer: &c->html.base */
    void (*link)(void *context, const char *url, size_t len);
    void (*done)(void *context, int err);
    void  *context;
    ac_url base_url_;
    bool   has_base_;
};

/**
 * @param link  a link; runs from the loop, may pause or close the request.
 * @param done  the last call; may be NULL.
 */
AC_API void ac_link_consumer_init(ac_link_consumer *c, void *context,
                                  void (*link)(void *context, const char *url, size_t len),
                                  void (*done)(void *context, int err));

#ifdef __cplusplus
}
#endif
#endif
