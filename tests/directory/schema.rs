//! What `conf/ldap/` ships: schemas in two forms that mean the same, samples that they allow, people by the hundred
//! thousand.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::client::Client;
use crate::groups::{commands, options};
use crate::house::{Authority, Files, repository};
use crate::page::{Page, password_file};
use crate::rosters::{roster, serve};
use crate::served::{house, house_of};
use crate::slapd::{BASE, Log, PASSWORD, Schema, Slapd, Wishes};

/// Definitions of `conf/ldap/` by name, as slapd prints them when it has read them, and without what numbers their
/// form gives them.
fn definitions(config: &str) -> BTreeMap<String, String> {
    let unfolded = config.replace("\n ", "");
    let mut found = BTreeMap::new();
    for line in unfolded.lines() {
        let Some((_, definition)) = line.split_once("}( ") else {
            continue;
        };
        let after = |start: &str| {
            let (_, rest) = definition.split_once(start)?;
            rest.split_once('\'').map(|(name, _)| name.to_owned())
        };
        let Some(name) = after("NAME '") else {
            continue;
        };
        if name.starts_with("stonechat") || name.starts_with("authPassword") {
            let words: Vec<_> = definition.split_whitespace().collect();
            found.insert(name, words.join(" "));
        }
    }
    found
}

