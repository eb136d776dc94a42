"""A real day of two people with two devices each: profanity and @xmpp/client on her side, two of slixmpp on his.

They subscribe to each other, see each other come and change, chat, read one history everywhere, block somebody, move to a
network that breaks, and lose nothing.
"""

from client import client
from device import Device
from harness import WAIT, eventually, expect, test
from terminal import profanity
from wire import Wire

SUITE = "day"
MAM = "{urn:xmpp:mam:2}"


def shows(at, jid, resource):
    """What `at` sees of a contact's resource: its <show/>, "" for plainly available, None for not there."""
    resources = at.client_roster[jid].resources
    return resources[resource]["show"] if resource in resources else None


async def history(at, with_jid):
    """What slixmpp reads of a conversation in the archive."""
    bodies = []
    async for page in at["xep_0313"].retrieve(iterator=True, rsm={"max": 20}, with_jid=with_jid):
        stanzas = (result["mam_result"]["forwarded"]["stanza"] for result in page["mam"]["results"])
        bodies += [stanza["body"] for stanza in stanzas]
    return bodies


@test("two people with two devices each subscribe, chat, read one history, block, lose the network, and lose nothing",
      SUITE, seconds=420)
async def _(world):
    server = world.server
    accounts = {name: await server.user(name) for name in ("juliet", "romeo", "tybalt")}
    jids = {name: account[0] for name, account in accounts.items()}

    # Morning: everybody logs in. Her telephone is on a wire that will break.
    wire = await Wire(server.starttls_port).open()
    world.push_async_callback(wire.close)
    desk = await profanity(world)
    await desk.log_in(accounts["juliet"], server.starttls_port, "starttls")
    phone = await Device(world, accounts["juliet"], wire.port).online()
    phone.send("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    his = [await client(world, accounts["romeo"], name, tls=tls).online()
           for name, tls in (("orchard", "starttls"), ("cell", "direct"))]
    orchard, cell = his
    for at in his:
        await at.get_roster(timeout=WAIT)
        at["xep_0280"].enable()
        await at.settled()
    tybalt = await client(world, accounts["tybalt"], "street").online()

    # They subscribe to each other. slixmpp would approve and ask in turn by itself: here she has the word.
    orchard.send_presence_subscription(pto=jids["juliet"], ptype="subscribe")
    await desk.sees("[Ss]ubscription request|authorization request|/sub")
    await desk.type(f"/sub allow {jids['romeo']}")
    await desk.type(f"/sub request {jids['romeo']}")

    def standing(at):
        roster = at.client_roster
        return roster[jids["juliet"]]["subscription"] if jids["juliet"] in roster else "none"

    for at in his:
        await eventually(lambda: standing(at) == "both", lambda: f"{at.boundjid} has {standing(at)} to her")

    # They see each other come and change: both of his devices see both of hers.
    await eventually(lambda: all(shows(at, jids["juliet"], phone.jid.split("/", 1)[1]) == "" for at in his),
                     "her telephone is seen")
    await desk.type("/status set dnd reading")
    for at in his:
        await eventually(lambda: "dnd" in [it["show"] for it in at.client_roster[jids["juliet"]].resources.values()],
                         lambda: f"{at.boundjid} sees her {at.client_roster[jids['juliet']].resources}")
    orchard.send_presence(pshow="away", pstatus="in the orchard")
    await eventually(lambda: any(s.findtext("{jabber:client}status") == "in the orchard" or
                                 s.findtext("status") == "in the orchard" for s in phone.stanzas),
                     "his words are seen on her telephone")

    # They chat: what one writes is on both devices of the other, and on the writer's second.
    orchard.say(jids["juliet"], "Good morrow, dear Juliet")
    await desk.sees("<< chat message: " + jids["romeo"])
    await desk.type("/win 2")
    await desk.reads("Good morrow, dear Juliet")
    await phone.reads("Good morrow, dear Juliet")
    await desk.type("Is the day so young?")
    for at in his:
        await eventually(lambda: said(at, "Is the day so young?"), lambda: f"{at.boundjid} reads her answer")
    await phone.reads("Is the day so young?")
    phone.say(jids["romeo"], "But new struck nine")
    for at in his:
        await eventually(lambda: said(at, "But new struck nine"), lambda: f"{at.boundjid} reads her second answer")
    await desk.reads("But new struck nine")
    told = ["Good morrow, dear Juliet", "Is the day so young?", "But new struck nine"]

    # One history everywhere.
    for at in his:
        read = await history(at, jids["juliet"])
        expect(read == told, at.boundjid, "reads in the archive", read)
    expect(await hers(phone, jids["romeo"], "noon") == told, "her telephone reads another history")

    # Somebody is a nuisance: blocked on one device, silent on both.
    tybalt.say(jids["juliet"], "Where is Romeo?")
    await phone.reads("Where is Romeo?")
    await desk.type(f"/blocked add {jids['tybalt']}")
    await desk.type("/win 1")
    await desk.sees(f"User {jids['tybalt']} successfully blocked")
    sent = tybalt.say(jids["juliet"], "Turn and draw")
    expect(await tybalt.reads_error(sent) == "service-unavailable", "who is blocked learns of it")

    # The way home: the network breaks three times while both write.
    want = {"to her": [], "to him": []}
    for turn in range(3):
        for n in range(5):
            want["to her"].append(f"to the phone {turn}.{n}")
            orchard.say(phone.jid, want["to her"][-1])
            want["to him"].append(f"from the phone {turn}.{n}")
            phone.say(orchard.boundjid.full, want["to him"][-1])
            if n == 2:
                await phone.reads(want["to her"][-1])
                await orchard.reads(want["to him"][-1])
                wire.go_silent()
        await orchard.settled()
        await phone.written()
        resumed = phone.events.count("resumed")
        wire.cut()
        await eventually(lambda: phone.events.count("resumed") > resumed,
                         lambda: f"her telephone resumes: {phone.events}, {phone.words[-3:]}")
        await phone.reads(want["to her"][-1])
        await orchard.reads(want["to him"][-1])
    got = {"to her": [body for body in phone.bodies() if body.startswith("to the phone")],
           "to him": [body for body in orchard.bodies() if body.startswith("from the phone")]}
    expect(got == want, "on the way home:", got)
    expect("Turn and draw" not in phone.bodies(), "a wall has a hole")

    # Evening: she is gone, he writes; it waits for her, and she reads it once.
    await phone.gone()
    await desk.type("/disconnect")
    await desk.sees("logged out successfully")
    await eventually(lambda: not cell.client_roster[jids["juliet"]].resources, "she is seen to go")
    orchard.say(jids["juliet"], "Parting is such sweet sorrow")
    await orchard.settled(jids["juliet"])
    phone = await Device(world, accounts["juliet"], server.starttls_port).online()
    await phone.reads("Parting is such sweet sorrow")
    told += ["Parting is such sweet sorrow"]
    whole = await hers(phone, jids["romeo"], "night")
    on_the_way = set(want["to her"] + want["to him"])
    expect([body for body in whole if body not in on_the_way] == told, "the day in her archive", whole)
    expect(sorted(body for body in whole if body in on_the_way) == sorted(on_the_way), "lost in the archive", whole)
    # Two archives, each in the order of its own worker: what both wrote in one moment may stand either way round
    # in them, what one of them wrote never.
    his_day = await history(cell, jids["juliet"])
    for which in [told, want["to her"], want["to him"]]:
        mine, yours = ([body for body in day if body in which] for day in (his_day, whole))
        expect(mine == yours, "his archive tells another day than hers:", his_day, whole)
    expect(len(his_day) == len(whole), "his archive is not as long as hers:", his_day, whole)
    expect(phone.bodies().count("Parting is such sweet sorrow") == 1, "read twice")


def said(at, body):
    """Whether a text came to a slixmpp device, itself or inside of a carbon."""
    for message in at.inbox:
        copies = (message[way]["body"] for way in ("carbon_received", "carbon_sent") if message.get_plugin(way, check=True))
        if message["body"] == body or body in copies:
            return True
    return False


async def hers(device, with_jid, query):
    """What the device reads of a conversation in the archive."""
    fields = "".join(f"<field var='{var}'><value>{value}</value></field>"
                     for var, value in (("FORM_TYPE", "urn:xmpp:mam:2"), ("with", with_jid)))
    await device.ask(query, f"<iq type='set' id='{query}'><query xmlns='urn:xmpp:mam:2' queryid='{query}'>"
                     f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"
                     "<set xmlns='http://jabber.org/protocol/rsm'><max>250</max></set></query></iq>")
    results = (stanza.find(f"{MAM}result") for stanza in device.stanzas)
    results = [result for result in results if result is not None and result.get("queryid") == query]
    return [result.findtext(".//{jabber:client}body") for result in results]
