"""slixmpp against the server: login, chat, offline messages, carbons, resumption, the small services."""

import asyncio
import datetime
import signal

from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048 import Bookmarks

from client import LoginRefused, client
from harness import WAIT, Mismatch, eventually, expect, test
from server import HOST
from wire import Wire

SUITE = "slixmpp"
LOAD = 200  # messages of the ordering test, each way


def tests(sentence, **rest):
    return test(sentence, SUITE, **rest)


# Logging in

def logs_in(mech, tls):
    words = {"starttls": "STARTTLS", "direct": "direct TLS"}[tls]

    @tests(f"logs in with {mech} over {words}", needs={mech})
    async def _(world):
        account = await world.server.user("juliet")
        juliet = await client(world, account, "balcony", tls=tls, mech=mech).online()
        expect(juliet.mechanism_used == mech, "used", juliet.mechanism_used)
        expect(juliet.boundjid.bare == account[0], "bound to", juliet.boundjid)
        expect(juliet.boundjid.resource, "bound without a resource")


for _mech in ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
    for _tls in ("starttls", "direct"):
        logs_in(_mech, _tls)


@tests("logs in with the mechanism that slixmpp likes best, and gets the resource it wished")
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    expect(juliet.mechanism_used.startswith("SCRAM-"), "slixmpp chose", juliet.mechanism_used)
    expect(juliet.boundjid.resource == "balcony", "bound as", juliet.boundjid)


@tests("gets a resource made by the server when it wishes none")
async def _(world):
    account = await world.server.user("juliet")
    one = await client(world, account).online()
    two = await client(world, account).online()
    expect(one.boundjid.resource and two.boundjid.resource, one.boundjid, two.boundjid)
    expect(one.boundjid.full != two.boundjid.full, "both are", one.boundjid)


@tests("logs in with a password beyond ASCII, and in mixed case of the address")
async def _(world):
    jid, password = await world.server.user("juliet", "pässwörd für Ю ☃")
    for mech in ("SCRAM-SHA-256", "PLAIN"):
        juliet = await client(world, (jid.capitalize(), password), mech=mech).online()
        expect(juliet.boundjid.bare == jid, "bound as", juliet.boundjid)


@tests("a wrong password and an unknown user are refused alike")
async def _(world):
    jid, _ = await world.server.user("juliet")
    for mech in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
        answers = []
        for who in (jid, f"nobody@{HOST}"):
            try:
                await client(world, (who, "wrong"), mech=mech).connect_only()
            except LoginRefused as refused:
                answers.append((refused.conditions, refused.texts))
            else:
                raise Mismatch(f"{who} was let in with a wrong password")
        expect(answers[0][0] == answers[1][0], mech, "tells them apart:", answers)
        if "equal-texts" not in world.server.lacks:
            expect(answers[0] == answers[1], mech, "tells them apart:", answers)
        expect(answers[0][0] == ["not-authorized"], mech, "refuses with", answers[0])


@tests("the right password is still taken after a wrong one")
async def _(world):
    jid, password = await world.server.user("juliet")
    try:
        await client(world, (jid, "wrong")).connect_only()
    except LoginRefused:
        pass
    else:
        raise Mismatch("let in with a wrong password")
    await client(world, (jid, password)).online()


@tests("a second login with the same resource either replaces the first or gets another name")
async def _(world):
    account = await world.server.user("juliet")
    first = await client(world, account, "balcony").online()
    second = await client(world, account, "balcony").online()
    if second.boundjid.full == first.boundjid.full:
        await eventually(lambda: not first.is_connected(), "the first session is ended")
    await second.settled()


# Chatting

async def pair(world, **rest):
    """Romeo over STARTTLS and Juliet over direct TLS, online."""
    romeo = await client(world, await world.server.user("romeo"), "orchard", **rest).online()
    juliet = await client(world, await world.server.user("juliet"), "balcony", tls="direct", **rest).online()
    return romeo, juliet


