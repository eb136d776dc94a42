//! What a stream knows once its peer is authenticated, and what the peer asked for in the same breath
//! (XEP-0388, 0386). Complete before the hand-over: the account's home writes the answer.

use std::sync::Arc;

use crate::actor::auth::{AccountRef, FreshToken, ScramHash, TokenMechanism};
use crate::base::{Generation, Uuid};
use crate::stanza::ns;
use crate::xml::Element;

/// A verified identity and what is still owed to its client.
#[derive(Clone, Debug)]
pub struct Login {
    /// Prepared.
    pub localpart: Arc<str>,
    /// None for SASL ANONYMOUS.
    pub account: Option<AccountRef>,
    /// Name of the mechanism, for audit.
    pub mechanism: &'static str,
    /// SASL's additional data with success.
    pub additional: Option<Vec<u8>>,
    pub profile: Profile,
    /// What the client gets to log in by the next time (XEP-0484).
    pub token: Option<FreshToken>,
    /// When the attempt began, on the monotonic clock: what changed since, it does not know.
    pub began_at_ms: u64,
}

impl Login {
    /// Of which generation the account was when this was proved.
    pub fn generation(&self) -> Generation {
        self.account.map(|it| it.generation).unwrap_or_default()
    }
}

/// Under which profile of SASL the client authenticated.
#[derive(Clone, Debug)]
pub enum Profile {
    /// RFC 6120 section 6: `<success/>`, then a stream restart.
    Sasl1,
    /// XEP-0388: `<success/>` says what became of the inline requests; no restart.
    Sasl2 {
        /// An error is what a `<resume/>` without its attributes is answered with.
        resume: Option<Result<ResumeWish, &'static str>>,
        bind: Option<BindWish>,
        /// XEP-0480: digests whose keys the client would give.
        upgrades: Vec<ScramHash>,
        /// XEP-0484.
        fast: Option<Box<Fast>>,
        /// Which of its user's clients it is, if it said so as section 2.2 asks ("a UUID v4").
        user_agent: Option<Uuid>,
    },
}

impl Profile {
    /// By what token the client authenticates, if by any.
    pub fn used_token(&self) -> Option<UsedToken> {
        self.fast()?.used
    }

    /// For what token it wishes.
    pub fn wished_token(&self) -> Option<TokenMechanism> {
        self.fast()?.request
    }

    /// For which digests it would give keys (XEP-0480).
    pub fn upgrades(&self) -> &[ScramHash] {
        match self {
            Profile::Sasl1 => &[],
            Profile::Sasl2 { upgrades, .. } => upgrades,
        }
    }

    fn fast(&self) -> Option<&Fast> {
        match self {
            Profile::Sasl1 => None,
            Profile::Sasl2 { fast, .. } => fast.as_deref(),
        }
    }

    /// The client installation, where it said which.
    pub fn user_agent(&self) -> Option<Uuid> {
        match self {
            Profile::Sasl1 => None,
            Profile::Sasl2 { user_agent, .. } => *user_agent,
        }
    }
}

/// What a client asks of fast authentication (XEP-0484).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// It authenticates by a token.
    pub used: Option<UsedToken>,
    /// It wishes for one of this mechanism.
    pub request: Option<TokenMechanism>,
}

/// How a client uses its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedToken {
    pub count: Option<u32>,
    pub invalidates: bool,
}

impl Fast {
    /// From the children of `<authenticate/>`; none where neither is there. A mechanism that is not known is no wish, and
    /// a count that is no positive number is 0, which is above none: "The value of this attribute MUST be a positive
    /// integer".
    pub fn read(fast: Option<Element<'_>>, request: Option<Element<'_>>) -> Option<Box<Fast>> {
        let used = fast.map(|fast| UsedToken {
            count: fast
                .attribute("count")
                .map(|count| count.parse().unwrap_or(0)),
            invalidates: matches!(fast.attribute("invalidate").as_deref(), Some("true" | "1")),
        });
        let request = request.and_then(|request| {
            let mechanism = request.attribute("mechanism")?;
            TokenMechanism::from_name(&mechanism)
        });
        (used.is_some() || request.is_some()).then(|| Box::new(Fast { used, request }))
    }
}

/// XEP-0386: Bind 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindWish {
    /// What the resource begins with.
    pub tag: Option<String>,
    pub carbons: bool,
    /// "If the client included a XEP-0352 <active/> or <inactive/> element, the session must begin in that state."
    pub inactive: bool,
    pub enable: Option<EnableWish>,
}

/// XEP-0352 section 4.2: what a client says about whoever may look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    Active,
    Inactive,
}

/// XEP-0198 section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnableWish {
    pub resume: bool,
    /// The client's preferred maximum in seconds.
    pub max_s: Option<u32>,
}

/// XEP-0198 section 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeWish {
    pub previd: String,
    pub h: u32,
}

impl BindWish {
    /// From `<bind xmlns='urn:xmpp:bind:0'/>`; what is not known is ignored, as XEP-0386 section 4 asks.
    pub fn read(bind: &Element<'_>) -> BindWish {
        BindWish {
            tag: bind
                .child(ns::BIND2, "tag")
                .map(|tag| tag.text().into_owned()),
            carbons: bind.child(ns::CARBONS, "enable").is_some(),
            inactive: bind.child(ns::CSI, "inactive").is_some(),
            enable: bind
                .child(ns::SM, "enable")
                .map(|enable| EnableWish::read(&enable)),
        }
    }
}

impl EnableWish {
    /// From `<enable xmlns='urn:xmpp:sm:3'/>`.
    pub fn read(enable: &Element<'_>) -> EnableWish {
        let resume = enable.attribute("resume");
        EnableWish {
            // An xs:boolean.
            resume: matches!(resume.as_deref(), Some("true" | "1")),
            max_s: enable.attribute("max").and_then(|max| max.parse().ok()),
        }
    }
}

impl ResumeWish {
    /// From the two attributes that `<resume/>` MUST have.
    ///
    /// # Errors
    /// The stanza error condition of the `<failed/>` that answers anything else (XEP-0198 section 6).
    pub fn read(previd: Option<&str>, h: Option<&str>) -> Result<ResumeWish, &'static str> {
        match (previd, h.and_then(|h| h.parse().ok())) {
            (Some(previd), Some(h)) => Ok(ResumeWish {
                previd: previd.to_owned(),
                h,
            }),
            _ => Err("bad-request"),
        }
    }
}
