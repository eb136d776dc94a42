//! A real OpenLDAP with the configuration and the people of `conf/ldap/`, which a test may change, hang, kill and
//! start again. It refuses to know Stonechat.
//!
//! ```text
//! let directory = Slapd::start("logins");                       // the organisation of conf/ldap/sample.ldif
//! let url = directory.url();                                    // ldap://127.0.0.1:PORT, StartTLS
//! directory.change("dn: uid=romeo,..\nchangetype: delete\n");   // as its administrator
//! assert_eq!(directory.values(JULIET, "mail"), ["juliet@verona.example"]);
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::house::{Authority, Files, Identity, repository};
use crate::ports::free_port;

/// How long anything may take before a test gives up on it. Nothing waits for it but what fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What the sample's people are below.
pub const BASE: &str = "dc=verona,dc=example";
pub const ADMIN: &str = "cn=admin,dc=verona,dc=example";
pub const ADMIN_PASSWORD: &str = "arras";
/// What Stonechat searches as.
pub const SERVICE: &str = "cn=stonechat,ou=services,dc=verona,dc=example";
pub const SERVICE_PASSWORD: &str = "secret-of-stonechat";
/// Of each person.
pub const PASSWORD: &str = "pencil";
pub const JULIET: &str = "uid=juliet,ou=people,dc=verona,dc=example";
pub const ROMEO: &str = "uid=romeo,ou=people,dc=verona,dc=example";

/// What a test's directory is made of.
pub struct Wishes {
    /// The certificates' names; a test that wants a wrong name says another.
    pub names: &'static [&'static str],
    pub log: Log,
    pub schema: Schema,
    /// An LDIF file that slapadd loads before the first start instead of the sample: fast, but overlays do not see
    /// it, so nobody has a `memberOf`.
    pub bulk: Option<std::path::PathBuf>,
}

/// What slapd writes down of what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Each operation, for [`Slapd::operations`].
    Operations,
    /// Nothing, for figures.
    Nothing,
}

/// Which classes and attributes it knows, and which entries it has then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// inetOrgPerson, groupOfNames and their like, as in every directory.
    Standard,
    /// Also those of conf/ldap/; the sample has contact lists, rooms and keys of SCRAM then.
    Stonechat,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes {
            names: &["127.0.0.1", "localhost"],
            log: Log::Operations,
            schema: Schema::Standard,
            bulk: None,
        }
    }
}

/// A directory server; dropped, it is killed and its files are removed.
pub struct Slapd {
    /// Where StartTLS is spoken.
    pub port: u16,
    /// Where TLS begins at once.
    pub tls_port: u16,
    pub authority: Authority,
    files: Files,
    level: &'static str,
    running: Option<Running>,
}

struct Running {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Slapd {
    /// One with the people of the sample.
    pub fn start(test: &str) -> Slapd {
        Slapd::with(test, Wishes::default())
    }