@tests("two clients chat, by bare and by full address, and the sender is who he is")
async def _(world):
    romeo, juliet = await pair(world)
    romeo.say(juliet.boundjid.bare, "to the bare address")
    heard = await juliet.reads("to the bare address")
    expect(heard["from"] == romeo.boundjid, "from", heard["from"])
    juliet.say(romeo.boundjid.full, "to the full address")
    heard = await romeo.reads("to the full address")
    expect(heard["from"] == juliet.boundjid, "from", heard["from"])
    expect(heard["to"] == romeo.boundjid, "to", heard["to"])
    expect(heard["type"] == "chat", "type", heard["type"])


@tests("text arrives as it was written: scripts, emoji, markup, line ends, 60 KiB")
async def _(world):
    romeo, juliet = await pair(world)
    texts = ["<b>&amp;</b> ]]> \"'", "Ωμέγα \u202eright to left\u202c 漢字 🧑‍🤝‍🧑 \U0001F600", "one\ntwo\n\n four ",
             "x" * 60_000]
    for text in texts:
        romeo.say(juliet.boundjid.bare, text)
    await juliet.reads_all(texts)


@tests("of three resources the full address reaches one, the bare address no negative priority")
async def _(world):
    account = await world.server.user("juliet")
    balcony = await client(world, account, "balcony").online(priority=5)
    chamber = await client(world, account, "chamber", tls="direct").online(priority=5)
    crypt = await client(world, account, "crypt").online(priority=-1)
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    romeo.say(crypt.boundjid.full, "only the crypt")
    await crypt.reads("only the crypt")
    romeo.say(account[0], "to all who want")
    for at in (balcony, chamber, crypt):
        romeo.say(at.boundjid.full, f"the end for {at.boundjid.resource}")
        await at.reads(f"the end for {at.boundjid.resource}")
    # RFC 6121 8.5.2.1.1: to the most available resource or to every one with non-negative priority.
    got = [c for c in (balcony, chamber) if "to all who want" in c.bodies()]
    expect(got, "nobody read the message to the bare address")
    expect(crypt.bodies() == ["only the crypt", "the end for crypt"], "the crypt read", crypt.bodies())
    for at in (balcony, chamber):
        expect("only the crypt" not in at.bodies(), at.boundjid, "read what was not for it")


@tests("a chat message for a resource that is gone reaches the one that is there")
async def _(world):
    romeo, juliet = await pair(world)
    romeo.say(f"{juliet.boundjid.bare}/no-such-resource", "are you there")
    await juliet.reads("are you there")


@tests("carbons show a second resource what was sent and what was received, but nothing private")
async def _(world):
    account = await world.server.user("juliet")
    balcony = await client(world, account, "balcony").online(priority=1)
    chamber = await client(world, account, "chamber", tls="direct").online()
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    sent, received = [], []
    chamber.add_event_handler("carbon_sent", lambda m: sent.append(m["carbon_sent"]))
    chamber.add_event_handler("carbon_received", lambda m: received.append(m["carbon_received"]))
    await chamber["xep_0280"].enable(timeout=WAIT)

    balcony.say(romeo.boundjid.full, "sent by balcony")
    await romeo.reads("sent by balcony")
    await eventually(lambda: [m["body"] for m in sent] == ["sent by balcony"], lambda: f"carbons sent: {sent}")
    expect(sent[0]["to"] == romeo.boundjid, "copied to", sent[0]["to"])

    romeo.say(balcony.boundjid.full, "for balcony")
    await balcony.reads("for balcony")
    await eventually(lambda: [m["body"] for m in received] == ["for balcony"], lambda: f"carbons received: {received}")
    expect(received[0]["from"] == romeo.boundjid, "copied from", received[0]["from"])

    # XEP-0280 section 9: "Messages [with private] MUST NOT be copied".
    hush = romeo.make_message(mto=balcony.boundjid.full, mbody="hush", mtype="chat")
    hush.enable("carbon_private")
    hush.send()
    await balcony.reads("hush")
    romeo.say(chamber.boundjid.full, "the end")
    await chamber.reads("the end")
    expect(len(received) == 1, "a private message was copied:", received)


