"""Stream compression (XEP-0138) with Python's own zlib: clients with libraries for it have died out."""

import zlib

from harness import expect, test
from raw import Raw

SUITE = "zlib"
NS = "http://jabber.org/protocol/compress"
HEADER = ("<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")


class Compressed(Raw):
    """A raw connection that compresses once it is told to, with the windows that zlib has by default."""

    def __init__(self):
        super().__init__(HEADER)
        self.deflate = self.inflate = None
        self.read_bytes = self.plain_bytes = 0

    async def connect(self, server):
        port, server.direct_port = server.direct_port, server.zlib_port
        try:
            return await super().connect(server)
        finally:
            server.direct_port = port

    def send(self, data):
        if self.deflate is not None:
            data = data if isinstance(data, bytes) else data.encode()
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        super().send(data)

    async def _more(self):
        before, self._buffer = self._buffer, b""
        await super()._more()
        if self.inflate is not None:
            plain = self.inflate.decompress(self._buffer)
            self.read_bytes += len(self._buffer)
            self.plain_bytes += len(plain)
            self._buffer = plain
        self._buffer = before + self._buffer

    async def open(self):
        features = await super().open()
        if b"<compression " in features and self.deflate is None:
            self.send(f"<compress xmlns='{NS}'><method>zlib</method></compress>")
            answer = await self.piece()
            expect(answer.startswith(b"<compressed"), "compression was refused", answer)
            self.deflate, self.inflate = zlib.compressobj(), zlib.decompressobj()
            return await super().open()
        return features


@test("two clients with the zlib of C say and hear everything", SUITE, needs={"zlib"})
async def _(world):
    romeo = await (await Compressed().connect(world.server)).log_in(await world.server.user("romeo"), "zlib")
    juliet = await (await Compressed().connect(world.server)).log_in(await world.server.user("juliet"), "zlib")
    for client in (romeo, juliet):
        expect(client.inflate is not None, "compression was not offered")
        await client.piece()  # its own presence
    for number in range(100):
        romeo.send(f"<message to='{juliet.jid}' id='m{number}'><body>{'parting is such sweet sorrow ' * number}</body></message>")
    for number in range(100):
        heard = await juliet.piece()
        expect(f" id='m{number}'".encode() in heard, f"message {number} comes next", heard[:200])
    expect(juliet.read_bytes * 5 < juliet.plain_bytes, "what came was compressed", juliet.read_bytes, juliet.plain_bytes)
    for client in (romeo, juliet):
        client.send("</stream:stream>")
        client.close()
