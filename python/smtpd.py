# SPDX-License-Identifier: MIT
"""An SMTP server to build on: RFC 5321 with SIZE and 8BITMIME, and RFC 6531 (SMTPUTF8) on request.

Subclass `SMTPServer`, override process_message(), and run asyncore.loop(). This is the module that
Python had up to 3.11, written anew. It speaks neither TLS nor AUTH: meant for tests and for one's own
host.

Usage: %(program)s [options] [localhost:localport [remotehost:remoteport]]

Options:

    -n, --nosetuid
        Stay the user that started it. Without this it becomes "nobody", which takes root.

    -V, --version
        Print the version and exit.

    -c CLASS, --class CLASS
        The server to run, as module.Class or the name of a class here (default: PureProxy).

    -s SIZE, --size SIZE
        The most bytes in a message, told by the SIZE extension (default: no limit).

    -u, --smtputf8
        Offer SMTPUTF8.

    -d, --debug
        Say on stderr what goes on.

    -h, --help
        Print this and exit.

Version: %(__version__)s

It listens on localhost:8025 and passes mail to localhost:25 if not told otherwise.
"""

import collections
import errno
import getopt
import os
import socket
import sys
import time

from email._header_value_parser import get_addr_spec, get_angle_addr
from warnings import warn

import asynchat
import asyncore

__all__ = ['SMTPChannel', 'SMTPServer', 'DebuggingServer', 'PureProxy']

program = sys.argv[0] if sys.argv else ''
__version__ = 'Python SMTP proxy version 0.3'

NEWLINE = '\n'
COMMASPACE = ', '
DATA_SIZE_DEFAULT = 33554432


class Devnull:
    def write(self, msg):
        pass

    def flush(self):
        pass


DEBUGSTREAM = Devnull()


def usage(code, msg=''):
    print(__doc__ % globals(), file=sys.stderr)
    if msg:
        print(msg, file=sys.stderr)
    sys.exit(code)


def _renamed(old, new):
    """A property that warns: the private name of long ago for the public one."""
    access = "Access to %s attribute on SMTPChannel is deprecated, use '%s' instead" % (old, new)
    change = "Setting %s attribute on SMTPChannel is deprecated, set '%s' instead" % (old, new)

    def get(self):
        warn(access, DeprecationWarning, 2)
        return getattr(self, new)

    def put(self, value):
        warn(change, DeprecationWarning, 2)
        setattr(self, new, value)

    return property(get, put)


_HELP = {
    'EHLO': 'EHLO hostname',
    'HELO': 'HELO hostname',
    'MAIL': 'MAIL FROM: <address>',
    'RCPT': 'RCPT TO: <address>',
    'DATA': 'DATA',
    'RSET': 'RSET',
    'NOOP': 'NOOP',
    'QUIT': 'QUIT',
    'VRFY': 'VRFY <address>',
}


def _syntax(channel, command):
    extended = command in ('MAIL', 'RCPT') and channel.extended_smtp
    return 'Syntax: ' + _HELP[command] + (' [SP <mail-parameters>]' if extended else '')


