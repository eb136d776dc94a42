//! The data directory and the secrets that are made with it. Refuses to know what the secrets are for.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::actor::auth::ScramHash;
use crate::base::{HashSeed, Rng, Secret};
use crate::stream::sasl::digest::hmac;

/// What outlives restarts: made once, never shown.
pub struct Secrets {
    /// Keys the partition hash, so that nobody can choose names that load one worker.
    pub partitions: HashSeed,
    /// Seals the ids of archived messages (XEP-0359).
    pub ids: [u8; 16],
    /// Makes the answers about accounts that do not exist stable (`auth/`).
    pub fakes: Secret,
}

/// Makes the directory with mode 0700 if there is none.
///
/// # Errors
/// The system's, with the path.
pub fn make_directory(path: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| format!("data directory {}: {error}", path.display()))
}

/// Reads the secrets of a data directory; makes them first (mode 0600) if there are none.
///
/// # Errors
/// The system's, with the path; a file that is too short, because answers that changed with it would tell
/// an attacker which accounts exist.
pub fn secrets(data: &Path) -> Result<Secrets, String> {
    let path = data.join(SECRET);
    let named = |error: io::Error| format!("{}: {error}", path.display());
    if !path.exists() {
        make_secrets(&path).map_err(named)?;
    }
    read_secrets(data)?.ok_or_else(|| format!("{}: is gone again", path.display()))
}

/// Reads the secrets of a data directory; none if it has none yet.
///
/// # Errors
/// See [`secrets`].
pub fn read_secrets(data: &Path) -> Result<Option<Secrets>, String> {
    let path = data.join(SECRET);
    let bytes = match fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    if bytes.len() != SECRET_BYTES {
        return Err(format!(
            "{}: is not the {SECRET_BYTES} bytes it was",
            path.display()
        ));
    }
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let digest = hmac(ScramHash::Sha256, &bytes[16..], b"archive ids\0");
    let ids = digest.expose().first_chunk();
    Ok(Some(Secrets {
        partitions: HashSeed(number(0), number(8)),
        ids: *ids.expect("a digest has 32 bytes"),
        fakes: Secret::new(bytes[16..].to_vec()),
    }))
}

fn make_secrets(path: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    // Written beside and renamed, so that a crash leaves no half a secret.
    let draft = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&*bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// A generator with a fresh seed of the operating system.
///
/// # Errors
/// The system has no randomness to give.
pub fn fresh_rng() -> Result<Rng, String> {
    let mut seed = Zeroizing::new([0; 32]);
    let filled = getrandom::fill(&mut *seed);
    filled.map_err(|error| format!("no randomness from the system: {error}"))?;
    Ok(Rng::from_seed(*seed))
}

const SECRET: &str = "secret";
/// 16 for the partitions, 32 for the fakes.
const SECRET_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_readable_by_their_owner_only() {
        let data = std::env::temp_dir().join(format!("stonechat-data-{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        make_directory(&data).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let first = secrets(&data).unwrap();
        let second = secrets(&data).unwrap();
        assert_eq!(first.fakes, second.fakes);
        assert_eq!(
            first.partitions.hash_str("juliet"),
            second.partitions.hash_str("juliet")
        );
        assert_eq!((mode(&data), mode(&data.join("secret"))), (0o700, 0o600));
        fs::write(data.join("secret"), b"cut").unwrap();
        assert!(secrets(&data).is_err());
        fs::remove_dir_all(&data).unwrap();
    }
}
