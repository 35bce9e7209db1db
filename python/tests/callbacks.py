# SPDX-License-Identifier: MIT
#
# Scenarios that print each callback of asyncore as it comes. data/callbacks-*.txt is what they print
# with the standard library's module of Python 3.11; test_callbacks.py compares.
# usage: pythonX callbacks.py {select|poll} [scenario ...]
# Prints one line per callback. All sockets are on 127.0.0.1, ports are chosen by the kernel
# and printed as PORT; object addresses are printed as ADDR. Peers are plain blocking sockets
# driven step by step between loop iterations, so the sequences are deterministic.
from __future__ import print_function
import warnings
warnings.simplefilter('ignore')
import asyncore, socket, struct, sys, time, errno, os, re, traceback

BACKEND = sys.argv[1] if len(sys.argv) > 1 else 'select'
USE_POLL = BACKEND == 'poll'
ONLY = sys.argv[2:]
OUT = []

def out(*a):
    s = ' '.join(str(x) for x in a)
    s = re.sub(r'at 0x[0-9a-f]+', 'at ADDR', s)
    s = re.sub(r"127\.0\.0\.1:\d+", '127.0.0.1:PORT', s)
    s = re.sub(r"\('127\.0\.0\.1', \d+\)", "('127.0.0.1', PORT)", s)
    s = re.sub(r'\[[^\[\]|]*asyncore\.py\|(\w+)\|\d+\]', r'[asyncore.py|\1|N]', s)
    s = re.sub(r'\[[^\[\]|]*callbacks\.py\|(\w+)\|\d+\]', r'[script|\1|N]', s)
    print(s)
    sys.stdout.flush()

def ename(e):
    n = getattr(e, 'errno', None)
    return errno.errorcode.get(n, n)

class T(asyncore.dispatcher):
    """Logs every predicate and callback, then calls nothing unless the scenario says so."""
    name = 'c'
    log_predicates = True
    want_write = True
    want_read = True
    recv_size = 4096
    read_it = True
    close_in_handle_close = True
    def __init__(self, sock=None, map=None, name=None):
        if name: self.name = name
        asyncore.dispatcher.__init__(self, sock, map)
    def st(self):
        return 'connected=%d connecting=%d accepting=%d' % (bool(self.connected), bool(self.connecting), bool(self.accepting))
    def ev(self, what, *extra):
        out('   %s.%s' % (self.name, what), '{%s}' % self.st(), *extra)
    def readable(self):
        if self.log_predicates: self.ev('readable()', '->', bool(self.want_read))
        return self.want_read
    def writable(self):
        if self.log_predicates: self.ev('writable()', '->', bool(self.want_write))
        return self.want_write
    def handle_read_event(self):
        self.ev('handle_read_event'); asyncore.dispatcher.handle_read_event(self)
    def handle_write_event(self):
        self.ev('handle_write_event'); asyncore.dispatcher.handle_write_event(self)
    def handle_expt_event(self):
        self.ev('handle_expt_event'); asyncore.dispatcher.handle_expt_event(self)
    def handle_connect_event(self):
        self.ev('handle_connect_event'); asyncore.dispatcher.handle_connect_event(self)
    def handle_connect(self): self.ev('handle_connect')
    def handle_write(self): self.ev('handle_write')
    def handle_read(self):
        self.ev('handle_read')
        if self.read_it:
            try:
                d = self.recv(self.recv_size)
            except socket.error as e:
                out('   %s.recv raised %s' % (self.name, ename(e))); raise
            out('   %s.recv -> %r' % (self.name, d if len(d) < 20 else '%d bytes' % len(d)))
    def handle_expt(self):
        self.ev('handle_expt')
    def handle_accept(self):
        self.ev('handle_accept')
        r = self.accept()
        out('   %s.accept -> %s' % (self.name, 'None' if r is None else '(sock, addr)'))
        if r: r[0].close()
    def handle_close(self):
        self.ev('handle_close')
        if self.close_in_handle_close: self.close()
    def handle_error(self):
        t, v = sys.exc_info()[:2]
        out('   %s.handle_error %s %s' % (self.name, issubclass(t, (OSError, socket.error)) and 'OSError/socket.error' or t.__name__, ename(v) or v))
        self.handle_close()
    def close(self):
        self.ev('close')
        asyncore.dispatcher.close(self)
    def log_info(self, message, type='info'):
        out('   %s.log_info %s: %s' % (self.name, type, message))

