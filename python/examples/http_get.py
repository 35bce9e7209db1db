# SPDX-License-Identifier: MIT
"""Prints the header of an HTTP response, and the size of its body: http_get.py URI"""

import asyncore
import sys

import simple_async_http


class DummyConsumer:
    size = 0

    def http_header(self, request):
        # handle header
        if request.status is None:
            print("connection failed")
        else:
            print("status", "=>", request.status)
            for key, value in request.header.items():
                print(key, "=", value)

    def feed(self, data):
        # handle incoming data
        self.size = self.size + len(data)

    def close(self):
        # end of data
        print(self.size, "bytes in body")


if __name__ == "__main__":
    consumer = DummyConsumer()
    request = simple_async_http.AsyncHTTP(sys.argv[1], consumer)
    asyncore.loop()
