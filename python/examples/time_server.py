# SPDX-License-Identifier: MIT
"""A time server, RFC 868: time_server.py [PORT]"""

import asyncore
import socket
import sys
import time

# reference time
TIME1970 = 2208988800


class TimeChannel(asyncore.dispatcher):

    def handle_write(self):
        t = int(time.time()) + TIME1970
        t = bytes([t >> 24 & 255, t >> 16 & 255, t >> 8 & 255, t & 255])
        self.send(t)
        self.close()


class TimeServer(asyncore.dispatcher):

    def __init__(self, port=37):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(("", port))
        self.listen(5)
        self.port = self.socket.getsockname()[1]
        print("listening on port", self.port, flush=True)

    def handle_accept(self):
        channel, addr = self.accept()
        TimeChannel(channel)


if __name__ == "__main__":
    server = TimeServer(*map(int, sys.argv[1:] or ["8037"]))
    asyncore.loop()