/// slapd's own view of a configuration that it has read: all files below `slapd.d`, of which schemas are some.
fn read_back(directory: &PathBuf) -> String {
    let mut text = String::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            text.push_str(&read_back(&path));
        } else {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn both_forms_of_a_schema_load_and_mean_the_same() {
    let files = Files::new("forms");
    let standard = ["core", "cosine", "inetorgperson"];
    let own = ["authpassword", "stonechat"];
    let path = |name: &str, kind: &str| match own.contains(&name) {
        true => repository(&format!("conf/ldap/{name}.{kind}")),
        false => PathBuf::from(format!("/etc/ldap/schema/{name}.{kind}")),
    };
    let names = || standard.iter().chain(&own);
    let includes = names().map(|name| format!("include {}\n", path(name, "schema").display()));
    let classic = files.write("slapd.conf", &includes.collect::<String>());
    let includes =
        names().map(|name| format!("include: file://{}\n", path(name, "ldif").display()));
    let head = "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n\
                dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n";
    let modern = files.write(
        "slapd.ldif",
        &(head.to_owned() + &includes.collect::<String>()),
    );
    let read = |arguments: &[&str], from: &PathBuf, to: &str| {
        let to = files.path(to);
        fs::create_dir(&to).unwrap();
        let output = Command::new("/usr/sbin/slapd")
            .args(arguments)
            .arg(from)
            .arg("-F")
            .arg(&to)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        definitions(&read_back(&to))
    };
    let classic = read(&["-T", "test", "-f"], &classic, "classic");
    let modern = read(&["-T", "add", "-n", "0", "-l"], &modern, "modern");
    // Names of arcs are the classic form's; their numbers are the other's.
    let numbers = |text: &String| {
        text.replace("stonechatAttribute:", "1.3.6.1.4.1.32473.5222.1.")
            .replace("stonechatClass:", "1.3.6.1.4.1.32473.5222.2.")
    };
    let classic: BTreeMap<_, _> = classic
        .iter()
        .map(|(name, definition)| (name.clone(), numbers(definition)))
        .collect();
    assert_eq!(classic, modern);
    assert_eq!(modern.len(), 11 + 3 + 2, "{:?}", modern.keys());
}

#[test]
fn the_sample_of_our_schema_loads_and_hides_what_is_secret() {
    let directory = Slapd::with(
        "own-schema",
        Wishes {
            schema: Schema::Stonechat,
            ..Wishes::default()
        },
    );
    let room = "cn=ballroom,ou=rooms,dc=verona,dc=example";
    let owner = directory.values(room, "stonechatRoomOwner");
    assert_eq!(owner, ["uid=capulet,ou=people,dc=verona,dc=example"]);
    let see = |who: &str, password: &str, dn: &str, attribute: &str| {
        let search = [
            "-LLL", "-x", "-D", who, "-w", password, "-s", "base", "-b", dn, attribute,
        ];
        let output = directory.client("ldapsearch", &search, "");
        String::from_utf8(output.stdout)
            .unwrap()
            .contains(attribute)
    };
    let (juliet, romeo) = (crate::slapd::JULIET, crate::slapd::ROMEO);
    let (service, secret) = (crate::slapd::SERVICE, crate::slapd::SERVICE_PASSWORD);
    assert!(see(service, secret, juliet, "authPassword"));
    assert!(!see(romeo, PASSWORD, juliet, "authPassword"));
    let crypt = "cn=crypt,ou=rooms,dc=verona,dc=example";
    assert!(see(service, secret, crypt, "stonechatRoomPassword"));
    assert!(!see(romeo, PASSWORD, crypt, "stonechatRoomPassword"));
    assert!(see(romeo, PASSWORD, room, "stonechatRoomOption"));
    // The service makes rooms, and nothing else.
    let made =
        "dn: cn=garden,ou=rooms,dc=verona,dc=example\nobjectClass: stonechatRoom\ncn: garden\n";
    directory.try_change(service, secret, made).unwrap();
    assert!(directory.try_change(romeo, PASSWORD, made).is_err());
    let person = made.replace("ou=rooms", "ou=people");
    assert!(directory.try_change(service, secret, &person).is_err());
}

#[test]
fn the_rules_beside_the_schema_hide_what_is_secret_in_a_directory_that_was_there() {
    let directory = Slapd::start("rules");
    let file = |name: &str| fs::read_to_string(repository(&format!("conf/ldap/{name}"))).unwrap();
    for name in ["authpassword.ldif", "stonechat.ldif", "acl-stonechat.ldif"] {
        directory.configure(&file(name));
    }
    directory.change(&file("sample-stonechat.ldif"));
    let (juliet, crypt) = (
        crate::slapd::JULIET,
        "cn=crypt,ou=rooms,dc=verona,dc=example",
    );
    for (dn, attribute) in [
        (juliet, "authPassword: "),
        (crypt, "stonechatRoomPassword: "),
    ] {
        let see = |who: &str, password: &str| {
            let search = [
                "-LLL", "-x", "-D", who, "-w", password, "-s", "base", "-b", dn,
            ];
            let output = directory.client("ldapsearch", &search, "");
            String::from_utf8(output.stdout).unwrap()
        };
        let romeos = see(crate::slapd::ROMEO, PASSWORD);
        assert!(
            romeos.contains(dn) && !romeos.contains(attribute),
            "{romeos}"
        );
        let ours = see(crate::slapd::SERVICE, crate::slapd::SERVICE_PASSWORD);
        assert!(ours.contains(attribute), "{ours}");
    }
}

/// Writes a large organisation by these arguments of `conf/ldap/people` and loads it.
fn crowd(test: &str, arguments: &[&str]) -> Slapd {
    let files = Files::new(&format!("{test}-people"));
    let path = files.path("people.ldif");
    let written = Command::new(repository("conf/ldap/people"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&path).unwrap())
        .status()
        .unwrap();
    assert!(written.success());
    let schema = match arguments.contains(&"--stonechat") {
        true => Schema::Stonechat,
        false => Schema::Standard,
    };
    Slapd::with(
        test,
        Wishes {
            log: Log::Nothing,
            schema,
            bulk: Some(path),
            ..Wishes::default()
        },
    )
}

#[test]
fn people_of_a_crowd_with_our_schema_have_keys_and_contact_lists() {
    let directory = crowd("keys", &["--stonechat", "--member-of", "60"]);
    let dn = format!("uid=u00059,ou=people,{BASE}");
    assert_eq!(directory.values(&dn, "authPassword").len(), 2);
    let house = house("schema-keys", &directory, &options(""));
    let server = serve(&house);
    let mut client = Client::session(&server, "u00059", "desk");
    // Ten are on the second team, and everybody in the large group.
    let seen = roster(&mut client, "");
    assert_eq!(seen.matches("<group>team-0001<").count(), 9, "{seen}");
    assert_eq!(seen.matches("<group>large<").count(), 59, "{seen}");
}

/// What the page has an operator type in, here, with a system of its own that has OpenLDAP's tools and nothing else to do.
fn type_in(files: &Files, commands: &str) {
    let root = files.path("").display().to_string();
    let mut commands = commands.replace(" -g openldap", "");
    for (said, own) in [
        ("conf/ldap/people", repository("conf/ldap/people")),
        ("conf/ldap/slapd.ldif", files.path("slapd.ldif")),
    ] {
        commands = commands.replace(said, &own.display().to_string());
    }
    for place in ["/etc/ldap/", "/etc/default/", "/var/lib/ldap/"] {
        commands = commands.replace(&format!(" {place}"), &format!(" {root}{}", &place[1..]));
    }
    let path = format!("{root}bin:{}", std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-e", "-c", &commands])
        .current_dir(&root)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{commands}\n{said}");
}

#[test]
fn the_commands_of_the_page_make_the_directory_of_which_it_speaks() {
    let files = Files::new("typed");
    for directory in ["bin", "etc/ldap", "etc/default"] {
        fs::create_dir_all(files.path(directory)).unwrap();
    }
    for name in ["apt-get", "chown", "debconf-set-selections"] {
        symlink("/bin/true", files.path(&format!("bin/{name}"))).unwrap();
    }
    // Debian confines it by its path; it is what it is called.
    let mut copy = Command::new("cp");
    let copied = copy
        .arg("/usr/sbin/slapd")
        .arg(files.path("bin/slapadd"))
        .status();
    assert!(copied.unwrap().success());
    let services = files.write(
        "etc/default/slapd",
        "SLAPD_SERVICES=\"ldap:/// ldapi:///\"\n",
    );
    let identity = Authority::new(&files).server(&files, &["localhost"]);
    fs::copy(identity.certificate, files.path("certificate.pem")).unwrap();
    fs::copy(identity.key, files.path("key.pem")).unwrap();
    // What the operator does to the file: the marks off the lines with certificate and key, and here other places.
    let root = files.path("").display().to_string();
    let mut text = fs::read_to_string(repository("conf/ldap/slapd.ldif")).unwrap();
    for (shipped, own) in [
        ("# olcTLSCertificateFile: /", "olcTLSCertificateFile: /"),
        (
            "# olcTLSCertificateKeyFile: /",
            "olcTLSCertificateKeyFile: /",
        ),
        (": /etc/ldap/", format!(": {root}etc/ldap/").as_str()),
        (
            "olcDbDirectory: /",
            format!("olcDbDirectory: {root}").as_str(),
        ),
    ] {
        assert!(text.contains(shipped), "slapd.ldif has no {shipped:?}");
        text = text.replace(shipped, own);
    }
    files.write("slapd.ldif", &text);

    let page = Page::read("### OpenLDAP");
    let blocks = page.blocks().into_iter();
    let mut setting_up = blocks.filter(|block| block.contains("slapadd -n 0"));
    let block = setting_up.next().expect("it is set up");
    let (commands, started) = block
        .split_once("systemctl start slapd\n")
        .expect("it is started");
    assert!(started.contains("-f conf/ldap/sample.ldif"), "{started}");
    type_in(&files, commands);
    let mode = |name: &str| {
        let file = fs::metadata(files.path(name)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode("etc/ldap/key.pem"), 0o640);
    assert!(
        fs::read_to_string(services)
            .unwrap()
            .contains(" ldaps:/// ")
    );
    let made = read_back(&files.path("etc/ldap/slapd.d"));
    let key = format!("olcTLSCertificateKeyFile: {root}etc/ldap/key.pem");
    // Lines are folded.
    assert!(made.replace("\n ", "").contains(&key), "{made}");
    let people = page.command("conf/ldap/people");
    assert!(people.contains(" 100000 "), "{people}");
    type_in(&files, &people.replace(" 100000 ", " 100 "));
    assert!(files.path("var/lib/ldap/verona/data.mdb").exists());
}

/// What an operator does who sets up OpenLDAP as conf/README.md says, with the crowd.
#[test]
fn any_of_a_hundred_thousand_people_logs_in_finds_colleagues_and_manages_if_a_manager() {
    let page = Page::read("### OpenLDAP");
    let command = page.command("conf/ldap/people");
    let (people, load) = command.split_once(" | ").expect("it is loaded at once");
    // As Slapd does it.
    assert_eq!(load, "slapadd -q -n 1 -F /etc/ldap/slapd.d");
    let words: Vec<&str> = people.split(' ').collect();
    assert_eq!(
        (words[0], words.last()),
        ("conf/ldap/people", Some(&"100000"))
    );
    let directory = crowd("crowd", &words[1..]);
    for number in [0, 31_415, 99_999] {
        let dn = format!("uid=u{number:05},ou=people,{BASE}");
        assert!(directory.lets_in(&dn, PASSWORD), "{dn}");
        let team = format!("cn=team-{:04},ou=groups,{BASE}", number / 50);
        assert!(directory.values(&dn, "memberOf").contains(&team));
        assert_eq!(directory.values(&team, "member").len(), 50);
    }
    let large = format!("cn=large,ou=groups,{BASE}");
    assert_eq!(directory.values(&large, "member").len(), 5_000);

    let files = Files::new("crowd-house");
    let own = [
        ("name", "\"localhost\"".to_owned()),
        ("servers", format!("[{:?}]", directory.url())),
        ("ca", format!("{:?}", directory.authority.certificate)),
        ("password_file", format!("{:?}", password_file(&files))),
    ];
    let house = house_of("schema-crowd", &page.host(&own));
    let server = serve(&house);
    // The first of each fifty leads them.
    for (number, leads) in [(0, true), (31_415, false), (99_950, true), (99_999, false)] {
        let mut client = Client::session(&server, &format!("u{number:05}"), "desk");
        let colleagues = roster(&mut client, "");
        assert_eq!(
            colleagues.matches("subscription='both'").count(),
            49,
            "{number}"
        );
        let team = number / 50 * 50;
        for colleague in (team..team + 50).filter(|colleague| *colleague != number) {
            let jid = format!("jid='u{colleague:05}@localhost'");
            assert!(colleagues.contains(&jid), "{number} {jid}: {colleagues}");
        }
        let shown = commands(&mut client);
        assert_eq!(shown.contains("node='groups'"), leads, "{number}: {shown}");
    }
    // So with those of the sample.
    let mut escalus = Client::session(&server, "escalus", "palace");
    assert!(commands(&mut escalus).contains("node='groups'"));
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let colleagues = roster(&mut romeo, "");
    assert_eq!(colleagues.matches("subscription='both'").count(), 2);
    assert!(!commands(&mut romeo).contains("node='groups'"));
}
