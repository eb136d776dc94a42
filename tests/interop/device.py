"""@xmpp/client in a node process of its own: for a test that is written there (`xmppjs/suite.mjs`), or as a device that
a test here holds in its hand: stanzas in, stanzas out.
"""

import asyncio
import json
import os
import xml.etree.ElementTree as etree

from harness import Mismatch, eventually
from server import ROOT

HOME = ROOT / "target/interop-js"  # node_modules is there; `run` copies the script beside it
LINE_BYTES_MAX = 1 << 20


async def node(world, given, *arguments, stdin=asyncio.subprocess.DEVNULL):
    """A process of `suite.mjs` that ends with the world; `given` is what it knows of accounts and ports."""
    process = await asyncio.create_subprocess_exec(
        "node", "suite.mjs", *arguments, cwd=HOME, stdin=stdin, limit=LINE_BYTES_MAX,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        # Node checks the certificate's chain and name like everyone else here.
        env={**os.environ, "INTEROP": json.dumps(given), "NODE_EXTRA_CA_CERTS": str(world.server.ca)})

    async def end():
        if process.returncode is None:
            process.kill()
            await process.wait()

    world.push_async_callback(end)
    return process


class Device:
    """One resource of one user. `stanzas` is all that came, `events` when it was online, lost and resumed."""

    def __init__(self, world, account, port):
        self.world, self.account, self.port = world, account, port
        self.stanzas, self.events, self.words = [], [], []
        self._lines = 0  # given to the process whose fate it has not told
        self._unwritten = []
        self.jid = None

    async def online(self):
        given = {"accounts": [self.account], "port": self.port, "demand": []}
        self._process = await node(self.world, given, "device", "starttls", stdin=asyncio.subprocess.PIPE)
        self._reader = asyncio.ensure_future(self._read())
        self.world.callback(self._reader.cancel)
        await eventually(lambda: self.jid, lambda: f"{self.account[0]} is online with @xmpp/client: {self.words[-9:]}")
        return self

    async def _read(self):
        async for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                self.words.append(line.decode(errors="replace"))
                continue
            if "stanza" in said:
                self.stanzas.append(etree.fromstring(said["stanza"]))
            elif "written" in said:
                self._lines -= 1
            elif "unwritten" in said:
                self._lines -= 1
                self._unwritten.append(said)
            else:
                self.events.append(said["event"])
                self.jid = said.get("jid", self.jid)

    def send(self, xml):
        """Send a stanza on the connection that there is; `written` says whether it took it."""
        if self._process.returncode is not None:
            raise Mismatch(f"{self.jid} has ended: {self.words[-9:]}")
        self._lines += 1
        self._process.stdin.write(xml.replace("\n", " ").encode() + b"\n")

    async def written(self):
        """Return when the connection has taken all that was sent: from here on stream management answers for it."""
        await eventually(lambda: self._lines <= 0, f"{self.jid} writes")
        if self._unwritten:
            raise Mismatch(f"{self.jid} has not written {self._unwritten}")

    def say(self, to, body):
        self.send(f"<message to='{to}' type='chat'><body>{body}</body></message>")

    def messages(self):
        """What came as ordinary messages, and inside of carbons."""
        for stanza in self.stanzas:
            if stanza.tag.endswith("message"):
                inner = stanza.find(".//{urn:xmpp:forward:0}forwarded/{jabber:client}message")
                is_copy = any(child.tag.startswith("{urn:xmpp:carbons:2}") for child in stanza)
                yield (inner if is_copy else stanza)

    def bodies(self):
        """Texts that people wrote, in their order; those of the archive are not among them."""
        texts = (message.findtext("{jabber:client}body") or message.findtext("body") for message in self.messages())
        return [text for text in texts if text]

    async def reads(self, body):
        await eventually(lambda: body in self.bodies(), lambda: f"{self.jid} reads {body!r}; it has {self.bodies()[-12:]}")

    async def ask(self, iq_id, xml):
        """Send a request of that id; its answer."""
        self.send(xml)
        def answer():
            return next((s for s in self.stanzas if s.tag.endswith("iq") and s.get("id") == iq_id), None)
        return await eventually(answer, f"{self.jid} gets an answer to {iq_id}")

    async def gone(self):
        """Leave as a person does."""
        self._process.stdin.close()
        await self._process.wait()