@tests(f"{LOAD} messages each way at once arrive once and in order")
async def _(world):
    romeo, juliet = await pair(world)
    there, back = [f"r{n}" for n in range(LOAD)], [f"j{n}" for n in range(LOAD)]
    for one, other in zip(there, back):
        romeo.say(juliet.boundjid.bare, one)
        juliet.say(romeo.boundjid.full, other)
    await juliet.reads_all(there)
    await romeo.reads_all(back)


# The archive

async def history(at, **rest):
    """What the archive of `at`'s account says, in the pages of five that slixmpp's plugin walks."""
    bodies = []
    async for page in at["xep_0313"].retrieve(iterator=True, rsm={"max": 5}, **rest):
        results = page["mam"]["results"]
        expect(len(results) <= 5, "a page of", len(results))
        bodies.append([result["mam_result"]["forwarded"]["stanza"]["body"] for result in results])
    return bodies


@tests("two devices read the same history: forwards, backwards and by contact", needs={"archive"})
async def _(world):
    account = await world.server.user("juliet")
    balcony = await client(world, account, "balcony").online(priority=1)
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    nurse = await client(world, await world.server.user("nurse"), "house").online()
    told = []
    for n in range(6):
        romeo.say(account[0], f"romeo {n}")
        await balcony.reads(f"romeo {n}")
        balcony.say(romeo.boundjid.full, f"juliet {n}")
        await romeo.reads(f"juliet {n}")
        told += [f"romeo {n}", f"juliet {n}"]
    nurse.say(account[0], "Madam!")
    await balcony.reads("Madam!")
    # The second device was not there, and knows everything all the same.
    chamber = await client(world, account, "chamber", tls="direct").online(priority=-1)
    for at in (balcony, chamber):
        pages = await history(at)
        expect(sum(pages, []) == told + ["Madam!"], at.boundjid, "read", pages)
        pages = await history(at, reverse=True)
        expect(sum(reversed(pages), []) == told + ["Madam!"], at.boundjid, "read backwards", pages)
        pages = await history(at, with_jid=romeo.boundjid.bare)
        expect(sum(pages, []) == told, at.boundjid, "read of romeo", pages)
    # The id under which a message was delivered is the one under which it is archived.
    ids = [message["stanza_id"]["id"] for message in balcony.inbox if message["body"] == "Madam!"]
    backwards = chamber["xep_0313"].retrieve(iterator=True, reverse=True, rsm={"max": 1})
    last = await anext(aiter(backwards))
    results = last["mam"]["results"]
    expect([result["mam_result"]["id"] for result in results] == ids, "archived under another id", ids, last)


# Offline

@tests("messages to an absent user come on return, once, in order, stamped with a delay")
async def _(world):
    account = await world.server.user("juliet")
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    juliet = await client(world, account, "balcony").online()
    await juliet.gone()
    texts = [f"while you were away {n}" for n in range(7)]
    for text in texts:
        romeo.say(account[0], text)
    await romeo.settled(account[0])
    juliet = await client(world, account, "chamber", tls="direct").online()
    await juliet.reads_all(texts)
    for message in juliet.inbox:
        expect(message["delay"]["stamp"], "no delay stamp on", message)
        expect(message["from"] == romeo.boundjid, "from", message["from"])
    await juliet.gone()
    juliet = await client(world, account, "crypt").online()
    romeo.say(juliet.boundjid.full, "new")
    await juliet.reads("new")
    expect(juliet.bodies() == ["new"], "delivered again:", juliet.bodies())


@tests("offline messages wait for a resource that can take them, not for one with negative priority",
       needs={"priority-change"})
async def _(world):
    account = await world.server.user("juliet")
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    romeo.say(account[0], "for whom it concerns")
    await romeo.settled(account[0])
    crypt = await client(world, account, "crypt").online(priority=-1)
    romeo.say(crypt.boundjid.full, "for the crypt")
    await crypt.reads("for the crypt")
    expect(crypt.bodies() == ["for the crypt"], "the crypt read", crypt.bodies())
    await crypt.available(priority=0)
    await crypt.reads("for whom it concerns")


