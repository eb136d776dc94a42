//! What the tests of the audit share.

use std::fs;
use std::path::PathBuf;

/// A fresh directory of this name below the system's temporary one.
pub(super) fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("stonechat-audit-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("a temporary directory");
    path
}
