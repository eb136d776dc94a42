//! Several hosts in one server, and listeners behind a proxy.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::client::Client;
use crate::server::{House, LOCALHOST, PASSWORD, Server};

const HOSTS: &str = "[[host]]\nname = \"montague.example\"\ncertificate = \"montague.pem\"\nkey = \"montague.key\"\n\
    [[host]]\nname = \"capulet.example\"\ncertificate = \"capulet.pem\"\nkey = \"capulet.key\"\n";

/// Makes a new certificate for a host: its DER form.
fn certify(house: &House, family: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed([format!("{family}.example")]).unwrap();
    fs::write(house.path(&format!("{family}.pem")), made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    fs::write(house.path(&format!("{family}.key")), key).unwrap();
    made.cert.der().to_vec()
}

fn connect(server: &Server, host: &str) -> Client {
    let socket = TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
    let mut client = Client::over(socket).meaning(host);
    client.shake_hands();
    client
}

#[test]
fn two_hosts_talk_show_their_own_certificates_and_are_reloaded_both_or_neither() {
    let house = House::new("hosts", "", HOSTS);
    let (montague, capulet) = (certify(&house, "montague"), certify(&house, "capulet"));
    let server = house.serve();
    house.add("romeo@montague.example");
    house.add("juliet@capulet.example");
    // The same name on both: two people.
    house.add("nurse@montague.example");
    house.add("nurse@capulet.example");
    let mut romeo = connect(&server, "montague.example");
    let mut juliet = connect(&server, "capulet.example");
    let mut nurse = connect(&server, "capulet.example");
    assert_eq!(romeo.certificate(), montague);
    assert_eq!(juliet.certificate(), capulet);
    for (client, name) in [
        (&mut romeo, "romeo"),
        (&mut juliet, "juliet"),
        (&mut nurse, "nurse"),
    ] {
        client.open();
        client.begin_session(name, "here");
    }
    romeo.send(
        "<message to='juliet@capulet.example' type='chat'><body>over the wall</body></message>",
    );
    romeo.send(
        "<message to='nurse@montague.example' type='chat'><body>not for her</body></message>",
    );
    romeo.send("<message to='nurse@capulet.example' type='chat'><body>for her</body></message>");
    let message = juliet.element();
    assert!(message.contains("over the wall"), "{message}");
    assert!(
        message.contains("from='romeo@montague.example/here'"),
        "{message}"
    );
    let message = nurse.element();
    assert!(message.contains("<body>for her</body>"), "{message}");
    // An account of one host is none of the other.
    let mut stranger = connect(&server, "capulet.example");
    stranger.open();
    let (_, said) = house.tool(&["user", "list", "capulet.example"], "");
    assert_eq!(said, "juliet@capulet.example\nnurse@capulet.example\n");

    let renewed = certify(&house, "montague");
    fs::write(house.path("capulet.pem"), "nonsense").unwrap();
    let (fine, said) = house.tool(&["reload"], "");
    assert!(!fine && said.contains("host[1].certificate"), "{said}");
    assert_eq!(connect(&server, "montague.example").certificate(), montague);
    assert_eq!(connect(&server, "capulet.example").certificate(), capulet);
    let renewed_too = certify(&house, "capulet");
    let (fine, said) = house.tool(&["reload"], "");
    assert!(fine, "{said}");
    assert_eq!(connect(&server, "montague.example").certificate(), renewed);
    assert_eq!(
        connect(&server, "capulet.example").certificate(),
        renewed_too
    );
    drop((romeo, juliet, nurse, stranger));
    server.stop();
}

#[test]
fn behind_a_proxy_the_client_is_who_the_header_names_and_without_one_nobody_gets_in() {
    let house = House::of_localhost("proxy", "");
    let listener = format!(
        "{LOCALHOST}[[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"direct\"\nproxy_protocol = true\n"
    );
    house.configure("", &listener);
    let mut server = house.serve();
    let port = server.ports[2];
    house.add("romeo@localhost");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 5223\r\n";
    socket.write_all(header).unwrap();
    let mut romeo = Client::over(socket);
    romeo.shake_hands();
    romeo.open();
    romeo.log_in("romeo", PASSWORD);
    // One that speaks for itself, and one that the other listener does not believe.
    let mut direct = Client::over(TcpStream::connect(("127.0.0.1", port)).unwrap());
    direct.send_bytes(&crate::client::client_hello());
    assert_eq!(direct.next(), None);
    server.tls_port = port;
    let mut plain = Client::plain(&server);
    plain.send_bytes(header);
    plain.fails_with("not-well-formed");
    drop(romeo);
    server.stop();
    let records = house.records();
    let login = records.iter().find(|record| record["event"] == "login");
    assert_eq!(login.unwrap()["from"], "192.0.2.7:50123");
    let pem = CertificateDer::from_pem_file(house.data.join("cert/localhost.pem"));
    assert!(pem.is_ok());
}