@tests("offline messages survive the server's sudden death, and its orderly stop")
async def _(world):
    account = await world.server.user("juliet")
    texts = []
    for sig in (signal.SIGKILL, signal.SIGTERM):
        sender = client(world, await world.server.user("romeo"), "orchard", managed=True)
        await sender.online()
        acked = []
        sender.add_event_handler("stanza_acked", lambda s: acked.append(s["body"] if s.name == "message" else None))
        text = f"before signal {int(sig)}"
        texts.append(text)
        sender.say(account[0], text)
        sender["xep_0198"].request_ack()

        def ask():
            if text not in acked and sender.is_connected():
                sender["xep_0198"].request_ack()
            return text in acked
        await eventually(ask, "the server acknowledges the message")
        code = await world.server.stopped(sig)
        if sig == signal.SIGTERM:
            expect(code == 0, "the server ended with", code)
        await world.server.started()
    juliet = await client(world, account, "balcony").online()
    await juliet.reads_all(texts)


@tests("a server that is told to stop tells its clients so", needs={"system-shutdown"})
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    errors = []
    juliet.add_event_handler("stream_error", lambda e: errors.append(e["condition"]))
    code = await world.server.stopped()
    expect(code == 0, "the server ended with", code)
    await eventually(lambda: not juliet.is_connected(), "the connection ends")
    expect(errors == ["system-shutdown"], "told", errors)


# Stream management

async def wired(world, name, tls, resource="balcony"):
    """A stream-managed client behind a wire of its own."""
    server = world.server
    wire = await Wire(server.starttls_port if tls == "starttls" else server.direct_port).open()
    world.push_async_callback(wire.close)
    account = await server.user(name)
    managed = client(world, account, resource, tls=tls, port=wire.port, managed=True)
    return await managed.online(), wire


def resumes(tls):
    words = {"starttls": "STARTTLS", "direct": "direct TLS"}[tls]

    @tests(f"resumes a broken stream over {words}: nothing lost or doubled, either way")
    async def _(world):
        juliet, wire = await wired(world, "juliet", tls)
        romeo = await client(world, await world.server.user("romeo"), "orchard").online()
        hers, his = [], []

        def both(count):
            for _ in range(count):
                hers.append(f"j{len(hers)}")
                juliet.say(romeo.boundjid.full, hers[-1])
                his.append(f"r{len(his)}")
                romeo.say(juliet.boundjid.full, his[-1])

        both(10)
        await romeo.reads_all(hers)
        await juliet.reads_all(his)
        # The silence: both go on writing, and nothing that Juliet's side of the wire carries arrives.
        for ways in (("up", "down"), ("down",), ("up",)):
            wire.go_silent(*ways)
            lost_before = dict(wire.swallowed)
            both(10)
            await romeo.settled()
            await asyncio.wait_for(juliet.waiting_queue.join(), WAIT)
            for way in ways:
                await eventually(lambda: wire.swallowed[way] > lost_before[way], f"bytes lost {way}")
            await juliet.dropped(wire.cut)
            # Sent to a session that has no connection.
            for _ in range(5):
                his.append(f"r{len(his)}")
                romeo.say(juliet.boundjid.full, his[-1])
            await romeo.settled()
            how = await juliet.connect_only()
            expect(how == "resumed", "the stream was", how)
            both(5)
            await romeo.reads_all(hers)
            await juliet.reads_all(his)
        # Nothing came late either.
        await juliet.settled()
        await romeo.settled()
        expect(juliet.bodies() == his and romeo.bodies() == hers, "something came twice, late")


resumes("starttls")
resumes("direct")


