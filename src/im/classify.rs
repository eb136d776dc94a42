//! What becomes of a message beyond its delivery: whether it is archived, copied to the other devices, held for
//! who is away, and worth waking a phone for. One table over the payloads that clients send; refuses to look
//! inside of any.
//!
//! | XEP-0334: Message Processing Hints, version 1.0.0 | item |
//! |---|---|
//! | 4.1 `no-permanent-store`, 4.2 `no-store`, 4.3 `no-copy`, 4.4 `store` | [`classify`] |
//! | 5 hints in errors | "SHOULD be ignored" |

use crate::stanza::{Kind, Stanza, Type, ns};

/// The verdicts on one message. How two payloads of one message combine: one that says yes suffices, and one that
/// says never wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// It goes into the archives of sender and recipient (XEP-0313 section 6.1.1).
    pub archived: bool,
    /// The sender's other devices get a copy (XEP-0280 section 6.1).
    pub copied_when_sent: bool,
    /// The recipient's other devices get a copy.
    pub copied_when_received: bool,
    /// It waits for a recipient who is away (XEP-0160).
    pub held: bool,
    /// It is worth waking a phone (XEP-0357).
    pub pushed: bool,
    /// Its sender wants to know if nobody gets it.
    pub missed: bool,
}

/// Whether a message is worth waking a client at which nobody looks (XEP-0352).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is.
    None,
    /// It may wait.
    Waits,
    /// It may, and only the newest of its sender is worth anything.
    Newest,
}

/// What one payload says about one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Reason enough.
    Yes,
    /// It decides nothing: it belongs to something else.
    Nothing,
    /// Not worth it by itself.
    No,
    /// Whatever else is there.
    Never,
}

struct Row {
    /// The specification, for tests and readers.
    title: &'static str,
    ns: &'static str,
    /// Empty for every element of the namespace that no row above names.
    name: &'static str,
    archived: Says,
    copied: Says,
    held: Says,
    pushed: Says,
    /// Whether a client waits for it at which nobody looks: never for what means anything but to those who look.
    waits: Says,
}

impl Row {
    const fn waits(self) -> Row {
        Row {
            waits: Says::Yes,
            ..self
        }
    }
}

const fn row(title: &'static str, ns: &'static str, name: &'static str, says: [Says; 4]) -> Row {
    let [archived, copied, held, pushed] = says;
    Row {
        title,
        ns,
        name,
        archived,
        copied,
        held,
        pushed,
        waits: match (archived, held, pushed) {
            (Says::Nothing, Says::Nothing, Says::Nothing) => Says::Nothing,
            _ => Says::Never,
        },
    }
}

const Y: Says = Says::Yes;
const O: Says = Says::Nothing;
const N: Says = Says::No;
const V: Says = Says::Never;

