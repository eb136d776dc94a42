//! What every directory of these tests has: a temporary directory of its own, certificates.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::slapd::PATIENCE;

/// A directory of files, removed with the test.
pub struct Files(PathBuf);

impl Files {
    pub fn new(what: &str) -> Files {
        // One test may run several directories of one name.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("directory-{process}-{number}-{what}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Files(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a file, or makes it anew.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An authority whose certificates servers and clients have, as PEM files.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, for those who are to trust it.
    pub certificate: PathBuf,
}

/// A certificate and its key, as PEM files.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// One that keeps its files here.
    pub fn new(files: &Files) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of the tests");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate: files.write("authority.pem", &certificate.pem()),
            issuer: Issuer::new(params, key),
        }
    }

    /// The certificate of a server that has these names, which may be addresses.
    pub fn server(&self, files: &Files, names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // 389 DS crashes at a certificate whose subject is empty.
        params
            .distinguished_name
            .push(DnType::CommonName, "Server of the tests");
        self.sign(files, "server", &params)
    }

    /// The certificate of a client: its subject is this common name alone.
    pub fn client(&self, files: &Files, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(files, &format!("client-{name}"), &params)
    }

    fn sign(&self, files: &Files, name: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: files.write(&format!("{name}.pem"), &certificate.pem()),
            key: files.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Waits until a directory takes connections; `output` is what it has said, for whoever reads why it does not.
pub fn until_it_listens(child: &mut Child, address: SocketAddr, output: impl Fn() -> String) {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "it ends before it listens:\n{}", output());
        assert!(
            begun.elapsed() < PATIENCE,
            "it does not listen:\n{}",
            output()
        );
        std::thread::yield_now();
    }
}
