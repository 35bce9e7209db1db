# SPDX-License-Identifier: MIT
"""The names, signatures and forms of the three modules are those of Python 3.11."""

import asyncore
import asynchat
import errno
import importlib
import inspect
import os
import smtpd
import sys
import unittest

from support import Case, python

SIGNATURES = {
    asyncore: {
        '_strerror': '(err)', 'read': '(obj)', 'write': '(obj)', '_exception': '(obj)',
        'readwrite': '(obj, flags)', 'poll': '(timeout=0.0, map=None)',
        'poll2': '(timeout=0.0, map=None)', 'poll3': '(timeout=0.0, map=None)',
        'loop': '(timeout=30.0, use_poll=False, map=None, count=None)',
        'compact_traceback': '()', 'close_all': '(map=None, ignore_all=False)',
    },
    asyncore.dispatcher: {
        '__init__': '(self, sock=None, map=None)', '__repr__': '(self)',
        'add_channel': '(self, map=None)', 'del_channel': '(self, map=None)',
        'set_socket': '(self, sock, map=None)', 'set_reuse_addr': '(self)', 'readable': '(self)',
        'writable': '(self)', 'listen': '(self, num)', 'bind': '(self, addr)',
        'connect': '(self, address)', 'accept': '(self)', 'send': '(self, data)',
        'recv': '(self, buffer_size)', 'close': '(self)', 'log': '(self, message)',
        'log_info': "(self, message, type='info')", 'handle_read_event': '(self)',
        'handle_connect_event': '(self)', 'handle_write_event': '(self)',
        'handle_expt_event': '(self)', 'handle_error': '(self)', 'handle_expt': '(self)',
        'handle_read': '(self)', 'handle_write': '(self)', 'handle_connect': '(self)',
        'handle_accept': '(self)', 'handle_accepted': '(self, sock, addr)',
        'handle_close': '(self)',
    },
    asyncore.dispatcher_with_send: {
        '__init__': '(self, sock=None, map=None)', 'initiate_send': '(self)',
        'handle_write': '(self)', 'writable': '(self)', 'send': '(self, data)',
    },
    asyncore.file_wrapper: {
        '__init__': '(self, fd)', '__del__': '(self)', 'recv': '(self, *args)',
        'send': '(self, *args)', 'getsockopt': '(self, level, optname, buflen=None)',
        'read': '(self, *args)', 'write': '(self, *args)', 'close': '(self)', 'fileno': '(self)',
    },
    asyncore.file_dispatcher: {'__init__': '(self, fd, map=None)', 'set_file': '(self, fd)'},
    asynchat: {'find_prefix_at_end': '(haystack, needle)'},
    asynchat.async_chat: {
        '__init__': '(self, sock=None, map=None)', 'collect_incoming_data': '(self, data)',
        '_collect_incoming_data': '(self, data)', '_get_data': '(self)',
        'found_terminator': '(self)', 'set_terminator': '(self, term)', 'get_terminator': '(self)',
        'handle_read': '(self)', 'handle_write': '(self)', 'handle_close': '(self)',
        'push': '(self, data)', 'push_with_producer': '(self, producer)', 'readable': '(self)',
        'writable': '(self)', 'close_when_done': '(self)', 'initiate_send': '(self)',
        'discard_buffers': '(self)',
    },
    asynchat.simple_producer: {'__init__': '(self, data, buffer_size=512)', 'more': '(self)'},
    smtpd: {'usage': "(code, msg='')", 'parseargs': '()'},
    smtpd.SMTPChannel: {
        '__init__': '(self, server, conn, addr, data_size_limit=33554432, map=None, '
                    'enable_SMTPUTF8=False, decode_data=False)',
        '_set_post_data_state': '(self)', '_set_rset_state': '(self)', 'push': '(self, msg)',
        'collect_incoming_data': '(self, data)', 'found_terminator': '(self)',
        '_strip_command_keyword': '(self, keyword, arg)', '_getaddr': '(self, arg)',
        '_getparams': '(self, params)', **{
            'smtp_' + name: '(self, arg)' for name in (
                'HELO', 'EHLO', 'NOOP', 'QUIT', 'HELP', 'VRFY', 'MAIL', 'RCPT', 'RSET', 'DATA',
                'EXPN')},
    },
    smtpd.SMTPServer: {
        '__init__': '(self, localaddr, remoteaddr, data_size_limit=33554432, map=None, '
                    'enable_SMTPUTF8=False, decode_data=False)',
        'handle_accepted': '(self, conn, addr)',
        'process_message': '(self, peer, mailfrom, rcpttos, data, **kwargs)',
    },
    smtpd.DebuggingServer: {
        '_print_message_content': '(self, peer, data)',
        'process_message': '(self, peer, mailfrom, rcpttos, data, **kwargs)',
    },
    smtpd.PureProxy: {
        '__init__': '(self, *args, **kwargs)',
        'process_message': '(self, peer, mailfrom, rcpttos, data)',
        '_deliver': '(self, mailfrom, rcpttos, data)',
    },
}


