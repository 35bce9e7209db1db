# SPDX-License-Identifier: MIT
"""An HTTP request that feeds what comes in to a consumer, as it comes."""

import asyncore
import email
import socket
import urllib.parse


class AsyncHTTP(asyncore.dispatcher_with_send):
    # HTTP requestor

    def __init__(self, uri, consumer):
        asyncore.dispatcher_with_send.__init__(self)

        self.uri = uri
        self.consumer = consumer

        # turn the uri into a valid request
        scheme, host, path, params, query, fragment = urllib.parse.urlparse(uri)
        assert scheme == "http", "only supports HTTP requests"
        try:
            host, port = host.split(":", 1)
            port = int(port)
        except (TypeError, ValueError):
            port = 80               # default port
        if not path:
            path = "/"
        if params:
            path = path + ";" + params
        if query:
            path = path + "?" + query

        self.request = ("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, host)).encode("ascii")

        self.host = host
        self.port = port

        self.status = None
        self.header = None

        self.data = b""

        # get things going!
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.connect((host, port))

    def handle_connect(self):
        # connection succeeded
        self.send(self.request)

    def handle_expt(self):
        # connection failed; notify consumer (status is None)
        self.close()
        try:
            http_header = self.consumer.http_header
        except AttributeError:
            pass
        else:
            http_header(self)

    def handle_read(self):
        data = self.recv(2048)
        if not self.header:
            self.data = self.data + data
            try:
                i = self.data.index(b"\r\n\r\n")
            except ValueError:
                return              # continue
            else:
                # parse header: the status line is "HTTP/version status message"
                status, _, header = self.data[:i + 4].decode("latin-1").partition("\r\n")
                self.status = (status + "\r\n").split(" ", 2)
                # followed by a rfc822-style message header
                self.header = email.message_from_string(header)
                # followed by a newline, and the payload (if any)
                data = self.data[i + 4:]
                self.data = b""
                # notify consumer (status is non-zero)
                try:
                    http_header = self.consumer.http_header
                except AttributeError:
                    pass
                else:
                    http_header(self)
                if not self.connected:
                    return          # channel was closed by consumer

        self.consumer.feed(data)

    def handle_close(self):
        self.consumer.close()
        self.close()
