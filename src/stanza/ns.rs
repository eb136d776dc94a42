//! Namespaces, each spelt once.

pub const CLIENT: &str = "jabber:client";
pub const SERVER: &str = "jabber:server";
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";

/// XEP-0388
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0386
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0440
pub const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0198
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0478
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0280
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0297
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0203
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0334
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0199
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0092
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0012
pub const LAST: &str = "jabber:iq:last";
/// XEP-0030
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// RFC 6121 section 2
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 section 2.6.1
pub const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 section 3.4
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// XEP-0160
pub const OFFLINE_FEATURE: &str = "msgoffline";
/// XEP-0085
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0184
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0333
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0045
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0249
pub const CONFERENCE: &str = "jabber:x:conference";
