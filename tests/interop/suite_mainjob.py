"""The main job of the first whole server, as one script: two slixmpp clients and one profanity.

They log in with SCRAM over STARTTLS and direct TLS, chat with each other, one goes offline, gets its offline
messages on return, and resumes a broken stream without losing or doubling a stanza.
"""

import asyncio

from client import client
from harness import WAIT, eventually, expect, test
from terminal import profanity
from wire import Wire

SUITE = "main job"


@test("two slixmpp clients and one profanity chat, part, return and resume", SUITE, seconds=400)
async def _(world):
    server = world.server
    accounts = {name: await server.user(name) for name in ("juliet", "romeo", "nurse")}
    jids = {name: account[0] for name, account in accounts.items()}

    # Two slixmpp over STARTTLS and direct TLS, Juliet's over a wire that will break; a profanity over STARTTLS.
    wire = await Wire(server.direct_port).open()
    world.push_async_callback(wire.close)
    romeo = await client(world, accounts["romeo"], "orchard", tls="starttls", mech="SCRAM-SHA-256").online()
    juliet = await client(world, accounts["juliet"], "balcony", tls="direct", mech="SCRAM-SHA-1",
                          port=wire.port, managed=True).online()
    nurse = await profanity(world)
    await nurse.log_in(accounts["nurse"], server.starttls_port, "starttls")

    # Everyone with everyone.
    romeo.say(jids["juliet"], "romeo to juliet")
    await juliet.reads("romeo to juliet")
    juliet.say(romeo.boundjid.full, "juliet to romeo")
    await romeo.reads("juliet to romeo")
    await nurse.say(jids["juliet"], "nurse to juliet")
    heard = await juliet.reads("nurse to juliet")
    juliet.say(heard["from"], "juliet to nurse")
    await nurse.reads("juliet to nurse")
    await nurse.say(jids["romeo"], "nurse to romeo")
    heard = await romeo.reads("nurse to romeo")
    romeo.say(heard["from"], "romeo to nurse")
    await nurse.reads("romeo to nurse")

    # Juliet leaves; both write to her; she returns.
    await juliet.gone()
    already = juliet.bodies()
    expect(already == ["romeo to juliet", "nurse to juliet"], "juliet read", already)
    await nurse.say(jids["juliet"], "offline from the nurse")
    # The nurse's next line to Romeo goes behind it on the same stream: after it, Juliet's is on its way to her account,
    # and what he says then comes there behind it.
    await nurse.say(jids["romeo"], "she is gone")
    await romeo.reads("she is gone")
    for n in range(5):
        romeo.say(jids["juliet"], f"offline {n}")
    await romeo.settled(jids["juliet"])
    juliet = await client(world, accounts["juliet"], "balcony", tls="direct", mech="SCRAM-SHA-256",
                          port=wire.port, managed=True).online()
    await juliet.reads_all([f"offline {n}" for n in range(5)], sender=jids["romeo"])
    await juliet.reads("offline from the nurse")
    for message in juliet.inbox:
        expect(message["delay"]["stamp"], "no delay stamp on", message)

    # Her stream breaks twice in the middle of a conversation, and is resumed.
    juliet.inbox.clear()
    romeo.inbox.clear()
    hers, his = [], []
    for turn in range(2):
        for phase in ("heard", "lost"):
            for _ in range(10):
                hers.append(f"j{len(hers)}")
                juliet.say(jids["romeo"], hers[-1])
                his.append(f"r{len(his)}")
                romeo.say(jids["juliet"], his[-1])
            if phase == "heard":
                await juliet.reads_all(his, sender=jids["romeo"])
                await romeo.reads_all(hers, sender=jids["juliet"])
                wire.go_silent()
        await asyncio.wait_for(juliet.waiting_queue.join(), WAIT)
        await romeo.settled()
        await nurse.say(jids["juliet"], f"nurse, unheard {turn}")
        await nurse.say(jids["romeo"], f"wrote to her {turn}")
        await romeo.reads(f"wrote to her {turn}")
        await juliet.dropped(wire.cut)
        his.append(f"r{len(his)}")
        romeo.say(jids["juliet"], his[-1])
        await romeo.settled()
        how = await juliet.connect_only()
        expect(how == "resumed", "the stream was", how)
        await juliet.reads(f"nurse, unheard {turn}")
    await juliet.reads_all(his, sender=jids["romeo"])
    await romeo.reads_all(hers, sender=jids["juliet"])
    await juliet.settled()
    await romeo.settled()
    expect(juliet.bodies(jids["romeo"]) == his, "doubled late for juliet")
    expect(romeo.bodies(jids["juliet"]) == hers, "doubled late for romeo")
    unheard = [body for body in juliet.bodies(jids["nurse"])]
    expect(unheard == ["nurse, unheard 0", "nurse, unheard 1"], "from the nurse:", unheard)
