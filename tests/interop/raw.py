"""A connection that says what it is told to, byte for byte, and hands over the server's pieces as they came.

Parses nothing: pieces are cut at tags, which is right as long as the server escapes every '>'. If it does not, the
parsers that the pieces are shown to will say so.
"""

import asyncio
import base64
import re
import ssl

from harness import WAIT, Mismatch, expect

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
END = b"</"  # the end of the stream, as a piece
TAG = re.compile(rb"<[^>]*>")


class Raw:
    """One connection over direct TLS; `header` is sent for every stream of it, `prefix` is that of stanzas."""

    def __init__(self, header, prefix=""):
        self.header, self.prefix = header, prefix
        self.their_header = None
        self.jid = None
        self._buffer = b""

    async def connect(self, server):
        context = ssl.create_default_context(cafile=server.ca)
        context.set_alpn_protocols(["xmpp-client"])
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(
            "127.0.0.1", server.direct_port, ssl=context, server_hostname="localhost"), WAIT)
        return self

    def send(self, data):
        self.writer.write(data if isinstance(data, bytes) else data.encode())

    async def _more(self):
        # In this task, not in one of its own as `wait_for` of Python 3.11 does it: between two of those a reset could come
        # in, and what was read and not fetched would be gone with it.
        async with asyncio.timeout(WAIT):
            data = await self.reader.read(65536)
        if not data:
            raise Mismatch(f"the connection was closed after {self._buffer!r}")
        self._buffer += data

    def _cut(self):
        """The next whole piece of the buffer, or None."""
        self._buffer = self._buffer.lstrip(b" \t\r\n")
        depth = 0
        for tag in TAG.finditer(self._buffer):
            if tag[0].startswith(b"</"):
                depth -= 1
            elif not tag[0].endswith(b"/>"):
                depth += 1
            if depth <= 0:
                piece, self._buffer = self._buffer[:tag.end()], self._buffer[tag.end():]
                return END if depth < 0 else piece
        return None

    async def piece(self):
        """The next element, or `END`."""
        while (piece := self._cut()) is None:
            await self._more()
        return piece

    async def open(self):
        """Begin a stream; returns the features."""
        self.send(self.header)
        found = None
        while found is None:
            found = re.search(rb"<[^>?]*>", self._buffer)
            if found is None:
                await self._more()
        self.their_header = found[0]
        self._buffer = self._buffer[found.end():]
        return await self.piece()

    async def log_in(self, account, resource):
        """SASL, a new stream, a resource, presence."""
        jid, password = account
        await self.open()
        answer = base64.b64encode(f"\0{jid.split('@')[0]}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{answer}</auth>")
        success = await self.piece()
        expect(success.startswith(b"<success"), "SASL was answered", success)
        await self.open()
        stanza = self.prefix
        self.send(f"<{stanza}iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                  f"<resource>{resource}</resource></bind></{stanza}iq>")
        bound = re.search(rb"<jid>(.*)</jid>", await self.piece())
        expect(bound, "no resource was bound")
        self.jid = bound[1].decode()
        self.send(f"<{stanza}presence/>")
        return self

    def close(self):
        self.writer.transport.abort()
