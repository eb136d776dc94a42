"""What the server lets through means the same to everybody: against expat and libxml2 (peers.md 7.1, row 6).

Each message goes through the server; what arrives must be accepted by both parsers and mean what was sent. What they
refuse must end the stream. CASES and SEED in the environment choose how many and which; without SEED they are the same
each time, for a change is to be refused by what it changes. `scripts/test --long` takes others each time.
"""

import os
import random
import re
import xml.parsers.expat

from lxml import etree

from harness import expect, test
from nasty import Nasty
from raw import END, Raw

SUITE = "differential"
CASES = int(os.environ.get("CASES", "1500"))
SEED = os.environ.get("SEED") or "verona"
STREAMS = "http://etherx.jabber.org/streams"
# Who sends: the content namespace as default, by a prefix, and under several names; `p` and `q` are declared always.
SENDERS = (
    (f"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='{STREAMS}' xmlns:p='urn:p' "
     "xmlns:q='urn:q&amp;a'>", "", "</stream:stream>"),
    (f"<stream to='localhost' version='1.0' xmlns='{STREAMS}' xmlns:c='jabber:client' xmlns:stream='{STREAMS}' "
     "xmlns:p='urn:p' xmlns:q='urn:p/q'>", "c:", "</stream>"),
    (f"<stream:stream to='localhost' version=\"1.0\" xmlns:stream='{STREAMS}' xmlns='jabber:client' xmlns:p='jabber:client' "
     "xmlns:q='urn:q'>", "", "</stream:stream>"),
)


class Refused(Exception):
    """A parser does not take it."""


def by_expat(document):
    """The tree of `document` as expat sees it: [name, attributes, children], text as str, neighbours joined."""
    parser = xml.parsers.expat.ParserCreate(namespace_separator="\n")
    parser.buffer_text = True
    root = ["", {}, []]
    stack = [root]

    def start(name, attributes):
        element = [name, attributes, []]
        stack[-1][2].append(element)
        stack.append(element)

    def text(data):
        inside = stack[-1][2]
        if inside and isinstance(inside[-1], str):
            inside[-1] += data
        else:
            inside.append(data)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(document, True)
    except xml.parsers.expat.ExpatError as error:
        raise Refused(f"expat: {error}") from None
    return root[2][0]


def by_libxml2(document):
    """The same as libxml2 sees it; comments and the like are left out, as expat leaves them out."""
    # Going on behind errors, because one kind is libxml2's own: whether a namespace name is a URI is no constraint of
    # Namespaces in XML 1.0, and its stream parsers go on as well.
    parser = etree.XMLParser(resolve_entities=False, remove_comments=True, remove_pis=True, strip_cdata=True,
                             load_dtd=False, no_network=True, recover=True)
    try:
        top = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise Refused(f"libxml2: {error}") from None
    for error in parser.error_log:
        if error.type_name not in ("WAR_NS_URI", "WAR_NS_URI_RELATIVE"):
            raise Refused(f"libxml2: {error}")
    if top is None:
        raise Refused("libxml2: nothing")

    def name(clark):
        return clark[1:].replace("}", "\n", 1) if clark.startswith("{") else clark

    def tree(node):
        inside = [node.text] if node.text else []
        for child in node:
            inside.append(tree(child))
            if child.tail:
                inside.append(child.tail)
        return [name(node.tag), {name(key): value for key, value in node.attrib.items()}, inside]

    return tree(top)


PARSERS = {"expat": by_expat, "libxml2": by_libxml2}


def meaning(parse, header, stanza, end):
    """The stanza in its stream, as `parse` reads it; the addresses and the language are the server's to change."""
    name, attributes, inside = parse(header + stanza + end)[2][0]
    for changed in ("from", "to", "http://www.w3.org/XML/1998/namespace\nlang"):
        attributes.pop(changed, None)
    # RFC 6121 section 5.2.2: "normal" is what no type means.
    if attributes.get("type") == "normal":
        del attributes["type"]
    return [name, attributes, inside]


def verdicts(header, stanza, end):
    """What each parser makes of it: a tree, or why there is none."""
    made = {}
    for name, parse in PARSERS.items():
        try:
            made[name] = meaning(parse, header, stanza, end)
        except Refused as why:
            made[name] = why
        except IndexError:
            made[name] = Refused(f"{name}: no stanza")
    return made


