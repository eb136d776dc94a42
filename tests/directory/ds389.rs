//! A real 389 Directory Server with a small organisation: the people of `slapd.rs`, under the same names. It refuses to
//! know Stonechat.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::house::{Authority, Files, until_it_listens};
use crate::ports::free_port;
use crate::slapd::{BASE, PASSWORD, PATIENCE, SERVICE, SERVICE_PASSWORD};

/// Who may everything.
pub const ADMIN: &str = "cn=Directory Manager";
pub const ADMIN_PASSWORD: &str = "arras-1597";
/// The same as the configuration wants it.
const ADMIN_PASSWORD_HASHED: &str = "{SSHA}mLINyfbrivAGPSwoEb2iTapuQDtzYWx0c2FsdA==";

/// What a test's server does besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Plugins {
    /// As Debian has it.
    Usual,
    /// It tells of changes (RFC 4533): the plug-ins "Content Synchronization" and "Retro Changelog".
    Telling,
}

/// A directory server; dropped, it is killed and its files are removed.
pub struct Ds389 {
    port: u16,
    pub authority: Authority,
    files: Files,
    child: Option<Child>,
}

impl Ds389 {
    pub fn start(test: &str, plugins: Plugins) -> Ds389 {
        let program = Path::new("/usr/sbin/ns-slapd");
        assert!(
            program.exists(),
            "389-ds-base is not installed (scripts/test packages does it)"
        );
        let files = Files::new(test);
        let authority = Authority::new(&files);
        let mut directory = Ds389 {
            port: free_port(),
            authority,
            files,
            child: None,
        };
        directory.set_up(plugins);
        let people = directory.files.write("people.ldif", &people());
        let config = directory.path("config");
        let mut load = Command::new(program);
        load.args(["ldif2db", "-n", "userRoot", "-D"]).arg(&config);
        finish(load.arg("-i").arg(&people));
        let output = fs::File::create(directory.path("output")).unwrap();
        let child = Command::new(program)
            .args(["-d", "0", "-D"])
            .arg(&config)
            .arg("-i")
            .arg(directory.path("pid"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        directory.child = Some(child);
        directory.until_it_listens();
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// As its own tools do it from Debian's templates, which would put it among the system's files.
    fn set_up(&self, plugins: Plugins) {
        let places = [
            "config",
            "config/schema",
            "certs",
            "db",
            "ldif",
            "bak",
            "run",
            "lock",
            "log",
            "tmp",
            "inst",
        ];
        for name in places {
            fs::create_dir(self.path(name)).unwrap();
        }
        self.certify();
        // Debian's own are for nobody's eyes but its server's.
        for (name, text) in [
            (
                "slapd-collations.conf",
                "collation \"\" \"\" \"\" 1 3 2.16.840.1.113730.3.3.2.0.1 default\n",
            ),
            ("certmap.conf", "certmap default default\n"),
            ("schema/99user.ldif", "dn: cn=schema\n"),
        ] {
            self.files.write(&format!("config/{name}"), text);
        }
        let template = |name: &str| {
            let shipped = Path::new("/usr/share/dirsrv/data").join(name);
            fs::read_to_string(shipped).unwrap()
        };
        let mut text = template("template-dse.ldif");
        let mut put = |shipped: &str, own: &str| {
            assert!(text.contains(shipped), "the template has no {shipped:?}");
            text = text.replace(shipped, own);
        };
        put(
            "nsslapd-port: %ds_port%",
            // Nobody uses the other port.
            &format!(
                "nsslapd-port: {}\nnsslapd-listenhost: 127.0.0.1\nnsslapd-security: on\nnsslapd-securePort: {}\n\
                 nsslapd-securelistenhost: 127.0.0.1",
                free_port(),
                self.port
            ),
        );
        put(
            "%schema_dir%",
            &self.path("config/schema").display().to_string(),
        );
        for name in [
            "lock", "tmp", "ldif", "bak", "run", "inst", "log", "config", "db",
        ] {
            put(
                &format!("%{name}_dir%"),
                &self.path(name).display().to_string(),
            );
        }
        put("%cert_dir%", &self.path("certs").display().to_string());
        put("%db_home_dir%", &self.path("db").display().to_string());
        // Else its caches are parts of the machine's memory: half of what is free to load a few people.
        put(
            "%db_lib%",
            "bdb\nnsslapd-cache-autosize: 0\nnsslapd-import-cache-autosize: 0\nnsslapd-dbcachesize: 10000000",
        );
        put("%ds_suffix%", BASE);
        put("%fqdn%", "localhost");
        put("%ds_user%", &user());
        put("%rootdn%", ADMIN);
        put("%ds_passwd%", ADMIN_PASSWORD_HASHED);
        put("%ldapi_enabled%", "off");
        put("%ldapi_autobind%", "off");
        put("%ldapi%", &self.path("run/socket").display().to_string());
        if plugins == Plugins::Telling {
            for name in ["Content Synchronization", "Retro Changelog Plugin"] {
                let entry = text
                    .split("\n\n")
                    .find(|it| it.starts_with(&format!("dn: cn={name},")));
                let entry = entry.expect("the template has the plug-in").to_owned();
                let off = "nsslapd-pluginenabled: off";
                assert!(entry.contains(off), "{entry}");
                text = text.replace(&entry, &entry.replace(off, "nsslapd-pluginenabled: on"));
            }
        }
        let database = template("template-suffix-db.ldif")
            .replace("%ds_bename%", "userRoot")
            .replace("%ds_suffix%", BASE)
            .replace("%db_dir%", &self.path("db").display().to_string())
            .replace(
                "objectclass: nsBackendInstance\n",
                "objectclass: nsBackendInstance\nnsslapd-cachememsize: 10000000\nnsslapd-dncachememsize: 10000000\n",
            );
        // One empty line between entries, and no more.
        let text = format!("{}\n\n{database}", text.trim_end());
        self.files.write("config/dse.ldif", &text);
    }

    /// Puts the server's certificate where it looks for one.
    fn certify(&self) {
        const PIN: &str = "pin-of-the-tests";
        let identity = self
            .authority
            .server(&self.files, &["127.0.0.1", "localhost"]);
        let certs = format!("sql:{}", self.path("certs").display());
        let pin = self.files.write("certs/pwd", PIN);
        self.files.write(
            "certs/pin.txt",
            &format!("Internal (Software) Token:{PIN}\n"),
        );
        let p12 = self.path("server.p12");
        let certutil = |arguments: &[&str]| {
            let mut command = Command::new("certutil");
            finish(command.args(["-d", &certs, "-f"]).arg(&pin).args(arguments));
        };
        certutil(&["-N"]);
        let authority = self.authority.certificate.display().to_string();
        certutil(&["-A", "-n", "CA", "-t", "CT,,", "-a", "-i", &authority]);
        let mut export = Command::new("openssl");
        export.args([
            "pkcs12",
            "-export",
            "-name",
            "Server-Cert",
            "-passout",
            "pass:x",
            "-in",
        ]);
        export
            .arg(&identity.certificate)
            .arg("-inkey")
            .arg(&identity.key);
        finish(export.arg("-out").arg(&p12));
        let mut import = Command::new("pk12util");
        import
            .args(["-d", &certs, "-W", "x", "-k"])
            .arg(&pin)
            .arg("-i");
        finish(import.arg(&p12));
    }

    fn until_it_listens(&mut self) {
        let (log, output) = (self.path("log/errors"), self.path("output"));
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let child = self.child.as_mut().expect("it was started");
        until_it_listens(child, (Ipv4Addr::LOCALHOST, self.port).into(), || {
            read(&output) + &read(&log)
        });
    }

    pub fn url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.port)
    }

    /// Makes a file in the directory that goes with the test.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.files.write(name, text)
    }

