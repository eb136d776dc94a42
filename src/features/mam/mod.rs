//! XEP-0313: Message Archive Management, version 1.1.3, with XEP-0059: Result Set Management, version 1.0, in forms
//! of XEP-0004: Data Forms, version 2.13.2; XEP-0359: Unique and Stable Stanza IDs, version 0.7.0; XEP-0431: Full
//! Text Search in MAM, version 0.2.0. Scenarios: `tests/scenarios/mam.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3.1 order, 3.2 retention | `engine/archive`, numbers by time; `shard/retention.rs`, `shard/expiry.rs`, `shard/trim.rs` |
//! | 3.3.2 rooms, pubsub nodes | not done: there are none yet |
//! | 3.5 archive ids, XEP-0359 3 | [`keep::sent`], [`keep::received`], `im::message::strip_forged` |
//! | 0359 6 ids tell nothing | [`crate::im::archive::ArchiveId::text`] |
//! | 4.1 filters | `engine/archive/query.rs` |
//! | 4.1.5 groupchat | the field is known; what is said in rooms is in their archives |
//! | 4.2 results, 4.3 paging, 4.3.4 flipped pages | [`search`], `engine/archive/scan.rs` |
//! | 5 metadata | [`search`] |
//! | 6.1.1 what is archived | `im/classify.rs` |
//! | 7 support | `#extended`, `#groupchat-field` |
//! | 8.1 privacy | an account answers its owner only, `im/iq.rs` |

mod erase;
pub mod keep;
mod preferences;
mod search;

pub use erase::go_on as go_on_emptying;

use super::NONE;
use crate::actor::{Feature, IqRoute, Spec};
use crate::im::Account;
use crate::stanza::ns;

pub const MAM: Feature<Account> = Feature {
    name: "mam",
    specs: &[
        Spec::xep(4, "2.13.2"),
        Spec::xep(59, "1.0"),
        Spec::xep(313, "1.1.3"),
        Spec::xep(359, "0.7.0"),
        Spec::xep(424, "0.4.2"),
        Spec::xep(441, "0.2.0"),
    ],
    // XEP-0424 2: "a server that is aware of message retractions ... MUST also advertise".
    host_disco: &[ns::RETRACT],
    account_disco: &[
        ns::MAM,
        ns::MAM_EXTENDED,
        ns::MAM_GROUPCHAT_FIELD,
        ns::RSM,
        ns::STANZA_ID,
        ns::RETRACT,
        ns::RETRACT_TOMBSTONE,
    ],
    account: &[
        IqRoute::get(ns::MAM, "query", search::fields),
        IqRoute::set(ns::MAM, "query", search::query),
        IqRoute::get(ns::MAM, "metadata", search::metadata),
        IqRoute::get(ns::MAM, "prefs", preferences::show),
        IqRoute::set(ns::MAM, "prefs", preferences::change),
    ],
    commands: &[preferences::COMMAND, erase::COMMAND],
    ..NONE
};

/// XEP-0431, over the index of words that `engine/archive` makes when somebody searches: what was archived since the
/// last search is read once and never again.
pub const FULLTEXT: Feature<Account> = Feature {
    name: "fulltext",
    specs: &[Spec::xep(431, "0.2.0")],
    account_disco: &[ns::FULLTEXT],
    ..NONE
};
