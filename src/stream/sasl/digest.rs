//! The digests under SCRAM, picked by value. Refuses to derive keys from passwords: that takes
//! milliseconds and belongs to the auth thread.

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

use crate::actor::auth::ScramHash;
use crate::base::Secret;

/// Length of the digest, 20, 32 or 64 bytes.
pub fn digest_bytes(hash: ScramHash) -> usize {
    match hash {
        ScramHash::Sha1 => 20,
        ScramHash::Sha256 => 32,
        ScramHash::Sha512 => 64,
    }
}

/// H of RFC 5802 section 2.2.
pub fn digest(hash: ScramHash, data: &[u8]) -> Secret {
    Secret::new(match hash {
        ScramHash::Sha1 => Sha1::digest(data).to_vec(),
        ScramHash::Sha256 => Sha256::digest(data).to_vec(),
        ScramHash::Sha512 => Sha512::digest(data).to_vec(),
    })
}

/// HMAC of RFC 5802 section 2.2.
pub fn hmac(hash: ScramHash, key: &[u8], data: &[u8]) -> Secret {
    const ANY_LENGTH: &str = "HMAC takes a key of any length";
    Secret::new(match hash {
        ScramHash::Sha1 => {
            let mut mac = Hmac::<Sha1>::new_from_slice(key).expect(ANY_LENGTH);
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        ScramHash::Sha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_LENGTH);
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        ScramHash::Sha512 => {
            let mut mac = Hmac::<Sha512>::new_from_slice(key).expect(ANY_LENGTH);
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
    })
}
