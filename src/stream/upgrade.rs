//! SASL upgrade tasks (XEP-0480): a client that proved its password by one digest gives the keys of another, where the
//! account lacks them or has them with fewer iterations than the host wants. Refuses to know where keys are kept.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAnswer, AuthAsk, ScramHash, ScramKeys, UpgradeTerms};
use crate::base::Secret;
use crate::config::{Config, HostConfig};
use crate::stanza::ns;
use crate::xml::Element;

use super::login::Login;
use super::nonza::Nonza;
use super::sasl::digest::{digest, digest_bytes, hmac};
use super::sasl::{self, SaslFailure};
use super::sasl_profile::{Of, Waiting};
use super::state::{Context, Event, Phase, StreamState};

/// Tasks under way: who it is, is proved.
pub(super) struct Tasks {
    login: Login,
    /// Those that are left, the one in hand first; never empty.
    left: Vec<UpgradeTerms>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client has to begin the task.
    Next,
    /// The client has what it needs to derive.
    Hash,
}

/// The digest of a task's name.
pub(super) fn task_of(name: &str) -> Option<ScramHash> {
    let mut known = ScramHash::ALL.iter().copied();
    known.find(|hash| task_name(*hash) == name)
}

/// Section 2.1: "a prefix of "UPGR-" ... followed by the SASL mechanism name to upgrade to", without "-PLUS".
fn task_name(hash: ScramHash) -> &'static str {
    match hash {
        ScramHash::Sha1 => "UPGR-SCRAM-SHA-1",
        ScramHash::Sha256 => "UPGR-SCRAM-SHA-256",
        ScramHash::Sha512 => "UPGR-SCRAM-SHA-512",
    }
}

/// The tasks that a host offers, as elements. Not to SHA-1: nobody is better off with it.
pub(super) fn offered(host: Option<&HostConfig>, config: &Config) -> String {
    // A directory's keys are its administrators'.
    let has_directory = host.is_some_and(|host| host.directory.is_some());
    if has_directory || !config.has_feature(SWITCH) {
        return String::new();
    }
    let hashes = host.into_iter().flat_map(|host| &host.scram);
    let hashes = hashes.filter(|hash| **hash != ScramHash::Sha1);
    hashes
        .map(|hash| {
            format!(
                "<upgrade xmlns='{}'>{}</upgrade>",
                ns::SASL_UPGRADE,
                task_name(*hash)
            )
        })
        .collect()
}

/// The tasks for which a client asks: "one <upgrade> element for each task".
pub(super) fn wished<'a>(
    children: impl Iterator<Item = Element<'a>>,
    config: &Config,
) -> Vec<ScramHash> {
    if !config.has_feature(SWITCH) {
        return Vec::new();
    }
    let upgrades = children.filter(|child| child.is(ns::SASL_UPGRADE, "upgrade"));
    let mut hashes: Vec<ScramHash> = upgrades
        .filter_map(|upgrade| task_of(upgrade.text().trim()))
        .filter(|hash| *hash != ScramHash::Sha1)
        .collect();
    hashes.sort();
    hashes.dedup();
    hashes
}

impl StreamState {
    /// Section 2.2: "Upon successfully authenticating the client ..., but before the final <success/> would be sent, the
    /// server sends a <continue/> element".
    pub(super) fn begin_tasks(&mut self, mut login: Login, left: Vec<UpgradeTerms>) {
        let Some(terms) = left.first() else {
            return;
        };
        let additional = login.additional.take().map_or_else(String::new, |data| {
            format!("<additional-data>{}</additional-data>", sasl::encode(&data))
        });
        self.outbound.push_xml(format!(
            "<continue xmlns='{}'>{additional}<tasks><task>{}</task></tasks></continue>",
            ns::SASL2,
            task_name(terms.hash)
        ));
        let stage = Stage::Next;
        self.wait_for(Waiting::Task(Box::new(Tasks { login, left, stage })));
    }