    pub fn with(test: &str, wishes: Wishes) -> Slapd {
        let files = Files::new(test);
        let authority = Authority::new(&files);
        let identity = authority.server(&files, wishes.names);
        // Debian confines slapd, by its path, to directories of the system.
        let program = ["/usr/sbin/slapd", "/usr/lib/openldap/slapd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("slapd is installed (scripts/test packages does it)");
        // By another process: a file that a thread of this one writes is busy in what other threads start meanwhile.
        let mut copy = Command::new("cp");
        let copied = copy.arg(program).arg(files.path("slapd")).status();
        assert!(copied.unwrap().success());
        let mut directory = Slapd {
            port: free_port(),
            tls_port: free_port(),
            level: match wishes.log {
                Log::Operations => "stats",
                Log::Nothing => "none",
            },
            authority,
            files,
            running: None,
        };
        directory.set_up(&identity, wishes.schema);
        match &wishes.bulk {
            Some(people) => directory.load(people),
            None => {
                directory.start_again();
                directory.change_by_file(&repository("conf/ldap/sample.ldif"));
                if wishes.schema == Schema::Stonechat {
                    directory.change_by_file(&repository("conf/ldap/sample-stonechat.ldif"));
                }
            }
        }
        directory.start_again();
        directory
    }

    /// Makes the configuration: the shipped one with paths, certificates and the administrator of this test.
    fn set_up(&self, identity: &Identity, schema: Schema) {
        for name in ["slapd.d", "database"] {
            fs::create_dir(self.files.path(name)).unwrap();
        }
        let path = |name: &str| self.files.path(name).display().to_string();
        let mut text = fs::read_to_string(repository("conf/ldap/slapd.ldif")).unwrap();
        let mut put = |shipped: &str, own: &str| {
            assert!(text.contains(shipped), "slapd.ldif has no {shipped:?}");
            text = text.replace(shipped, own);
        };
        put("/var/lib/ldap/verona", &path("database"));
        put("/run/slapd/", &path(""));
        put(
            "# olcTLSCertificateFile: /etc/ldap/certificate.pem",
            &format!("olcTLSCertificateFile: {}", identity.certificate.display()),
        );
        put(
            "# olcTLSCertificateKeyFile: /etc/ldap/key.pem",
            &format!("olcTLSCertificateKeyFile: {}", identity.key.display()),
        );
        put(
            "# olcTLSCACertificateFile: /etc/ldap/authorities.pem",
            &format!(
                "olcTLSCACertificateFile: {}",
                self.authority.certificate.display()
            ),
        );
        put("# olcTLSVerifyClient: try", "olcTLSVerifyClient: try");
        put(
            "olcDatabase: {0}config\n",
            &format!(
                "olcDatabase: {{0}}config\nolcRootDN: cn=config\nolcRootPW: {ADMIN_PASSWORD}\n"
            ),
        );
        // Nothing here has to survive the machine.
        put("olcDbMaxSize: ", "olcDbNoSync: TRUE\nolcDbMaxSize: ");
        if schema == Schema::Stonechat {
            put("# olcAccess: ", "olcAccess: ");
            for name in ["authpassword", "stonechat"] {
                let own = repository(&format!("conf/ldap/{name}.ldif"));
                let line = format!("include: file:///etc/ldap/schema/{name}.ldif");
                put(
                    &format!("# {line}"),
                    &format!("include: file://{}", own.display()),
                );
            }
        }
        self.files.write("slapd.ldif", &text);
        self.slapadd("0", &self.files.path("slapd.ldif"));
    }

    /// Loads an LDIF file into the database while no server runs.
    pub fn load(&self, ldif: &Path) {
        assert!(self.running.is_none(), "two would write one database");
        self.slapadd("1", ldif);
    }

    fn slapadd(&self, database: &str, ldif: &Path) {
        let output = Command::new(self.files.path("slapd"))
            .args(["-T", "add", "-q", "-n", database, "-F"])
            .arg(self.files.path("slapd.d"))
            .arg("-l")
            .arg(ldif)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Starts it where it was before; what still runs is killed.
    pub fn start_again(&mut self) {
        self.kill();
        let (output, theirs) = std::io::pipe().unwrap();
        let child = Command::new(self.files.path("slapd"))
            .args(["-d", self.level, "-F"])
            .arg(self.files.path("slapd.d"))
            .arg("-h")
            .arg(format!("{} {}", self.url(), self.tls_url()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(theirs)
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more if the test has given up.
                let _ = tell.send(line);
            }
        });
        self.running = Some(Running {
            child,
            lines,
            log: String::new(),
        });
        self.until_logged("slapd starting");
        // It says so before it listens. A connection that asks would be one of those that it logs.
        while !(is_listening(self.port) && is_listening(self.tls_port)) {
            let ended = self.running.as_mut().unwrap().child.try_wait().unwrap();
            assert_eq!(ended, None, "slapd ends before it listens");
            thread::yield_now();
        }
    }

    /// Ends it as a power cut would: connections are closed, nothing is said.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // A stopped process takes this signal, too.
            let _ = running.child.kill();
            running.child.wait().unwrap();
        }
    }