def step(m, n=1, label='', timeout=0.2):
    for i in range(n):
        if not m:
            out(' [map empty, loop() would return]'); return
        out(' poll() #%s' % label)
        try:
            if USE_POLL: asyncore.poll2(timeout, m)
            else: asyncore.poll(timeout, m)
        except Exception as e:
            out('   !! poll raised %s %s' % (type(e).__name__ if sys.version_info[0] > 2 else e.__class__.__name__, ename(e)))
    out(' map size after: %d' % len(m))

def listener():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', 0)); s.listen(128)
    return s

def connected_pair(cls=T, name='c', m=None):
    """returns (dispatcher on a connected socket, plain peer socket)"""
    l = listener()
    a = socket.create_connection(l.getsockname()); b, _ = l.accept(); l.close()
    return cls(b, m, name), a

def rst(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()

def a_send5_close():
    "client connects, server accepts, sends 5 bytes and closes"
    m = {}
    l = listener(); c = T(map=m); c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    c.connect(l.getsockname()); out(' after connect(): %s' % c.st())
    p, _ = l.accept(); time.sleep(.02)
    step(m, 1, 'connect completes (writable only)')
    p.send(b'hello'); p.close(); time.sleep(.05)
    c.want_write = False
    step(m, 1, 'data + FIN pending')
    step(m, 1, 'FIN only')
    step(m, 1, 'after close'); l.close()

def a2_send5_close_before_first_poll():
    "as (a) but the 5 bytes and the FIN are already there at the first poll; writable() True"
    m = {}
    l = listener(); c = T(map=m); c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    c.connect(l.getsockname()); p, _ = l.accept(); p.send(b'hello'); p.close(); time.sleep(.05)
    step(m, 1, 'connect + data + FIN at once'); step(m, 1, 'FIN, writable'); step(m, 1, 'end'); l.close()

def a3_only_reader():
    "as (a2) but writable() is False (seed TimeRequest): connect is detected by readability"
    m = {}
    l = listener(); c = T(map=m); c.want_write = False
    c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    c.connect(l.getsockname()); p, _ = l.accept(); time.sleep(.02)
    step(m, 1, 'TCP connected, nothing to read: no event', timeout=0.05)
    p.send(b'hello'); time.sleep(.05)
    step(m, 1, 'data'); p.close(); time.sleep(.05); step(m, 1, 'FIN'); l.close()

def b_refused():
    "client connect refused (RST to SYN); writable() True"
    m = {}
    l = listener(); addr = l.getsockname(); l.close()
    c = T(map=m); c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        c.connect(addr); out(' connect() returned, %s' % c.st())
    except Exception as e:
        out(' connect() raised %s' % ename(e))
    time.sleep(.02); step(m, 1, 'refused'); step(m, 1, 'end')

def b2_refused_only_reader():
    "client connect refused; writable() False (seed TimeRequest)"
    m = {}
    l = listener(); addr = l.getsockname(); l.close()
    c = T(map=m); c.want_write = False; c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    c.connect(addr); time.sleep(.02); step(m, 1, 'refused'); step(m, 1, 'end')

def b3_refused_only_writer():
    "client connect refused; readable() False, writable() True"
    m = {}
    l = listener(); addr = l.getsockname(); l.close()
    c = T(map=m); c.want_read = False; c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    c.connect(addr); time.sleep(.02); step(m, 1, 'refused'); step(m, 1, 'end')

def c_rst():
    "peer sends 5 bytes, dispatcher does not read, peer resets; readable+writable"
    m = {}; c, p = connected_pair(m=m)
    p.send(b'hello'); time.sleep(.02); rst(p); time.sleep(.05)
    step(m, 1, 'RST, data discarded by the kernel'); step(m, 1, 'end')

def c2_rst_reader_only():
    "RST, writable() False"
    m = {}; c, p = connected_pair(m=m); c.want_write = False
    p.send(b'hello'); time.sleep(.02); rst(p); time.sleep(.05)
    step(m, 1, 'RST'); step(m, 1, 'end')

def c3_rst_writer_only():
    "RST, readable() False, handle_write sends"
    m = {}
    class W(T):
        def handle_write(self):
            self.ev('handle_write'); out('   c.send -> %r' % self.send(b'x'))
    c, p = connected_pair(W, m=m); c.want_read = False
    rst(p); time.sleep(.05); step(m, 1, 'RST'); step(m, 1, 'end')

def c4_rst_noclose():
    "RST, handle_close() overridden to NOT close: what repeats?"
    m = {}; c, p = connected_pair(m=m); c.close_in_handle_close = False; c.want_write = False
    rst(p); time.sleep(.05); step(m, 1, '1'); step(m, 1, '2'); step(m, 1, '3'); asyncore.close_all(m)

def c5_eof_noclose():
    "orderly FIN, handle_close() does not close: handle_close repeats every poll (busy loop)"
    m = {}; c, p = connected_pair(m=m); c.close_in_handle_close = False; c.want_write = False
    p.close(); time.sleep(.05); step(m, 1, '1'); step(m, 1, '2'); step(m, 1, '3'); asyncore.close_all(m)

def d_oob():
    "one OOB byte, readable() True, writable() False"
    m = {}; c, p = connected_pair(m=m); c.want_write = False; c.read_it = False
    p.send(b'!', socket.MSG_OOB); time.sleep(.05); step(m, 1, 'OOB pending')
    try: out('   recv(MSG_OOB) -> %r' % c.socket.recv(1, socket.MSG_OOB))
    except Exception as e: out('   recv(MSG_OOB) %s' % ename(e))
    step(m, 1, 'OOB byte consumed', timeout=0.05)
    p.close(); time.sleep(.02); step(m, 1, 'FIN'); asyncore.close_all(m)

def d2_oob_writer_only():
    "one OOB byte, readable() False, writable() True"
    m = {}; c, p = connected_pair(m=m); c.want_read = False
    p.send(b'!', socket.MSG_OOB); time.sleep(.05); step(m, 1, 'OOB pending'); asyncore.close_all(m); p.close()

def d3_oob_and_data():
    "normal data then OOB byte then normal data, readable()+writable()"
    m = {}; c, p = connected_pair(m=m)
    p.send(b'abc'); p.send(b'!', socket.MSG_OOB); p.send(b'def'); time.sleep(.05)
    step(m, 1, '1'); step(m, 1, '2'); asyncore.close_all(m); p.close()

def e_half_close():
    "peer shutdown(SHUT_WR) with 5 bytes pending, still reads; we have data to write"
    m = {}; c, p = connected_pair(m=m)
    p.send(b'hello'); p.shutdown(socket.SHUT_WR); time.sleep(.05)
    step(m, 1, 'data+FIN, writable'); step(m, 1, 'FIN, writable'); step(m, 1, 'end'); p.close()

def e2_half_close_writer_only():
    "peer shutdown(SHUT_WR), readable() False: can we still write? (no event but handle_write)"
    m = {}; c, p = connected_pair(m=m); c.want_read = False
    p.shutdown(socket.SHUT_WR); time.sleep(.05); step(m, 2, ''); asyncore.close_all(m); p.close()

def e3_full_close_writer_only():
    "peer close() after we shut nothing; readable() False; first send ok -> RST -> next"
    m = {}
    class W(T):
        def handle_write(self):
            self.ev('handle_write'); out('   c.send -> %r' % self.send(b'x')); time.sleep(.02)
    c, p = connected_pair(W, m=m); c.want_read = False
    p.close(); time.sleep(.05); step(m, 3, '')

def e4_both_shutdown():
    "both directions shut (peer closes, we shutdown WR): POLLHUP"
    m = {}; c, p = connected_pair(m=m); c.want_write = False
    c.socket.shutdown(socket.SHUT_WR); p.close(); time.sleep(.05); step(m, 2, '')

def e5_hup_no_interest():
    "POLLHUP state while both predicates are False: nothing may be reported"
    m = {}; c, p = connected_pair(m=m); c.want_write = False; c.want_read = False
    c.socket.shutdown(socket.SHUT_WR); p.close(); time.sleep(.05); step(m, 1, '', timeout=0.05); asyncore.close_all(m)

def f_raise():
    "handle_read raises ValueError -> handle_error -> handle_close (base default handlers + log lines)"
    m = {}
    class B(asyncore.dispatcher):
        def readable(self): return True
        def writable(self): return False
        def handle_read(self): raise ValueError('boom')
        def log_info(self, message, type='info'): out('   log_info type=%r message=%s' % (type, message))
        def handle_close(self): out('   handle_close'); self.close()
    l = listener(); a = socket.create_connection(l.getsockname()); b, _ = l.accept(); l.close()
    c = B(b, m); a.send(b'x'); time.sleep(.02); step(m, 2, ''); a.close()

def f2_raise_default_stdout():
    "same with the base log_info (stdout) and base handle_close (warning type suppressed)"
    m = {}
    class B(asyncore.dispatcher):
        def writable(self): return False
        def handle_read(self): raise ValueError('boom')
    l = listener(); a = socket.create_connection(l.getsockname()); b, _ = l.accept(); l.close()
    c = B(b, m); a.send(b'x'); time.sleep(.02)
    try: from io import StringIO
    except ImportError: pass
    if sys.version_info[0] == 2: from StringIO import StringIO
    old = sys.stdout; sys.stdout = s = StringIO()
    try: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m)
    finally: sys.stdout = old
    out('   stdout: %s' % s.getvalue().rstrip()); out(' map size after: %d' % len(m)); a.close()

