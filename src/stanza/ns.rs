//! Namespaces, each spelt once.

pub const CLIENT: &str = "jabber:client";
pub const SERVER: &str = "jabber:server";
pub const STREAMS: &str = crate::xml::STREAM_NAMESPACE;
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
/// XEP-0138
pub const COMPRESS: &str = "http://jabber.org/protocol/compress";
/// XEP-0138
pub const COMPRESSION_FEATURE: &str = "http://jabber.org/features/compress";
/// XEP-0352
pub const CSI: &str = "urn:xmpp:csi:0";
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
/// XEP-0050
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0115
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0157
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// XEP-0227
pub const PORTABLE: &str = "urn:xmpp:pie:0";
/// XEP-0049
pub const PRIVACY: &str = "jabber:iq:privacy";
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054
pub const VCARD: &str = "vcard-temp";
/// XEP-0077: In-Band Registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0480
pub const SASL_UPGRADE: &str = "urn:xmpp:sasl:upgrade:0";
/// Its tasks for SCRAM.
pub const SCRAM_UPGRADE: &str = "urn:xmpp:scram-upgrade:0";
/// XEP-0484
pub const FAST: &str = "urn:xmpp:fast:0";
/// XEP-0445's stream feature.
pub const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";
/// XEP-0379
pub const PARS: &str = "urn:xmpp:pars:0";
/// XEP-0077's stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0030
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0191
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0377
pub const REPORTING: &str = "urn:xmpp:reporting:1";
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
/// XEP-0004
pub const FORM: &str = "jabber:x:data";
/// XEP-0122
pub const FORM_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0059
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0313
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0313
pub const MAM_GROUPCHAT_FIELD: &str = "urn:xmpp:mam:2#groupchat-field";
/// XEP-0431
pub const FULLTEXT: &str = "urn:xmpp:fulltext:0";
/// XEP-0424
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0424
pub const RETRACT_TOMBSTONE: &str = "urn:xmpp:message-retract:1#tombstone";

// ---- Payloads that a server only carries and classifies (`im/classify.rs`) ----

/// XEP-0022
pub const MESSAGE_EVENTS: &str = "jabber:x:event";
/// XEP-0027
pub const PGP_ENCRYPTED: &str = "jabber:x:encrypted";
/// XEP-0033
pub const ADDRESSES: &str = "http://jabber.org/protocol/address";
/// XEP-0066
pub const OOB: &str = "jabber:x:oob";
/// XEP-0071
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";
/// XEP-0172
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0224
pub const ATTENTION: &str = "urn:xmpp:attention:0";
/// XEP-0308
pub const CORRECTION: &str = "urn:xmpp:message-correct:0";
/// XEP-0353
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// XEP-0372
pub const REFERENCE: &str = "urn:xmpp:reference:0";
/// XEP-0373
pub const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// XEP-0380
pub const EME: &str = "urn:xmpp:eme:0";
/// XEP-0382
pub const SPOILER: &str = "urn:xmpp:spoiler:0";
/// XEP-0384
pub const OMEMO: &str = "urn:xmpp:omemo:2";
/// XEP-0384 before version 0.4, which most clients speak
pub const OMEMO_LEGACY: &str = "eu.siacs.conversations.axolotl";
/// XEP-0393
pub const STYLING: &str = "urn:xmpp:styling:0";
/// XEP-0394
pub const MARKUP: &str = "urn:xmpp:markup:0";
/// XEP-0420
pub const SCE: &str = "urn:xmpp:sce:1";
/// XEP-0422
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// XEP-0425
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// XEP-0428
pub const FALLBACK: &str = "urn:xmpp:fallback:0";
/// XEP-0434
pub const TRUST_MESSAGE: &str = "urn:xmpp:tm:1";
/// XEP-0444
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0446
pub const FILE_METADATA: &str = "urn:xmpp:file:metadata:0";
/// XEP-0447
pub const FILE_SHARING: &str = "urn:xmpp:sfs:0";
/// XEP-0448
pub const ENCRYPTED_FILE_SHARING: &str = "urn:xmpp:esfs:0";
/// XEP-0449
pub const STICKERS: &str = "urn:xmpp:stickers:0";
/// XEP-0461
pub const REPLY: &str = "urn:xmpp:reply:0";
/// XEP-0466
pub const EPHEMERAL: &str = "urn:xmpp:ephemeral:0";
/// XEP-0481
pub const CONTENT: &str = "urn:xmpp:content";
/// XEP-0482
pub const CALL_INVITES: &str = "urn:xmpp:call-invites:0";
/// XEP-0483
pub const MEETING_INVITE: &str = "urn:xmpp:http:online-meetings:invite:0";
/// XEP-0491
pub const WEBXDC: &str = "urn:xmpp:webxdc:0";
/// XEP-0511, in RDF's own words
pub const LINK_METADATA: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
/// XEP-0513
pub const MENTIONS: &str = "urn:xmpp:mentions:0";