/// The first row that names a payload counts. Frequent ones stand first, the others by number.
static TABLE: &[Row] = &[
    //                                                    archived, copied, held, pushed
    row("RFC 6121 5.2.3", ns::CLIENT, "body", [Y, Y, Y, Y]),
    // XEP-0085 5.6: "SHOULD NOT store them offline".
    row("XEP-0085", ns::CHAT_STATES, "", [N, Y, N, N]).waits(),
    row("XEP-0359", ns::STANZA_ID, "", [O, O, O, O]),
    // XEP-0184 5.3: a receipt is a message of its own; a request belongs to one.
    row("XEP-0184", ns::RECEIPTS, "received", [Y, Y, Y, N]).waits(),
    row("XEP-0184", ns::RECEIPTS, "", [O, Y, O, O]),
    // XEP-0333: "markable" belongs to a message, the markers are messages.
    row("XEP-0333", ns::CHAT_MARKERS, "markable", [O, Y, O, O]),
    row("XEP-0333", ns::CHAT_MARKERS, "", [Y, Y, Y, N]).waits(),
    row("XEP-0334", ns::HINTS, "", [O, O, O, O]),
    row("XEP-0380", ns::EME, "encryption", [Y, Y, Y, Y]),
    row("XEP-0384", ns::OMEMO, "encrypted", [Y, Y, Y, Y]),
    row("XEP-0384", ns::OMEMO_LEGACY, "encrypted", [Y, Y, Y, Y]),
    row("RFC 6121 5.2.5", ns::CLIENT, "thread", [O, O, O, O]),
    // A message may be a subject alone (RFC 6121 5.2.4), as a letter may.
    row("RFC 6121 5.2.4", ns::CLIENT, "subject", [Y, O, Y, Y]),
    row("XEP-0022", ns::MESSAGE_EVENTS, "", [N, N, N, N]),
    row("XEP-0027", ns::PGP_ENCRYPTED, "", [Y, Y, Y, Y]),
    row("XEP-0033", ns::ADDRESSES, "", [O, O, O, O]),
    row("XEP-0066", ns::OOB, "", [Y, Y, Y, Y]),
    row("XEP-0071", ns::XHTML_IM, "", [Y, O, Y, O]),
    row("XEP-0172", ns::NICK, "", [O, O, O, O]),
    row("XEP-0203", ns::DELAY, "", [O, O, O, O]),
    // A buzz that comes later is none.
    row("XEP-0224", ns::ATTENTION, "", [N, N, N, Y]),
    row("XEP-0249", ns::CONFERENCE, "", [Y, Y, Y, Y]),
    // Made by this server or by another archive, from what has a fate of its own.
    row("XEP-0280", ns::CARBONS, "received", [N, N, N, N]),
    row("XEP-0280", ns::CARBONS, "sent", [N, N, N, N]),
    row("XEP-0280", ns::CARBONS, "", [O, O, O, O]),
    // It replaces what woke the phone before.
    row("XEP-0308", ns::CORRECTION, "", [Y, Y, Y, V]),
    row("XEP-0313", ns::MAM, "result", [N, N, N, N]),
    // XEP-0353 4: "all devices (offline or not) know about the jingle session".
    row("XEP-0353", ns::JINGLE_MESSAGE, "propose", [Y, Y, Y, Y]),
    row("XEP-0353", ns::JINGLE_MESSAGE, "", [Y, Y, Y, N]),
    row("XEP-0372", ns::REFERENCE, "", [O, O, O, O]),
    row("XEP-0373", ns::OPENPGP, "", [Y, Y, Y, Y]),
    row("XEP-0382", ns::SPOILER, "", [O, O, O, O]),
    row("XEP-0384", ns::OMEMO, "", [Y, Y, Y, N]),
    row("XEP-0393", ns::STYLING, "", [O, O, O, O]),
    row("XEP-0394", ns::MARKUP, "", [O, O, O, O]),
    row("XEP-0420", ns::SCE, "", [Y, Y, Y, Y]),
    row("XEP-0422", ns::FASTEN, "", [Y, Y, Y, N]),
    // XEP-0424 5: "The archiving service therefore MUST store the retraction message".
    row("XEP-0424", ns::RETRACT, "", [Y, Y, Y, V]),
    row("XEP-0425", ns::MODERATE, "", [Y, Y, Y, V]),
    row("XEP-0428", ns::FALLBACK, "", [O, O, O, O]),
    row("XEP-0434", ns::TRUST_MESSAGE, "", [Y, Y, Y, N]),
    row("XEP-0444", ns::REACTIONS, "", [Y, Y, Y, V]).waits(),
    row("XEP-0446", ns::FILE_METADATA, "", [Y, Y, Y, Y]),
    row("XEP-0447", ns::FILE_SHARING, "", [Y, Y, Y, Y]),
    row("XEP-0448", ns::ENCRYPTED_FILE_SHARING, "", [Y, Y, Y, Y]),
    row("XEP-0449", ns::STICKERS, "", [Y, Y, Y, Y]),
    row("XEP-0461", ns::REPLY, "", [O, O, O, O]),
    row("XEP-0466", ns::EPHEMERAL, "", [O, O, O, O]),
    row("XEP-0481", ns::CONTENT, "", [Y, Y, Y, Y]),
    row("XEP-0482", ns::CALL_INVITES, "invite", [Y, Y, Y, Y]),
    row("XEP-0482", ns::CALL_INVITES, "", [Y, Y, Y, N]),
    row("XEP-0483", ns::MEETING_INVITE, "", [Y, Y, Y, Y]),
    row("XEP-0491", ns::WEBXDC, "", [Y, Y, Y, N]),
    row("XEP-0511", ns::LINK_METADATA, "", [O, O, O, O]),
    row("XEP-0513", ns::MENTIONS, "", [O, O, O, O]),
];

/// A mediated invitation (XEP-0045 section 7.8.2), which only a look inside tells from other notices of rooms.
static INVITATION: Row = row("XEP-0045 invitation", ns::MUC_USER, "x", [Y, Y, Y, Y]);
/// What a room says about somebody in it.
static ROOM_NOTICE: Row = row("XEP-0045 notice", ns::MUC_USER, "x", [O, O, O, O]);
/// What this table does not know is not less worth waiting for.
static UNKNOWN: Row = row("unknown", "", "", [O, O, Y, O]);

/// The verdicts on a message; nothing for other stanzas.
pub fn classify(stanza: &Stanza) -> Fate {
    if stanza.header.kind != Kind::Message {
        return Fate::default();
    }
    let payload = &stanza.payload;
    let mut said = Said::default();
    let mut room = None;
    for (ns, name) in payload.names() {
        let row = if ns == ns::MUC_USER {
            room.get_or_insert_with(|| room_row(stanza))
        } else {
            row_of(ns, name)
        };
        said.add(row);
    }
    let type_ = stanza.header.type_;
    let hint = |name| type_ != Type::Error && payload.has(ns::HINTS, name);
    let is_chat = matches!(type_, Type::Normal | Type::Chat);
    let worth_holding = said.held != Some(Says::No);
    let stored = hint("store");
    let no_store = hint("no-store");
    let copied =
        is_copied(type_, &said) && !payload.has(ns::CARBONS, "private") && !hint("no-copy");
    // XEP-0280 6.1: "A private <message/> from a MUC participant (received from a full JID) to a local user
    // SHOULD NOT be carbon-copied".
    let from = stanza.header.from.as_ref();
    let is_from_occupant = room.is_some_and(|row| row.title == ROOM_NOTICE.title)
        && from.is_some_and(|from| from.resourcepart().is_some());
    // XEP-0334 4.4: "A message containing the <store/> hint that is not of type 'error' SHOULD be stored".
    // What was said in a room is in the room's own archive.
    let archived = match type_ {
        Type::Error | Type::Groupchat => false,
        Type::Headline => stored,
        _ => stored || said.archived == Some(Says::Yes),
    };
    Fate {
        archived: archived && !no_store && !hint("no-permanent-store"),
        copied_when_sent: copied,
        copied_when_received: copied && !is_from_occupant,
        held: is_chat && (worth_holding || stored) && !no_store,
        pushed: is_chat && said.pushed == Some(Says::Yes),
        missed: is_chat && worth_holding,
    }
}