class SMTPChannel(asynchat.async_chat):

    # smtp_state
    COMMAND = 0
    DATA = 1

    command_size_limit = 512            # of a line, without extensions
    command_size_limits = collections.defaultdict(lambda x=command_size_limit: x)

    @property
    def max_command_size_limit(self):
        return max(self.command_size_limits.values(), default=self.command_size_limit)

    def __init__(self, server, conn, addr, data_size_limit=DATA_SIZE_DEFAULT, map=None,
                 enable_SMTPUTF8=False, decode_data=False):
        asynchat.async_chat.__init__(self, conn, map=map)
        self.smtp_server = server
        self.conn = conn
        self.addr = addr
        self.data_size_limit = data_size_limit
        self.enable_SMTPUTF8 = enable_SMTPUTF8
        self._decode_data = decode_data
        _check_modes(enable_SMTPUTF8, decode_data)
        if decode_data:
            self._emptystring, self._linesep, self._dotsep, self._newline = '', '\r\n', '.', NEWLINE
        else:
            self._emptystring, self._linesep, self._dotsep, self._newline = (b'', b'\r\n', ord(b'.'),
                                                                             b'\n')
        self._set_rset_state()
        self.seen_greeting = ''
        self.extended_smtp = False
        self.command_size_limits.clear()
        self.fqdn = socket.getfqdn()
        try:
            self.peer = conn.getpeername()
        except OSError as err:
            self.close()
            if err.errno != errno.ENOTCONN:
                raise
            return                      # gone already
        print('Peer:', repr(self.peer), file=DEBUGSTREAM)
        self.push('220 %s %s' % (self.fqdn, __version__))

    def _set_post_data_state(self):
        self.smtp_state = self.COMMAND
        self.mailfrom = None
        self.rcpttos = []
        self.require_SMTPUTF8 = False
        self.num_bytes = 0              # of the line, or of the message
        self.set_terminator(b'\r\n')

    def _set_rset_state(self):
        self._set_post_data_state()
        self.received_data = ''
        self.received_lines = []

    # Names from when these were private: `self.__line` of this class and of nobody else.
    _SMTPChannel__server = _renamed('__server', 'smtp_server')
    _SMTPChannel__line = _renamed('__line', 'received_lines')
    _SMTPChannel__state = _renamed('__state', 'smtp_state')
    _SMTPChannel__greeting = _renamed('__greeting', 'seen_greeting')
    _SMTPChannel__mailfrom = _renamed('__mailfrom', 'mailfrom')
    _SMTPChannel__rcpttos = _renamed('__rcpttos', 'rcpttos')
    _SMTPChannel__data = _renamed('__data', 'received_data')
    _SMTPChannel__fqdn = _renamed('__fqdn', 'fqdn')
    _SMTPChannel__peer = _renamed('__peer', 'peer')
    _SMTPChannel__conn = _renamed('__conn', 'conn')
    _SMTPChannel__addr = _renamed('__addr', 'addr')

    # a conversation

    def push(self, msg):
        coding = 'utf-8' if self.require_SMTPUTF8 else 'ascii'
        asynchat.async_chat.push(self, bytes(msg + '\r\n', coding))

    def collect_incoming_data(self, data):
        if self.smtp_state == self.COMMAND:
            limit = self.max_command_size_limit
        elif self.smtp_state == self.DATA:
            limit = self.data_size_limit
        else:
            limit = None
        if limit:
            if self.num_bytes > limit:
                return                  # too much; found_terminator() says so
            self.num_bytes += len(data)
        self.received_lines.append(str(data, 'utf-8') if self._decode_data else data)

    def found_terminator(self):
        line = self._emptystring.join(self.received_lines)
        print('Data:', repr(line), file=DEBUGSTREAM)
        self.received_lines = []
        if self.smtp_state == self.COMMAND:
            size, self.num_bytes = self.num_bytes, 0
            if not line:
                self.push('500 Error: bad syntax')
                return
            if not self._decode_data:
                line = str(line, 'utf-8')
            command, blank, arg = line.partition(' ')
            command = command.upper()
            arg = arg.strip() if blank else None
            if self.extended_smtp:
                limit = self.command_size_limits[command]
            else:
                limit = self.command_size_limit
            if size > limit:
                self.push('500 Error: line too long')
                return
            method = getattr(self, 'smtp_' + command, None)
            if not method:
                self.push('500 Error: command "%s" not recognized' % command)
                return
            method(arg)
            return

        if self.smtp_state != self.DATA:
            self.push('451 Internal confusion')
            self.num_bytes = 0
            return
        if self.data_size_limit and self.num_bytes > self.data_size_limit:
            self.push('552 Error: Too much mail data')
            self.num_bytes = 0
            return
        # A line of the message that began with a dot was sent with one more.
        self.received_data = self._newline.join(
            [text[1:] if text and text[0] == self._dotsep else text
             for text in line.split(self._linesep)])
        options = {}
        if not self._decode_data:
            options = {'mail_options': self.mail_options, 'rcpt_options': self.rcpt_options}
        status = self.smtp_server.process_message(self.peer, self.mailfrom, self.rcpttos,
                                                  self.received_data, **options)
        self._set_post_data_state()
        self.push(status if status else '250 OK')

    # commands

    def smtp_HELO(self, arg):
        if not arg:
            self.push('501 Syntax: HELO hostname')
            return
        if self.seen_greeting:
            self.push('503 Duplicate HELO/EHLO')
            return
        self._set_rset_state()
        self.seen_greeting = arg
        self.push('250 %s' % self.fqdn)

    def smtp_EHLO(self, arg):
        if not arg:
            self.push('501 Syntax: EHLO hostname')
            return
        if self.seen_greeting:
            self.push('503 Duplicate HELO/EHLO')
            return
        self._set_rset_state()
        self.seen_greeting = arg
        self.extended_smtp = True
        self.push('250-%s' % self.fqdn)
        if self.data_size_limit:
            self.push('250-SIZE %s' % self.data_size_limit)
            self.command_size_limits['MAIL'] += 26
        if not self._decode_data:
            self.push('250-8BITMIME')
        if self.enable_SMTPUTF8:
            self.push('250-SMTPUTF8')
            self.command_size_limits['MAIL'] += 10
        self.push('250 HELP')

    def smtp_NOOP(self, arg):
        self.push('501 Syntax: NOOP' if arg else '250 OK')

    def smtp_QUIT(self, arg):
        self.push('221 Bye')
        self.close_when_done()

    def smtp_RSET(self, arg):
        if arg:
            self.push('501 Syntax: RSET')
            return
        self._set_rset_state()
        self.push('250 OK')

    def smtp_EXPN(self, arg):
        self.push('502 EXPN not implemented')

    def smtp_HELP(self, arg):
        commands = 'Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY'
        if not arg:
            self.push('250 ' + commands)
        elif arg.upper() in _HELP:
            self.push('250 ' + _syntax(self, arg.upper()))
        else:
            self.push('501 ' + commands)

    def smtp_VRFY(self, arg):
        if not arg:
            self.push('501 ' + _syntax(self, 'VRFY'))
            return
        address, params = self._getaddr(arg)
        if address:
            self.push('252 Cannot VRFY user, but will accept message and attempt delivery')
        else:
            self.push('502 Could not VRFY %s' % arg)

    def smtp_MAIL(self, arg):
        if not self.seen_greeting:
            self.push('503 Error: send HELO first')
            return
        print('===> MAIL', arg, file=DEBUGSTREAM)
        path = '' if arg is None else self._strip_command_keyword('FROM:', arg)
        address, params = self._getaddr(path)
        if not address or params and not self.extended_smtp:
            self.push('501 ' + _syntax(self, 'MAIL'))
            return
        if self.mailfrom:
            self.push('503 Error: nested MAIL command')
            return
        self.mail_options = params.upper().split()
        params = self._getparams(self.mail_options)
        if params is None:
            self.push('501 ' + _syntax(self, 'MAIL'))
            return
        if not self._decode_data and params.pop('BODY', '7BIT') not in ('7BIT', '8BITMIME'):
            self.push('501 Error: BODY can only be one of 7BIT, 8BITMIME')
            return
        if self.enable_SMTPUTF8:
            wanted = params.pop('SMTPUTF8', False)
            if wanted is True:
                self.require_SMTPUTF8 = True
            elif wanted is not False:
                self.push('501 Error: SMTPUTF8 takes no arguments')
                return
        size = params.pop('SIZE', None)
        if size:
            if not size.isdigit():
                self.push('501 ' + _syntax(self, 'MAIL'))
                return
            if self.data_size_limit and int(size) > self.data_size_limit:
                self.push('552 Error: message size exceeds fixed maximum message size')
                return
        if params:
            self.push('555 MAIL FROM parameters not recognized or not implemented')
            return
        self.mailfrom = address
        print('sender:', self.mailfrom, file=DEBUGSTREAM)
        self.push('250 OK')

    def smtp_RCPT(self, arg):
        if not self.seen_greeting:
            self.push('503 Error: send HELO first')
            return
        print('===> RCPT', arg, file=DEBUGSTREAM)
        if not self.mailfrom:
            self.push('503 Error: need MAIL command')
            return
        path = '' if arg is None else self._strip_command_keyword('TO:', arg)
        address, params = self._getaddr(path)
        if not address or params and not self.extended_smtp:
            self.push('501 ' + _syntax(self, 'RCPT'))
            return
        self.rcpt_options = params.upper().split()
        params = self._getparams(self.rcpt_options)
        if params is None:
            self.push('501 ' + _syntax(self, 'RCPT'))
            return
        if params:
            self.push('555 RCPT TO parameters not recognized or not implemented')
            return
        self.rcpttos.append(address)
        print('recips:', self.rcpttos, file=DEBUGSTREAM)
        self.push('250 OK')

    def smtp_DATA(self, arg):
        if not self.seen_greeting:
            self.push('503 Error: send HELO first')
            return
        if not self.rcpttos:
            self.push('503 Error: need RCPT command')
            return
        if arg:
            self.push('501 Syntax: DATA')
            return
        self.smtp_state = self.DATA
        self.set_terminator(b'\r\n.\r\n')
        self.push('354 End data with <CR><LF>.<CR><LF>')

    # arguments

    def _strip_command_keyword(self, keyword, arg):
        size = len(keyword)
        return arg[size:].strip() if arg[:size].upper() == keyword else ''

    def _getaddr(self, arg):
        """The address that arg begins with, and the rest."""
        if not arg:
            return '', ''
        parse = get_angle_addr if arg.lstrip().startswith('<') else get_addr_spec
        address, rest = parse(arg)
        return (address.addr_spec if address else address), rest

    def _getparams(self, params):
        """NAME=VALUE or NAME each, as a dict of value or True; None if one is neither."""
        result = {}
        for param in params:
            name, eq, value = param.partition('=')
            if not name.isalnum() or eq and not value:
                return None
            result[name] = value if eq else True
        return result