    /// `<next/>`: the client begins the task, and hears by what salt and how often.
    pub(super) fn on_next(&mut self, cx: &mut Context<'_>, element: &Nonza<'_>) -> Option<Event> {
        let Some(mut tasks) = self.take_tasks(Stage::Next) else {
            return self.tell_failure(cx, SaslFailure::MalformedRequest, Of::Sasl2);
        };
        let terms = &tasks.left[0];
        if element.attribute("task") != Some(task_name(terms.hash)) {
            return self.tell_failure(cx, SaslFailure::MalformedRequest, Of::Sasl2);
        }
        self.outbound.push_xml(format!(
            "<task-data xmlns='{}'><salt xmlns='{}' iterations='{}'>{}</salt></task-data>",
            ns::SASL2,
            ns::SCRAM_UPGRADE,
            terms.iterations,
            STANDARD.encode(&terms.salt)
        ));
        tasks.stage = Stage::Hash;
        self.wait_for(Waiting::Task(tasks));
        None
    }

    /// `<task-data/>`: section 3, "The client then calculates the RFC 5802 SaltedPassword and sends back its base64
    /// encoded value".
    pub(super) fn on_task_data(
        &mut self,
        cx: &mut Context<'_>,
        element: &Nonza<'_>,
    ) -> Option<Event> {
        let Some(tasks) = self.take_tasks(Stage::Hash) else {
            return self.tell_failure(cx, SaslFailure::MalformedRequest, Of::Sasl2);
        };
        let terms = &tasks.left[0];
        let salted = element
            .child(ns::SCRAM_UPGRADE, "hash")
            .and_then(|hash| STANDARD.decode(hash.text().trim()).ok())
            .filter(|salted| salted.len() == digest_bytes(terms.hash))
            .map(Secret::new);
        let (Some(salted), Some(account)) = (salted, tasks.login.account) else {
            return self.tell_failure(cx, SaslFailure::MalformedRequest, Of::Sasl2);
        };
        let ask = AuthAsk::TakeKeys {
            host: self.host.clone().unwrap_or_default(),
            localpart: tasks.login.localpart.clone(),
            account,
            keys: Box::new(keys_of(terms, &salted)),
            prefix: self.prefix,
        };
        self.wait_for(Waiting::Keys(tasks));
        Some(Event::Ask(ask))
    }

    /// The keys are kept, or not.
    pub(super) fn task_done(
        &mut self,
        cx: &mut Context<'_>,
        tasks: Tasks,
        answer: &AuthAnswer,
    ) -> Option<Event> {
        let Tasks {
            login, mut left, ..
        } = tasks;
        match answer {
            AuthAnswer::Taken => self.record_upgrade(&login.localpart),
            // They became needless meanwhile.
            AuthAnswer::Upgrades(_) => {}
            _ => return self.tell_failure(cx, SaslFailure::TemporaryAuthFailure, Of::Sasl2),
        }
        left.remove(0);
        if left.is_empty() {
            return self.past_tasks(cx, login);
        }
        self.begin_tasks(login, left);
        None
    }

    /// What the account is known by has changed, at the word of a client.
    fn record_upgrade(&mut self, localpart: &str) {
        let Phase::Authenticating(sasl) = &self.phase else {
            return;
        };
        let host = self.host.as_deref().unwrap_or_default();
        self.recorded = Some(Box::new(AuditEvent::KeysUpgraded {
            account: format!("{localpart}@{host}").into(),
            mechanism: sasl.mechanism,
            from: Some(Arc::clone(&self.peer)),
        }));
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if let Phase::Authenticating(sasl) = &mut self.phase {
            sasl.waiting = waiting;
        }
    }

    /// The tasks, if they are at this stage.
    fn take_tasks(&mut self, stage: Stage) -> Option<Box<Tasks>> {
        let Phase::Authenticating(sasl) = &mut self.phase else {
            return None;
        };
        match std::mem::replace(&mut sasl.waiting, Waiting::Peer) {
            Waiting::Task(tasks) if tasks.stage == stage => Some(tasks),
            _ => None,
        }
    }
}

