//! A real OpenLDAP with the configuration and the people of `conf/ldap/`, which a test may change, hang, kill and
//! start again. It refuses to know Stonechat.
//!
//! ```text
//! let directory = Slapd::start("logins");                       // the organisation of conf/ldap/sample.ldif
//! let url = directory.url();                                    // ldap://127.0.0.1:PORT, StartTLS
//! directory.change("dn: uid=romeo,..\nchangetype: delete\n");   // as its administrator
//! assert_eq!(directory.values(JULIET, "mail"), ["juliet@verona.example"]);
//! ```

mod client;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::house::{Authority, Files, Identity, repository};
use crate::ports::free_port;
use client::said;

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
