//! XEP-0484: Fast Authentication Streamlining Tokens, version 0.2.0. The work is done in `auth/tokens.rs`,
//! `stream/sasl/token.rs` and `stream/sasl_profile.rs`. Scenarios: `tests/scenarios/fast.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3.1 the feature, its mechanisms | `stream/features.rs`: HT-SHA-256-EXPR, -ENDP and, by option, -NONE |
//! | 3.1 TLS 0-RTT | not done: rustls takes no early data here, so that nothing can be sent again |
//! | 3.2, 3.3 a token on request | `stream/sasl_outcome.rs`, `auth/tokens.rs`; without a client's id there is none |
//! | 3.4 by a token | `stream/sasl/exchange.rs`; the count is held against the client where it is sent |
//! | 3.5 rotation | when half of its time is over |
//! | 3.6 invalidation | both tokens of the client go |
//! | 4.2 `credentials-expired` | told to who holds the token only |
//! | 5 two slots | `auth/slots.rs` |

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const FAST: Feature<Account> = Feature {
    name: "fast",
    specs: &[Spec::xep(484, "0.2.0")],
    ..NONE
};