def _check_modes(enable_SMTPUTF8, decode_data):
    if enable_SMTPUTF8 and decode_data:
        raise ValueError('decode_data and enable_SMTPUTF8 cannot be set to True at the same time')


class SMTPServer(asyncore.dispatcher):

    channel_class = SMTPChannel

    def __init__(self, localaddr, remoteaddr, data_size_limit=DATA_SIZE_DEFAULT, map=None,
                 enable_SMTPUTF8=False, decode_data=False):
        self._localaddr = localaddr
        self._remoteaddr = remoteaddr
        self.data_size_limit = data_size_limit
        self.enable_SMTPUTF8 = enable_SMTPUTF8
        self._decode_data = decode_data
        _check_modes(enable_SMTPUTF8, decode_data)
        asyncore.dispatcher.__init__(self, map=map)
        try:
            family, kind = socket.getaddrinfo(*localaddr, type=socket.SOCK_STREAM)[0][:2]
            self.create_socket(family, kind)
            self.set_reuse_addr()
            self.bind(localaddr)
            self.listen(5)
        except BaseException:
            self.close()
            raise
        print('%s started at %s\n\tLocal addr: %s\n\tRemote addr:%s'
              % (self.__class__.__name__, time.ctime(time.time()), localaddr, remoteaddr),
              file=DEBUGSTREAM)

    def handle_accepted(self, conn, addr):
        print('Incoming connection from %s' % repr(addr), file=DEBUGSTREAM)
        self.channel_class(self, conn, addr, self.data_size_limit, self._map,
                           self.enable_SMTPUTF8, self._decode_data)

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        """Override this: what to do with a message.

        `peer` is the address of the client, `mailfrom` the sender, `rcpttos` a list of recipients.
        `data` is the message: bytes, with lines that end in LF and no dot added; or a string where the
        server was made with decode_data. Bytes come with the keywords `mail_options` and
        `rcpt_options`, lists of the parameters that MAIL and RCPT had.

        What is returned is the answer, as '550 no such user'; None is '250 OK'.
        """
        raise NotImplementedError