/// RFC 5802 section 3, from SaltedPassword on.
fn keys_of(terms: &UpgradeTerms, salted: &Secret) -> ScramKeys {
    let client_key = hmac(terms.hash, salted.expose(), b"Client Key");
    ScramKeys {
        hash: terms.hash,
        iterations: terms.iterations,
        salt: terms.salt.clone(),
        stored_key: digest(terms.hash, client_key.expose()),
        server_key: hmac(terms.hash, salted.expose(), b"Server Key"),
    }
}

/// The name of its switch: `features/sasl_upgrade.rs` is a layer above.
const SWITCH: &str = "sasl-upgrade";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::login::Profile;
    use super::super::sasl::{Exchange, Mechanism};
    use super::super::sasl_profile::Sasl;
    use super::*;
    use crate::actor::Ticket;
    use crate::actor::auth::AccountRef;
    use crate::base::{AccountId, AddressPrefix, Generation, Now, Rng, TraceId};
    use crate::config::{Outside, load};
    use crate::stream::{TlsFacts, TlsVersion};
    use crate::xml::{Scopes, Scratch};

    const OUTSIDE: Outside<'_> = Outside {
        features: &["sasl-upgrade"],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };
    const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";

    /// A stream whose client has proved that it is juliet and waits to hear what its account needs.
    struct Stand {
        config: Config,
        rng: Rng,
        scratch: Scratch,
        scopes: Scopes,
        stream: StreamState,
    }

    impl Stand {
        fn new() -> Stand {
            let config = load("test", "", &OUTSIDE).expect("defaults are valid");
            let tls = TlsFacts {
                version: TlsVersion::V1_3,
                exporter: Some([7; 32]),
                end_point: None,
                server_name: None,
                alpn: None,
                certificate_addresses: Vec::new(),
                certificate_subject: None,
            };
            let (now, peer) = (Now::default(), Arc::from("192.0.2.1:1"));
            let tls = Some(Box::new(tls));
            let stream = StreamState::new(now, &config, 0, AddressPrefix::Local, peer, tls);
            let mut stand = Stand {
                config,
                rng: Rng::from_seed([1; 32]),
                scratch: Scratch::new(),
                scopes: Scopes::default(),
                stream,
            };
            assert!(stand.say(HEADER).is_none());
            let features = stand.said();
            let offered = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>";
            assert!(features.contains(offered), "{features}");
            assert!(!features.contains("UPGR-SCRAM-SHA-1<"), "{features}");
            let facts = super::super::tls::channel(stand.stream.tls.as_deref());
            let (mechanism, host) = (Mechanism::ScramSha1, Arc::from("localhost"));
            let exchange =
                Exchange::start(mechanism, &host, &facts, &Mechanism::ALL, &mut stand.rng);
            let profile = Profile::Sasl2 {
                resume: None,
                bind: None,
                upgrades: vec![ScramHash::Sha512],
                fast: None,
                user_agent: None,
            };
            let login = Login {
                localpart: Arc::from("juliet"),
                account: Some(AccountRef {
                    id: AccountId(1),
                    generation: Generation(0),
                }),
                mechanism: "SCRAM-SHA-1",
                additional: Some(b"v=signature".to_vec()),
                profile: profile.clone(),
                token: None,
                began_at_ms: 0,
            };
            let mut sasl = Sasl::test(exchange.expect("it is offered"), profile);
            sasl.waiting = Waiting::Upgrades(Box::new(login));
            sasl.ticket = Some(Ticket(1));
            stand.stream.phase = Phase::Authenticating(Box::new(sasl));
            stand
        }

        fn step<T>(&mut self, f: impl FnOnce(&mut StreamState, &mut Context<'_>) -> T) -> T {
            let mut cx = Context {
                now: Now::default(),
                config: &self.config,
                caps: &BTreeMap::new(),
                rng: &mut self.rng,
                scratch: &mut self.scratch,
                scopes: &mut self.scopes,
                trace: TraceId(1),
            };
            f(&mut self.stream, &mut cx)
        }

        fn say(&mut self, text: &str) -> Option<Event> {
            self.step(|stream, cx| stream.take(cx, text.as_bytes()).1)
        }

        fn answer(&mut self, answer: AuthAnswer) -> Option<Event> {
            if let Phase::Authenticating(sasl) = &mut self.stream.phase {
                sasl.ticket = Some(Ticket(1));
            }
            self.step(|stream, cx| stream.answered(cx, Ticket(1), answer))
        }

        fn said(&mut self) -> String {
            let mut bytes = Vec::new();
            self.stream
                .outbound
                .render(&mut bytes, &mut crate::base::Spares::default());
            String::from_utf8(bytes).expect("XML is UTF-8")
        }
    }

    fn terms() -> UpgradeTerms {
        UpgradeTerms {
            hash: ScramHash::Sha512,
            iterations: 2,
            salt: b"sixteen bytes!!!".to_vec(),
        }
    }

    const NEXT: &str = "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>";

    fn hash(bytes: usize) -> String {
        let hash = STANDARD.encode(vec![9; bytes]);
        format!(
            "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>{hash}</hash></task-data>"
        )
    }

    #[test]
    fn a_client_is_led_through_its_task_and_then_inside() {
        let mut stand = Stand::new();
        assert!(stand.answer(AuthAnswer::Upgrades(vec![terms()])).is_none());
        let said = stand.said();
        // "<additional-data/>" comes with the first <continue/>: what proves us is not held back.
        assert!(said.starts_with("<continue xmlns='urn:xmpp:sasl:2'><additional-data>"));
        assert!(said.contains("<tasks><task>UPGR-SCRAM-SHA-512</task></tasks>"));
        assert!(!stand.stream.waits());
        assert!(stand.say(NEXT).is_none());
        let salt = STANDARD.encode(terms().salt);
        let expected =
            format!("<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='2'>{salt}</salt>");
        assert!(stand.said().contains(&expected));
        let Some(Event::Ask(AuthAsk::TakeKeys { keys, .. })) = stand.say(&hash(64)) else {
            panic!("the keys are kept");
        };
        assert!(stand.stream.waits());
        assert_eq!((keys.hash, keys.iterations), (ScramHash::Sha512, 2));
        let salted = Secret::new(vec![9; 64]);
        let server_key = hmac(ScramHash::Sha512, salted.expose(), b"Server Key");
        assert_eq!(keys.server_key, server_key);
        assert!(matches!(
            stand.answer(AuthAnswer::Taken),
            Some(Event::Verified)
        ));
        let login = stand.stream.login.as_ref().expect("it is verified");
        assert_eq!(login.additional, None);
    }

    #[test]
    fn an_account_that_needs_nothing_is_inside_at_once() {
        for answer in [AuthAnswer::Upgrades(Vec::new()), AuthAnswer::Unavailable] {
            let mut stand = Stand::new();
            assert!(matches!(stand.answer(answer), Some(Event::Verified)));
            assert_eq!(stand.said(), "");
        }
    }

    #[test]
    fn what_does_not_fit_the_task_ends_the_attempt() {
        let other = NEXT.replace("512", "256");
        let short = hash(63);
        let broken = hash(64).replace("CQkJ", "????");
        let plays: [&[&str]; 5] = [
            &[&other],
            &[&short],
            &[NEXT, NEXT],
            &[NEXT, &short],
            &[NEXT, &broken],
        ];
        for play in plays {
            let mut stand = Stand::new();
            stand.answer(AuthAnswer::Upgrades(vec![terms()]));
            let events: Vec<_> = play.iter().map(|text| stand.say(text)).collect();
            assert!(events.iter().all(Option::is_none), "{play:?}");
            assert!(stand.said().contains("<malformed-request "), "{play:?}");
            assert!(stand.stream.login.is_none());
        }
    }

    #[test]
    fn keys_that_the_disk_did_not_take_are_no_success() {
        let mut stand = Stand::new();
        stand.answer(AuthAnswer::Upgrades(vec![terms()]));
        stand.say(NEXT);
        stand.say(&hash(64));
        assert!(stand.answer(AuthAnswer::Unavailable).is_none());
        assert!(stand.said().contains("<temporary-auth-failure "));
    }
}