def f3_raise_in_each():
    "exception in readable/writable/handle_connect/handle_write/handle_accept/handle_close/handle_error"
    for where in ('readable', 'writable', 'handle_connect', 'handle_write', 'handle_accept', 'handle_close', 'handle_expt'):
        m = {}
        out(' -- raise in %s' % where)
        def boom(self): raise ValueError('boom-' + where)
        C = type('C', (T,), {where: boom}) if sys.version_info[0] > 2 else __import__('new').classobj('C', (T,), {where: boom})
        C.log_predicates = False
        if where == 'handle_accept':
            c = C(map=m, name='s'); c.create_socket(socket.AF_INET, socket.SOCK_STREAM); c.bind(('127.0.0.1', 0)); c.listen(5)
            p = socket.create_connection(c.socket.getsockname())
        elif where == 'handle_connect':
            l = listener(); c = C(map=m); c.create_socket(socket.AF_INET, socket.SOCK_STREAM)
            c.connect(l.getsockname()); p, _ = l.accept()
        else:
            c, p = connected_pair(C, m=m)
            if where == 'handle_close': p.close(); c.want_write = False
            if where == 'handle_expt': p.send(b'!', socket.MSG_OOB); c.want_write = False; c.read_it = False
        time.sleep(.03); step(m, 1, ''); p.close()
        for o in list(m.values()): asyncore.dispatcher.close(o)

