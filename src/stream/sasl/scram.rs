//! SCRAM's messages and proofs (RFC 5802 sections 3, 5 and 7), the server's half. Refuses to know where keys
//! come from; nothing here depends on whether an account exists.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::digest::{digest, digest_bytes, hmac};
use super::mechanism::{ChannelFacts, Mechanism, channel_bindings};
use super::{SaslFailure, encoding};
use crate::actor::auth::{AccountRef, ScramHash, ScramKeys};
use crate::base::Secret;

/// What an exchange has settled before the client's first message.
pub(super) struct Terms {
    pub hash: ScramHash,
    pub binding: Binding,
    /// The server's part of the nonce.
    pub nonce: String,
    /// XEP-0474's `h`; none only where a test replays an older transcript.
    pub lists_hash: Option<String>,
}

/// How the client's first message must speak of channel binding.
pub(super) enum Binding {
    /// A -PLUS mechanism: to one of these.
    Required(Vec<(&'static str, Secret)>),
    /// Not to be used, but it was on offer.
    Offered,
    /// Not to be used, and there was none.
    Absent,
}

impl Terms {
    /// The terms of `mechanism`, `offered` being exactly the list that the client was shown.
    pub(super) fn new(
        hash: ScramHash,
        mechanism: Mechanism,
        facts: &ChannelFacts,
        offered: &[Mechanism],
        nonce: String,
    ) -> Terms {
        let binding = if mechanism.binds_channel() {
            Binding::Required(facts.bindings())
        } else if offered.iter().any(|other| other.binds_channel()) {
            Binding::Offered
        } else {
            Binding::Absent
        };
        Terms {
            hash,
            binding,
            nonce,
            lists_hash: Some(lists_hash(hash, offered, facts)),
        }
    }
}

/// XEP-0474 section 6.1: the hash by which the client sees that nobody shortened the lists on their way.
pub(super) fn lists_hash(hash: ScramHash, offered: &[Mechanism], facts: &ChannelFacts) -> String {
    let mut mechanisms: Vec<_> = offered.iter().map(|mechanism| mechanism.name()).collect();
    // "All sorting operations MUST be performed using "i;octet" collation": the order of bytes.
    mechanisms.sort_unstable();
    let mut lists = mechanisms.join("\x1e");
    let mut types = channel_bindings(offered, facts);
    if !types.is_empty() {
        types.sort_unstable();
        lists.push('\x1f');
        lists.push_str(&types.join("\x1e"));
    }
    STANDARD.encode(digest(hash, lists.as_bytes()).expose())
}

/// client-first-message, taken apart.
pub(super) struct ClientFirst {
    /// What the final message's `c` must decode to: the header as sent, then the channel's data.
    binding_input: Secret,
    bare: String,
    nonce: String,
    pub username: String,
    pub authzid: Option<String>,
}

impl ClientFirst {
    /// Reads the message under `binding`.
    ///
    /// # Errors
    /// `MalformedRequest` if it breaks the grammar of section 7, `NotAuthorized` if it speaks of channel
    /// binding what it must not, or asks for an extension that we do not know.
    pub(super) fn parse(binding: &Binding, message: &[u8]) -> Result<ClientFirst, SaslFailure> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(MALFORMED)?;
        let (authzid, bare) = rest.split_once(',').ok_or(MALFORMED)?;
        let data = binding_data(binding, flag)?;
        let authzid = match authzid {
            "" => None,
            _ => Some(unescape(authzid.strip_prefix("a=").ok_or(MALFORMED)?)?),
        };
        // Section 5.1: the presence of `m` "MUST cause authentication failure".
        if bare.starts_with("m=") {
            return Err(SaslFailure::NotAuthorized);
        }
        let mut attributes = bare.split(',');
        let username = unescape(value_of("n=", attributes.next())?)?;
        let nonce = value_of("r=", attributes.next())?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MALFORMED);
        }
        check_extensions(attributes)?;

        let header = &message[..message.len() - bare.len()];
        let mut binding_input = header.as_bytes().to_vec();
        binding_input.extend_from_slice(data.map_or(&[], Secret::expose));
        Ok(ClientFirst {
            binding_input: Secret::new(binding_input),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
            username,
            authzid,
        })
    }
}

/// The data that the gs2-cbind-flag `flag` binds to, if it may be that flag.
fn binding_data<'a>(binding: &'a Binding, flag: &str) -> Result<Option<&'a Secret>, SaslFailure> {
    match (flag, binding) {
        ("n", Binding::Offered | Binding::Absent) | ("y", Binding::Absent) => Ok(None),
        // Section 6: "If the flag is set to "y" and the server supports channel binding, the server MUST fail
        // authentication": somebody cut -PLUS out of our list.
        ("y", Binding::Offered) => Err(SaslFailure::NotAuthorized),
        ("n" | "y", Binding::Required(_)) => Err(SaslFailure::NotAuthorized),
        _ => {
            let wanted = flag.strip_prefix("p=").ok_or(MALFORMED)?;
            let spelled = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            if wanted.is_empty() || !wanted.bytes().all(spelled) {
                return Err(MALFORMED);
            }
            let Binding::Required(available) = binding else {
                return Err(SaslFailure::NotAuthorized);
            };
            // Section 6: "If the channel binding flag was "p" and the server does not support the indicated
            // channel binding type, then the server MUST fail authentication."
            available
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, data)| Some(data))
                .ok_or(SaslFailure::NotAuthorized)
        }
    }
}

