"""Makes messages that are hard to read alike: legal ones, and ones with exactly one thing that is not.

Knows XML and its namespaces, from one random generator; the parsers are the judges of what a message means.
"""

LOCALS = ["a", "b", "body", "x-y", "_z", "n.1", "B", "é", "длина", "日本", "a·b"]
NAMESPACES = ["urn:p", "urn:q", "urn:P", "http://example.com/?a=1&amp;b=2", "jabber:client", "jabber:server",
              "http://etherx.jabber.org/streams", "urn:&#x27;quoted&#39;", "urn:&quot;", "urn:&lt;tag&gt;", "urn:%20",
              "http://www.w3.org/XML/1998/namespac", "urn:ietf:params:xml:ns:xmpp-stanzas"]
PREFIXES = ["p", "q", "r", "stream", "_", "xmlish", "é"]
SPACES = [" ", " ", " ", "\n", "\t", "\r\n", "  \n\t ", "\r"]
TEXTS = ["text", " ", "\t", "\n", "\r\n", "\r", "\n\r", "]", "]]", "] ]&gt;", "'", '"', "é", "\u0085",
         "\u2028", "\ufeff", "\ufffd", "\ud7ff", "\ue000", "\ufdd0", "\U0001f4a9", "\U0001fffe", "\U0010ffff", "\x7f",
         "\x80", "a\u0301", "&amp;", "&lt;", "&gt;", "&apos;", "&quot;", "&#10;", "&#13;", "&#9;", "&#x0000D;&#xA;",
         "&#60;", "&#38;", "&#38;#60;", "&amp;amp;", "&amp;#0;", "&#x10FFFF;", "&#x1fffe;", "&#000065;", "]]&gt;", "%s;"]
CDATA = ["", "x", "<a/>", "&amp;", "&#0;", "]]", "]", "]] >", "<![CDATA[", "\r\n", "\r", "<!-- -->", "<?x?>", "é",
         "'\"", "]]]]><![CDATA[>", "</message>", "</stream:stream>"]
VALUES = TEXTS + ["", "a  b", "&#9;&#10;", ">", "/>", "]]>", "xmlns='u'"]

NOT_WELL_FORMED = {"not-well-formed"}
RESTRICTED = {"restricted-xml"}
BAD_ENCODING = {"unsupported-encoding"}  # RFC 6120 section 4.9.3.22, "improperly encoded"
# Names of XML 1.0's fifth edition, which libxml2 takes, but not of the fourth, which expat reads by.
UNPORTABLE = {"policy-violation"}
# `<!` and no known declaration behind it: it is neither well-formed nor allowed.
EITHER = NOT_WELL_FORMED | RESTRICTED

XML = "http://www.w3.org/XML/1998/namespace"
XMLNS = "http://www.w3.org/2000/xmlns/"

