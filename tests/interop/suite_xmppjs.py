"""@xmpp/client (node) against the server, one process for each test: `xmppjs/suite.mjs` holds the plays."""

from device import node
from harness import expect, test

SUITE = "xmppjs"


def play(sentence, *arguments, accounts=("juliet",), demand=(), needs=()):
    @test(sentence, SUITE, needs=needs)
    async def _(world):
        server = world.server
        given = {
            "accounts": [await server.user(name) for name in accounts],
            "starttls": server.starttls_port,
            "direct": server.direct_port,
            "demand": list(demand),
        }
        process = await node(world, given, *arguments)
        output, _ = await process.communicate()
        expect(process.returncode == 0, f"suite.mjs {' '.join(arguments)}:\n{output.decode(errors='replace')}")


for _tls, _words in (("starttls", "STARTTLS"), ("direct", "direct TLS")):
    play(f"logs in over {_words} by the newest negotiation offered and writes to itself", "login", _tls)
    play(f"two clients chat in order, one of them over {_words}", "chat", _tls, accounts=("juliet", "romeo"))
    play(f"reconnects over {_words} by itself and resumes: nothing lost or doubled, either way",
         "resume", _tls, accounts=("juliet", "romeo"))

play("logs in by SASL2 with Bind 2", "login", "direct", demand=("sasl2",), needs={"sasl2"})
play("logs in by a token that the last login gave it (FAST), in one round trip", "fast", "direct", needs={"fast"})
play("a wrong password is refused with not-authorized", "refused", "starttls")
