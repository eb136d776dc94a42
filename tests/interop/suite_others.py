"""One more client of another make, a command line one: go-sendxmpp (Go, its own XMPP and TLS)."""

import asyncio
import os

from client import client
from harness import WAIT, eventually, expect, test

SUITE = "go-sendxmpp"


async def start(world, account, tls, *arguments):
    """The command, logging in as `account`; Go takes the certificate to trust from the environment."""
    server = world.server
    port = server.starttls_port if tls == "starttls" else server.direct_port
    process = await asyncio.create_subprocess_exec(
        "go-sendxmpp", "-u", account[0], "-p", account[1], "-j", f"localhost:{port}", "--timeout", str(WAIT),
        *(["-t"] if tls == "direct" else []), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SSL_CERT_FILE": str(server.ca), "HOME": str(server.work)})

    async def end():
        if process.returncode is None:
            process.kill()
            await process.wait()

    world.push_async_callback(end)
    return process


def sends(tls, words):
    @test(f"sends a message over {words} and ends in peace", SUITE, needs={SUITE})
    async def _(world):
        romeo = await client(world, await world.server.user("romeo"), "orchard").online()
        account = await world.server.user("juliet")
        process = await start(world, account, tls, romeo.boundjid.bare)
        output, _ = await asyncio.wait_for(process.communicate("good morrow ☀\n".encode()), WAIT)
        expect(process.returncode == 0, "go-sendxmpp ended with", process.returncode, output.decode())
        heard = await eventually(lambda: next((m for m in romeo.inbox if "good morrow ☀" in m["body"]), None),
                                 lambda: f"romeo reads it; he has {romeo.bodies()}; {output.decode()}")
        expect(heard["from"].bare == account[0], "from", heard["from"])

    @test(f"listens over {words} and prints what is said", SUITE, needs={SUITE})
    async def _(world):
        romeo = await client(world, await world.server.user("romeo"), "orchard").online()
        account = await world.server.user("juliet")
        process = await start(world, account, tls, "-l")
        # It may not be online yet: then the message waits for it.
        romeo.say(account[0], "but new struck nine")
        seen = b""
        async with asyncio.timeout(WAIT):
            while b"but new struck nine" not in seen:
                line = await process.stdout.readline()
                expect(line, "go-sendxmpp ended:", seen.decode())
                seen += line


sends("starttls", "STARTTLS")
sends("direct", "direct TLS")
