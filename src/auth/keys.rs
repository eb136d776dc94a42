//! From passwords to the keys that are stored in their place (RFC 5802 section 3, XEP-0438). Refuses to know
//! accounts. Each derivation costs about a millisecond: never call this on a worker.

use std::borrow::Cow;

use hmac::Hmac;
use pbkdf2::pbkdf2;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::actor::auth::{ScramHash, ScramKeys};
use crate::base::{Secret, limits};
use crate::stream::sasl::digest::{digest, digest_bytes, hmac};

/// The digests for which keys are kept, the one that PLAIN is checked against first.
pub const HASHES: [ScramHash; 3] = [ScramHash::Sha256, ScramHash::Sha512, ScramHash::Sha1];

/// A password as it is derived from. RFC 5802 section 2.2: "Normalize(str): Apply the SASLprep profile (RFC 4013)", which
/// clients do, too. A password that SASLprep forbids because Unicode 3.2 did not know a character of it, or for the order
/// of right-to-left ones, is taken as OpaqueString (RFC 8265 section 4): a client that can send it at all sends it much
/// like that. None if it is empty, too long, or forbidden by both.
pub fn prepare_password(password: &Secret) -> Option<Secret> {
    let bytes = password.expose();
    if bytes.len() > limits::PASSWORD_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let prepared = stringprep::saslprep(text).ok();
    let prepared = prepared.or_else(|| OpaqueString::enforce(text).ok())?;
    let fits = !prepared.is_empty() && prepared.len() <= limits::PASSWORD_BYTES_MAX;
    fits.then(|| {
        Secret::new(match prepared {
            Cow::Borrowed(same) => same.as_bytes().to_vec(),
            Cow::Owned(mapped) => mapped.into_bytes(),
        })
    })
}

/// What is stored for a prepared password. `iterations` is at least 1.
pub fn derive(hash: ScramHash, password: &Secret, salt: &[u8], iterations: u32) -> ScramKeys {
    let salted = salted_password(hash, password, salt, iterations);
    let client_key = hmac(hash, salted.expose(), b"Client Key");
    ScramKeys {
        hash,
        iterations,
        salt: salt.to_vec(),
        stored_key: digest(hash, client_key.expose()),
        server_key: hmac(hash, salted.expose(), b"Server Key"),
    }
}

/// Whether a prepared password is the one that `keys` were made from. One derivation, and a comparison in
/// constant time (XEP-0438 section 6.3).
pub fn matches(keys: &ScramKeys, password: &Secret) -> bool {
    let derived = derive(keys.hash, password, &keys.salt, keys.iterations);
    let same = derived.stored_key.expose().ct_eq(keys.stored_key.expose());
    bool::from(same)
}

fn salted_password(hash: ScramHash, password: &Secret, salt: &[u8], iterations: u32) -> Secret {
    let password = password.expose();
    let mut out = vec![0; digest_bytes(hash)];
    match hash {
        ScramHash::Sha1 => pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut out),
        ScramHash::Sha256 => pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut out),
        ScramHash::Sha512 => pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut out),
    }
    .expect("HMAC takes a key of any length");
    Secret::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn the_keys_of_rfc_7677_verify_its_password() {
        use base64::Engine;
        let decode = |text| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap()
        };
        let keys = derive(
            ScramHash::Sha256,
            &secret("pencil"),
            &decode("W22ZaJ0SNY7soEsUEjb6gQ=="),
            4096,
        );
        // The example's server signature can only be made with the right server key.
        let transcript = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(
            ScramHash::Sha256,
            keys.server_key.expose(),
            transcript.as_bytes(),
        );
        assert_eq!(
            signature.expose(),
            decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
        assert!(matches(&keys, &secret("pencil")));
        assert!(!matches(&keys, &secret("Pencil")));
    }

    #[test]
    fn passwords_are_prepared_by_saslprep_and_never_empty() {
        assert_eq!(prepare_password(&secret("")), None);
        assert_eq!(prepare_password(&secret("pen\0cil")), None);
        assert_eq!(prepare_password(&Secret::new(vec![0xff, 0xfe])), None);
        assert_eq!(
            prepare_password(&secret(&"x".repeat(limits::PASSWORD_BYTES_MAX + 1))),
            None
        );
        // RFC 4013 section 3, the examples.
        assert_eq!(prepare_password(&secret("I\u{ad}X")), Some(secret("IX")));
        assert_eq!(prepare_password(&secret("USER")), Some(secret("USER")));
        assert_eq!(prepare_password(&secret("\u{aa}")), Some(secret("a")));
        assert_eq!(prepare_password(&secret("\u{2168}")), Some(secret("IX")));
        assert_eq!(prepare_password(&secret("\u{7}")), None);
        assert_eq!(prepare_password(&secret("\u{ad}")), None, "nothing is left");
        // What Unicode 3.2 did not know, and an Arabic word with a digit behind it (RFC 3454 section 6, rule 3).
        for text in ["pencil \u{1f600}", "\u{627}1"] {
            assert_eq!(prepare_password(&secret(text)), Some(secret(text)));
        }
        // RFC 4013 section 2.1: non-ASCII spaces become U+0020, and 2.2: normalisation is NFKC.
        assert_eq!(prepare_password(&secret("a\u{a0}b")), Some(secret("a b")));
        assert_eq!(
            prepare_password(&secret("e\u{301}")),
            Some(secret("\u{e9}"))
        );
        assert_eq!(
            prepare_password(&secret(" Pencil ")),
            Some(secret(" Pencil "))
        );
    }
}
