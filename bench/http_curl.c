/* SPDX-License-Identifier: MIT */
/*
 * Fetching with libcurl's multi interface. Modes: socket (curl_multi_socket_action on epoll), poll
 * (curl_multi_poll), and wide (socket, with a buffer of 256 KiB instead of 16).
 */
#include "http_bench.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

static struct http_bench bench;
static CURLM            *multi;
static int               epfd, running;
static int64_t           deadline = -1;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static size_t feed(char *data, size_t size, size_t n, void *user)
{
    (void)data;
    (void)user;
    bench.bytes += (int64_t)(size * n);
    return size * n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct epoll_event e = {.data.fd = fd};

    (void)easy;
    (void)user;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    epoll_ctl(epfd, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    if (known == NULL)
        curl_multi_assign(multi, fd, &bench);
    return 0;
}

static int on_timer(CURLM *m, long ms, void *user)
{
    (void)m;
    (void)user;
    deadline = ms < 0 ? -1 : now_ms() + ms;
    return 0;
}

static void take_finished(void)
{
    CURLMsg *m;
    int      queued;

    while ((m = curl_multi_info_read(multi, &queued)) != NULL) {
        CURL *easy   = m->easy_handle;
        long  status = 0;

        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (m->data.result == CURLE_OK && status == 200)
            bench.done++;
        else
            fprintf(stderr, "%s\n", curl_easy_strerror(m->data.result));
        curl_multi_remove_handle(multi, easy);
        if (bench.left > 0) {
            bench.left--;
            curl_multi_add_handle(multi, easy);
        } else {
            curl_easy_cleanup(easy);
        }
    }
}

static void run_socket(long expected)
{
    struct epoll_event events[256];

    while (bench.done < expected) {
        int64_t wait = deadline < 0 ? 1000 : deadline - now_ms();
        int     n    = epoll_wait(epfd, events, 256, wait < 0 ? 0 : (int)wait);

        for (int i = 0; i < n; i++)
            curl_multi_socket_action(multi, events[i].data.fd,
                                     (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0)
                                         | (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
                                         | (events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0),
                                     &running);
        if (deadline >= 0 && now_ms() >= deadline) {
            deadline = -1;
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        take_finished();
    }
}

static void run_poll(long expected)
{
    while (bench.done < expected) {
        curl_multi_perform(multi, &running);
        take_finished();
        if (bench.done < expected)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
}

int main(int argc, char **argv)
{
    long expected;
    bool poll;

    http_bench_args(&bench, argc, argv);
    expected = bench.left;
    poll     = strcmp(bench.mode, "poll") == 0;
    curl_global_init(CURL_GLOBAL_ALL);
    multi = curl_multi_init();
    epfd  = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)bench.connections);
    if (!poll) {
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    }
    http_bench_begin();
    for (int i = 0; i < bench.connections && bench.left > 0; i++, bench.left--) {
        CURL *easy = curl_easy_init();

        curl_easy_setopt(easy, CURLOPT_URL, bench.url);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, feed);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        if (strcmp(bench.mode, "wide") == 0)
            curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256 * 1024L);
        curl_multi_add_handle(multi, easy);
    }
    if (poll)
        run_poll(expected);
    else
        run_socket(expected);
    return http_bench_end(&bench, expected);
}
