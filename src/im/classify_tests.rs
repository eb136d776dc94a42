//! One line for each payload of peers.md section 2.1: what a chat message that carries it alone meets with.

use super::*;
use crate::jid::Jid;
use crate::stanza::{Header, Payload};

fn message(type_: Type, inner: &str) -> Stanza {
    let mut header = Header::new(Kind::Message, type_);
    header.from = Some(Jid::parse("romeo@example.org/orchard").unwrap());
    Stanza {
        header,
        payload: Payload::from_normal(inner),
    }
}

/// `a` archived, `s` copied when sent, `r` copied when received, `h` held, `p` pushed, `m` missed.
fn fate(type_: Type, inner: &str) -> String {
    let fate = classify(&message(type_, inner));
    let letters = [
        (fate.archived, 'a'),
        (fate.copied_when_sent, 's'),
        (fate.copied_when_received, 'r'),
        (fate.held, 'h'),
        (fate.pushed, 'p'),
        (fate.missed, 'm'),
    ];
    letters
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, l)| l)
        .collect()
}

macro_rules! payloads {
    ($($name:ident: $xml:expr => $chat:literal, $normal:literal;)*) => {
        $(
            #[test]
            fn $name() {
                assert_eq!((fate(Type::Chat, $xml).as_str(), fate(Type::Normal, $xml).as_str()), ($chat, $normal));
            }
        )*
    };
}

