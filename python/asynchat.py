# SPDX-License-Identifier: MIT
"""Conversations: what comes in is cut at a terminator, what goes out is taken from producers.

A subclass of `async_chat` says with set_terminator() where the next message ends, a string or a number
of bytes, and gets its bytes by collect_incoming_data() and its end by found_terminator(). It answers
with push() and push_with_producer(). This is the module that Python had up to 3.11, written anew.
"""

import asyncore

from collections import deque


class async_chat(asyncore.dispatcher):

    # How much is read, and sent, at a time.
    ac_in_buffer_size = 65536
    ac_out_buffer_size = 65536

    # With use_encoding, strings are taken as well as bytes.
    use_encoding = 0
    encoding = 'latin-1'

    def __init__(self, sock=None, map=None):
        self.ac_in_buffer = b''         # came in, and was not collected yet
        self.incoming = []              # for _collect_incoming_data(), a subclass's convenience
        self.producer_fifo = deque()    # strings and producers; None is the end of the conversation
        asyncore.dispatcher.__init__(self, sock, map)

    def collect_incoming_data(self, data):
        raise NotImplementedError('must be implemented in subclass')

    def found_terminator(self):
        raise NotImplementedError('must be implemented in subclass')

    def _collect_incoming_data(self, data):
        self.incoming.append(data)

    def _get_data(self):
        whole = b''.join(self.incoming)
        del self.incoming[:]
        return whole

    def set_terminator(self, term):
        """A string; a number of bytes; or None (or nothing) for: collect all there is."""
        if isinstance(term, str) and self.use_encoding:
            term = term.encode(self.encoding)
        elif isinstance(term, int) and term < 0:
            raise ValueError('the number of received bytes must be positive')
        self.terminator = term

    def get_terminator(self):
        return self.terminator

    # coming in

    def handle_read(self):
        try:
            data = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            self.handle_error()
            return
        if isinstance(data, str) and self.use_encoding:
            data = bytes(data, self.encoding)
        self.ac_in_buffer = self.ac_in_buffer + data

        # The terminator may be another one after each found_terminator(), and the buffer is the
        # subclass's to look at: both are read again in each turn.
        while self.ac_in_buffer:
            here = len(self.ac_in_buffer)
            terminator = self.get_terminator()
            counts = isinstance(terminator, int)
            if terminator and not counts:
                at = self.ac_in_buffer.find(terminator)
                if at < 0:
                    # The end may be the first part of a terminator, and then waits for the rest.
                    kept = find_prefix_at_end(self.ac_in_buffer, terminator)
                    if kept:
                        if kept < here:
                            self.collect_incoming_data(self.ac_in_buffer[:-kept])
                            self.ac_in_buffer = self.ac_in_buffer[-kept:]
                        break
                else:
                    if at > 0:          # nobody is given an empty string
                        self.collect_incoming_data(self.ac_in_buffer[:at])
                    self.ac_in_buffer = self.ac_in_buffer[at + len(terminator):]
                    self.found_terminator()
                    continue
            elif terminator and here >= terminator:
                self.collect_incoming_data(self.ac_in_buffer[:terminator])
                self.ac_in_buffer = self.ac_in_buffer[terminator:]
                self.terminator = 0
                self.found_terminator()
                continue
            # No end in sight.
            self.collect_incoming_data(self.ac_in_buffer)
            self.ac_in_buffer = b''
            if terminator and counts:
                self.terminator = self.terminator - here

    # going out

    def handle_write(self):
        self.initiate_send()

    def handle_close(self):
        self.close()

    def push(self, data):
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError('data argument must be byte-ish (%r)', type(data))
        size = self.ac_out_buffer_size
        if len(data) > size:
            self.producer_fifo.extend(data[at:at + size] for at in range(0, len(data), size))
        else:
            self.producer_fifo.append(data)
        self.initiate_send()

    def push_with_producer(self, producer):
        """Sends what producer.more() returns, until that is empty."""
        self.producer_fifo.append(producer)
        self.initiate_send()

    def readable(self):
        return 1

    def writable(self):
        return self.producer_fifo or not self.connected

    def close_when_done(self):
        """Closes the channel behind all that was pushed."""
        self.producer_fifo.append(None)

    def initiate_send(self):
        """Sends once, from what is first in the fifo."""
        # Producers, send() and handle_close() may put another fifo in the place of this one.
        while self.producer_fifo and self.connected:
            first = self.producer_fifo[0]
            if not first:
                del self.producer_fifo[0]
                if first is None:
                    self.handle_close()
                    return

            size = self.ac_out_buffer_size
            try:
                data = first[:size]
            except TypeError:
                data = first.more()
                if data:
                    self.producer_fifo.appendleft(data)
                else:
                    del self.producer_fifo[0]
                continue
            if isinstance(data, str) and self.use_encoding:
                data = bytes(data, self.encoding)

            try:
                sent = self.send(data)
            except OSError:
                self.handle_error()
                return
            if sent:
                if sent < len(data) or size < len(first):
                    self.producer_fifo[0] = first[sent:]
                else:
                    del self.producer_fifo[0]
            return

    def discard_buffers(self):
        self.ac_in_buffer = b''
        del self.incoming[:]
        self.producer_fifo.clear()


class simple_producer:
    """A string, some of it at a time."""

    def __init__(self, data, buffer_size=512):
        self.data = data
        self.buffer_size = buffer_size

    def more(self):
        if len(self.data) > self.buffer_size:
            part, self.data = self.data[:self.buffer_size], self.data[self.buffer_size:]
        else:
            part, self.data = self.data, b''
        return part


def find_prefix_at_end(haystack, needle):
    """How many of the first bytes of `needle`, but not all of it, are the last of `haystack`."""
    size = len(needle) - 1
    while size and not haystack.endswith(needle[:size]):
        size -= 1
    return size


# Known to asyncore's extension, which works out what they would answer where a class inherits them.
asyncore._chat_predicates = async_chat.readable, async_chat.writable