def f4_exitnow():
    "ExitNow / KeyboardInterrupt / SystemExit propagate; handle_error not called; channel stays in map"
    for exc in (asyncore.ExitNow, KeyboardInterrupt, SystemExit):
        m = {}
        class B(T):
            log_predicates = False
            def handle_read(self): raise exc()
        c, p = connected_pair(B, m=m); c.want_write = False; p.send(b'x'); time.sleep(.02)
        try: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); out('   no exception')
        except BaseException as e: out('   propagated %s, map size %d' % (e.__class__.__name__, len(m)))
        asyncore.close_all(m); p.close()

def g_writable_toggle():
    "writable() False until there is data; then handle_write, then False again; predicates polled each pass"
    m = {}
    class W(T):
        buf = b''
        def writable(self):
            self.ev('writable()', '->', bool(self.buf)); return bool(self.buf)
        def handle_write(self):
            self.ev('handle_write'); n = self.send(self.buf); out('   c.send -> %d' % n); self.buf = self.buf[n:]
    c, p = connected_pair(W, m=m)
    step(m, 1, 'idle', timeout=0.05); c.buf = b'data'; step(m, 1, 'has data'); step(m, 1, 'idle again', timeout=0.05)
    out(' peer got %r' % p.recv(100)); p.close(); asyncore.close_all(m)