payloads! {
    body: "<body>Hush</body>" => "asrhpm", "asrhpm";
    subject: "<subject>Hush</subject>" => "asrhpm", "ahpm";
    xep_0022_event: "<x xmlns='jabber:x:event'><composing/></x>" => "", "";
    xep_0027_pgp: "<x xmlns='jabber:x:encrypted'>hQ</x>" => "asrhpm", "asrhpm";
    xep_0066_oob: "<x xmlns='jabber:x:oob'><url>u</url></x>" => "asrhpm", "asrhpm";
    xep_0071_xhtml: "<html xmlns='http://jabber.org/protocol/xhtml-im'/>" => "asrhm", "ahm";
    xep_0085_composing: "<composing xmlns='http://jabber.org/protocol/chatstates'/>" => "sr", "sr";
    xep_0085_with_thread: "<gone xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>" => "sr", "sr";
    xep_0085_with_body: "<active xmlns='http://jabber.org/protocol/chatstates'/><body>Hush</body>" => "asrhpm", "asrhpm";
    xep_0184_received: "<received xmlns='urn:xmpp:receipts' id='1'/>" => "asrhm", "asrhm";
    xep_0184_request_alone: "<request xmlns='urn:xmpp:receipts'/>" => "srhm", "srhm";
    xep_0224_attention: "<attention xmlns='urn:xmpp:attention:0'/>" => "p", "p";
    xep_0249_invite: "<x xmlns='jabber:x:conference' jid='r@c'/>" => "asrhpm", "asrhpm";
    xep_0308_correction: "<body>Hush!</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>" => "asrhm", "asrhm";
    xep_0333_displayed: "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>" => "asrhm", "asrhm";
    xep_0333_markable: "<body>Hush</body><markable xmlns='urn:xmpp:chat-markers:0'/>" => "asrhpm", "asrhpm";
    xep_0353_propose: "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>" => "asrhpm", "asrhpm";
    xep_0353_proceed: "<proceed xmlns='urn:xmpp:jingle-message:0' id='1'/>" => "asrhm", "asrhm";
    xep_0372_reference: "<body>@a</body><reference xmlns='urn:xmpp:reference:0'/>" => "asrhpm", "asrhpm";
    xep_0373_openpgp: "<openpgp xmlns='urn:xmpp:openpgp:0'>hQ</openpgp>" => "asrhpm", "asrhpm";
    xep_0380_eme: "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>" => "asrhpm", "asrhpm";
    xep_0382_spoiler: "<body>He dies</body><spoiler xmlns='urn:xmpp:spoiler:0'/>" => "asrhpm", "asrhpm";
    xep_0384_omemo: "<encrypted xmlns='urn:xmpp:omemo:2'/>" => "asrhpm", "asrhpm";
    xep_0384_omemo_legacy: "<encrypted xmlns='eu.siacs.conversations.axolotl'/>" => "asrhpm", "asrhpm";
    xep_0393_unstyled: "<body>*a*</body><unstyled xmlns='urn:xmpp:styling:0'/>" => "asrhpm", "asrhpm";
    xep_0394_markup: "<body>a</body><markup xmlns='urn:xmpp:markup:0'/>" => "asrhpm", "asrhpm";
    xep_0420_sce: "<envelope xmlns='urn:xmpp:sce:1'/>" => "asrhpm", "asrhpm";
    xep_0422_fastening: "<apply-to xmlns='urn:xmpp:fasten:0' id='1'/>" => "asrhm", "asrhm";
    xep_0424_retraction: "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>" => "asrhm", "asrhm";
    xep_0424_with_fallback: "<body>gone</body><retract xmlns='urn:xmpp:message-retract:1' id='1'/>" => "asrhm", "asrhm";
    xep_0425_moderation: "<moderated xmlns='urn:xmpp:message-moderate:1'/>" => "asrhm", "asrhm";
    xep_0428_fallback: "<body>a</body><fallback xmlns='urn:xmpp:fallback:0'/>" => "asrhpm", "asrhpm";
    xep_0434_trust: "<trust-message xmlns='urn:xmpp:tm:1'/>" => "asrhm", "asrhm";
    xep_0444_reactions: "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>" => "asrhm", "asrhm";
    xep_0446_file: "<file xmlns='urn:xmpp:file:metadata:0'/>" => "asrhpm", "asrhpm";
    xep_0447_sharing: "<file-sharing xmlns='urn:xmpp:sfs:0'/>" => "asrhpm", "asrhpm";
    xep_0448_encrypted_sharing: "<encrypted xmlns='urn:xmpp:esfs:0'/>" => "asrhpm", "asrhpm";
    xep_0449_sticker: "<sticker xmlns='urn:xmpp:stickers:0'/>" => "asrhpm", "asrhpm";
    xep_0461_reply: "<body>Aye</body><reply xmlns='urn:xmpp:reply:0' id='1'/>" => "asrhpm", "asrhpm";
    xep_0466_ephemeral: "<body>Aye</body><ephemeral xmlns='urn:xmpp:ephemeral:0' timer='1'/>" => "asrhpm", "asrhpm";
    xep_0481_content: "<content xmlns='urn:xmpp:content' type='text/markdown'/>" => "asrhpm", "asrhpm";
    xep_0482_call_invite: "<invite xmlns='urn:xmpp:call-invites:0'/>" => "asrhpm", "asrhpm";
    xep_0482_call_left: "<left xmlns='urn:xmpp:call-invites:0' id='1'/>" => "asrhm", "asrhm";
    xep_0483_meeting: "<x xmlns='urn:xmpp:http:online-meetings:invite:0'/>" => "asrhpm", "asrhpm";
    xep_0491_webxdc: "<x xmlns='urn:xmpp:webxdc:0'/>" => "asrhm", "asrhm";
    xep_0511_link_metadata: "<body>u</body><Description xmlns='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>" => "asrhpm", "asrhpm";
    xep_0513_mention: "<body>@a</body><mentions xmlns='urn:xmpp:mentions:0'/>" => "asrhpm", "asrhpm";
    xep_0045_mediated_invite: "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>" => "asrhpm", "asrhpm";
    xep_0045_private_message: "<body>Psst</body><x xmlns='http://jabber.org/protocol/muc#user'/>" => "ashpm", "ashpm";
    xep_0280_copy: "<sent xmlns='urn:xmpp:carbons:2'/>" => "", "";
    xep_0313_result: "<result xmlns='urn:xmpp:mam:2'/>" => "", "";
    unknown: "<x xmlns='urn:example:new'/>" => "srhm", "hm";
    nothing: "" => "srhm", "hm";

    hint_store: "<x xmlns='urn:example:new'/><store xmlns='urn:xmpp:hints'/>" => "asrhm", "ahm";
    hint_store_saves_a_chat_state: "<active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>" => "asrh", "asrh";
    hint_no_store: "<body>Hush</body><no-store xmlns='urn:xmpp:hints'/>" => "srpm", "srpm";
    hint_no_store_beats_store: "<body>Hush</body><store xmlns='urn:xmpp:hints'/><no-store xmlns='urn:xmpp:hints'/>" => "srpm", "srpm";
    hint_no_permanent_store: "<body>Hush</body><no-permanent-store xmlns='urn:xmpp:hints'/>" => "srhpm", "srhpm";
    hint_no_copy: "<body>Hush</body><no-copy xmlns='urn:xmpp:hints'/>" => "ahpm", "ahpm";
    private: "<body>Hush</body><private xmlns='urn:xmpp:carbons:2'/>" => "ahpm", "ahpm";
}

