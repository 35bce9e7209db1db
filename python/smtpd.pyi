# SPDX-License-Identifier: MIT
import asynchat
import asyncore
from collections import defaultdict
from socket import socket as _Socket
from typing import Any, NoReturn, Optional, Union

__all__ = ['SMTPChannel', 'SMTPServer', 'DebuggingServer', 'PureProxy']

program: str
__version__: str
NEWLINE: str
COMMASPACE: str
DATA_SIZE_DEFAULT: int

class Devnull:
    def write(self, msg: str) -> None: ...
    def flush(self) -> None: ...

DEBUGSTREAM: Any

def usage(code: int, msg: Any = '') -> NoReturn: ...

class SMTPChannel(asynchat.async_chat):
    COMMAND: int
    DATA: int
    command_size_limit: int
    command_size_limits: defaultdict[str, int]
    smtp_server: SMTPServer
    conn: _Socket
    addr: Any
    peer: Any
    fqdn: str
    data_size_limit: Optional[int]
    enable_SMTPUTF8: bool
    seen_greeting: str
    extended_smtp: bool
    smtp_state: int
    mailfrom: Optional[str]
    rcpttos: list[str]
    require_SMTPUTF8: bool
    num_bytes: int
    received_data: Union[str, bytes]
    received_lines: list[Any]
    mail_options: list[str]
    rcpt_options: list[str]
    @property
    def max_command_size_limit(self) -> int: ...
    def __init__(self, server: SMTPServer, conn: _Socket, addr: Any,
                 data_size_limit: Optional[int] = 33554432, map: Optional[asyncore._Map] = None,
                 enable_SMTPUTF8: bool = False, decode_data: bool = False) -> None: ...
    def push(self, msg: str) -> None: ...  # type: ignore[override]
    def smtp_HELO(self, arg: Optional[str]) -> None: ...
    def smtp_EHLO(self, arg: Optional[str]) -> None: ...
    def smtp_NOOP(self, arg: Optional[str]) -> None: ...
    def smtp_QUIT(self, arg: Optional[str]) -> None: ...
    def smtp_HELP(self, arg: Optional[str]) -> None: ...
    def smtp_VRFY(self, arg: Optional[str]) -> None: ...
    def smtp_MAIL(self, arg: Optional[str]) -> None: ...
    def smtp_RCPT(self, arg: Optional[str]) -> None: ...
    def smtp_RSET(self, arg: Optional[str]) -> None: ...
    def smtp_DATA(self, arg: Optional[str]) -> None: ...
    def smtp_EXPN(self, arg: Optional[str]) -> None: ...

class SMTPServer(asyncore.dispatcher):
    channel_class: type[SMTPChannel]
    data_size_limit: Optional[int]
    enable_SMTPUTF8: bool
    def __init__(self, localaddr: Any, remoteaddr: Any, data_size_limit: Optional[int] = 33554432,
                 map: Optional[asyncore._Map] = None, enable_SMTPUTF8: bool = False,
                 decode_data: bool = False) -> None: ...
    def handle_accepted(self, conn: _Socket, addr: Any) -> None: ...
    def process_message(self, peer: Any, mailfrom: str, rcpttos: list[str], data: Any,
                        **kwargs: Any) -> Optional[str]: ...

class DebuggingServer(SMTPServer): ...

class PureProxy(SMTPServer):
    def process_message(self, peer: Any, mailfrom: str, rcpttos: list[str],  # type: ignore[override]
                        data: str) -> Optional[str]: ...
