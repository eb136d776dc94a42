"""The server under test: started on free loopback ports, given users, broken off, started again.

Knows how each kind of server is configured and stopped; knows nothing of XMPP.
"""

import asyncio
import contextlib
import os
import pathlib
import random
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 60  # a debug build's first start on a busy machine, with the certificate to make
STOP_SECONDS = 60
HOST = "localhost"


class ServerError(Exception):
    """The server did not start, stop or take a user; the text says what it printed."""


def free_ports(count):
    """`count` loopback ports that nobody listens on, all different.

    They lie below those that the system hands out (from 32768 on): while a server is down between two starts, nobody
    who calls somebody is given its port.
    """
    found = []
    for port in random.sample(range(10_000, 32_000), 1_000):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            sock.listen()
            found.append(port)
        if len(found) == count:
            return found
    raise ServerError(f"somebody listens on nearly all of 1,000 ports: {found} are free")


class Server:
    """What the suites may ask of a server, whichever it is.

    `lacks` names what this kind of server cannot do, in the words tests use for what they need.
    """

    lacks = frozenset()

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.starttls_port, self.direct_port, self.zlib_port = free_ports(3)
        self.log_path = self.work / "server.log"
        self.ca = self.work / "server.pem"
        self.process = None
        self._users = 0

    def command(self):
        """The command line that serves in the foreground."""
        raise NotImplementedError

    def add_account(self, jid, password):
        """Make the account at the server; it may be running."""
        raise NotImplementedError

    def start(self):
        """Start, wait until both ports answer, and keep the certificate for the clients to check."""
        self._log = open(self.log_path, "ab")
        offset = self._log.tell()
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            cwd=self.work, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready(offset):
            if self.process.poll() is not None:
                raise ServerError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"the server was not ready in {START_SECONDS} s:\n{self.tail()}")
            time.sleep(0.05)
        # Trust on first use: from here on every client checks chain and name against this.
        self.ca.write_text(ssl.get_server_certificate(
            ("127.0.0.1", self.direct_port), timeout=START_SECONDS))

    def _ready(self, offset):
        if not re.search(rb"listening", self.log_path.read_bytes()[offset:], re.I):
            return False
        for port in (self.starttls_port, self.direct_port):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                return False
        return True

    def stop(self, sig=signal.SIGTERM):
        """Send `sig`, wait for the end, return the exit code (negative: the signal that ended it)."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(sig)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"the server did not end within {STOP_SECONDS} s of signal {sig}")
        finally:
            self._log.close()

    async def stopped(self, sig=signal.SIGTERM):
        """`stop`, without holding up the clients of this process."""
        return await asyncio.get_running_loop().run_in_executor(None, self.stop, sig)

    async def started(self):
        """`start`, without holding up the clients of this process."""
        await asyncio.get_running_loop().run_in_executor(None, self.start)

    def tail(self, lines=40):
        """The last lines that the server printed."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    async def user(self, name, password=None):
        """A fresh account named after `name`; returns (bare JID, password)."""
        self._users += 1
        jid = f"{name}{self._users}@{HOST}"
        password = secrets.token_hex(8) if password is None else password
        await asyncio.get_running_loop().run_in_executor(None, self.add_account, jid, password)
        return jid, password


class Stonechat(Server):
    """This repository's own server, from a binary that is already built."""

    def __init__(self, work, binary=None):
        super().__init__(work)
        self.binary = pathlib.Path(binary or ROOT / "target/debug/stonechat").resolve()
        if not self.binary.exists():
            raise ServerError(f"{self.binary} is not there: run `cargo build` first")
        self.config, self.data = self.work / "stonechat.toml", self.work / "data"
        # However busy the machine is: nothing is shed because of it (a read of an archive would be refused), and nobody
        # who takes long to log in is sent away (@xmpp/client 0.14.0 does not get over that, see `resume` in suite.mjs).
        self.config.write_text(f"""\
[server]
workers = 2
overload_after = "0 ms"

[c2s]
handshake_timeout = "10 min"
negotiation_timeout = "10 min"

[[host]]
name = "{HOST}"

[[listener]]
address = "127.0.0.1:{self.starttls_port}"
kind = "c2s"
tls = "starttls"

[[listener]]
address = "127.0.0.1:{self.direct_port}"
kind = "c2s"
tls = "direct"

[[listener]]
address = "127.0.0.1:{self.zlib_port}"
kind = "c2s"
tls = "direct"
compression = "zlib"
""")

    def _options(self):
        return ["--config", str(self.config), "--data", str(self.data)]

    def command(self):
        return [str(self.binary), "serve", *self._options()]

    def add_account(self, jid, password):
        done = subprocess.run(
            [str(self.binary), "user", "add", jid, *self._options()],
            input=password + "\n", text=True, capture_output=True, timeout=START_SECONDS)
        if done.returncode != 0:
            raise ServerError(f"user add {jid}: {done.stdout}{done.stderr}\n{self.tail()}")


class Prosody(Server):
    """Debian's Prosody 0.12: a second opinion that tells a wrong test from a wrong server."""

    lacks = frozenset({
        "sasl2",
        "fast",
        "SCRAM-SHA-512",  # 0.12 has SHA-1 and SHA-256
        "equal-texts",  # not-authorized for both, with a text for one
        "priority-change",  # offline messages go out at the first presence only
        "limits",  # XEP-0478
        "archive",  # mod_mam is not switched on
        "named-errors",  # not-well-formed for whatever it refuses
        "zlib",  # gone since 0.10
    })

    def __init__(self, work):
        super().__init__(work)
        if not shutil.which("prosody"):
            raise ServerError("prosody is not installed")
        certs = self.work / "certs"
        certs.mkdir(exist_ok=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
             "-keyout", certs / "key.pem", "-out", certs / "cert.pem"],
            check=True, capture_output=True)
        data = self.work / "data"
        data.mkdir(exist_ok=True)
        self.config = self.work / "prosody.cfg.lua"
        self.config.write_text(f"""\
run_as_root = true
pidfile = "{self.work}/prosody.pid"
data_path = "{data}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.starttls_port} }}
c2s_direct_tls_ports = {{ {self.direct_port} }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "carbons", "smacks", "ping", "time",
    "version", "uptime", "offline", "posix" }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = true
authentication = "internal_plain"
storage = "internal"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
ssl = {{ key = "{certs}/key.pem", certificate = "{certs}/cert.pem" }}
c2s_direct_tls_ssl = {{ key = "{certs}/key.pem", certificate = "{certs}/cert.pem" }}
VirtualHost "{HOST}"
""")

    def command(self):
        return ["prosody", "-F", "--config", str(self.config)]

    def _ready(self, offset):
        for port in (self.starttls_port, self.direct_port):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                return False
        return True

    def add_account(self, jid, password):
        user, host = jid.split("@")
        done = subprocess.run(
            ["prosodyctl", "--config", str(self.config), "register", user, host, password],
            text=True, capture_output=True, timeout=60, cwd=self.work)
        if done.returncode != 0:
            raise ServerError(f"register {jid}: {done.stdout}{done.stderr}")


def make(kind, work, binary=None):
    """The server that `--server` names."""
    if kind == "stonechat":
        return Stonechat(work, binary)
    if kind == "prosody":
        return Prosody(work)
    raise ServerError(f"no such server: {kind}")