#[test]
fn errors_are_copied_if_what_they_carry_was_and_never_stored() {
    assert_eq!(fate(Type::Error, "<body>Hush</body>"), "sr");
    assert_eq!(fate(Type::Error, "<error type='cancel'/>"), "");
    // XEP-0334 section 5: hints in an error "SHOULD be ignored".
    let copied =
        "<body>Hush</body><no-copy xmlns='urn:xmpp:hints'/><store xmlns='urn:xmpp:hints'/>";
    assert_eq!(fate(Type::Error, copied), "sr");
}

#[test]
fn groupchat_and_headlines_are_for_who_is_there() {
    let stored = "<body>All</body><store xmlns='urn:xmpp:hints'/>";
    assert_eq!(fate(Type::Groupchat, "<body>All</body>"), "");
    assert_eq!(fate(Type::Groupchat, stored), "");
    assert_eq!(fate(Type::Headline, "<body>News</body>"), "");
    assert_eq!(fate(Type::Headline, stored), "a");
}

#[test]
fn only_messages_have_a_fate() {
    let mut presence = message(Type::Available, "<body>Hush</body>");
    presence.header.kind = Kind::Presence;
    assert_eq!(classify(&presence), Fate::default());
}

#[test]
fn every_row_can_be_reached() {
    for (at, row) in TABLE.iter().enumerate() {
        let name = if row.name.is_empty() {
            "other"
        } else {
            row.name
        };
        let found = row_of(row.ns, name);
        assert!(std::ptr::eq(found, row), "{at}: {} is hidden", row.title);
    }
}

fn waits(type_: Type, inner: &str) -> Patience {
    patience(&message(type_, inner))
}

#[test]
fn only_what_means_something_to_who_looks_waits() {
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>";
    let displayed = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
    let reaction =
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>";
    let neutral = "<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>";
    let invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>";
    for (inner, expected) in [
        (state.to_owned(), Patience::Newest),
        (format!("{state}{neutral}"), Patience::Newest),
        (format!("{state}{receipt}"), Patience::Waits),
        (format!("{receipt}{state}"), Patience::Waits),
        (displayed.to_owned(), Patience::Waits),
        (reaction.to_owned(), Patience::Waits),
        (format!("{reaction}<body>x</body>"), Patience::None),
        (format!("{state}<body>x</body>"), Patience::None),
        (
            format!("{state}<x xmlns='urn:example:unknown'/>"),
            Patience::None,
        ),
        (format!("{state}{invite}"), Patience::None),
        (
            "<retract xmlns='urn:xmpp:jingle-message:0' id='1'/>".to_owned(),
            Patience::None,
        ),
        (neutral.to_owned(), Patience::None),
        (String::new(), Patience::None),
    ] {
        assert_eq!(waits(Type::Chat, &inner), expected, "{inner}");
        assert_eq!(waits(Type::Error, &inner), Patience::None, "{inner}");
    }
}

#[test]
fn a_copy_waits_if_all_in_it_does() {
    let copy = |wrapper: &str, inner: &str| {
        let xml = format!(
            "<{wrapper} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' type='chat'>{inner}</message></forwarded></{wrapper}>"
        );
        waits(Type::Chat, &xml)
    };
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let displayed = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
    assert_eq!(copy("received", state), Patience::Waits);
    assert_eq!(copy("sent", state), Patience::Waits);
    assert_eq!(
        copy("sent", &format!("{state}<body>x</body>")),
        Patience::None
    );
    assert_eq!(copy("received", displayed), Patience::Waits);
    // It was read elsewhere: here the notice goes.
    assert_eq!(copy("sent", displayed), Patience::None);
    assert_eq!(copy("sent", ""), Patience::None);
}
