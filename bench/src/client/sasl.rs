//! The client's side of PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677), without channel binding. It
//! refuses to know XML: it takes and gives messages as they are before base64 wraps them.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// How a session proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    #[value(name = "plain")]
    Plain,
    #[value(name = "scram-sha-1")]
    #[serde(rename = "scram-sha-1")]
    ScramSha1,
    #[value(name = "scram-sha-256")]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// A token of XEP-0484, over SASL2 and Bind 2 in one round trip. The first login of each user fetches it, with
    /// SCRAM-SHA-256.
    #[value(name = "fast")]
    Fast,
}

impl Mechanism {
    /// Its name in the registry of SASL mechanisms.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Fast => "HT-SHA-256-NONE",
        }
    }
}

/// The keys of RFC 5802 section 3, derived once per password, salt and count: a derivation costs
/// the driver half a millisecond.
#[derive(Clone)]
pub struct Keys {
    pub client: Vec<u8>,
    pub stored: Vec<u8>,
    pub server: Vec<u8>,
}

impl Keys {
    pub fn derive(mechanism: Mechanism, password: &str, salt: &[u8], iterations: u32) -> Self {
        match mechanism {
            Mechanism::ScramSha256 | Mechanism::Fast => {
                Self::with::<Sha256>(32, password, salt, iterations)
            }
            Mechanism::ScramSha1 | Mechanism::Plain => {
                Self::with::<Sha1>(20, password, salt, iterations)
            }
        }
    }

    fn with<H: Digest + EagerHash>(
        length: usize,
        password: &str,
        salt: &[u8],
        rounds: u32,
    ) -> Self {
        let mut salted = vec![0; length];
        pbkdf2_hmac::<H>(password.as_bytes(), salt, rounds, &mut salted);
        let client = hmac::<H>(&salted, b"Client Key");
        let stored = H::digest(&client).to_vec();
        Self {
            stored,
            server: hmac::<H>(&salted, b"Server Key"),
            client,
        }
    }
}

fn hmac<H: EagerHash>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<H>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// Keys already derived, for all sessions of a run.
#[derive(Default)]
pub struct KeyCache {
    keys: HashMap<(Mechanism, String, Vec<u8>, u32), Keys>,
}

impl KeyCache {
    fn of(&mut self, mechanism: Mechanism, password: &str, salt: &[u8], iterations: u32) -> Keys {
        let key = (mechanism, password.to_owned(), salt.to_owned(), iterations);
        let derive = || Keys::derive(mechanism, password, salt, iterations);
        self.keys.entry(key).or_insert_with(derive).clone()
    }
}

/// One authentication under way.
pub struct Exchange {
    mechanism: Mechanism,
    first_bare: String,
    expected_signature: Vec<u8>,
}

impl Exchange {
    /// Begins, and gives the initial response.
    pub fn begin(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> (Self, Vec<u8>) {
        // RFC 5802 section 5.1.
        let name = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={name},r={nonce}");
        let initial = match mechanism {
            Mechanism::Plain => format!("\0{user}\0{password}"),
            _ => format!("n,,{first_bare}"),
        };
        (
            Self {
                mechanism,
                first_bare,
                expected_signature: Vec::new(),
            },
            initial.into_bytes(),
        )
    }

    /// Answers the server's challenge.
    pub fn respond(
        &mut self,
        challenge: &str,
        password: &str,
        cache: &mut KeyCache,
    ) -> Result<String> {
        ensure!(self.mechanism != Mechanism::Plain, "PLAIN has no challenge");
        let field = |name| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name))
        };
        let nonce = field("r=").context("no nonce in the challenge")?;
        let salt = from_base64(field("s=").context("no salt in the challenge")?)?;
        let iterations = field("i=").context("no iteration count")?.parse()?;
        let keys = cache.of(self.mechanism, password, &salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{challenge},{without_proof}", self.first_bare);
        let sign = match self.mechanism {
            Mechanism::ScramSha256 | Mechanism::Fast => hmac::<Sha256>,
            Mechanism::ScramSha1 | Mechanism::Plain => hmac::<Sha1>,
        };
        self.expected_signature = sign(&keys.server, auth_message.as_bytes());
        let mut proof = sign(&keys.stored, auth_message.as_bytes());
        proof
            .iter_mut()
            .zip(&keys.client)
            .for_each(|(p, k)| *p ^= k);
        Ok(format!("{without_proof},p={}", base64(&proof)))
    }

    /// Checks the server's last message, so that a server that skips its part fails the run.
    pub fn verify(&self, last: &str) -> Result<()> {
        if self.mechanism == Mechanism::Plain {
            return Ok(());
        }
        let signature = last.split(',').find_map(|part| part.strip_prefix("v="));
        if from_base64(signature.context("no signature of the server")?)? != self.expected_signature
        {
            bail!("the server's signature is wrong");
        }
        Ok(())
    }
}

/// What who holds a token says, and what the server answers (draft-schmaus-kitten-sasl-ht-09), not bound to the channel.
pub fn token_messages(user: &str, token: &str) -> (Vec<u8>, Vec<u8>) {
    let mut initial = user.as_bytes().to_vec();
    initial.push(0);
    initial.extend(hmac::<Sha256>(token.as_bytes(), b"Initiator"));
    (initial, hmac::<Sha256>(token.as_bytes(), b"Responder"))
}

/// As SASL sends its messages.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The reverse of `base64`.
pub fn from_base64(text: &str) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(mechanism: Mechanism, nonce: &str, challenge: &str, response: &str, last: &str) {
        let mut cache = KeyCache::default();
        let (mut exchange, initial) = Exchange::begin(mechanism, "user", "pencil", nonce);
        assert_eq!(initial, format!("n,,n=user,r={nonce}").into_bytes());
        let answer = exchange.respond(challenge, "pencil", &mut cache);
        assert_eq!(answer.expect("a good challenge"), response);
        exchange.verify(last).expect("the right signature");
        assert!(exchange.verify("v=AAAA").is_err());
        assert!(exchange.verify("e=other-error").is_err());
    }

    #[test]
    fn scram_sha_1_gives_the_example_of_rfc_5802_section_5() {
        example(
            Mechanism::ScramSha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        );
    }

    #[test]
    fn scram_sha_256_gives_the_example_of_rfc_7677_section_3() {
        example(
            Mechanism::ScramSha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        );
    }

    /// RFC 5802 section 5.1: "The characters ',' or '=' in usernames are sent as '=2C' and '=3D' respectively."
    #[test]
    fn a_name_is_one_field_whatever_stands_in_it() {
        let (_, initial) = Exchange::begin(Mechanism::ScramSha1, "a,b=c", "p", "n");
        assert_eq!(initial, b"n,,n=a=2Cb=3Dc,r=n");
        let (_, initial) = Exchange::begin(Mechanism::Plain, "a,b=c", "p", "n");
        assert_eq!(initial, b"\0a,b=c\0p");
    }

    #[test]
    fn a_challenge_without_its_parts_is_refused() {
        let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha1, "u", "p", "n");
        for challenge in ["", "r=n1", "r=n1,s=QUJD", "r=n1,s=QUJD,i=x", "r=n1,s=!,i=1"] {
            let mut cache = KeyCache::default();
            assert!(exchange.respond(challenge, "p", &mut cache).is_err());
        }
    }
}
