# SPDX-License-Identifier: MIT
"""The same, going where a redirection points to: http_redirect.py URI"""

import asyncore
import sys

import simple_async_http
from http_get import DummyConsumer


class RedirectingConsumer:

    def __init__(self, consumer):
        self.consumer = consumer

    def http_header(self, request):
        # handle header
        if request.status is None or \
           request.status[1] not in ("301", "302"):
            try:
                http_header = self.consumer.http_header
            except AttributeError:
                pass
            else:
                return http_header(request)
        else:
            # redirect!
            uri = request.header["location"]
            print("redirecting to", uri, "...")
            request.close()
            simple_async_http.AsyncHTTP(uri, self)

    def feed(self, data):
        self.consumer.feed(data)

    def close(self):
        self.consumer.close()


if __name__ == "__main__":
    consumer = RedirectingConsumer(DummyConsumer())
    request = simple_async_http.AsyncHTTP(sys.argv[1], consumer)
    asyncore.loop()
