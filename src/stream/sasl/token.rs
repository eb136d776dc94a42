//! The HT-SHA-256 family: draft-schmaus-kitten-sasl-ht-09, as XEP-0484 names it. One message, one answer. Refuses to
//! know where tokens come from.

use super::SaslFailure;
use super::digest::hmac;
use super::mechanism::ChannelFacts;
use crate::actor::auth::{ScramHash, TokenMechanism};
use crate::base::Secret;

/// The mechanisms that this channel carries, best first. XEP-0484 section 3.1: "There SHOULD be at least one mechanism
/// capable of channel binding, and there SHOULD be at least one mechanism without channel binding."
pub fn offered(facts: &ChannelFacts, unbound: Unbound) -> Vec<TokenMechanism> {
    let carried = |mechanism: &TokenMechanism| match mechanism {
        TokenMechanism::Unbound => facts.secured && unbound == Unbound::Offered,
        _ => binding(*mechanism, facts).is_some(),
    };
    TokenMechanism::ALL.into_iter().filter(carried).collect()
}

/// Whether tokens are offered that are not bound to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    Offered,
    Refused,
}

/// The channel binding data of a mechanism; none where the channel has no such thing.
pub(super) fn binding(mechanism: TokenMechanism, facts: &ChannelFacts) -> Option<Secret> {
    let of = |name| {
        let mut bindings = facts.bindings().into_iter();
        bindings.find(|(known, _)| *known == name)
    };
    match mechanism {
        TokenMechanism::Exporter => of("tls-exporter").map(|(_, data)| data),
        TokenMechanism::EndPoint => of("tls-server-end-point").map(|(_, data)| data),
        // "cb-data ... is an empty string" without a channel binding.
        TokenMechanism::Unbound => facts.secured.then(|| Secret::new(Vec::new())),
    }
}

/// initiator-hashed-token := HMAC(token, "Initiator" || cb-data).
pub fn initiator(token: &Secret, binding: &Secret) -> Secret {
    mac(token, b"Initiator", binding)
}

/// responder-msg := HMAC(token, "Responder" || cb-data).
pub fn responder(token: &Secret, binding: &Secret) -> Secret {
    mac(token, b"Responder", binding)
}

fn mac(token: &Secret, who: &[u8], binding: &Secret) -> Secret {
    let text = [who, binding.expose()].concat();
    hmac(ScramHash::Sha256, token.expose(), &text)
}

/// initiator-message = authcid NUL initiator-hashed-token.
pub(super) struct InitiatorMessage<'a> {
    pub authcid: &'a str,
    pub proof: &'a [u8],
}

impl InitiatorMessage<'_> {
    pub fn parse(data: &[u8]) -> Result<InitiatorMessage<'_>, SaslFailure> {
        let at = data.iter().position(|byte| *byte == 0);
        let (authcid, rest) = data.split_at(at.ok_or(SaslFailure::MalformedRequest)?);
        let authcid = std::str::from_utf8(authcid).map_err(|_| SaslFailure::MalformedRequest)?;
        let proof = &rest[1..];
        // A digest may hold a zero byte: the first one is the separator.
        match !authcid.is_empty() && proof.len() == DIGEST_BYTES {
            true => Ok(InitiatorMessage { authcid, proof }),
            false => Err(SaslFailure::MalformedRequest),
        }
    }
}

/// Of SHA-256.
const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::client::secured;
    use super::*;

    #[test]
    fn a_message_is_a_name_and_a_digest() {
        let message = [&b"juliet\0"[..], &[0; 32]].concat();
        let parsed = InitiatorMessage::parse(&message).unwrap();
        assert_eq!((parsed.authcid, parsed.proof), ("juliet", &[0; 32][..]));
        for wrong in [
            &b""[..],
            b"juliet",
            b"\0",
            b"juliet\0short",
            &[&b"\0"[..], &[1; 32]].concat(),
            &[&b"juliet\0"[..], &[1; 33]].concat(),
            &[&b"\xff\0"[..], &[1; 32]].concat(),
        ] {
            assert!(InitiatorMessage::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_the_channel_cannot_bind_is_not_offered() {
        use TokenMechanism::{EndPoint, Exporter, Unbound as None};
        assert_eq!(
            offered(&secured(), Unbound::Offered),
            [Exporter, EndPoint, None]
        );
        assert_eq!(offered(&secured(), Unbound::Refused), [Exporter, EndPoint]);
        let bare = ChannelFacts {
            secured: true,
            ..ChannelFacts::default()
        };
        assert_eq!(offered(&bare, Unbound::Offered), [None]);
        assert!(offered(&ChannelFacts::default(), Unbound::Offered).is_empty());
    }

    #[test]
    fn each_side_and_each_channel_has_its_own_digest() {
        let (token, binding) = (Secret::new(b"token".to_vec()), Secret::new(b"cb".to_vec()));
        let none = Secret::new(Vec::new());
        let digests = [
            initiator(&token, &binding),
            responder(&token, &binding),
            initiator(&token, &none),
            responder(&token, &none),
        ];
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest));
        }
        // HMAC-SHA-256("token", "Initiator"), by another implementation.
        assert_eq!(initiator(&token, &none).expose()[..4], EXPECTED);
    }

    const EXPECTED: [u8; 4] = [210, 77, 149, 72];
}
