//! The data directory and what in it the server cannot start without, and the audit file. Refuses to make any of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Finding, error, fine, warning};
use crate::config::Config;
use crate::server::data::read_secrets;

/// Whether the server could work in it.
pub fn check_data(data: &Path) -> Vec<Finding> {
    let shown = data.display();
    let metadata = match fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(found) if found.kind() == io::ErrorKind::NotFound => {
            return vec![fine(format!(
                "data directory {shown}: will be made at the first start"
            ))];
        }
        Err(found) => {
            return vec![error(
                format!("data directory {shown}: {found}"),
                "let this user read and write it".to_owned(),
            )];
        }
    };
    if !metadata.is_dir() {
        let mend = "give another --data".to_owned();
        return vec![error(
            format!("data directory {shown}: is no directory"),
            mend,
        )];
    }
    let mut findings = Vec::new();
    if let Err(found) = probe(data) {
        findings.push(error(
            format!("data directory {shown}: cannot be written: {found}"),
            format!(
                "chown {shown} to the user that runs the server, and see that the disk has room"
            ),
        ));
    } else if metadata.permissions().mode() & 0o077 != 0 {
        findings.push(warning(
            format!("data directory {shown}: others may look into it"),
            format!("chmod 700 {shown}"),
        ));
    } else {
        findings.push(fine(format!(
            "data directory {shown}: private and writable"
        )));
    }
    if let Err(message) = read_secrets(data) {
        findings.push(error(
            message,
            "put the file of your last copy back; or remove it, and the next start makes another one: then the \
             answers about accounts that do not exist change, by which somebody who noted them can tell which do"
                .to_owned(),
        ));
    }
    findings
}

/// Whether a file that holds a secret of the directory of a host hides it.
pub fn check_secret(host: &str, file: &Path) -> Option<Finding> {
    // Whoever cannot read it at all has said so.
    let metadata = fs::metadata(file).ok()?;
    let shown = file.display();
    (metadata.permissions().mode() & 0o007 != 0).then(|| {
        warning(
            format!("directory of {host}: {shown}: everybody may look into it"),
            format!("chmod o= {shown}"),
        )
    })
}

/// Whether the audit file can be written, if there shall be one.
pub fn check_audit(config: &Config, data: &Path) -> Option<Finding> {
    if config.audit.file.is_empty() {
        return None;
    }
    let path = data.join(&config.audit.file);
    // The one directory that the server makes.
    if path.parent() == Some(data) && !data.exists() {
        return None;
    }
    let place = |message: String| config.places().error("audit.file", message).to_string();
    let shown = path.display();
    let found = match fs::symlink_metadata(&path) {
        Ok(_) => fs::OpenOptions::new().append(true).open(&path).map(drop),
        Err(found) if found.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("."));
            if !directory.is_dir() {
                let directory = directory.display();
                return Some(error(
                    place(format!("{shown}: there is no directory {directory}")),
                    format!("mkdir -p {directory}, for the user that runs the server"),
                ));
            }
            probe(directory)
        }
        Err(found) => Err(found),
    };
    Some(match found {
        Ok(()) => fine(format!("audit file {shown}: can be written")),
        Err(found) => error(
            place(format!("{shown}: {found}")),
            "let the user that runs the server write there, or give another `file`".to_owned(),
        ),
    })
}

/// Makes a file in `directory` and removes it.
fn probe(directory: &Path) -> io::Result<()> {
    let probe = directory.join(format!(".check.{}", std::process::id()));
    fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::tests::{Scratch, config};
    use super::*;

    fn levels(data: &Path) -> Vec<Level> {
        let findings = check_data(data);
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_data_directory_that_others_may_read_is_a_warning() {
        let scratch = Scratch::new("private");
        let path = scratch.0.join("data");
        assert_eq!(levels(&path), [Level::Fine]);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        assert_eq!(levels(&path), [Level::Warning]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("ours");
        assert_eq!(levels(&path), [Level::Fine]);
        assert_eq!(fs::read_dir(&path).expect("readable").count(), 0);
    }

    #[test]
    fn a_secret_that_is_not_whole_is_an_error_for_the_server_does_not_start_with_it() {
        let data = Scratch::new("secret");
        fs::set_permissions(&data.0, fs::Permissions::from_mode(0o700)).expect("ours");
        fs::write(data.0.join("secret"), b"cut off").expect("ours");
        assert_eq!(levels(&data.0), [Level::Fine, Level::Error]);
        fs::write(data.0.join("secret"), [7; 48]).expect("ours");
        assert_eq!(levels(&data.0), [Level::Fine]);
    }

    #[test]
    fn an_audit_file_needs_a_directory_that_is_there() {
        let data = Scratch::new("audit");
        let level = |file: &str| {
            let config = config(&format!("audit.file = \"{file}\"\n"));
            check_audit(&config, &data.0).map(|finding| finding.level)
        };
        assert_eq!(level(""), None);
        assert_eq!(level("audit.jsonl"), Some(Level::Fine));
        assert_eq!(level("missing/audit.jsonl"), Some(Level::Error));
        fs::create_dir(data.0.join("missing")).expect("ours");
        assert_eq!(level("missing/audit.jsonl"), Some(Level::Fine));
        assert_eq!(
            level("missing"),
            Some(Level::Error),
            "a directory is no file"
        );
        // At the first start the data directory is made, but none below it.
        let config = |file: &str| config(&format!("audit.file = \"{file}\"\n"));
        let later = data.0.join("later");
        assert_eq!(check_audit(&config("audit.jsonl"), &later), None);
        let missing = check_audit(&config("logs/audit.jsonl"), &later);
        assert_eq!(missing.map(|finding| finding.level), Some(Level::Error));
    }
}