class DebuggingServer(SMTPServer):
    """Prints each message."""

    def _print_message_content(self, peer, data):
        is_text = isinstance(data, str)
        in_headers = True
        for line in data.splitlines():
            if in_headers and not line:
                header = 'X-Peer: ' + peer[0]
                print(header if is_text else repr(header.encode('utf-8')))
                in_headers = False
            print(line if is_text else repr(line))

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print('---------- MESSAGE FOLLOWS ----------')
        if kwargs:
            if kwargs.get('mail_options'):
                print('mail options: %s' % kwargs['mail_options'])
            if kwargs.get('rcpt_options'):
                print('rcpt options: %s\n' % kwargs['rcpt_options'])
        self._print_message_content(peer, data)
        print('------------ END MESSAGE ------------')


class PureProxy(SMTPServer):
    """Passes each message on to the server at remoteaddr, while everybody else waits."""

    def __init__(self, *args, **kwargs):
        if kwargs.get('enable_SMTPUTF8'):
            raise ValueError('PureProxy does not support SMTPUTF8.')
        super().__init__(*args, **kwargs)

    def process_message(self, peer, mailfrom, rcpttos, data):
        lines = data.split('\n')
        end_of_headers = lines.index('') if '' in lines else len(lines)
        lines.insert(end_of_headers, 'X-Peer: %s' % peer[0])
        refused = self._deliver(mailfrom, rcpttos, NEWLINE.join(lines))
        print('we got some refusals:', refused, file=DEBUGSTREAM)

    def _deliver(self, mailfrom, rcpttos, data):
        import smtplib
        refused = {}
        try:
            client = smtplib.SMTP()
            client.connect(self._remoteaddr[0], self._remoteaddr[1])
            try:
                refused = client.sendmail(mailfrom, rcpttos, data)
            finally:
                client.quit()
        except smtplib.SMTPRecipientsRefused as err:
            print('got SMTPRecipientsRefused', file=DEBUGSTREAM)
            refused = err.recipients
        except (OSError, smtplib.SMTPException) as err:
            print('got', err.__class__, file=DEBUGSTREAM)
            # All are refused, by the server's own words where it said any.
            why = getattr(err, 'smtp_code', -1), getattr(err, 'smtp_error', 'ignore')
            refused = {rcpt: why for rcpt in rcpttos}
        return refused