    /// Ends it as an administrator does (SIGTERM), and waits for that.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let mut running = self.running.take().expect("it runs");
        running.child.wait().unwrap();
    }

    /// From now on it takes connections, as the kernel does that for it, and answers nothing.
    pub fn hang(&self) {
        self.signal("STOP");
        // On a busy machine its threads stop one after the other, and the last may answer meanwhile.
        let begun = Instant::now();
        while !self.is_stopped() {
            assert!(begun.elapsed() < PATIENCE, "slapd does not stop");
            thread::yield_now();
        }
    }

    fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks.map_while(Result::ok).all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The state stands behind the name, which may hold anything (proc(5)).
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            state.is_none_or(|rest| rest.starts_with('T'))
        })
    }

    /// It goes on where it stopped.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// What its processor time is up to now: user and system, all threads.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name, which may hold anything, ends with the last parenthesis; then fields 3 and on (proc(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = fields.split(' ').collect();
        let ticks: u64 = [11, 12]
            .iter()
            .map(|at| fields[*at].parse::<u64>().unwrap())
            .sum();
        // USER_HZ is 100 wherever Linux runs.
        Duration::from_millis(ticks * 10)
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// A certificate that stands for `cn=NAME,ou=services`.
    pub fn client_certificate(&self, name: &str) -> Identity {
        self.authority.client(&self.files, name)
    }

    /// Makes a file in the directory that goes with the test.
    pub fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        self.files.write(name, text)
    }

    /// Changes entries as the administrator: LDIF, `changetype: add` where nothing is said.
    pub fn change(&self, ldif: &str) {
        let tried = self.try_change(ADMIN, ADMIN_PASSWORD, ldif);
        assert!(tried.is_ok(), "{}", tried.unwrap_err());
    }

    /// Changes the server's configuration (`cn=config`).
    pub fn configure(&self, ldif: &str) {
        let tried = self.try_change("cn=config", ADMIN_PASSWORD, ldif);
        assert!(tried.is_ok(), "{}", tried.unwrap_err());
    }

    /// The same as somebody: what ldapmodify said if it was refused.
    pub fn try_change(&self, dn: &str, password: &str, ldif: &str) -> Result<(), String> {
        let arguments = ["-a", "-x", "-D", dn, "-w", password];
        let output = self.client("ldapmodify", &arguments, ldif);
        match output.status.success() {
            true => Ok(()),
            false => Err(said(&output)),
        }
    }

    fn change_by_file(&self, ldif: &Path) {
        self.change(&fs::read_to_string(ldif).unwrap());
    }

    /// Sets a password as the administrator, by RFC 3062.
    pub fn set_password(&self, dn: &str, password: &str) {
        let arguments = ["-x", "-D", ADMIN, "-w", ADMIN_PASSWORD, "-s", password, dn];
        let output = self.client("ldappasswd", &arguments, "");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// The values of an attribute, which may be operational, in the directory's order. Of an entry that is not
    /// there: none.
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<String> {
        let output = self.client(
            "ldapsearch",
            &[
                "-x",
                "-D",
                ADMIN,
                "-w",
                ADMIN_PASSWORD,
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-s",
                "base",
                "-b",
                dn,
                "(objectClass=*)",
                attribute,
            ],
            "",
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let prefix = format!("{attribute}: ").to_lowercase();
        let of = |line: &str| {
            let (name, value) = line.split_at_checked(prefix.len())?;
            (name.to_lowercase() == prefix).then(|| value.to_owned())
        };
        text.lines().filter_map(of).collect()
    }

    /// Whether this password lets somebody in.
    pub fn lets_in(&self, dn: &str, password: &str) -> bool {
        let output = self.client("ldapwhoami", &["-x", "-D", dn, "-w", password], "");
        output.status.success()
    }

    /// Runs one of ldap-utils with StartTLS, trusting this server's authority.
    pub fn client(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(program);
        command.args(["-H", &self.url(), "-ZZ"]).args(arguments);
        self.run(command, input)
    }

    /// Runs a program of ldap-utils that has all its arguments.
    pub fn run(&self, mut command: Command, input: &str) -> Output {
        let mut child = command
            .env("LDAPTLS_CACERT", &self.authority.certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ldap-utils is installed (scripts/test packages does it)");
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Reads what it logs up to the line that holds this.
    pub fn until_logged(&mut self, text: &str) -> String {
        let running = self.running.as_mut().expect("it runs");
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = running.lines.recv_timeout(left) else {
                panic!("no line of slapd's says {text:?}:\n{}", running.log);
            };
            running.log.push_str(&line);
            running.log.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// How many lines about operations hold this, since it started: `" BIND dn="`, `" SRCH base="`, `" EXT oid="`,
    /// `" ACCEPT from"`, `"filter=\"(uid=juliet)\""`. What this harness asked itself is not among them. Complete
    /// up to what had been answered before the call.
    pub fn operations(&mut self, text: &str) -> usize {
        // Where to stop reading: a search below what nobody has. slapd writes a line before it answers.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mark = format!("cn=mark-{}", time.as_nanos());
        self.client("ldapsearch", &["-x", "-s", "base", "-b", &mark], "");
        self.until_logged(&mark);
        let log = &self.running.as_ref().expect("it runs").log;
        let harness = ["cn=mark-", "dn=\"cn=admin,", "dn=\"cn=config\""];
        let own: BTreeSet<_> = log
            .lines()
            .filter(|line| harness.iter().any(|sign| line.contains(sign)))
            .filter_map(connection)
            .collect();
        let others = |line: &&str| connection(line).is_none_or(|number| !own.contains(number));
        let of_others = log.lines().filter(others);
        of_others.filter(|line| line.contains(text)).count()
    }
}

/// Whether somebody listens on this port of the loopback, from the kernel's list (proc(5)).
fn is_listening(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let listening = format!(" 0100007F:{port:04X} 00000000:0000 0A ");
    sockets.lines().any(|line| line.contains(&listening))
}

/// The connection that a line is about: `6566fb1c.0e3f conn=1000 op=0 BIND dn="" ..`.
fn connection(line: &str) -> Option<&str> {
    line.split(' ').find_map(|word| word.strip_prefix("conn="))
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn said(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::process::Command;
    use std::time::Duration;

    use super::{BASE, JULIET, PASSWORD, PATIENCE, ROMEO, SERVICE, SERVICE_PASSWORD, Slapd, said};
    use crate::house::Identity;

    fn as_service<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["-x", "-D", SERVICE, "-w", SERVICE_PASSWORD, "-LLL"];
        arguments.extend(rest);
        arguments
    }

    #[test]
    fn the_sample_lets_its_people_in_and_the_service_find_them() {
        let mut directory = Slapd::start("sample");
        assert!(directory.lets_in(JULIET, PASSWORD));
        assert!(!directory.lets_in(JULIET, "dagger"));
        let filter = "(&(objectClass=inetOrgPerson)(uid=romeo))";
        let arguments = as_service(&[
            "-b",
            BASE,
            filter,
            "displayName",
            "userPassword",
            "memberOf",
        ]);
        let found = said(&directory.client("ldapsearch", &arguments, ""));
        assert!(found.contains("displayName: Romeo"), "{found}");
        assert!(
            found.contains("memberOf: cn=montagues,ou=groups,"),
            "{found}"
        );
        assert!(!found.contains("userPassword"), "{found}");
        assert_eq!(
            directory.operations(" BIND dn=\"uid=juliet,"),
            2 + 1,
            "one line more says who is in"
        );
        assert_eq!(directory.operations(&format!("filter=\"{filter}\"")), 1);
        assert_eq!(directory.operations("ACCEPT from"), 3);
    }

    #[test]
    fn passwords_travel_encrypted_only() {
        let directory = Slapd::start("encrypted");
        let whoami = |url: &str, more: &[&str]| {
            let mut command = Command::new("ldapwhoami");
            command
                .args(["-x", "-D", JULIET, "-w", PASSWORD, "-H", url])
                .args(more);
            said(&directory.run(command, ""))
        };
        let refused = whoami(&directory.url(), &[]);
        assert!(
            refused.contains("Confidentiality required (13)"),
            "{refused}"
        );
        let juliet = format!("dn:{JULIET}\n");
        assert_eq!(whoami(&directory.url(), &["-ZZ"]), juliet);
        assert_eq!(whoami(&directory.tls_url(), &[]), juliet);
    }

    #[test]
    fn a_client_certificate_stands_for_the_service() {
        let directory = Slapd::start("certificate");
        let whoami = |identity: &Identity| {
            let mut command = Command::new("ldapwhoami");
            command
                .args(["-Q", "-Y", "EXTERNAL", "-H", &directory.tls_url()])
                .env("LDAPTLS_CERT", &identity.certificate)
                .env("LDAPTLS_KEY", &identity.key);
            said(&directory.run(command, ""))
        };
        let own = whoami(&directory.client_certificate("stonechat"));
        assert_eq!(own, format!("dn:{SERVICE}\n"));
    }

    #[test]
    fn changes_passwords_and_policy_are_the_administrators() {
        let directory = Slapd::start("changes");
        directory.change(&format!(
            "dn: {ROMEO}\nchangetype: modify\nreplace: mail\nmail: romeo@mantua.example\n"
        ));
        assert_eq!(directory.values(ROMEO, "mail"), ["romeo@mantua.example"]);
        directory.set_password(ROMEO, "banished");
        assert!(directory.lets_in(ROMEO, "banished") && !directory.lets_in(ROMEO, PASSWORD));
        let change = format!("dn: {JULIET}\nchangetype: delete\n");
        let refused = directory
            .try_change(ROMEO, "banished", &change)
            .unwrap_err();
        assert!(refused.contains("Insufficient access (50)"), "{refused}");
        for _ in 0..10 {
            assert!(!directory.lets_in(ROMEO, "guess"));
        }
        assert!(
            !directory.lets_in(ROMEO, "banished"),
            "ten guesses lock an account"
        );
        directory.configure("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: TRUE\n");
        let readonly = directory.try_change(super::ADMIN, super::ADMIN_PASSWORD, &change);
        assert!(readonly.unwrap_err().contains("(53)"));
    }

    #[test]
    fn it_hangs_dies_and_comes_back_where_it_was() {
        let mut directory = Slapd::start("faults");
        directory.hang();
        let mut socket = TcpStream::connect(("127.0.0.1", directory.port)).unwrap();
        // An anonymous bind (RFC 4511 section 4.2), and some time in which a server that is well has answered.
        socket
            .write_all(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00")
            .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let nothing = socket.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        directory.go_on();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.read_exact(&mut [0; 14]).unwrap();
        directory.kill();
        let dead = directory.client("ldapwhoami", &["-x"], "");
        assert!(
            said(&dead).contains("Can't contact LDAP server"),
            "{}",
            said(&dead)
        );
        directory.start_again();
        assert!(directory.lets_in(JULIET, PASSWORD));
        assert!(!directory.processor_time().is_zero());
        directory.stop();
        directory.start_again();
        assert!(directory.lets_in(JULIET, PASSWORD));
    }
}
