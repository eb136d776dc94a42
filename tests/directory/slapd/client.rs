//! What a test asks of its OpenLDAP and changes in it, by the programs of ldap-utils. It refuses to know how the server is run.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{ADMIN, ADMIN_PASSWORD, Slapd};

impl Slapd {
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

    pub(super) fn change_by_file(&self, ldif: &Path) {
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
}

pub(super) fn said(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}