/// An exchange whose challenge is out: all that the final message is judged by.
pub(super) struct Challenged {
    keys: ScramKeys,
    account: Option<AccountRef>,
    binding_input: Secret,
    nonce: String,
    /// client-first-message-bare "," server-first-message.
    transcript: String,
}

impl Challenged {
    /// Answers `first` with server-first-message, from the keys of whom it named (or from fake ones, for
    /// which `account` is none).
    pub(super) fn new(
        terms: Terms,
        first: ClientFirst,
        keys: ScramKeys,
        account: Option<AccountRef>,
    ) -> (Challenged, Vec<u8>) {
        let nonce = first.nonce + &terms.nonce;
        let salt = STANDARD.encode(&keys.salt);
        let mut server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        if let Some(hash) = &terms.lists_hash {
            server_first.push_str(",h=");
            server_first.push_str(hash);
        }
        let challenged = Challenged {
            keys,
            account,
            binding_input: first.binding_input,
            nonce,
            transcript: first.bare + "," + &server_first,
        };
        (challenged, server_first.into_bytes())
    }

    /// Judges client-final-message: the account, and server-final-message for the client to judge us by.
    ///
    /// # Errors
    /// `MalformedRequest` if it breaks the grammar, `NotAuthorized` if anything in it is wrong; everything is
    /// computed before anything is decided, the same for an account and for none.
    pub(super) fn verify(self, message: &[u8]) -> Result<(AccountRef, Vec<u8>), SaslFailure> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let binding_input = base64(value_of("c=", attributes.next())?)?;
        let nonce = value_of("r=", attributes.next())?;
        check_extensions(attributes)?;
        let proof = base64(proof)?;
        if proof.len() != digest_bytes(self.keys.hash) {
            return Err(SaslFailure::NotAuthorized);
        }

        let hash = self.keys.hash;
        let auth_message = self.transcript + "," + without_proof;
        let signature = hmac(hash, self.keys.stored_key.expose(), auth_message.as_bytes());
        let client_key = proof.iter().zip(signature.expose()).map(|(a, b)| a ^ b);
        let client_key = Secret::new(client_key.collect());
        let stored_key = digest(hash, client_key.expose());
        // "The server MUST always validate the client's "c=" field"; "The server MUST verify that the nonce
        // sent by the client in the second message is the same as the one sent by the server".
        let proved = stored_key.expose().ct_eq(self.keys.stored_key.expose())
            & binding_input.ct_eq(self.binding_input.expose())
            & nonce.as_bytes().ct_eq(self.nonce.as_bytes());
        let verifier = hmac(hash, self.keys.server_key.expose(), auth_message.as_bytes());
        match self.account {
            Some(account) if bool::from(proved) => {
                let verifier = STANDARD.encode(verifier.expose());
                Ok((account, format!("v={verifier}").into_bytes()))
            }
            _ => Err(SaslFailure::NotAuthorized),
        }
    }
}

/// A message of section 7 as text: UTF-8 without NUL.
fn text(message: &[u8]) -> Result<&str, SaslFailure> {
    let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
    if text.contains('\0') {
        return Err(MALFORMED);
    }
    Ok(text)
}

/// The value of the attribute that must stand at this place. `name` includes the equals sign.
fn value_of<'a>(name: &str, attribute: Option<&'a str>) -> Result<&'a str, SaslFailure> {
    attribute
        .and_then(|attribute| attribute.strip_prefix(name))
        .ok_or(MALFORMED)
}

/// `extensions` of section 7: unknown ones "MUST be ignored", but not a second copy of what we know.
fn check_extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslFailure> {
    for attribute in attributes {
        match attribute.as_bytes() {
            [b'm', b'=', ..] => return Err(SaslFailure::NotAuthorized),
            [b'a' | b'c' | b'n' | b'p' | b'r', b'=', ..] => return Err(MALFORMED),
            [name, b'=', _, ..] if name.is_ascii_alphabetic() => {}
            _ => return Err(MALFORMED),
        }
    }
    Ok(())
}

fn base64(text: &str) -> Result<Vec<u8>, SaslFailure> {
    encoding::decode(text.as_bytes()).ok_or(MALFORMED)
}

/// A saslname. Section 5.1: "If the server receives a username that contains '=' not followed by either
/// '2C' or '3D', then the server MUST fail the authentication."
fn unescape(name: &str) -> Result<String, SaslFailure> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            plain.push(',');
            plain.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("3D") {
            plain.push('=');
            plain.push_str(rest);
        } else {
            return Err(MALFORMED);
        }
    }
    if plain.is_empty() {
        return Err(MALFORMED);
    }
    Ok(plain)
}

/// Keys that fit `asked`: whatever else a back end answers is an error of its own.
pub(super) fn keys_fit(asked: ScramHash, keys: &ScramKeys) -> bool {
    keys.hash == asked
        && keys.iterations > 0
        && !keys.salt.is_empty()
        && keys.stored_key.expose().len() == digest_bytes(asked)
        && keys.server_key.expose().len() == digest_bytes(asked)
}

pub(super) const MALFORMED: SaslFailure = SaslFailure::MalformedRequest;
