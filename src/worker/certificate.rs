//! Certificates: which host shows which, how they are read from files, what is hashed of ours and read
//! out of a client's. Refuses to know connections.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::*;
use x509_parser::signature_algorithm::SignatureAlgorithm;

use crate::directory::dn;

/// What one host shows.
#[derive(Clone, Debug)]
pub struct HostCertificate {
    /// The host's domain as in its JID; an internationalised one is also found by its A-labels, which is
    /// what clients send.
    pub host: String,
    pub key: Arc<CertifiedKey>,
    /// RFC 5929 section 4.1, none where it is undefined.
    pub end_point: Option<Vec<u8>>,
    /// It was not there before: nobody can have seen it yet.
    pub made: bool,
}

impl HostCertificate {
    /// What `host` shows.
    pub fn new(host: &str, key: CertifiedKey) -> HostCertificate {
        HostCertificate {
            host: host.to_owned(),
            end_point: key.cert.first().and_then(|leaf| end_point_hash(leaf)),
            key: Arc::new(key),
            made: false,
        }
    }

    /// SHA-256 of the certificate in DER, as lower-case hexadecimal: what `openssl x509 -fingerprint -sha256`
    /// prints, in lower case without colons. Empty without a certificate, which `CertifiedKey` does not allow.
    pub fn fingerprint(&self) -> String {
        let leaf = self.key.cert.first();
        leaf.map(|der| fingerprint(der)).unwrap_or_default()
    }