def g2_no_interest():
    "both predicates False: poll() sleeps timeout, poll2() blocks in poll; measured"
    m = {}; c, p = connected_pair(m=m); c.want_read = c.want_write = False
    t = time.time(); step(m, 1, '', timeout=0.2); out(' slept >=0.19: %s' % (time.time() - t >= .19)); asyncore.close_all(m); p.close()

def g3_empty_map():
    "poll()/poll2() with an empty map: does it sleep?"
    for f, n in ((asyncore.poll, 'poll'), (asyncore.poll2, 'poll2')):
        t = time.time(); f(0.2, {}); out(' %s with empty map slept: %s' % (n, time.time() - t >= .19))

def h_accept_storm():
    "50 clients connect before the first poll: accepts per pass and passes needed"
    m = {}; cnt = {'accept': 0}
    class S(T):
        log_predicates = False
        def ev(self, *a): pass
        def handle_accept(self):
            r = self.accept(); cnt['accept'] += 1; socks.append(r[0])
    socks = []
    s = S(map=m, name='s'); s.create_socket(socket.AF_INET, socket.SOCK_STREAM); s.set_reuse_addr(); s.bind(('127.0.0.1', 0)); s.listen(128)
    ps = []
    for i in range(50): ps.append(socket.create_connection(s.socket.getsockname()))
    passes = 0
    while cnt['accept'] < 50 and passes < 100:
        b = cnt['accept']; (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); passes += 1
        if passes <= 3: out('   pass %d accepted %d' % (passes, cnt['accept'] - b))
    out(' passes=%d accepts=%d' % (passes, cnt['accept']))
    for x in ps + socks: x.close()
    asyncore.close_all(m)

def h2_accept_storm_children():
    "50 clients, each accepted socket becomes a dispatcher that echoes once; order of callbacks in the 2nd pass"
    m = {}; order = []
    class Ch(asyncore.dispatcher):
        def writable(self): return False
        def handle_read(self):
            d = self.recv(10)
            if d: order.append(int(d)); self.socket.send(d)
        def handle_close(self): self.close()
    class S(asyncore.dispatcher):
        def handle_accept(self):
            r = self.accept(); Ch(r[0], m)
    s = S(map=m); s.create_socket(socket.AF_INET, socket.SOCK_STREAM); s.bind(('127.0.0.1', 0)); s.listen(128)
    ps = []
    for i in range(50): p = socket.create_connection(s.socket.getsockname()); ps.append(p)
    n = 0
    while len(m) < 51 and n < 100: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); n += 1
    for i in reversed(range(50)): ps[i].send(str(i).encode())
    time.sleep(.05); k = 0
    while len(order) < 50 and k < 100: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); k += 1
    out(' passes to accept 50: %d, passes to read 50: %d, read order is fd (accept) order: %s' % (n, k, order == sorted(order)))
    for p in ps: p.close()
    time.sleep(.05); k = 0
    while len(m) > 1 and k < 100: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); k += 1
    out(' passes to close 50: %d, map size %d' % (k, len(m))); asyncore.close_all(m)

