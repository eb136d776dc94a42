//! SCRAM keys as a directory stores them (RFC 5803). Refuses what is not exactly that: section 3, "Servers MUST
//! validate the format of the authPassword attribute before using it".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::actor::auth::{ScramHash, ScramKeys};
use crate::base::{Secret, limits};

/// `scheme "$" authInfo "$" authValue` (RFC 3112 section 3), where the scheme is the mechanism's name, authInfo
/// `iter-count ":" salt` and authValue `stored-key ":" server-key`. None for any other scheme, and for what is broken.
pub fn parse(value: &str) -> Option<ScramKeys> {
    let mut parts = value.split('$').map(str::trim);
    let (scheme, info, keys) = (parts.next()?, parts.next()?, parts.next()?);
    let (hash, digest_bytes) = match scheme {
        "SCRAM-SHA-1" => (ScramHash::Sha1, 20),
        "SCRAM-SHA-256" => (ScramHash::Sha256, 32),
        "SCRAM-SHA-512" => (ScramHash::Sha512, 64),
        _ => return None,
    };
    let (iterations, salt) = info.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    // "iter-count = %x31-39 *DIGIT ; A positive number without leading zeros."
    let counts = iterations.starts_with(|c: char| ('1'..='9').contains(&c));
    let iterations: u32 = iterations.parse().ok().filter(|_| counts)?;
    let salt = STANDARD.decode(salt).ok()?;
    let keys = ScramKeys {
        hash,
        iterations,
        salt,
        stored_key: Secret::new(STANDARD.decode(stored_key).ok()?),
        server_key: Secret::new(STANDARD.decode(server_key).ok()?),
    };
    let fits = parts.next().is_none()
        && keys.iterations <= limits::DIRECTORY_ITERATIONS_MAX
        && !keys.salt.is_empty()
        && keys.salt.len() <= usize::from(u8::MAX)
        && keys.stored_key.expose().len() == digest_bytes
        && keys.server_key.expose().len() == digest_bytes;
    fits.then_some(keys)
}

/// Keys as [`parse`] reads them. The base64 of secrets is one, too.
pub fn written(keys: &ScramKeys) -> Secret {
    let scheme = match keys.hash {
        ScramHash::Sha1 => "SCRAM-SHA-1",
        ScramHash::Sha256 => "SCRAM-SHA-256",
        ScramHash::Sha512 => "SCRAM-SHA-512",
    };
    let stored_key = Zeroizing::new(STANDARD.encode(keys.stored_key.expose()));
    let server_key = Zeroizing::new(STANDARD.encode(keys.server_key.expose()));
    let (iterations, salt) = (keys.iterations, STANDARD.encode(&keys.salt));
    let text = format!(
        "{scheme}${iterations}:{salt}${}:{}",
        *stored_key, *server_key
    );
    Secret::new(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(scheme: &str, iterations: &str, bytes: usize) -> String {
        let salt = STANDARD.encode([7; 16]);
        let key = STANDARD.encode(vec![9; bytes]);
        format!("{scheme}${iterations}:{salt}${key}:{key}")
    }

    #[test]
    fn keys_of_every_digest_are_read() {
        for (scheme, hash, bytes) in [
            ("SCRAM-SHA-1", ScramHash::Sha1, 20),
            ("SCRAM-SHA-256", ScramHash::Sha256, 32),
            ("SCRAM-SHA-512", ScramHash::Sha512, 64),
        ] {
            let keys = parse(&value(scheme, "4096", bytes)).expect("valid");
            assert_eq!(
                (keys.hash, keys.iterations, &keys.salt),
                (hash, 4096, &vec![7; 16])
            );
            assert_eq!(keys.server_key, Secret::new(vec![9; bytes]));
            let text = value(scheme, "4096", bytes);
            assert_eq!(written(&keys).expose(), text.as_bytes());
        }
    }

    #[test]
    fn what_is_not_exactly_that_is_nothing() {
        for wrong in [
            String::new(),
            "SCRAM-SHA-256".to_owned(),
            value("MD5", "4096", 32),
            value("SCRAM-SHA-256", "0", 32),
            value("SCRAM-SHA-256", "04096", 32),
            value("SCRAM-SHA-256", "+4096", 32),
            value("SCRAM-SHA-256", "1000001", 32),
            value("SCRAM-SHA-256", "99999999999", 32),
            value("SCRAM-SHA-256", "4096", 20),
            format!("{}$x", value("SCRAM-SHA-256", "4096", 32)),
            "SCRAM-SHA-256$4096:!$!:!".to_owned(),
            "SCRAM-SHA-256$4096:$AAAA:AAAA".to_owned(),
        ] {
            assert!(parse(&wrong).is_none(), "{wrong}");
        }
    }
}