def without_archive_id(made, account):
    """The message as its sender said it: where it is archived (XEP-0359) is the server's own word."""
    name, attributes, children = made
    added = lambda child: (
        not isinstance(child, str) and child[0] == "urn:xmpp:sid:0\nstanza-id" and child[1].get("by") == account
    )
    return [name, attributes, [child for child in children if not added(child)]]


def holds_of_stream(made):
    """Whether an element of the stream's namespace stands inside."""
    _, _, children = made
    inner = [child for child in children if not isinstance(child, str)]
    return any(child[0].startswith(f"{STREAMS}\n") or holds_of_stream(child) for child in inner)


async def fate(sender, receiver, stanza, end, number):
    """What became of it: ("delivered", bytes) or ("ended", the stream error's condition)."""
    iq = f"{sender.prefix}iq"
    probe = f"<{iq} type='get' id='probe-{number}' to='localhost'><ping xmlns='urn:xmpp:ping'/></{iq}>"
    # If what was sent ends nothing, the ends do: unclosed elements first.
    sender.send(stanza + probe.encode())
    if end:
        sender.send(end * 4)
    condition = None
    while condition is None:
        piece = await sender.piece()
        if b"probe-" in piece and b"<ping" not in piece:
            break
        if found := re.search(rb"<stream:error><([a-z-]+)", piece):
            condition = found[1].decode()
        elif piece == END:
            condition = "no error"
        else:
            expect(b"type='error'" not in piece, "it bounced:", piece)
    if condition is not None:
        return "ended", condition
    while True:
        piece = await receiver.piece()
        if f"case-{number}".encode() in piece:
            return "delivered", piece


@test(f"{CASES} nasty messages mean the same to expat and libxml2 before and after", SUITE, needs={"named-errors"}, seconds=1200)
async def _(world):
    print(f"      {SUITE}: SEED={SEED} CASES={CASES}", flush=True)
    source = Nasty(random.Random(SEED))
    accounts = [await world.server.user(name) for name in ("romeo", "juliet")]
    receiver = await (await Raw(SENDERS[0][0]).connect(world.server)).log_in(accounts[1], "balcony")
    world.callback(receiver.close)
    counts = {"delivered": 0, "ended": 0}
    sender = None
    for number in range(CASES):
        if sender is None:
            # With bare names of the stream's namespace nearly nothing is legal: less of that.
            [(header, prefix, end)] = source.random.choices(SENDERS, (4, 1, 4))
            sender = await (await Raw(header, prefix).connect(world.server)).log_in(accounts[0], "orchard")
            world.callback(sender.close)
        stanza, errors = source.message(number, receiver.jid, sender.prefix)
        before = verdicts(header.encode(), stanza, end.encode())
        # RFC 6120 8.4: extensions are of namespaces "other than" the stream's, which bare names may be of here.
        foreign = any(not isinstance(made, Refused) and holds_of_stream(made) for made in before.values())
        if foreign or errors:
            # What is wrong in two ways ends with what comes first.
            errors = {*(errors or ()), "bad-format"}
        what, came = await fate(sender, receiver, stanza, errors and end.encode(), number)
        counts[what] += 1
        about = f"\nSEED={SEED}, case {number}\nheader {header}\nsent {stanza!r}\n{what}: {came!r}\nbefore {before}"
        refused = [name for name, made in before.items() if isinstance(made, Refused)]
        if what == "ended":
            expect(errors, "what is legal ended the stream", about)
            expect(came in errors, "the stream ended otherwise than with", errors, about)
            sender.close()
            sender = None
            continue
        expect(not refused, "was accepted, and is refused by", refused, about)
        expect(not errors, "was accepted", about)
        after = verdicts(receiver.their_header, came, b"</stream:stream>")
        for name, made in after.items():
            expect(not isinstance(made, Refused), "what came is refused by", name, made, about)
            made = without_archive_id(made, accounts[1][0])
            expect(made == before[name], "to", name, "it means now", made, about)
        expect(after["expat"] == after["libxml2"], "the parsers disagree", after, about)
    print(f"      {SUITE}: {counts}", flush=True)
    expect(all(counts.values()), "nothing of one kind:", counts)
