"""profanity in a terminal against the server: what a person types, and what a person sees."""

from client import client
from harness import expect, test
from terminal import profanity

SUITE = "profanity"


def port(world, tls):
    return world.server.starttls_port if tls == "starttls" else world.server.direct_port


def chats(tls):
    words = {"starttls": "STARTTLS", "direct": "direct TLS"}[tls]

    @test(f"logs in over {words} and chats with slixmpp in both directions", SUITE)
    async def _(world):
        juliet_account = await world.server.user("juliet")
        romeo = await client(world, await world.server.user("romeo"), "orchard").online()
        juliet = await profanity(world)
        await juliet.log_in(juliet_account, port(world, tls), tls)
        await juliet.say(romeo.boundjid.bare, "Good morrow, dear Romeo")
        heard = await romeo.reads("Good morrow, dear Romeo")
        expect(heard["from"].bare == juliet_account[0], "from", heard["from"])
        romeo.say(heard["from"], "Is the day so young? ☀")
        await juliet.reads("Is the day so young? ☀")
        romeo.say(juliet_account[0], "But new struck nine.")
        await juliet.reads("But new struck nine.")
        for n in range(5):
            await juliet.type(f"line {n}")
        await romeo.reads("line 4")
        expect(romeo.bodies()[-5:] == [f"line {n}" for n in range(5)], "order", romeo.bodies())


chats("starttls")
chats("direct")


@test("two profanities chat with each other", SUITE)
async def _(world):
    accounts = [await world.server.user(name) for name in ("juliet", "romeo")]
    juliet, romeo = await profanity(world), await profanity(world)
    await juliet.log_in(accounts[0], world.server.starttls_port, "starttls")
    await romeo.log_in(accounts[1], world.server.direct_port, "direct")
    await juliet.say(accounts[1][0], "wherefore art thou")
    await romeo.turns_to(accounts[0][0])
    await romeo.reads("wherefore art thou")
    await romeo.type("call me but love")
    await juliet.reads("call me but love")


@test("a wrong password is refused on the screen", SUITE)
async def _(world):
    jid, _ = await world.server.user("juliet")
    juliet = await profanity(world)
    await juliet.type(f"/connect {jid} server 127.0.0.1 port {world.server.starttls_port} tls trust")
    await juliet.sees("Enter password:")
    await juliet.type("wrong")
    await juliet.sees("Login failed")


@test("offline messages are on the screen after login, once", SUITE)
async def _(world):
    account = await world.server.user("juliet")
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    for n in range(3):
        romeo.say(account[0], f"while away {n}")
    await romeo.settled(account[0])
    juliet = await profanity(world)
    await juliet.log_in(account, world.server.starttls_port, "starttls")
    romeo.say(account[0], "at last")
    await juliet.turns_to(romeo.boundjid.bare)
    await juliet.reads("at last")
    shown = await juliet.screen()
    places = [shown.find(f"while away {n}") for n in range(3)] + [shown.find("at last")]
    expect(-1 not in places and places == sorted(places), "not in order:", shown)
    expect(shown.count("while away 1") == 1, "shown more than once:", shown)
