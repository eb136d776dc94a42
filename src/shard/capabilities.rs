//! What clients can do, as far as this worker had it verified (XEP-0115 section 5.4): asked once, remembered within
//! bounds, by verification string.

use std::sync::{Arc, Weak};

use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use super::Shard;
use crate::actor::Delivery;
use crate::base::ActorKey;
use crate::base::{HashSeed, KeyedState, SessionId, limits};
use crate::im::capabilities::Claim;
use crate::jid::Jid;
use crate::stanza::Info;

/// By verification string.
pub(super) struct Known(Cache<Box<str>, Arc<Info>, ByBytes, KeyedState>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<Info>> for ByBytes {
    fn weight(&self, ver: &Box<str>, info: &Arc<Info>) -> u64 {
        (ver.len() + info.bytes()) as u64
    }
}

impl Known {
    pub(super) fn new(seed: HashSeed) -> Known {
        Known(Cache::with(
            VERSIONS,
            limits::CAPABILITIES_KNOWN_BYTES,
            ByBytes,
            KeyedState::new(seed),
            DefaultLifecycle::default(),
        ))
    }
}

impl Shard {
    /// What a session's client can do is known, or this is the question.
    pub(super) fn look_up_capabilities(
        &mut self,
        actor: ActorKey,
        session: SessionId,
        claim: &Claim,
    ) -> Option<Delivery> {
        let cell = self.cells.get_mut(actor)?;
        let domain = Jid::domain(cell.account.jid.domainpart()).ok()?;
        let at = cell.account.session_mut(session)?;
        if let Some(info) = self.known.0.get(&claim.ver) {
            at.capabilities = Arc::downgrade(info);
            return None;
        }
        at.capabilities = Weak::new();
        Some(Delivery {
            session,
            stanza: claim.question(self.rng.token(), domain, at),
            kept: None,
        })
    }

    /// A client's answer was true.
    pub(super) fn learn_capabilities(
        &mut self,
        actor: ActorKey,
        session: SessionId,
        ver: Box<str>,
        info: Arc<Info>,
    ) {
        let cell = self.cells.get_mut(actor);
        if let Some(at) = cell.and_then(|cell| cell.account.session_mut(session)) {
            at.capabilities = Arc::downgrade(&info);
        }
        self.known.0.insert(ver, info);
    }
}

/// How many are expected.
const VERSIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_ever_new_clients_is_bounded() {
        let mut known = Known::new(HashSeed(1, 2));
        let info = Arc::new(Info {
            features: vec!["f".repeat(10_000).into()],
            ..Info::default()
        });
        for number in 0..1_000 {
            known.0.insert(format!("{number}").into(), info.clone());
        }
        assert!(known.0.weight() <= limits::CAPABILITIES_KNOWN_BYTES);
        assert!(known.0.len() > 100);
        assert!(known.0.get("999").is_some());
    }
}