def i_mutate_close_other():
    "A closes B inside A.handle_read while B is also ready: B gets no event"
    m = {}
    class A(T):
        log_predicates = False
        def handle_read(self):
            self.ev('handle_read'); self.recv(10); self.other.close()
    a, pa = connected_pair(A, 'A', m); b, pb = connected_pair(T, 'B', m); b.log_predicates = False; a.other = b
    a.want_write = b.want_write = False
    pa.send(b'x'); pb.send(b'y'); time.sleep(.03); step(m, 1, ''); asyncore.close_all(m); pa.close(); pb.close()

def i2_fd_reuse():
    "X closes Y and opens C which reuses Y's fd in the same pass while Y was ready: who gets Y's event? (bpo-30931)"
    m = {}; l = listener(); made = []
    class A(T):
        log_predicates = False
        def handle_read(self):
            self.ev('handle_read'); self.recv(10)
            if made: return
            made.append(1); other = [o for o in m.values() if o is not self][0]; fd = other._fileno; other.close()
            c = T(map=m, name='C'); c.log_predicates = False; c.want_write = False
            c.create_socket(socket.AF_INET, socket.SOCK_STREAM); c.connect(l.getsockname())
            out('   C reuses the fd of the closed one: %s' % (c._fileno == fd))
    a, pa = connected_pair(A, 'X', m); b, pb = connected_pair(A, 'Y', m); pad = [os.dup(0)]
    while pad[-1] < max(a._fileno, b._fileno): pad.append(os.dup(0))
    # whichever is first in map order is the closer: name them accordingly (2.7 dict order is a hash order)
    first, second = list(m.values()); first.name = 'X'; second.name = 'Y'
    a.want_write = b.want_write = False
    pa.send(b'x'); pb.send(b'y'); time.sleep(.03); step(m, 1, '')
    for x in pad: os.close(x)
    names = sorted(o.name for o in m.values()); out(' map holds: %s' % names)
    for o in list(m.values()): asyncore.dispatcher.close(o)
    pa.close(); pb.close(); l.close()

def i5_order():
    "map order versus fd order: two ready channels inserted highest fd first"
    m = {}; lo, pl = connected_pair(T, 'lowfd', {}); hi, ph = connected_pair(T, 'highfd', {})
    for o in (lo, hi): o.log_predicates = False; o.want_write = False
    m[hi._fileno] = hi; m[lo._fileno] = lo; hi._map = lo._map = m
    pl.send(b'l'); ph.send(b'h'); time.sleep(.03); step(m, 1, '')
    for o in (lo, hi): asyncore.dispatcher.close(o)
    pl.close(); ph.close()

def i3_add_during():
    "a channel added in a callback is first polled in the next pass"
    m = {}; made = []
    class A(T):
        log_predicates = False
        def handle_read(self):
            self.ev('handle_read'); self.recv(10)
            if not made: n, p = connected_pair(T, 'N', m); n.want_write = False; p.send(b'z'); made.append(p); time.sleep(.02)
    a, pa = connected_pair(A, 'A', m); a.want_write = False; pa.send(b'x'); time.sleep(.02); step(m, 1, '1'); step(m, 1, '2')
    asyncore.close_all(m); pa.close()

def i4_self_close_in_read():
    "readable and writable at once, handle_read closes self: is handle_write still called? (bpo-30985)"
    m = {}
    class A(T):
        log_predicates = False
        def handle_read(self): self.ev('handle_read'); self.close()
    a, pa = connected_pair(A, 'A', m); pa.send(b'x'); time.sleep(.02); step(m, 1, ''); pa.close()

