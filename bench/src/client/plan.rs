//! How all users of a run come in, and what was learnt of the server by those who have. It knows nothing of a single session.

use std::sync::Arc;

use rustls::ClientConfig;

use super::people::People;
use super::roster::Rosters;
use super::sasl::{KeyCache, Mechanism};
use super::sasl2::Tokens;
use super::session::Transport;
use super::tls::of_direct;

/// What all logins of a run share.
pub struct LoginPlan {
    pub people: People,
    pub transport: Transport,
    pub mechanism: Mechanism,
    /// Contacts of each user; a roster with fewer is an error.
    pub contacts: usize,
    /// Whether a roster with more was seen: then presence comes from others, too.
    pub has_more_contacts: bool,
    pub tls: Arc<ClientConfig>,
    pub tls_direct: Arc<ClientConfig>,
    pub keys: KeyCache,
    pub tokens: Tokens,
    /// Whether accounts are made first (XEP-0077), unless they are there.
    pub registers: bool,
    /// Of who registered: what was there before.
    pub rosters: Rosters,
    /// Whether sessions ask for stream management with resumption (XEP-0198).
    pub manages: bool,
    /// Whether they authenticate and bind at once (XEP-0388, XEP-0386). Tokens imply it.
    pub sasl2: bool,
    /// Whether a session that is ready keeps nothing of TLS but its keys: see `Link::keep_keys_only`.
    pub keys_only: bool,
    /// Sessions that were resumed so far.
    pub resumptions: u64,
    /// Of optional features, what the server was seen to offer.
    pub offers_client_state: bool,
}

impl LoginPlan {
    /// Logins with nothing that is optional.
    pub fn new(
        people: People,
        transport: Transport,
        mechanism: Mechanism,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self {
            people,
            transport,
            mechanism,
            contacts: 0,
            has_more_contacts: false,
            tls_direct: of_direct(&tls),
            tls,
            keys: KeyCache::default(),
            tokens: Tokens::default(),
            registers: false,
            rosters: Rosters::default(),
            manages: false,
            sasl2: false,
            keys_only: false,
            resumptions: 0,
            offers_client_state: false,
        }
    }

    pub fn is_sasl2(&self) -> bool {
        self.sasl2 || self.mechanism == Mechanism::Fast
    }
}