@tests("eight cuts in the middle of a conversation lose and double nothing")
async def _(world):
    juliet, wire = await wired(world, "juliet", "starttls")
    romeo, other = await wired(world, "romeo", "direct", "orchard")
    hers, his = [], []
    for turn in range(8):
        for _ in range(25):
            hers.append(f"j{len(hers)}")
            juliet.say(romeo.boundjid.full, hers[-1])
            his.append(f"r{len(his)}")
            romeo.say(juliet.boundjid.full, his[-1])
        # Written by slixmpp, somewhere between the two kernels and the server: then the wire breaks.
        await asyncio.wait_for(asyncio.gather(juliet.waiting_queue.join(), romeo.waiting_queue.join()), WAIT)
        if turn % 2:
            goal = len(his) - 20 + turn  # a cut while the messages are flowing
            await eventually(lambda: len(juliet.bodies()) >= goal, f"message {goal}")
        victims = [(juliet, wire), (romeo, other)] if turn % 4 == 3 else [((juliet, wire), (romeo, other))[turn % 2]]
        for who, at in victims:
            await who.dropped(at.cut)
        for who, _ in victims:
            how = await who.connect_only()
            expect(how == "resumed", "the stream was", how)
    await romeo.reads_all(hers)
    await juliet.reads_all(his)


@tests("what a client that never comes back did not acknowledge waits for its next session", needs={"pending"})
async def _(world):
    juliet, wire = await wired(world, "juliet", "starttls")
    account = (juliet.boundjid.bare, juliet.password)
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    romeo.say(account[0], "heard")
    await juliet.reads("heard")
    juliet["xep_0198"].send_ack()
    await juliet.settled()
    wire.go_silent("down")
    texts = [f"unheard {n}" for n in range(5)]
    for text in texts:
        romeo.say(account[0], text)
    await romeo.settled(account[0])
    await juliet.dropped(wire.cut)
    # The same resource again, without a resumption: the old session is replaced.
    again = await client(world, account, "balcony").online()
    await again.reads_all(texts)


# The small services

@tests("disco names the server, its features and the account")
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    info = (await juliet["xep_0030"].get_info(jid=HOST, timeout=WAIT))["disco_info"]
    kinds = {(category, kind) for category, kind, *_ in info["identities"]}
    expect(("server", "im") in kinds, "identities", kinds)
    features = set(info["features"])
    for wanted in ("http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items",
                   "urn:xmpp:ping", "urn:xmpp:time", "jabber:iq:version", "jabber:iq:last", "urn:xmpp:carbons:2",
                   "msgoffline"):
        expect(wanted in features, "no", wanted, "in", sorted(features))
    items = await juliet["xep_0030"].get_items(jid=HOST, timeout=WAIT)
    expect(items["type"] == "result", items)
    info = (await juliet["xep_0030"].get_info(jid=juliet.boundjid.bare, timeout=WAIT))["disco_info"]
    kinds = {(category, kind) for category, kind, *_ in info["identities"]}
    expect(("account", "registered") in kinds, "identities of the account", kinds)