def j_dws():
    "dispatcher_with_send: send() sends at once; slice size; writable(); total passes for 1 MiB to a reading peer"
    m = {}
    class D(asyncore.dispatcher_with_send):
        def readable(self): return False
    l = listener(); a = socket.create_connection(l.getsockname()); b, _ = l.accept(); l.close()
    sizes = []
    class FS(object):
        def __init__(s, k): s.k = k
        def send(s, d): sizes.append(len(d)); return s.k.send(d)
        def __getattr__(s, n): return getattr(s.k, n)
    d = D(b, m); d.socket = FS(b); out(' writable() when connected, empty: %r' % (d.writable(),))
    d.send(b'x' * 1000); out(' first syscall slice(s): %s, out_buffer left %d, writable() %r' % (sizes, len(d.out_buffer), d.writable()))
    del sizes[:]; d.send(b'y' * (1 << 20)); a.setblocking(0); k = got = 0
    while got < 1000 + (1 << 20) and k < 100000:
        try: got += len(a.recv(1 << 20))
        except socket.error: pass
        if m and d.writable(): (asyncore.poll2 if USE_POLL else asyncore.poll)(0, m)
        k += 1
    out(' received %d, max slice %d, number of send calls %s' % (got, max(sizes), len(sizes)))
    asyncore.close_all(m); a.close()

def j2_dws_unconnected():
    "dispatcher_with_send: send() before connect completes"
    m = {}
    class D(asyncore.dispatcher_with_send):
        def handle_close(self): out('   handle_close'); self.close()
        def handle_connect(self): out('   handle_connect out_buffer=%d' % len(self.out_buffer))
    l = listener(); d = D(map=m); d.create_socket(socket.AF_INET, socket.SOCK_STREAM); out(' writable() unconnected: %r' % d.writable())
    try: d.send(b'early'); out(' send on never-connected socket: out_buffer=%r map=%d' % (d.out_buffer, len(m)))
    except Exception as e: out(' send raised %s' % ename(e))
    l.close(); asyncore.close_all(m)

def k_repr_and_flags():
    "repr strings in each state"
    m = {}
    class D(asyncore.dispatcher): pass
    d = D(map=m); out(' new       %r' % d); d.create_socket(socket.AF_INET, socket.SOCK_STREAM); out(' created   %r' % d)
    d.bind(('127.0.0.1', 0)); out(' bound     %s' % re.sub(r':0', ':0', repr(d))); d.listen(1); out(' listening %r' % d); d.close(); out(' closed    %r' % d)
    c, p = connected_pair(D, m=m) if False else (None, None)
    l = listener(); c = D(map=m); c.create_socket(socket.AF_INET, socket.SOCK_STREAM); c.connect(l.getsockname()); out(' connecting %r' % c)
    time.sleep(.02); (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m); out(' connected %r' % c); c.close(); out(' closed    %r addr kept=%s _fileno=%r' % (c, c.addr is not None, c._fileno))
    try: c.close(); out(' second close(): ok')
    except Exception as e: out(' second close() raised %r' % e)
    u = D(map=m)
    try: u.close(); out(' close() without socket: ok')
    except Exception as e: out(' close() without socket raised %s' % e.__class__.__name__)
    l.close()

def l_file_dispatcher():
    "file_dispatcher on a pipe: data, then writer closes"
    m = {}
    r, w = os.pipe()
    class F(asyncore.file_dispatcher):
        def writable(self): return False
        def handle_read(self):
            d = self.recv(100); out('   handle_read recv -> %r' % d)
        def handle_close(self): out('   handle_close'); self.close()
        def handle_expt(self): out('   handle_expt')
        def handle_error(self): out('   handle_error %s' % sys.exc_info()[0].__name__); self.close()
    f = F(r, m); out(' dup: %s, original fd nonblocking: %s' % (f._fileno != r, bool(__import__('fcntl').fcntl(r, 3) & os.O_NONBLOCK)))
    os.write(w, b'pipe'); step(m, 1, 'data'); os.close(w); step(m, 1, 'writer closed'); os.close(r)
    asyncore.close_all(m)

