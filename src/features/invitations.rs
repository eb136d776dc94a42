//! XEP-0401: Ad-hoc Account Invitation Generation, version 0.6.0; XEP-0379: Pre-Authenticated Roster Subscription,
//! version 0.3.3; XEP-0445: Pre-Authenticated In-Band Registration, version 0.2.0. The work is done in
//! `auth/invitations.rs`, `im/invitation.rs` and `stream/register.rs`. Scenarios: `tests/scenarios/invitations.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 0401 5.1, 5.4 making one | `stonechat user invite`; as ad hoc commands not yet |
//! | 0401 5.2 landing page | not done: no page is served; `landing-url` is optional |
//! | 0401 5.5 after the registration | `auth/invitations.rs`: the newcomer's half; [`crate::im::subscription::invited`] |
//! | 0379 3.4 a request with a token | [`crate::im::invitation::welcomes`] |
//! | 0379 3.5 approval, and a request in return | `im/subscription/mod.rs` |
//! | 0379 6 validity | single use unless `--uses`, a time, a name by `--name` |
//! | 0445 3 stream feature | `stream/features.rs` |
//! | 0445 4 the token before the registration | `stream/register.rs` |
//! | 0445 5 the name that was invited is kept | [`crate::im::invitation::RESERVATION`] |

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const INVITATIONS: Feature<Account> = Feature {
    name: "invitations",
    specs: &[
        Spec::xep(379, "0.3.3"),
        Spec::xep(401, "0.6.0"),
        Spec::xep(445, "0.2.0"),
    ],
    ..NONE
};
