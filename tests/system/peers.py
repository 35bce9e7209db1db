# SPDX-License-Identifier: MIT
"""HTTP servers of others, as Debian ships them: nginx, Apache, lighttpd, and haproxy before nginx.

Each is started on a free port of 127.0.0.1 with its configuration, logs and temporary files in one
folder, and killed by its id at the end. All of them serve the same tree:

    /FILE            from the folder `www`; text/plain is compressed, if the client takes that
    /cgi/echo        the body of the request, in chunks
    /cgi/method      the method of the request and its body, in chunks
    /cgi/page        the page of /page.txt, in chunks, never compressed
    /to/CODE         redirects to /cgi/method with that status

Nothing here needs pytest, so that the measurements can use it too.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

NAMES = ["nginx", "apache", "haproxy", "lighttpd"]
REDIRECTS = [301, 302, 303, 307, 308]

# Apache hands a script the whole body before it reads what the script says.
SCRIPTS = {
    "echo": 'f=$(mktemp -p {home}) && cat >"$f" && cat "$f" && rm "$f"',
    "method": 'printf "%s " "$REQUEST_METHOD"; cat',
    "page": 'cat "{www}/page.txt"',
}

NGINX = """
daemon off;
worker_processes 1;
{user}
pid {home}/nginx.pid;
error_log {home}/nginx.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {home}/nginx-body;
    proxy_temp_path {home}/nginx-proxy;
    fastcgi_temp_path {home}/nginx-fastcgi;
    uwsgi_temp_path {home}/nginx-uwsgi;
    scgi_temp_path {home}/nginx-scgi;
    client_max_body_size 0;
    sendfile on;
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    gzip on;
    gzip_types text/plain;
    {more}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {www};
        {locations}
    }}
}}
"""

APACHE = """
ServerRoot {home}
ServerName 127.0.0.1
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
ErrorLog {home}/apache.log
Listen 127.0.0.1:{port}
{user}
{modules}
ScriptSock {home}/apache-cgid
KeepAliveTimeout 30
# One process with a thread for each connection: with the default of three times 25, a child
# whose threads are all busy closes connections that it would have kept.
ServerLimit 1
StartServers 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
DocumentRoot {www}
ScriptAlias /cgi/ {cgi}/
TypesConfig /dev/null
AddType text/plain .txt
AddOutputFilterByType BROTLI_COMPRESS;DEFLATE text/plain
SetEnvIf Request_URI ^/cgi/ no-gzip no-brotli
{redirects}
"""
APACHE_MODULES = ["mpm_event", "authz_core", "alias", "mime", "filter", "deflate", "brotli",
                  "setenvif", "cgid"]

LIGHTTPD = """
server.document-root = "{www}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{home}/lighttpd.log"
server.upload-dirs = ( "{home}" )
server.modules = ( "mod_alias", "mod_redirect", "mod_deflate", "mod_cgi" )
server.stream-response-body = 1
server.max-request-size = 0
mimetype.assign = ( ".txt" => "text/plain", "" => "application/octet-stream" )
deflate.mimetypes = ( "text/plain" )
deflate.allowed-encodings = ( "gzip", "deflate", "br" )
alias.url = ( "/cgi/" => "{cgi}/" )
$HTTP["url"] =~ "^/cgi/" {{ cgi.assign = ( "" => "/bin/sh" ) }}
{redirects}
"""

HAPROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port}
    compression algo gzip
    compression type text/plain
    compression offload
    {redirects}
    default_backend nginx
backend nginx
    server nginx 127.0.0.1:{behind}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peers:
    """The servers that were asked for, running; `url(name, path)` is where they serve."""

    def __init__(self, folder):
        self.programs = pathlib.Path(folder)
        # Not below a folder that is private: some of them change their user.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="asyncore-peers-"))
        self.home.chmod(0o777)
        self.www = self.home / "www"
        self.cgi = self.home / "cgi"
        self.www.mkdir()
        self.cgi.mkdir()
        self.ports = {}
        self.processes = {}
        for name, text in SCRIPTS.items():
            path = self.cgi / name
            path.write_text("#!/bin/sh\nprintf 'Content-Type: text/x-raw\\r\\n\\r\\n'\n"
                            + text.format(www=self.www, home=self.home) + "\n")
            path.chmod(0o755)

    def url(self, name, path):
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def port(self, name):
        """Where a server listens; it is started when it is first asked for."""
        if name not in self.ports:
            self._start(name)
        return self.ports[name]

    def path(self, program):
        path = self.programs / "usr/sbin" / program
        assert path.exists(), f"no {program} in {self.programs}: scripts/peers-http brings it"
        return path

    # --- configurations -------------------------------------------------------------------------

    def _nginx(self, port):
        target = f"http://127.0.0.1:{self.port('lighttpd')}"
        locations = f"location /cgi/ {{ proxy_http_version 1.1; proxy_pass {target}; }}\n"
        locations += "\n".join(f"location = /to/{code} {{ return {code} /cgi/method; }}"
                               for code in REDIRECTS)
        return self.nginx(port, locations)

    def nginx(self, port, locations="", more="", connections=4096):
        """Writes a configuration of nginx; returns the words of its command."""
        path = self.home / f"nginx-{port}.conf"
        path.write_text(NGINX.format(home=self.home, www=self.www, port=port, locations=locations,
                                     more=more, connections=connections,
                                     user="user root root;" if os.getuid() == 0 else ""))
        return [self.path("nginx"), "-c", path, "-e", self.home / "nginx.log", "-p", self.home]

    def _apache(self, port):
        modules = self.programs / "usr/lib/apache2/modules"
        text = APACHE.format(
            home=self.home, www=self.www, cgi=self.cgi, port=port,
            user="User #65534\nGroup #65534" if os.getuid() == 0 else "",
            modules="\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so"
                              for m in APACHE_MODULES),
            redirects="\n".join(f"Redirect {code} /to/{code} /cgi/method" for code in REDIRECTS))
        (self.home / "apache.conf").write_text(text)
        return [self.path("apache2"), "-D", "FOREGROUND", "-f", self.home / "apache.conf"]

    def _lighttpd(self, port):
        redirects = "\n".join(
            f'$HTTP["url"] == "/to/{code}" {{ url.redirect = ( "" => "/cgi/method" )\n'
            f"url.redirect-code = {code} }}" for code in REDIRECTS)
        (self.home / "lighttpd.conf").write_text(LIGHTTPD.format(
            home=self.home, www=self.www, cgi=self.cgi, port=port, redirects=redirects))
        return [self.path("lighttpd"), "-D", "-f", self.home / "lighttpd.conf",
                "-m", self.programs / "usr/lib/lighttpd"]

    def _haproxy(self, port):
        redirects = "\n    ".join(
            f"http-request redirect location /cgi/method code {code} if {{ path /to/{code} }}"
            for code in REDIRECTS)
        (self.home / "haproxy.conf").write_text(
            HAPROXY.format(port=port, behind=self.port("nginx"), redirects=redirects))
        return [self.path("haproxy"), "-db", "-f", self.home / "haproxy.conf"]

    # --- processes ------------------------------------------------------------------------------

    def _start(self, name):
        configure = getattr(self, "_" + name)
        for _ in range(5):  # the port may be taken by then
            port = free_port()
            if self.run(name, port, configure(port)):
                return
        raise AssertionError(f"{name} does not start:\n" + self.log(name))

    def run(self, name, port, words):
        """Starts a server and waits until it answers; returns whether it does."""
        with open(self.home / f"{name}.out", "wb") as out:
            process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=out, start_new_session=True)
        until = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < until:
            if self._answers(port):
                self.ports[name] = port
                self.processes[name] = process
                return True
            time.sleep(0.02)
        self._end(process)
        return False

    @staticmethod
    def _answers(port):
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
                return s.recv(1) != b""
        except OSError:
            return False

    def log(self, name):
        return "\n".join(path.read_text(errors="replace")
                         for path in (self.home / f"{name}.out", self.home / f"{name}.log")
                         if path.exists())

    @staticmethod
    def _end(process):
        """Ends a server with its helpers, which are in a session of its own."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, how)
            except ProcessLookupError:
                pass
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                continue

    def close(self):
        for process in self.processes.values():
            self._end(process)
        shutil.rmtree(self.home, ignore_errors=True)