# --- the program --------------------------------------------------------------------------------

class Options:
    setuid = True
    classname = 'PureProxy'
    size_limit = None
    enable_SMTPUTF8 = False


def parseargs():
    global DEBUGSTREAM
    try:
        opts, args = getopt.getopt(sys.argv[1:], 'nVhc:s:du',
                                   ['class=', 'nosetuid', 'version', 'help', 'size=', 'debug',
                                    'smtputf8'])
    except getopt.error as err:
        usage(1, err)

    options = Options()
    for opt, arg in opts:
        if opt in ('-h', '--help'):
            usage(0)
        elif opt in ('-V', '--version'):
            print(__version__)
            sys.exit(0)
        elif opt in ('-n', '--nosetuid'):
            options.setuid = False
        elif opt in ('-c', '--class'):
            options.classname = arg
        elif opt in ('-d', '--debug'):
            DEBUGSTREAM = sys.stderr
        elif opt in ('-u', '--smtputf8'):
            options.enable_SMTPUTF8 = True
        elif opt in ('-s', '--size'):
            try:
                options.size_limit = int(arg)
            except ValueError:
                print('Invalid size: ' + arg, file=sys.stderr)
                sys.exit(1)

    if len(args) > 2:
        usage(1, 'Invalid arguments: %s' % COMMASPACE.join(args))
    specs = args + ['localhost:8025', 'localhost:25'][len(args):]
    options.localhost, options.localport = _host_and_port('local', specs[0])
    options.remotehost, options.remoteport = _host_and_port('remote', specs[1])
    return options


def _host_and_port(which, spec):
    host, colon, port = spec.partition(':')
    if not colon:
        usage(1, 'Bad %s spec: %s' % (which, spec))
    try:
        return host, int(port)
    except ValueError:
        usage(1, 'Bad %s port: %s' % (which, spec))


def _become_nobody():
    try:
        import pwd
    except ImportError:
        print('Cannot import module "pwd"; try running with -n option.', file=sys.stderr)
        sys.exit(1)
    try:
        os.setuid(pwd.getpwnam('nobody')[2])
    except PermissionError:
        print('Cannot setuid "nobody"; try running with -n option.', file=sys.stderr)
        sys.exit(1)


def _main():
    options = parseargs()
    classname = options.classname
    module = sys.modules[__name__]
    if '.' in classname:
        modname, classname = classname.rsplit('.', 1)
        module = __import__(modname, globals(), locals(), [''])
    server = getattr(module, classname)
    # The proxy needs text, and has done so since before data could be bytes.
    proxy = isinstance(server, type) and issubclass(server, PureProxy)
    server((options.localhost, options.localport), (options.remotehost, options.remoteport),
           options.size_limit, enable_SMTPUTF8=options.enable_SMTPUTF8,
           **({'decode_data': True} if proxy else {}))
    if options.setuid:
        _become_nobody()
    try:
        asyncore.loop()
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    _main()