@tests("ping, version, entity time and last activity of the host are answered")
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    await juliet["xep_0199"].ping(jid=HOST, timeout=WAIT)
    version = await juliet["xep_0092"].get_version(jid=HOST, timeout=WAIT)
    expect(version["software_version"]["name"], "version without a name:", version)
    when = await juliet["xep_0202"].get_entity_time(HOST, timeout=WAIT)
    # slixmpp 1.17.0 cannot parse its own example's trailing Z, so the text is read here.
    utc = when.xml.findtext("{urn:xmpp:time}time/{urn:xmpp:time}utc")
    expect(utc and utc.endswith("Z"), "time without utc:", when)
    shown = datetime.datetime.fromisoformat(utc)
    expect(abs((shown - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 120, "clock is", utc)
    activity = await juliet["xep_0012"].get_last_activity(HOST, timeout=WAIT)
    # XEP-0012: of a server, the seconds since it started.
    expect(0 <= int(activity["last_activity"]["seconds"]) < 7200, "uptime", activity)


@tests("private data and vCards are kept, and come back on another device and to others")
async def _(world):
    account = await world.server.user("juliet")
    juliet = await client(world, account, "balcony").online()
    bookmarks = Bookmarks()
    bookmarks.add_conference("verona@conference.example.org", "juliet", name="Verona & <co>")
    await juliet["xep_0049"].store(bookmarks, timeout=WAIT)
    card = juliet["xep_0054"].make_vcard()
    card["FN"] = "Juliet Capulet"
    card["PHOTO"]["TYPE"], card["PHOTO"]["BINVAL"] = "image/png", b"\x89PNG\r\n" * 1000
    await juliet["xep_0054"].publish_vcard(card, timeout=WAIT)
    again = await client(world, account, "chamber").online()
    kept = await again["xep_0049"].retrieve("bookmarks", timeout=WAIT)
    names = [found["name"] for found in kept["private"]["bookmarks"]["conferences"]]
    expect(names == ["Verona & <co>"], "bookmarks", names)
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    shown = (await romeo["xep_0054"].get_vcard(juliet.boundjid.bare, timeout=WAIT))["vcard_temp"]
    expect(shown["FN"] == "Juliet Capulet", "vCard", shown)
    expect(shown["PHOTO"]["BINVAL"] == b"\x89PNG\r\n" * 1000, "the photo has changed")
    for bare in (romeo.boundjid.bare, f"nobody@{HOST}"):
        condition = await condition_of(juliet.make_iq_get(ito=bare, queryxmlns="jabber:iq:private"))
        expect(condition == "forbidden", "private data of another:", condition)


async def command(juliet, node, answers=None):
    """Runs a command with slixmpp's own state machine, with `answers` to its one page; what it says at its end."""
    done = asyncio.get_running_loop().create_future()

    def go_on(iq, session):
        if iq["command"]["status"] != "executing":
            done.set_result(iq["command"])
            return
        form = juliet["xep_0004"].make_form(ftype="submit")
        for var, value in (answers or {}).items():
            form.add_field(var=var, value=value)
        session["payload"] = form
        juliet["xep_0050"].complete_command(session)

    def fail(iq, _session):
        done.set_exception(Mismatch(f"{node}: {iq['error']['condition']} {iq['error']['text']}"))

    juliet["xep_0050"].start_command(HOST, node, {"next": go_on, "error": fail})
    return await asyncio.wait_for(done, WAIT)


@tests("commands are found, and list and end one's own sessions")
async def _(world):
    account = await world.server.user("juliet")
    juliet = await client(world, account, "balcony").online()
    other = await client(world, account, "chamber").online()
    found = await juliet["xep_0050"].get_commands(HOST, timeout=WAIT)
    nodes = {node for _, node, _ in found["disco_items"]["items"]}
    expect({"list-sessions", "end-sessions", "archive-preferences", "export"} <= nodes, "commands", nodes)
    listed = await command(juliet, "list-sessions")
    resources = {item["resource"] for item in listed["form"]["items"]}
    expect(resources == {"balcony", "chamber"}, "sessions", resources)
    await command(juliet, "end-sessions", {"sessions": ["chamber"]})
    await eventually(lambda: not other.is_connected(), "the other session is over")
    listed = await command(juliet, "list-sessions")
    expect([item["resource"] for item in listed["form"]["items"]] == ["balcony"], "sessions", listed)


@tests("clients answer each other's pings and questions through the server")
async def _(world):
    romeo, juliet = await pair(world)
    # RFC 6121 section 8.5.3.1: strangers' requests are not delivered, so each shows itself to the other.
    for one, other in ((romeo, juliet), (juliet, romeo)):
        one.send_presence(pto=other.boundjid.full)
        await one["xep_0199"].ping(jid=HOST, timeout=WAIT)
    await romeo["xep_0199"].ping(jid=juliet.boundjid.full, timeout=WAIT)
    info = await juliet["xep_0030"].get_info(jid=romeo.boundjid.full, timeout=WAIT)
    expect("urn:xmpp:ping" in info["disco_info"]["features"], info)


async def condition_of(iq):
    try:
        answer = await iq.send(timeout=WAIT)
    except IqError as error:
        return error.condition
    raise Mismatch(f"answered with {answer}")


@tests("what cannot be delivered or is not known bounces with service-unavailable")
async def _(world):
    romeo, juliet = await pair(world)
    # RFC 6121 8.1, 8.5.1: a message to an account that does not exist.
    lost = romeo.say(f"nobody@{HOST}", "hello?")
    expect(await romeo.reads_error(lost) == "service-unavailable", "the message's error")
    for to in (f"nobody@{HOST}", f"{juliet.boundjid.bare}/no-such-resource", f"nobody@{HOST}/at-all"):
        iq = romeo.make_iq_get(queryxmlns="urn:example:ours", ito=to)
        condition = await condition_of(iq)
        expect(condition == "service-unavailable", to, "answers", condition)
    for to in (HOST, romeo.boundjid.bare):
        iq = romeo.make_iq_get(queryxmlns="urn:example:unknown", ito=to)
        condition = await condition_of(iq)
        expect(condition in ("service-unavailable", "feature-not-implemented"), to, "answers", condition)


@tests("an empty roster is answered and presence goes out and in without harm")
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    roster = await juliet.get_roster(timeout=WAIT)
    expect(list(roster["roster"]["items"]) == [], "roster", roster)
    juliet.send_presence(pshow="away", pstatus="in the garden")
    juliet.send_presence(ptype="unavailable")
    await juliet.available()
    await juliet.settled()


@tests("two people subscribe to each other, see each other come, change and go, and part again")
async def _(world):
    juliet = await client(world, await world.server.user("juliet"), "balcony").online()
    romeo = await client(world, await world.server.user("romeo"), "orchard").online()
    for one in (juliet, romeo):
        await one.get_roster(timeout=WAIT)

    def standing(one, other):
        roster = one.client_roster
        return roster[other.boundjid.bare]["subscription"] if other.boundjid.bare in roster else "none"

    def shows(one, other):
        resources = one.client_roster[other.boundjid.bare].resources
        return resources.get(other.boundjid.resource, {}).get("show")

    # Whoever is asked approves and asks in turn: slixmpp does both by itself.
    juliet.send_presence_subscription(pto=romeo.boundjid.bare, ptype="subscribe")
    await eventually(lambda: standing(juliet, romeo) == standing(romeo, juliet) == "both",
                     lambda: f"both subscribed; they are {standing(juliet, romeo)}, {standing(romeo, juliet)}")
    juliet.send_presence(pshow="away")
    romeo.send_presence(pshow="dnd")
    await eventually(lambda: shows(romeo, juliet) == "away" and shows(juliet, romeo) == "dnd",
                     lambda: f"they see {shows(romeo, juliet)}, {shows(juliet, romeo)}")
    # Who comes later sees who is there; who goes is seen to go.
    cell = await client(world, (romeo.boundjid.bare, romeo.password), "cell").online()
    await cell.get_roster(timeout=WAIT)
    await eventually(lambda: shows(cell, juliet) == "away", lambda: f"cell sees {shows(cell, juliet)}")
    await juliet.gone()
    await eventually(lambda: shows(romeo, juliet) is None, lambda: f"romeo sees {shows(romeo, juliet)}")
    await romeo.del_roster_item(juliet.boundjid.bare)
    await eventually(lambda: standing(cell, juliet) in ("none", "remove"),
                     lambda: f"cell has {standing(cell, juliet)}")
    again = await client(world, (juliet.boundjid.bare, juliet.password), "again").online()
    await again.get_roster(timeout=WAIT)
    # What his account says to hers has its own way, on which her login may have overtaken it: then it is pushed.
    await eventually(lambda: standing(again, romeo) == "none", lambda: f"juliet has {standing(again, romeo)}")


@tests("the limits of the stream are told, and a stanza beyond them ends only its own stream", needs={"limits"})
async def _(world):
    romeo, juliet = await pair(world)
    expect(romeo.limits.max_bytes, "no XEP-0478 limit in the features")
    romeo.say(juliet.boundjid.bare, "y" * (int(romeo.limits.max_bytes) + 1000))
    await eventually(lambda: not romeo.is_connected(), "the stream is ended")
    await juliet.settled()
    expect(juliet.bodies() == [], "delivered all the same")