# What a message must not contain, in a text, and the stream errors that RFC 6120 has for it (sections 4.9.3.13, .18, .22).
BAD_TEXTS = (
    [(bytes([byte]), NOT_WELL_FORMED) for byte in (0, 1, 8, 0xb, 0xc, 0xe, 0x1f)]
    + [(text.encode(), NOT_WELL_FORMED) for text in (
        "\ufffe", "\uffff", "]]>", "]]]>", "&#0;", "&#1;", "&#x1F;", "&#xB;", "&#xD800;", "&#xDFFF;", "&#xFFFE;", "&#65535;",
        "&#x110000;", "&#99999999999;", "&#-1;", "&#+9;", "&#x+9;", "&#xG;", "&#;", "&#x;", "&#X41;", "&;", "& ", "&amp",
        "&amp ;", "& amp;", "&#6 5;", "&lt<a/>")]
    + [(text.encode(), RESTRICTED) for text in (
        "&nbsp;", "&lol;", "&AMP;", "&é;", "<!-- comment -->", "<!---->", "<?pi?>", "<?pi with words?>",
        "<?xml version='1.0'?>", "<!DOCTYPE a [<!ENTITY lol 'lol'>]>", "<!ENTITY a 'b'>")]
    + [(text.encode(), EITHER) for text in ("<![cdata[x]]>", "<! [CDATA[x]]>", "<![INCLUDE[x]]>", "<!>")]
    + [(data, BAD_ENCODING) for data in (
        b"\xc0\xaf", b"\xc0\xbc", b"\xc1\xbf", b"\xe0\x80\xbc", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xbc", b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
        b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x92", b"\xc3(", b"\xc0\x80")])
# The same in place of a child; `p` and `q` are declared by the stream.
BAD_ELEMENTS = [(text.encode(), NOT_WELL_FORMED) for text in (
    "<a b='1' b='1'/>", "<a p:b='' p:b=''/>", "<a xmlns:m='u' xmlns:p='u' m:b='1' p:b='2'/>",
    "<a xmlns:m='u' xmlns:n='&#117;' m:b='' n:b=''/>", "<a xmlns='u' xmlns='u'/>", "<a xmlns:m='u' xmlns:m='v'/>",
    "<zz:a/>", "<a zz:b=''/>", "<a xmlns:zz='u'/><zz:b/>", "<p:a:b/>", "<a p:b:c=''/>", "<:a/>", "<p:/>", "<a :b=''/>",
    "<a p:=''/>", "<a xmlns:=''/>", "<a xmlns:m:n='u'/>", "<p:a></p:b>", "<p:a xmlns:o='urn:p'></o:a>", "<p:a></a>",
    "<a></p:a>", "<a></A>", "<a b=c/>", "<a b/>", "<a b=/>", "<a ='c'/>", "<a b='<'/>", "<a b='<![CDATA[x]]>'/>",
    "<a b='1'c='2'/>", "<a xmlns:m=''/>", "<a xmlns:xml='urn:x'/>", f"<a xmlns:m='{XML}'/>", f"<a xmlns='{XML}'/>",
    f"<a xmlns:xml='{XMLNS}'/>", f"<a xmlns:xmlns='{XMLNS}'/>", f"<a xmlns:m='{XMLNS}'/>", f"<a xmlns='{XMLNS}'/>",
    "<xmlns:a/>", "<1a/>", "<-a/>", "<.a/>", "<·a/>", "<a×/>", "<a;/>", "<a\u2028/>", "<a\u00a0b=''/>", "<a\ufffe/>",
    "< a/>", "<a><b></a></b>", "<a b='\ufffe'/>", "<a b='\x01'/>", "<a b='&#1;'/>", "<a b='&'/>", "<a b='&amp'/>",
    "<a xmlns='&#0;'/>", "<a></a", "<a/ >", "<a / >", "<a></ a>", "<a></a b=''>", "<a b = '1' = '2'/>", "<a,b/>")] + [
    (text.encode(), RESTRICTED) for text in ("<a b='&lol;'/>", "<a xmlns='&lol;'/>", "<a><!-- - --></a>")] + [
    (text.encode(), UNPORTABLE) for text in (
        "<\u2c00/>", "<a \u2c00=''/>", "<a\U00010000/>", "<\u0370/>", "<a xmlns:\ufdf0='u'/>", "<a\u203f/>")] + [
    (data, BAD_ENCODING) for data in (b"<a b='\xc0\xa7'/>", b"<a\xed\xa0\x80/>", b"<a xmlns='\xff'/>")]
# Legal, and known to be read differently.
ODD_ELEMENTS = [text.encode() for text in (
    "<xml:a/>", "<a xml:lang='' xml:space='preserve'/>", f"<a xmlns:xml='{XML}' xml:lang='en'/>",
    "<a xmlns:m='urn:m' m:b='1' b='2'/>", "<p:a xmlns:p='urn:other'><p:b/></p:a>", "<a xmlns=''><b/></a>",
    "<a xmlns='u'><b xmlns=''><c xmlns='u'/></b></a>", "<p:a p:b='' b=''/>", "<a xmlns:a0='urn:0' a0:b='' xmlns:a1='urn:1' "
    "a1:b='' p:b=''/>", "<a xmlns:m='urn:m' xmlns:n='urn:n' n:b='1' m:b='2' n:c='3'/>", "<a xmlns:Xml='u' Xml:b=''/>",
    "<message xmlns='jabber:client'/>", "<stream:stream/>", "<stream:error/>", "<a b='\t\n\r\n\r'/>", "<a b='&#xD;&#xA;'/>",
    "<a\n\tb\r\n=\n'1'\n/>", "<a></a \n>", "<a>]]&gt;</a>", "<a b=']]>'/>", "<a xmlns='urn:&#x9;tab'/>",
    "<a xmlns:m='jabber:client'><m:b/></a>", "<a xmlns='urn:a' xmlns:m='urn:a' m:b='1' b='1'/>")]


class Nasty:
    """A source of messages; `random` decides everything."""

    def __init__(self, random):
        self.random = random

    def message(self, number, to, prefix):
        """The bytes of a message, and the errors one of which must end the stream, or None if it is legal."""
        pick = self.random
        poison = errors = None
        if pick.random() < 0.4:
            poison, errors = pick.choice(BAD_ELEMENTS if pick.random() < 0.5 else BAD_TEXTS)
        attributes = [self.attribute("to", to), self.attribute("id", f"case-{number}")]
        if pick.random() < 0.5:
            attributes.append(self.attribute("type", pick.choice(("chat", "normal"))))
        pick.shuffle(attributes)
        declared = ["p", "q", "stream"]
        if pick.random() < 0.3:
            declared.append("r")
            attributes.append(self.attribute("xmlns:r", pick.choice(NAMESPACES)))
        parts = [self.content(pick.randrange(4), declared) for _ in range(pick.randrange(1, 4))]
        parts.append(pick.choice(ODD_ELEMENTS) if pick.random() < 0.5 else b"")
        if pick.random() < 0.05:
            depth = pick.randrange(40, 61)
            parts.append(b"<a>" * depth + b"deep" + b"</a>" * depth)
        if poison is not None:
            at = pick.randrange(len(parts) + 1)
            parts.insert(at, b"<x>" + poison + b"</x>" if pick.random() < 0.5 else poison)
        tag = f"{prefix}message".encode()
        start = b"<" + tag + b"".join(attributes) + self.space(optional=True) + b">"
        return start + b"".join(parts) + b"</" + tag + self.space(optional=True) + b">", errors

    def space(self, optional=False):
        if optional and self.random.random() < 0.7:
            return b""
        return self.random.choice(SPACES).encode()

    def attribute(self, name, value):
        """With white space before it, and around its '='."""
        quote = self.random.choice("'\"")
        value = value.replace(quote, "&apos;" if quote == "'" else "&quot;")
        middle = self.space(optional=True) + b"=" + self.space(optional=True)
        return self.space() + name.encode() + middle + f"{quote}{value}{quote}".encode()

    def content(self, depth, declared):
        pick = self.random
        what = pick.random()
        if what < 0.3:
            return "".join(pick.choice(TEXTS) for _ in range(pick.randrange(4))).replace("]]>", "]] >").encode()
        if what < 0.45:
            return b"<![CDATA[" + pick.choice(CDATA).encode() + b"]]>"
        return self.element(depth, declared)

    def element(self, depth, declared):
        pick = self.random
        attributes, seen, declared = [], set(), list(declared)
        for _ in range(pick.randrange(3)):
            name = pick.choice(["xmlns"] + [f"xmlns:{prefix}" for prefix in PREFIXES if prefix != "stream"])
            if name not in seen:
                seen.add(name)
                declared += [name[6:]] if name != "xmlns" else []
                value = pick.choice(NAMESPACES + ([""] if name == "xmlns" else []))
                attributes.append(self.attribute(name, value))
        # One attribute of a local name at most, for two prefixes may mean one namespace.
        for local in pick.sample(LOCALS, pick.randrange(3)):
            prefix = pick.choice([""] * 3 + [f"{prefix}:" for prefix in declared])
            value = "".join(pick.choice(VALUES) for _ in range(pick.randrange(3)))
            attributes.append(self.attribute(prefix + local, value))
        if pick.random() < 0.1:
            attributes.append(self.attribute("xml:lang", pick.choice(("", "en", "de-x-klingon"))))
        pick.shuffle(attributes)
        prefix = pick.choice([""] * 3 + [f"{prefix}:" for prefix in declared])
        name = (prefix + pick.choice(LOCALS)).encode()
        inner = b"".join(self.content(depth - 1, declared) for _ in range(pick.randrange(3))) if depth > 0 else b""
        start = b"<" + name + b"".join(attributes) + self.space(optional=True)
        if not inner and pick.random() < 0.5:
            return start + b"/>"
        return start + b">" + inner + b"</" + name + self.space(optional=True) + b">"