def m_emfile():
    "accept() with EMFILE: what happens to the listener each pass (base handle_accept / handle_error)"
    import resource
    m = {}
    class S(asyncore.dispatcher):
        def log_info(self, msg, type='info'): out('   log_info %s: %s' % (type, str(msg)[:70] + ('...' if len(str(msg)) > 70 else '')))
        def handle_accept(self):
            out('   handle_accept'); r = self.accept()
            if r: r[0].close()
        def handle_close(self): out('   handle_close (listener)'); self.close()
    s = S(map=m); s.create_socket(socket.AF_INET, socket.SOCK_STREAM); s.bind(('127.0.0.1', 0)); s.listen(5)
    p = socket.create_connection(s.socket.getsockname())
    pad = []; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        while 1: pad.append(os.dup(0))
    except OSError: pass
    try: step(m, 1, '')
    finally:
        for x in pad: os.close(x)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    p.close(); asyncore.close_all(m)

def n_loop_args():
    "loop(): count, timeout, empty map; returns None"
    m = {}; out(' loop on empty map -> %r' % asyncore.loop(map=m)); c, p = connected_pair(m=m); c.log_predicates = False; c.want_write = False
    t = time.time(); asyncore.loop(0.05, USE_POLL, m, 3); out(' count=3 timeout=0.05 idle took ~%.2f' % (time.time() - t))
    t = time.time(); asyncore.loop(5, USE_POLL, m, 0); out(' count=0 took %.2f' % (time.time() - t))
    if sys.version_info[0] == 3 or True:
        t = time.time()
        try: asyncore.loop(-1 if not USE_POLL else 0.01, USE_POLL, m, 1); out(' timeout=-1: returned' if not USE_POLL else ' (poll) ok')
        except Exception as e: out(' timeout=-1 raised %s %s' % (e.__class__.__name__, ename(e) or e))
    asyncore.close_all(m); p.close()

def o_select_1024():
    "fd >= 1024"
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000: out(' skipped'); return
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard)); pad = []
    while True:
        f = os.dup(0); pad.append(f)
        if f >= 1030: break
    m = {}; c, p = connected_pair(m=m); c.log_predicates = False; c.want_write = False
    p.send(b'x'); time.sleep(.02)
    out(' fd >= 1024: %s' % (c._fileno >= 1024))
    try: (asyncore.poll2 if USE_POLL else asyncore.poll)(0.1, m)
    except Exception as e: out(' raised %s: %s' % (e.__class__.__name__, e))
    for x in pad: os.close(x)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)); asyncore.close_all(m); p.close()

def p_log_lines():
    "base log()/log_info() destinations and formats"
    import subprocess
    code = "import warnings; warnings.simplefilter('ignore'); import asyncore; d=asyncore.dispatcher(map={}); d.log('hit'); d.log_info('i'); d.log_info('w','warning'); d.log_info('e','error'); d.handle_read(); d.handle_write(); d.handle_connect(); d.handle_expt()"
    pr = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE); o, e = pr.communicate()
    out(' stdout %r' % o.decode()); out(' stderr %r' % e.decode())

ALL = [a_send5_close, a2_send5_close_before_first_poll, a3_only_reader, b_refused, b2_refused_only_reader, b3_refused_only_writer,
       c_rst, c2_rst_reader_only, c3_rst_writer_only, c4_rst_noclose, c5_eof_noclose, d_oob, d2_oob_writer_only, d3_oob_and_data,
       e_half_close, e2_half_close_writer_only, e3_full_close_writer_only, e4_both_shutdown, e5_hup_no_interest,
       f_raise, f2_raise_default_stdout, f3_raise_in_each, f4_exitnow, g_writable_toggle, g2_no_interest, g3_empty_map,
       h_accept_storm, h2_accept_storm_children, i_mutate_close_other, i2_fd_reuse, i5_order, i3_add_during, i4_self_close_in_read,
       j_dws, j2_dws_unconnected, k_repr_and_flags, l_file_dispatcher, m_emfile, n_loop_args, o_select_1024, p_log_lines]

for fn in ALL:
    if ONLY and fn.__name__ not in ONLY: continue
    print('== %s: %s' % (fn.__name__, fn.__doc__))
    sys.stdout.flush()
    try: fn()
    except Exception as e:
        out(' SCENARIO RAISED %s %s' % (e.__class__.__name__, e)); traceback.print_exc()
    asyncore.socket_map.clear()
