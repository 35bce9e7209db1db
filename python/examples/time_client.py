# SPDX-License-Identifier: MIT
"""A time requestor, RFC 868: time_client.py HOST [PORT]"""

import asyncore
import socket
import sys
import time

# reference time (in seconds since 1900-01-01 00:00:00)
TIME1970 = 2208988800               # 1970-01-01 00:00:00


class TimeRequest(asyncore.dispatcher):
    # time requestor (as defined in RFC 868)

    def __init__(self, host, port=37):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.connect((host, port))

    def writable(self):
        return 0                    # don't have anything to write

    def handle_connect(self):
        pass                        # connection succeeded

    def handle_expt(self):
        self.close()                # connection failed, shutdown

    def handle_read(self):
        # get local time
        here = int(time.time()) + TIME1970

        # get and unpack server time
        s = self.recv(4)
        there = s[3] + (s[2] << 8) + (s[1] << 16) + (s[0] << 24)

        self.adjust_time(int(here - there))

        self.handle_close()         # we don't expect more data

    def handle_close(self):
        self.close()

    def adjust_time(self, delta):
        # override this method!
        print("time difference is", delta)


if __name__ == "__main__":
    request = TimeRequest(sys.argv[1], *map(int, sys.argv[2:]))
    asyncore.loop()