class Surface(Case):

    def test_signatures(self):
        for owner, functions in SIGNATURES.items():
            for name, signature in functions.items():
                with self.subTest(owner=owner.__name__, name=name):
                    function = vars(owner)[name]
                    self.assertEqual(str(inspect.signature(function)), signature)
                    if name not in ('read', 'write', 'poll3'):
                        self.assertEqual(function.__name__, name)
                    if inspect.isclass(owner) and owner is not asyncore.file_wrapper:
                        self.assertEqual(function.__qualname__, owner.__name__ + '.' + name)

    def test_create_socket_defaults(self):
        parameters = inspect.signature(asyncore.dispatcher.create_socket).parameters
        import socket
        self.assertEqual([p.default for p in parameters.values()],
                         [inspect.Parameter.empty, socket.AF_INET, socket.SOCK_STREAM])

    def test_data(self):
        self.assertEqual(asyncore._DISCONNECTED, frozenset({
            errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED, errno.EPIPE,
            errno.EBADF}))
        self.assertEqual(asyncore._reraised_exceptions,
                         (asyncore.ExitNow, KeyboardInterrupt, SystemExit))
        self.assertIs(type(asyncore.socket_map), dict)
        self.assertIs(asyncore.poll3, asyncore.poll2)
        for name in ('select', 'socket', 'sys', 'time', 'warnings', 'os'):
            self.assertIs(getattr(asyncore, name), importlib.import_module(name))
        for name in ('EALREADY', 'EINPROGRESS', 'EWOULDBLOCK', 'ECONNRESET', 'EINVAL', 'ENOTCONN',
                     'ESHUTDOWN', 'EISCONN', 'EBADF', 'ECONNABORTED', 'EPIPE', 'EAGAIN'):
            self.assertEqual(getattr(asyncore, name), getattr(errno, name))
        self.assertIs(asyncore.errorcode, errno.errorcode)

    def test_class_attributes(self):
        d = asyncore.dispatcher
        for name in ('debug', 'connected', 'accepting', 'connecting', 'closing'):
            self.assertIs(vars(d)[name], False)
        self.assertIsNone(vars(d)['addr'])
        self.assertEqual(d.ignore_log_types, frozenset({'warning'}))
        c = asynchat.async_chat
        self.assertEqual((c.ac_in_buffer_size, c.ac_out_buffer_size, c.use_encoding, c.encoding),
                         (65536, 65536, 0, 'latin-1'))
        self.assertFalse(hasattr(asyncore.dispatcher_with_send, 'out_buffer'))
        self.assertTrue(hasattr(asyncore.dispatcher_with_send(map=self.map), 'out_buffer'))
        for cls in (asyncore.dispatcher, asyncore.dispatcher_with_send, asyncore.file_dispatcher,
                    asyncore.file_wrapper):
            self.assertIs(type(cls), type)
            self.assertEqual(cls.__module__, 'asyncore')
        self.assertEqual(asyncore.dispatcher.__mro__, (asyncore.dispatcher, object))
        self.assertIs(asyncore.file_wrapper.read, asyncore.file_wrapper.recv)
        self.assertIs(asyncore.file_wrapper.write, asyncore.file_wrapper.send)

    def test_instance_attributes_and_their_order(self):
        ours, theirs = self.tcp_pair()
        d = asyncore.dispatcher(ours, self.map)
        self.assertEqual(list(vars(d)), ['_map', '_fileno', 'socket', 'connected', 'addr'])
        d = asyncore.dispatcher_with_send(map=self.map)
        self.assertEqual(list(vars(d)), ['_map', '_fileno', 'socket', 'out_buffer'])
        d.create_socket()
        self.assertEqual(list(vars(d)),
                         ['_map', '_fileno', 'socket', 'out_buffer', 'family_and_type'])
        self.assertEqual(vars(d)['out_buffer'], b'')
        r, w = os.pipe()
        self.addCleanup(os.close, w)
        self.addCleanup(os.close, r)
        f = asyncore.file_dispatcher(r, self.map)
        self.assertEqual(list(vars(f)), ['_map', '_fileno', 'socket', 'connected'])

    def test_import_is_silent(self):
        done = python('import asyncore, asynchat, smtpd; print("fine")',
                      options=['-W', 'error', '-X', 'dev'])
        self.assertEqual((done.stdout, done.stderr), ('fine\n', ''))

    def test_reload_keeps_the_map(self):
        done = python('import asyncore, importlib\n'
                      'm = asyncore.socket_map\n'
                      'm[1] = 2\n'
                      'importlib.reload(asyncore)\n'
                      'print(asyncore.socket_map is m, m)')
        self.assertEqual(done.stdout, 'True {1: 2}\n', done.stderr)

    def test_where_the_extension_is_left_out(self):
        # As PyPy and builds without the lock look from inside.
        last = 'import asyncore; print("_asyncore" in sys.modules, type(asyncore.read).__name__)'
        for first, env in (('sys.implementation.name = "pypy"', {}),
                           ('sys._is_gil_enabled = lambda: False', {}),
                           ('sys.modules["_asyncore"] = None', {}),
                           ('', {'ASYNCORE_PURE': '1'})):
            with self.subTest(first):
                done = python('import sys; %s\n%s' % (first, last), env=env)
                self.assertEqual(done.stdout.split()[1:], ['function'], done.stderr)
        done = python('import sys; sys._is_gil_enabled = lambda: True; ' + last)
        self.assertEqual(done.stdout.split()[0], str('_asyncore' in sys.modules), done.stderr)

    def test_messages(self):
        self.assertEqual(asyncore._strerror(1), os.strerror(1))
        self.assertIn('Unknown error', asyncore._strerror(2 ** 70))
        with self.assertRaisesRegex(AssertionError, '^traceback does not exist$'):
            asyncore.compact_traceback()
        with self.assertRaises(AttributeError):
            asyncore.dispatcher(map=self.map).family


if __name__ == '__main__':
    unittest.main()
