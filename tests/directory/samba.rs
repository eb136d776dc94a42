//! A real Active Directory: the domain controller of Samba, for a domain of the test's own on an address of the loopback
//! of its own, as its ports are fixed. It refuses to know Stonechat.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::house::{Authority, Files, until_it_listens};

pub const BASE: &str = "DC=verona,DC=example";
/// Where its people and groups are.
pub const PEOPLE: &str = "CN=Users,DC=verona,DC=example";
const ADMIN: &str = "Administrator@verona.example";
const ADMIN_PASSWORD: &str = "Arras-1597";
/// Of each person: a domain wants capitals and digits.
pub const PASSWORD: &str = "Pencil-1597";
/// What Stonechat searches as.
pub const SERVICE: &str = "svc-stonechat@verona.example";
pub const SERVICE_PASSWORD: &str = "Secret-of-stonechat-1";
/// LDAPS: a domain controller has no other.
const PORT: u16 = 636;

/// A domain controller; dropped, it is killed and its files are removed.
pub struct Samba {
    address: Ipv4Addr,
    pub authority: Authority,
    files: Files,
    child: Option<Child>,
}

impl Samba {
    /// Whether whoever runs the tests may do what a controller does; says loudly if not.
    pub fn is_possible() -> bool {
        let Some(why) = obstacle() else {
            return true;
        };
        // Not by a macro, whose words nobody sees of a test that passes.
        let text = format!(
            "\n!!! {why}: NO DOMAIN CONTROLLER IS STARTED, ACTIVE DIRECTORY IS NOT TESTED\n\n"
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        false
    }

    pub fn start(test: &str) -> Samba {
        let program = Path::new("/usr/sbin/samba");
        assert!(
            program.exists(),
            "samba is not installed (scripts/test packages does it)"
        );
        let files = Files::new(test);
        let authority = Authority::new(&files);
        let address = free_address();
        let mut directory = Samba {
            address,
            authority,
            files,
            child: None,
        };
        let root = directory.files.path("");
        let mut provision = Command::new("samba-tool");
        provision
            .args(["domain", "provision"])
            .args([
                "--realm=VERONA.EXAMPLE",
                "--domain=VERONA",
                "--server-role=dc",
                "--dns-backend=NONE",
            ])
            .args(["--host-name=dc1", &format!("--host-ip={address}")])
            .arg(format!("--adminpass={ADMIN_PASSWORD}"))
            .arg(format!("--targetdir={}", root.display()));
        finish(&mut provision);
        directory.configure();
        let output = fs::File::create(directory.files.path("output")).unwrap();
        let child = Command::new(program)
            .args([
                "-F",
                "--no-process-group",
                "-M",
                "single",
                "--debug-stdout",
                "-s",
            ])
            .arg(directory.files.path("own.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        directory.child = Some(child);
        directory.until_it_listens();
        directory
    }

    /// Of all that a domain controller does, LDAP; with our certificate.
    fn configure(&self) {
        let names = [&self.address.to_string(), "dc1.verona.example"];
        let identity = self.authority.server(&self.files, &names);
        // It takes no key that others may read, and no directory that others may enter.
        let bar = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        bar(&identity.key, 0o600).unwrap();
        let run = self.files.path("run");
        fs::create_dir(&run).unwrap();
        bar(&run, 0o750).unwrap();
        let (root, run) = (self.files.path(""), run.display());
        let text = format!(
            "[global]\nnetbios name = DC1\nrealm = VERONA.EXAMPLE\nworkgroup = VERONA\n\
             server role = active directory domain controller\nserver services = ldap\ndcerpc endpoint servers =\n\
             interfaces = {}/8\nbind interfaces only = yes\nlock directory = {root}\nprivate dir = {root}/private\n\
             state directory = {root}/state\ncache directory = {root}/cache\nbinddns dir = {root}/bind-dns\n\
             pid directory = {run}\nncalrpc dir = {run}/ncalrpc\nntp signd socket directory = {run}\n\
             winbindd socket directory = {run}\nlogging = file\nlog file = {root}/log\n\
             tls enabled = yes\ntls keyfile = {}\ntls certfile = {}\ntls cafile = {}\n",
            self.address,
            identity.key.display(),
            identity.certificate.display(),
            self.authority.certificate.display(),
            root = root.display(),
        );
        self.files.write("own.conf", &text);
    }

    fn until_it_listens(&mut self) {
        let output = self.files.path("output");
        let child = self.child.as_mut().expect("it was started");
        until_it_listens(child, (self.address, PORT).into(), || {
            fs::read_to_string(&output).unwrap_or_default()
        });
    }

    pub fn url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// Makes a file in the directory that goes with the test.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.files.write(name, text)
    }

    /// Somebody with this password, who need not change it.
    pub fn add_person(&self, name: &str, password: &str) {
        self.change(&format!(
            "dn: {}\nobjectClass: user\nsAMAccountName: {name}\nuserPrincipalName: {name}@verona.example\n\
             mail: {name}@verona.example\nuserAccountControl: 512\nunicodePwd:: {}\n",
            person(name),
            unicode(password)
        ));
    }

    /// A group of entries of these names.
    pub fn add_group(&self, name: &str, members: &[&str]) {
        let member = |name: &&str| format!("member: {}\n", person(name));
        let members: String = members.iter().map(member).collect();
        let dn = person(name);
        self.change(&format!(
            "dn: {dn}\nobjectClass: group\nsAMAccountName: {name}\n{members}"
        ));
    }

    /// Gives an attribute of somebody another value.
    pub fn set(&self, name: &str, attribute: &str, value: &str) {
        self.change(&format!(
            "dn: {}\nchangetype: modify\nreplace: {attribute}\n{attribute}:{value}\n",
            person(name)
        ));
    }

    /// Sets a password as the administrator.
    pub fn set_password(&self, name: &str, password: &str) {
        self.set(name, "unicodePwd", &format!(": {}", unicode(password)));
    }

    /// Changes entries as the administrator: LDIF, `changetype: add` where nothing is said.
    pub fn change(&self, ldif: &str) {
        let path = self.files.write("change.ldif", ldif);
        let who = [
            "-x",
            "-D",
            ADMIN,
            "-w",
            ADMIN_PASSWORD,
            "-a",
            "-f",
            path.to_str().unwrap(),
        ];
        let output = self.run("ldapmodify", &who);
        assert!(output.status.success(), "{ldif}\n{}", said(&output));
    }

    /// Whether this password lets somebody in.
    pub fn lets_in(&self, name: &str, password: &str) -> bool {
        let who = format!("{name}@verona.example");
        let arguments = [
            "-x", "-D", &who, "-w", password, "-s", "base", "-b", BASE, "1.1",
        ];
        self.run("ldapsearch", &arguments).status.success()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(["-H", &self.url()])
            .args(arguments)
            .env("LDAPTLS_CACERT", &self.authority.certificate)
            .stdin(Stdio::null())
            .output()
            .expect("ldap-utils is installed (scripts/test packages does it)")
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What whoever runs the tests may not do, though a controller must.
fn obstacle() -> Option<&'static str> {
    let files = Files::new("samba-trial");
    let trial = files.write("trial", "");
    // It makes files others' and itself whoever asks.
    if fs::metadata(&trial).unwrap().uid() != 0 {
        return Some("NOT ROOT");
    }
    // It keeps who may what in an attribute of files that takes CAP_SYS_ADMIN, which root has not got in many a container.
    // Python is there: Samba's tools are written in it.
    let set = "import os, sys; os.setxattr(sys.argv[1], 'security.NTACL', b'trial')";
    let mut python = Command::new("python3");
    python.args(["-c", set]).arg(&trial).stdin(Stdio::null());
    if !python.output().unwrap().status.success() {
        return Some("NO ATTRIBUTE security.NTACL OF FILES MAY BE SET HERE");
    }
    let port = TcpListener::bind((Ipv4Addr::new(127, 127, 127, 2), PORT));
    match port {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Some("NO LOW PORTS"),
        _ => None,
    }
}

/// The name of the entry of somebody, or of a group.
pub fn person(name: &str) -> String {
    format!("CN={name},{PEOPLE}")
}

/// A password as the domain takes it, for LDIF.
fn unicode(password: &str) -> String {
    let quoted = format!("\"{password}\"");
    let bytes: Vec<u8> = quoted.encode_utf16().flat_map(u16::to_le_bytes).collect();
    BASE64_STANDARD.encode(bytes)
}

/// An address of the loopback where nobody has a controller's ports.
fn free_address() -> Ipv4Addr {
    let process = std::process::id().to_be_bytes();
    for last in 2..250 {
        let address = Ipv4Addr::new(127, process[2] | 64, process[3], last);
        if TcpListener::bind((address, PORT)).is_ok() {
            return address;
        }
    }
    panic!("somebody listens at port {PORT} of each address");
}

fn finish(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
}

fn said(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}