    /// Reads `directory/HOST.pem`; makes it first, self-signed and with its key (mode 0600), if there is
    /// none, and says so in `made`.
    pub fn load_or_make(host: &str, directory: &Path) -> Result<HostCertificate, String> {
        let path = directory.join(format!("{host}.pem"));
        let made = match make_self_signed(host, &path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        match read_pem(&path) {
            Ok(key) => Ok(HostCertificate {
                made,
                ..HostCertificate::new(host, key)
            }),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// SHA-256 of a certificate in DER, as lower-case hexadecimal.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_pem(path: &Path) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| error.to_string())?;
    let private = PrivateKeyDer::from_pem_file(path).map_err(|error| error.to_string())?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(|error| error.to_string())
}

fn make_self_signed(host: &str, path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let name = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned());
    let made = rcgen::generate_simple_self_signed([name]).map_err(io::Error::other)?;
    let text = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    // Written beside and renamed, so that a crash leaves no half a certificate.
    let draft = path.with_extension("pem.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// The table of hosts; rustls asks it in every handshake.
#[derive(Debug)]
pub struct Certificates {
    hosts: Vec<HostCertificate>,
    by_name: HashMap<String, usize>,
}

impl Certificates {
    /// The first host's certificate is shown to whoever names none of them.
    pub fn new(hosts: Vec<HostCertificate>) -> Result<Certificates, rustls::Error> {
        if hosts.is_empty() {
            return Err(rustls::Error::General(
                "no host has a certificate".to_owned(),
            ));
        }
        let mut by_name = HashMap::new();
        for (index, host) in hosts.iter().enumerate() {
            let name = idna::domain_to_ascii(&host.host).unwrap_or_else(|_| host.host.clone());
            by_name.entry(name.to_ascii_lowercase()).or_insert(index);
        }
        Ok(Certificates { hosts, by_name })
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[HostCertificate] {
        &self.hosts
    }

    /// The certificate for this server name.
    pub fn of(&self, server_name: Option<&str>) -> &HostCertificate {
        let index = server_name.and_then(|name| self.by_name.get(&name.to_ascii_lowercase()));
        &self.hosts[index.copied().unwrap_or(0)]
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.of(hello.server_name()).key))
    }
}

/// RFC 5929 section 4.1: the hash of the certificate "using the hash function from the certificate's
/// signatureAlgorithm", and SHA-256 in place of MD5 and SHA-1. None for algorithms that name no single
/// hash function (Ed25519), where the binding is undefined.
fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let oid = match SignatureAlgorithm::try_from(&parsed.signature_algorithm).ok()? {
        SignatureAlgorithm::RSASSA_PSS(params) => params.hash_algorithm_oid().to_id_string(),
        _ => parsed.signature_algorithm.algorithm.to_id_string(),
    };
    match oid.as_str() {
        // md5, sha1 and sha256: alone (in PSS parameters), with RSA, with ECDSA.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.3.14.3.2.26"
        | "2.16.840.1.101.3.4.2.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(certificate).to_vec()),
        "2.16.840.1.101.3.4.2.2" | "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
            Some(Sha384::digest(certificate).to_vec())
        }
        "2.16.840.1.101.3.4.2.3" | "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

/// RFC 6120 section 13.7.1.4: the id-on-xmppAddr names of a certificate, at most
/// [`ALTERNATIVE_NAME_COUNT_MAX`] names read.
pub fn xmpp_addresses(certificate: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names
        .value
        .general_names
        .iter()
        .take(ALTERNATIVE_NAME_COUNT_MAX);
    names
        .filter_map(|name| match name {
            GeneralName::OtherName(oid, value) if oid.to_id_string() == ID_ON_XMPP_ADDR => {
                explicit_utf8(value)
            }
            _ => None,
        })
        .collect()
}

/// The subject of a certificate as a name of an entry: RFC 4514 section 2.1, "starting with the last element of the
/// sequence and moving backwards". None if there is none, or something in it is no text.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut parts = Vec::new();
    for part in parsed.subject().iter_rdn() {
        let pairs = part.iter().map(|pair| {
            let kind = dn::short_name(&pair.attr_type().to_id_string());
            Some(format!("{kind}={}", dn::escaped(pair.as_str().ok()?)))
        });
        parts.push(pairs.collect::<Option<Vec<String>>>()?.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// id-on-xmppAddr (RFC 6120 section 13.7.1.4).
const ID_ON_XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";
/// Names read of one certificate: a person has a few addresses, an attacker's certificate has thousands.
const ALTERNATIVE_NAME_COUNT_MAX: usize = 100;

/// The text of `[0] EXPLICIT UTF8String`.
fn explicit_utf8(der: &[u8]) -> Option<String> {
    let (_, outer) = x509_parser::asn1_rs::Any::from_der(der).ok()?;
    if outer.class() != x509_parser::asn1_rs::Class::ContextSpecific || outer.tag().0 != 0 {
        return None;
    }
    let (_, inner) = x509_parser::asn1_rs::Any::from_der(outer.data).ok()?;
    inner.utf8string().ok().map(|text| text.string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    const XMPP_ADDRESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

    #[test]
    fn a_subject_is_a_name_of_an_entry_with_its_own_part_first() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let key = KeyPair::generate().unwrap();
        let none = params.self_signed(&key).unwrap();
        assert_eq!(subject(none.der()), None);
        for (kind, value) in [
            (vec![0, 9, 2342, 19200300, 100, 1, 25], "example"),
            (vec![2, 5, 4, 11], "people, and others"),
            (vec![0, 9, 2342, 19200300, 100, 1, 1], "juliet"),
        ] {
            let kind = rcgen::DnType::CustomDnType(kind);
            params.distinguished_name.push(kind, value);
        }
        let some = params.self_signed(&key).unwrap();
        let expected = "uid=juliet,ou=people\\, and others,dc=example".to_owned();
        assert_eq!(subject(some.der()), Some(expected));
        for end in 0..some.der().len() {
            assert_eq!(subject(&some.der()[..end]), None);
        }
    }

    fn addresses_of(common_name: &str, names: Vec<SanType>) -> Vec<String> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, common_name);
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        xmpp_addresses(params.self_signed(&key).unwrap().der())
    }

    fn other(oid: &[u64], text: &str) -> SanType {
        SanType::OtherName((oid.to_vec(), text.into()))
    }

    // peers.md row 18.
    #[test]
    fn only_xmpp_addresses_among_the_first_hundred_names_are_read() {
        let dns =
            |number: usize| SanType::DnsName(format!("h{number}.example").try_into().unwrap());
        let mut names: Vec<SanType> = (0..99).map(dns).collect();
        names.push(other(&XMPP_ADDRESS, "last@example.com"));
        names.push(other(&XMPP_ADDRESS, "beyond@example.com"));
        names.extend((0..1_000).map(dns));
        assert_eq!(addresses_of("juliet", names), ["last@example.com"]);
        // Another kind of name, and a common name however it looks, prove nothing.
        assert!(addresses_of("juliet@example.com", Vec::new()).is_empty());
        let mail = SanType::Rfc822Name("juliet@example.com".try_into().unwrap());
        let elsewhere = other(&[1, 3, 6, 1, 5, 5, 7, 8, 7], "juliet@example.com");
        assert!(addresses_of("juliet@example.com", vec![mail, elsewhere]).is_empty());
    }

    #[test]
    fn a_zero_byte_in_an_address_makes_it_none() {
        for text in [
            "juliet@example.com\0.evil.example",
            "juliet\0@example.com",
            "\0",
        ] {
            let addresses = addresses_of("x", vec![other(&XMPP_ADDRESS, text)]);
            for address in addresses {
                // What stands before it must not count as the whole.
                assert_eq!(address, text);
                assert!(crate::jid::Jid::parse(&address).is_err());
            }
        }
    }

    #[test]
    fn certificates_that_are_cut_off_or_garbage_name_nobody_and_break_nothing() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![other(&XMPP_ADDRESS, "juliet@example.com")];
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        assert_eq!(xmpp_addresses(&whole), ["juliet@example.com"]);
        for end in 0..whole.len() {
            assert!(xmpp_addresses(&whole[..end]).is_empty());
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0xff;
            // Any answer but a panic, and nothing longer than what stood there.
            assert!(xmpp_addresses(&bent).len() <= 1);
        }
    }
}
