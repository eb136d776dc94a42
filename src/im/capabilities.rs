//! XEP-0115: Entity Capabilities, of clients: what their presence claims, the question what is behind it, and whether the
//! answer is true. Who remembers it is the worker's business ([`crate::shard`]). Scenarios:
//! `tests/scenarios/capabilities.xmpp`

use std::sync::Arc;

use crate::actor::{Draft, Turn};
use crate::base::limits;
use crate::jid::Jid;
use crate::stanza::{Header, Info, Kind, Payload, Stanza, Type, ns};
use crate::xml::Writer;

use super::account::{Account, Change};
use super::session::Session;

/// What a presence says of its client's abilities, by a verification string of SHA-1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    node: Box<str>,
    /// The verification string.
    pub ver: Box<str>,
}

impl Claim {
    /// The claim of a presence; none without one, and none that cannot be verified. Section 5.4: "If the value of the
    /// 'hash' attribute does not match one of the processing application's supported hash functions ... Do not validate
    /// or globally cache".
    pub fn of(presence: &Stanza) -> Option<Claim> {
        let claim = presence.payload.child(ns::CAPS, "c")?;
        let (node, ver) = (claim.attribute("node")?, claim.attribute("ver")?);
        let is_known = claim.attribute("hash").as_deref() == Some("sha-1");
        let fits = node.len() <= limits::CAPABILITIES_NODE_BYTES_MAX && ver.len() == VER_LEN;
        (is_known && fits).then(|| Claim {
            node: node.into(),
            ver: ver.into(),
        })
    }

    /// Section 6.2: "concatenating the value of the caps 'node' attribute ..., the "#" character, and the value of the
    /// caps 'ver' attribute".
    fn asked_node(&self) -> String {
        [&self.node, "#", &self.ver].concat()
    }

    /// The question what is behind it. Section 6.2: "The value of the 'to' attribute MUST be the exact JID of the
    /// generating entity, which in the case of a client will be the full JID".
    pub fn question(&self, id: String, from: Jid, session: &Session) -> Stanza {
        let mut header = Header::new(Kind::Iq, Type::Get);
        header.id = Some(id.into());
        header.from = Some(from);
        header.to = Some(session.jid.clone());
        let mut query = Writer::new();
        query
            .open("query", Some(ns::DISCO_INFO))
            .attribute("node", &self.asked_node())
            .close();
        Stanza {
            header,
            payload: Payload::from_normal(&query.finish()),
        }
    }
}

/// A session said that it is available: what it can do is looked up.
pub fn claimed(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza) {
    if !turn.catalog.has("caps") {
        return;
    }
    let Some(claim) = Claim::of(stanza) else {
        return;
    };
    // It was asked when it said so first.
    let is_new = session.presence.as_ref().and_then(Claim::of).as_ref() != Some(&claim);
    turn.out.change.push(Change::Claimed {
        session: session.id,
        claim: Box::new(claim),
        is_new,
    });
}

/// A client answers the server. Section 5.4: "If the values of the received and reconstructed hashes do not match, the
/// processing application MUST consider the result to be invalid and MUST NOT globally cache the verification string".
pub fn answered(turn: &mut Turn<'_, Account>, draft: &Draft) {
    let session = draft.session.and_then(|id| turn.actor.session(id));
    let claim = session.and_then(|session| Claim::of(session.presence.as_ref()?));
    let query = draft.stanza.payload.child(ns::DISCO_INFO, "query");
    let (Some(session), Some(claim), Some(query)) = (session, claim, query) else {
        return;
    };
    if draft.stanza.header.type_ != Type::Result
        || query.attribute("node").as_deref() != Some(&claim.asked_node())
    {
        return;
    }
    if let Some(info) = Info::read(&query).filter(|info| info.verification() == *claim.ver) {
        turn.out.change.push(Change::Capable {
            session: session.id,
            ver: claim.ver,
            info: Arc::new(info),
        });
    }
}

/// Characters of a verification string: Base64 of the 20 bytes of a SHA-1.
const VER_LEN: usize = 28;
