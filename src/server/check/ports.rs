//! Where the server would listen: whether it may, and who is in the way. Refuses to accept anybody.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Finding, error, fine};
use crate::config::Config;
use crate::server::admin;
use crate::server::command::Command;
use crate::server::doorman::listen;

/// Where the server that runs on this data directory listens; nowhere if none runs.
pub fn held_by_server(data: &Path) -> Vec<SocketAddr> {
    match admin::ask(data, &Command::Listeners) {
        Ok(Ok(lines)) => lines.iter().filter_map(|line| line.parse().ok()).collect(),
        _ => Vec::new(),
    }
}

/// Listens at all of them at once, as the server does, and at none any more when it returns.
pub fn check_ports(config: &Config, held: &[SocketAddr]) -> Vec<Finding> {
    let mut sockets = Vec::new();
    let mut findings = Vec::new();
    let mut before: Vec<SocketAddr> = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let text = &listener.address;
        let Ok(address) = text.parse::<SocketAddr>() else {
            continue;
        };
        if let Some(other) = before.iter().find(|other| collide(**other, address)) {
            let message = format!("the listener at {other} above has this port already");
            let place = config
                .places()
                .error(&format!("listener[{index}].address"), message);
            let mend =
                "remove one of the two: 0.0.0.0 and [::] stand for all addresses of a family"
                    .to_owned();
            findings.push(error(place.to_string(), mend));
            continue;
        }
        before.push(address);
        findings.push(match listen(address) {
            Ok(socket) => {
                sockets.push(socket);
                fine(format!("port {text}: free"))
            }
            Err(found) => port_finding(address, &found, held),
        });
    }
    findings
}

/// Whether nobody can listen at both: the families are apart (`listen` in `doorman.rs` says so to the system).
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.ip() == other.ip();
    let is_covered = one.ip().is_unspecified() || other.ip().is_unspecified();
    // The system gives each who asks for port 0 one of its own.
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (is_same || is_covered)
}

/// Whether the server itself is why nobody else can listen at `address`. One that listens at a single address says
/// nothing of the others of this machine.
fn is_ours(address: SocketAddr, held: &[SocketAddr]) -> bool {
    let is_in_the_way = |ours: &SocketAddr| {
        let covers = ours.ip() == address.ip() || ours.ip().is_unspecified();
        covers && collide(*ours, address)
    };
    held.iter().any(is_in_the_way)
}

fn port_finding(address: SocketAddr, found: &io::Error, held: &[SocketAddr]) -> Finding {
    match found.kind() {
        io::ErrorKind::AddrInUse if is_ours(address, held) => {
            fine(format!("port {address}: held by the running server"))
        }
        io::ErrorKind::AddrInUse => error(
            format!("port {address}: another program listens there"),
            "find it with `ss -ltnp` and stop it, or choose another `address` for the listener".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => error(
            format!("port {address}: this user may not listen there"),
            "choose a port above 1023, or give the program CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities)"
                .to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => error(
            format!("port {address}: this machine has no such address"),
            "see `ip address`; for IPv6 look whether net.ipv6.conf.all.disable_ipv6 is 0".to_owned(),
        ),
        _ => error(format!("port {address}: {found}"), "choose another `address` for the listener".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;
    use crate::server::check::Level;
    use std::net::TcpListener;

    #[test]
    fn a_port_in_use_is_an_error_unless_it_is_ours() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        let level = |address: &str, held: &[&str]| {
            let held: Vec<SocketAddr> = held.iter().map(|held| held.parse().unwrap()).collect();
            port_finding(address.parse().unwrap(), &in_use, &held).level
        };
        assert_eq!(level("[::]:5222", &[]), Level::Error);
        assert_eq!(level("[::]:5222", &["[::]:5222"]), Level::Fine);
        assert_eq!(level("127.0.0.1:5222", &["0.0.0.0:5222"]), Level::Fine);
        // Another family, another address, another port.
        assert_eq!(level("127.0.0.1:5222", &["[::]:5222"]), Level::Error);
        assert_eq!(level("0.0.0.0:5222", &["127.0.0.1:5222"]), Level::Error);
        assert_eq!(level("[::]:5223", &["[::]:5222"]), Level::Error);
    }

    fn levels(addresses: &[String]) -> Vec<Level> {
        let listener = |address: &String| format!("[[listener]]\naddress = \"{address}\"\n");
        let text: String = addresses.iter().map(listener).collect();
        let findings = check_ports(&config(&text), &[]);
        findings.iter().map(|finding| finding.level).collect()
    }

    /// A port that nobody had a moment ago, in either family.
    fn free_port() -> u16 {
        let socket = TcpListener::bind("[::]:0").expect("the system has ports");
        socket.local_addr().expect("bound").port()
    }

    #[test]
    fn two_listeners_of_one_port_are_an_error_if_the_addresses_of_one_are_among_the_others() {
        let port = free_port();
        let at = |ip: &str| format!("{ip}:{port}");
        let both = [Level::Fine, Level::Error];
        assert_eq!(levels(&[at("0.0.0.0"), at("127.0.0.1")]), both);
        assert_eq!(levels(&[at("127.0.0.1"), at("0.0.0.0")]), both);
        let fine = [Level::Fine; 2];
        assert_eq!(levels(&[at("127.0.0.1"), at("127.0.0.2")]), fine);
        assert_eq!(levels(&[at("0.0.0.0"), at("[::]")]), fine);
        assert_eq!(
            levels(&["127.0.0.1:0".to_owned(), "0.0.0.0:0".to_owned()]),
            fine
        );
    }

    #[test]
    fn a_program_that_listens_at_the_other_family_is_not_in_the_way() {
        let other = TcpListener::bind("0.0.0.0:0").expect("the system has ports");
        let port = other.local_addr().expect("bound").port();
        assert_eq!(levels(&[format!("[::]:{port}")]), [Level::Fine]);
        assert_eq!(levels(&[format!("127.0.0.1:{port}")]), [Level::Error]);
    }
}
