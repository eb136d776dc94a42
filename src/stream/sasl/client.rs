//! A SCRAM client, just large enough to test the server with. Refuses to be used outside tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::digest::{digest, digest_bytes, hmac};
use crate::actor::auth::{AccountRef, ScramHash, ScramKeys};
use crate::base::{AccountId, Generation, Secret};

/// SaltedPassword of RFC 5802 section 3.
pub(super) fn salted(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut out = vec![0; digest_bytes(hash)];
    match hash {
        ScramHash::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut out),
        ScramHash::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut out),
        ScramHash::Sha512 => pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut out),
    }
    .expect("HMAC takes a key of any length");
    out
}

/// What a server would have stored.
pub(super) fn keys(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
    let salted = salted(hash, password.as_bytes(), salt, iterations);
    let client_key = hmac(hash, &salted, b"Client Key");
    ScramKeys {
        hash,
        iterations,
        salt: salt.to_vec(),
        stored_key: digest(hash, client_key.expose()),
        server_key: hmac(hash, &salted, b"Server Key"),
    }
}

/// An account as the auth thread names it.
pub(super) fn account(id: u64) -> AccountRef {
    AccountRef {
        id: AccountId(id),
        generation: Generation(0),
    }
}

/// One attempt of the client.
pub(super) struct Client {
    pub hash: ScramHash,
    /// With both commas.
    pub header: &'static str,
    pub binding_data: &'static [u8],
    pub bare: String,
    pub password: &'static str,
    /// Goes between nonce and proof, with its comma.
    pub extension: &'static str,
    /// Sent, and proved, in place of the nonce that the server sent.
    pub forged_nonce: Option<&'static str>,
}

impl Client {
    pub(super) fn new(hash: ScramHash, header: &'static str, username: &str) -> Client {
        Client {
            hash,
            header,
            binding_data: b"",
            bare: format!("n={username},r=clientnonce"),
            password: "pencil",
            extension: "",
            forged_nonce: None,
        }
    }

    pub(super) fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.bare).into_bytes()
    }

    /// client-final-message, and the server-final-message that will be believed.
    pub(super) fn last(&self, server_first: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let server_first = std::str::from_utf8(server_first).expect("the server speaks UTF-8");
        let (nonce, salt, iterations) = challenge_parts(server_first);
        let nonce = self.forged_nonce.unwrap_or(nonce);
        let salted = salted(self.hash, self.password.as_bytes(), &salt, iterations);
        let binding = [self.header.as_bytes(), self.binding_data].concat();
        let without_proof = format!("c={},r={nonce}{}", STANDARD.encode(binding), self.extension);
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = hmac(self.hash, &salted, b"Client Key");
        let stored_key = digest(self.hash, client_key.expose());
        let signature = hmac(self.hash, stored_key.expose(), auth_message.as_bytes());
        let proof: Vec<u8> = client_key
            .expose()
            .iter()
            .zip(signature.expose())
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = hmac(self.hash, &salted, b"Server Key");
        let verifier = hmac(self.hash, server_key.expose(), auth_message.as_bytes());
        (
            format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(),
            format!("v={}", STANDARD.encode(verifier.expose())).into_bytes(),
        )
    }
}

/// Nonce, salt and iteration count of a server-first-message.
pub(super) fn challenge_parts(server_first: &str) -> (&str, Vec<u8>, u32) {
    let mut attributes = server_first.split(',');
    let mut next = |name: &str| {
        attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix(name))
            .expect("the server keeps the order of section 7")
    };
    let nonce = next("r=");
    let salt = STANDARD.decode(next("s=")).expect("the salt is base64");
    (nonce, salt, next("i=").parse().expect("a number"))
}

/// A channel with both kinds of binding data.
pub(super) fn secured() -> super::ChannelFacts {
    super::ChannelFacts {
        secured: true,
        tls_exporter: Some(Secret::new(b"exported key material".to_vec())),
        tls_server_end_point: Some(b"digest of the certificate".to_vec()),
        certificate_addresses: Vec::new(),
        certificate_subject: None,
    }
}