    /// Changes entries, or the configuration (`cn=config`), as the administrator: LDIF, `changetype: add` where nothing is
    /// said.
    pub fn change(&self, ldif: &str) {
        let path = self.files.write("change.ldif", ldif);
        let output = self.client("ldapmodify", &["-a", "-f", path.to_str().unwrap()]);
        assert!(output.status.success(), "{ldif}\n{}", said(&output));
    }

    /// Sets a password as the administrator, whose owner is to change it first (passwordMustChange). The server writes that
    /// behind its answer: its `op_shared_modify` calls `update_pw_info` after the back end has sent the result.
    pub fn reset_password(&self, dn: &str, password: &str) {
        self.change(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: {password}\n"
        ));
        let begun = Instant::now();
        while !self.must_change(dn) {
            assert!(begun.elapsed() < PATIENCE);
        }
    }

    fn must_change(&self, dn: &str) -> bool {
        const EXPIRES: &str = "passwordExpirationTime";
        let arguments = ["-LLL", "-s", "base", "-b", dn, "(objectClass=*)", EXPIRES];
        let output = self.client("ldapsearch", &arguments);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).contains(&format!("{EXPIRES}: 19700101000000Z\n"))
    }

    /// Whether this password lets somebody in.
    pub fn lets_in(&self, dn: &str, password: &str) -> bool {
        let arguments = ["-x", "-D", dn, "-w", password];
        self.run("ldapwhoami", &arguments).status.success()
    }

    /// Runs one of ldap-utils as the administrator.
    fn client(&self, program: &str, arguments: &[&str]) -> Output {
        let who = ["-x", "-D", ADMIN, "-w", ADMIN_PASSWORD];
        self.run(program, &[&who[..], arguments].concat())
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

impl Drop for Ds389 {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What ldif2db loads: the conf/README.md's set-up, and a few of the people of the other tests.
fn people() -> String {
    let unit = |name: &str| {
        format!("dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n")
    };
    let person = |name: &str| {
        format!(
            "dn: uid={name},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name} of Verona\nsn: {name}\n\
             mail: {name}@verona.example\nuserPassword: {PASSWORD}\n\n"
        )
    };
    let names = [
        "juliet", "romeo", "benvolio", "mercutio", "tybalt", "escalus",
    ];
    let service = format!("userdn = \"ldap:///{SERVICE}\"");
    format!(
        "dn: {BASE}\nobjectClass: domain\ndc: verona\n\
         aci: (targetattr != \"userPassword || aci\")(version 3.0; acl \"read\"; allow (read, search, compare) {service};)\n\
         aci: (targetattr = \"userPassword || passwordExpirationTime\")(version 3.0; acl \"set passwords\"; allow (write) {service};)\n\n\
         {}{}{}\
         dn: {SERVICE}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: stonechat\n\
         userPassword: {SERVICE_PASSWORD}\nnsSizeLimit: -1\nnsLookThroughLimit: -1\n\n\
         {}\
         dn: cn=montagues,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: montagues\n\
         member: uid=romeo,ou=people,{BASE}\nmember: uid=benvolio,ou=people,{BASE}\n\n\
         dn: cn=heads,ou=groups,{BASE}\nobjectClass: groupOfUniqueNames\ncn: heads\n\
         uniqueMember: uid=escalus,ou=people,{BASE}\n\n\
         dn: cn=rulers,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: rulers\nmember: cn=heads,ou=groups,{BASE}\n",
        unit("people"),
        unit("groups"),
        unit("services"),
        names.map(person).concat(),
    )
}

/// Who runs the tests.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn finish(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
}

fn said(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}
