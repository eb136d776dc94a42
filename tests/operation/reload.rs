//! What changes while the server runs and what is refused, and who hears of it; what `check` says beforehand.

use std::fs;
use std::net::TcpListener;

use sha2::Digest;

use crate::ports::free_port;
use crate::server::{House, LOCALHOST};

#[test]
fn a_refused_reload_is_a_warning_and_says_each_error_on_a_line_of_its_own() {
    let house = House::of_localhost("refused", "log.filter = \"warn\"");
    let mut server = house.serve();
    house.configure(
        "log.filter = \"warn\"\nsm.resume_timeout = 7\nsm.unacked_count = \"many\"",
        LOCALHOST,
    );
    server.signal("HUP");
    for error in ["sm.resume_timeout", "sm.unacked_count", "nothing changed"] {
        let line = server.until_logged(error);
        assert!(line.contains(" WARN "), "{line}");
    }
    let (fine, said) = house.tool(&["reload"], "");
    assert!(!fine);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].contains("refused: ") && lines[1].starts_with("refused: "),
        "{said}"
    );
    assert!(lines[2].starts_with("nothing changed"), "{said}");
    // None of it is in force: the old file changes nothing.
    house.configure("log.filter = \"warn\"", LOCALHOST);
    let (fine, said) = house.tool(&["reload"], "");
    assert!(fine && said.starts_with("no option changed"), "{said}");
    house.configure("log.filter = \"info\"", LOCALHOST);
    let (fine, said) = house.tool(&["reload"], "");
    assert!(
        fine && said == "changed: log.filter: \"warn\" -> \"info\"\n",
        "{said}"
    );
    house.configure(
        "sm.resume_timeout = \"1 min\"\nlog.filter = \"info\"",
        LOCALHOST,
    );
    server.signal("HUP");
    let line = server.until_logged("changed: sm.resume_timeout");
    assert!(line.contains(" INFO "), "{line}");
    server.stop();
    let reloads: Vec<String> = house
        .records()
        .iter()
        .filter(|record| record["event"] == "reload")
        .map(|record| format!("{} by {}", record["outcome"], record["by"]))
        .collect();
    let (failed, done) = ("\"failed\" by \"operator\"", "\"done\" by \"operator\"");
    assert_eq!(reloads, [failed, failed, done, done, done]);
}

#[test]
fn check_tells_a_port_of_the_running_server_from_one_that_somebody_else_has() {
    let house = House::of_localhost("ports", "");
    let at = |port: u16| format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n");
    let config = [at(free_port()), at(free_port()), LOCALHOST.to_owned()].concat();
    house.write_config(&config);
    let server = house.serve();
    let (fine, said) = house.tool(&["check"], "");
    assert!(fine, "{said}");
    assert_eq!(
        said.matches("held by the running server").count(),
        2,
        "{said}"
    );
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    house.write_config(&(config + &at(address.port())));
    let (fine, said) = house.tool(&["check"], "");
    assert!(!fine, "{said}");
    let expected = format!("error   port {address}: another program listens there");
    assert!(said.contains(&expected), "{said}");
    server.stop();
}

#[test]
fn a_file_of_authorities_without_a_certificate_is_refused_by_check_by_a_reload_and_at_the_start() {
    let house = House::of_localhost("authorities", "");
    let server = house.serve();
    let file = house.data.join("cert/client-ca.pem");
    fs::write(&file, "no certificate at all\n").unwrap();
    let complaint = "client-ca.pem: holds no certificate";
    for command in ["check", "reload"] {
        let (fine, said) = house.tool(&[command], "");
        assert!(!fine && said.contains(complaint), "{command}: {said}");
        assert!(!said.contains(" tls:"), "no option is at fault: {said}");
    }
    server.stop();
    let (fine, said) = house.tool(&["serve"], "");
    assert!(!fine && said.contains(complaint), "{said}");
    let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap();
    fs::write(&file, authority.cert.pem()).unwrap();
    let (fine, said) = house.tool(&["check"], "");
    assert!(
        fine && said.contains("authorities for client certificates: 1"),
        "{said}"
    );
    let server = house.serve();
    // Who may log others in is as much a change as what the host shows.
    let fingerprint = |key: &rcgen::CertifiedKey<rcgen::KeyPair>| -> String {
        let digest = sha2::Sha256::digest(key.cert.der());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (before, successor) = (
        authority,
        rcgen::generate_simple_self_signed(["successor".to_owned()]).unwrap(),
    );
    let reload = || {
        let (fine, said) = house.tool(&["reload"], "");
        assert!(fine, "{said}");
        said
    };
    let changed = "changed: authorities of client certificates: ";
    assert!(!reload().contains(changed), "nothing did");
    let both = [before.cert.pem(), successor.cert.pem()].concat();
    fs::write(&file, both).unwrap();
    let line = format!(
        "{changed}{} {}\n",
        fingerprint(&before),
        fingerprint(&successor)
    );
    let said = reload();
    assert!(said.contains(&line), "{said}");
    fs::remove_file(&file).unwrap();
    let said = reload();
    assert!(said.contains(&format!("{changed}none\n")), "{said}");
    server.stop();
    let records: Vec<String> = house
        .records()
        .iter()
        .filter(|record| record["event"] == "client-authorities-changed")
        .map(|record| record["fingerprints"].to_string())
        .collect();
    let of_both = format!(
        "[\"{}\",\"{}\"]",
        fingerprint(&before),
        fingerprint(&successor)
    );
    assert_eq!(records, [of_both.as_str(), "[]"]);
    // Of a listener that asks, the complaint names the option.
    fs::write(&file, "no certificate at all\n").unwrap();
    house.configure(
        "",
        &format!("client_certificates = \"request\"\n{LOCALHOST}"),
    );
    for command in ["check", "serve"] {
        let (fine, said) = house.tool(&[command], "");
        let place = "listener[1].client_certificates: ";
        assert!(
            !fine && said.contains(place) && said.contains(complaint),
            "{said}"
        );
    }
}
