"""A TCP wire on loopback that can be cut: at once, or first going silent while both ends go on talking.

Knows bytes only; what was in flight when the wire went silent is lost, as on a phone that left its cell.
"""

import asyncio


class Wire:
    """A listening port that forwards to `target_port`; `port` is valid once `open` has returned."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.port = None
        self.swallowed = {"up": 0, "down": 0}  # bytes lost in the silence, by direction
        self._silent = ()  # the directions that deliver nothing
        self._pairs = set()
        self._tasks = set()

    async def open(self):
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def _accept(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        # A reader that a cut aborted must not forward what it had still buffered.
        for source, sink, way in ((reader, far_writer, "up"), (far_reader, writer, "down")):
            task = asyncio.ensure_future(self._pump(source, sink, pair, way))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source, sink, pair, way):
        try:
            while data := await source.read(65536):
                if pair not in self._pairs:
                    return
                if way in self._silent:
                    self.swallowed[way] += len(data)
                    continue
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            if not self._silent or pair not in self._pairs:
                self._pairs.discard(pair)
                for writer in pair:
                    writer.close()

    def go_silent(self, *ways):
        """From now on take every byte and deliver none; `ways` are "up" (to the server) and "down", both if none."""
        self._silent = ways or ("up", "down")

    def cut(self):
        """Break every connection with a reset, without a word at the layers above; heal for the next."""
        pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for writer in pair:
                writer.transport.abort()
        self._silent = ()

    async def close(self):
        self.cut()
        self._listener.close()
        await self._listener.wait_closed()