/// Whether a message says nothing but that another was received or read (XEP-0184, XEP-0333): who does not find it in an
/// archive misses nothing.
pub fn is_notice(stanza: &Stanza) -> bool {
    let payload = &stanza.payload;
    let mut is_notice = false;
    for (ns, name) in payload.names() {
        match (ns, name) {
            (ns::RECEIPTS, "received") => is_notice = true,
            (ns::CHAT_MARKERS, name) if name != "markable" => is_notice = true,
            (ns::MUC_USER, _) => return false,
            _ if row_of(ns, name).archived == Says::Yes => return false,
            _ => {}
        }
    }
    is_notice && !payload.has(ns::HINTS, "store")
}

/// Whether a message may wait for a client at which nobody looks. One payload that may not decides.
pub fn patience(stanza: &Stanza) -> Patience {
    let header = &stanza.header;
    if header.kind != Kind::Message || header.type_ == Type::Error {
        return Patience::None;
    }
    let payload = &stanza.payload;
    let mut patience = Patience::None;
    for (ns, name) in payload.names() {
        let (row, is_copy) = match (ns, name) {
            (ns::MUC_USER, _) => (room_row(stanza), false),
            (ns::CARBONS, "sent" | "received") => match copied_row(stanza, name) {
                Some(row) => (row, true),
                None => return Patience::None,
            },
            _ => (row_of(ns, name), false),
        };
        patience = match row.waits {
            Says::Nothing => patience,
            Says::Yes if row.ns == ns::CHAT_STATES && !is_copy && patience != Patience::Waits => {
                Patience::Newest
            }
            Says::Yes => Patience::Waits,
            Says::No | Says::Never => return Patience::None,
        };
    }
    patience
}

/// What makes a copy wait, if all in it may. What its reader's own other client says about messages being read ends
/// notices on this one, and does not.
fn copied_row(stanza: &Stanza, wrapper: &str) -> Option<&'static Row> {
    let copy = stanza.payload.child(ns::CARBONS, wrapper)?;
    let forwarded = copy.child(ns::FORWARD, "forwarded")?;
    let message = forwarded.child(ns::CLIENT, "message")?;
    let mut waits = None;
    for child in message.children() {
        let row = row_of(child.ns(), child.name());
        let ends_notices = wrapper == "sent" && row.ns == ns::CHAT_MARKERS;
        match row.waits {
            Says::Nothing => {}
            Says::Yes if !ends_notices => waits = Some(row),
            _ => return None,
        }
    }
    waits
}

/// XEP-0280 section 6.1.
fn is_copied(type_: Type, said: &Said) -> bool {
    match type_ {
        // "it is of type "chat"", but what only servers say is nobody's chat.
        Type::Chat => said.copied != Some(Says::No),
        Type::Normal | Type::Error => said.copied == Some(Says::Yes),
        _ => false,
    }
}

fn row_of(ns: &str, name: &str) -> &'static Row {
    let fits = |row: &&Row| row.ns == ns && (row.name.is_empty() || row.name == name);
    TABLE.iter().find(fits).unwrap_or(&UNKNOWN)
}

fn room_row(stanza: &Stanza) -> &'static Row {
    let invites = |x: crate::xml::Element<'_>| x.child(ns::MUC_USER, "invite").is_some();
    if stanza.payload.child(ns::MUC_USER, "x").is_some_and(invites) {
        &INVITATION
    } else {
        &ROOM_NOTICE
    }
}

/// The sum of what the payloads say; none where all say nothing.
#[derive(Default)]
struct Said {
    archived: Option<Says>,
    copied: Option<Says>,
    held: Option<Says>,
    pushed: Option<Says>,
}

impl Said {
    fn add(&mut self, row: &Row) {
        let add = |sum: &mut Option<Says>, says| match (*sum, says) {
            (_, Says::Nothing) | (Some(Says::Never), _) => {}
            (Some(Says::Yes), Says::No) => {}
            _ => *sum = Some(says),
        };
        add(&mut self.archived, row.archived);
        add(&mut self.copied, row.copied);
        add(&mut self.held, row.held);
        add(&mut self.pushed, row.pushed);
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
