//! Who drives whom: the users of a run, divided among parts and their threads, and from where and on which processors each of
//! these works. Refuses to know how parts are reached.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};

use super::coordinator::Run;
use super::scenario::Scenario;

/// Users of one thread, of one part, of one host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub host: usize,
    pub threads: Vec<(u32, u32)>,
}

impl Share {
    pub fn sessions(&self) -> u64 {
        self.threads
            .iter()
            .map(|(_, count)| u64::from(*count))
            .sum()
    }
}

/// Who drives whom. Communities stay whole.
pub(super) fn divide(
    scenario: &Scenario,
    hosts: usize,
    parts: usize,
    threads: usize,
) -> Result<Vec<Share>> {
    ensure!(
        hosts > 0 && threads > 0,
        "nothing to load, or nobody to do it"
    );
    let community = scenario.community();
    let communities = scenario.users.count / community;
    ensure!(
        community <= MOST_SESSIONS,
        "a community is too large for one part"
    );
    let needed = communities.div_ceil(MOST_SESSIONS / community);
    let parts = (parts.div_ceil(hosts) as u32).max(needed).min(communities);
    let threads = (threads as u32).min(communities.div_ceil(parts));
    let slices = parts * threads;
    let first = |slice: u32| {
        (u64::from(communities) * u64::from(slice) / u64::from(slices)) as u32 * community
    };
    let mut shares = Vec::new();
    for host in 0..hosts {
        for part in 0..parts {
            let threads = (part * threads..(part + 1) * threads)
                .map(|slice| {
                    (
                        scenario.users.first + first(slice),
                        first(slice + 1) - first(slice),
                    )
                })
                .filter(|(_, count)| *count > 0);
            shares.push(Share {
                host,
                threads: threads.collect(),
            });
        }
    }
    Ok(shares)
}

/// Addresses that part `number` connects from: each part has some for itself, if there are enough. The first parts are those that
/// joined from other machines, which have addresses of their own.
pub(super) fn sources_of(run: &Run, number: usize, parts: usize) -> Vec<IpAddr> {
    let joined = run.joining.map_or(0, |(_, count)| count);
    let Some(number) = number.checked_sub(joined) else {
        return Vec::new();
    };
    if run.sources.is_empty() {
        let mut servers = run.hosts.iter().flat_map(|host| &host.servers);
        // Debian has the machine's own name at 127.0.1.1.
        let is_loopback = servers.all(|server| server.is_ipv4() && server.ip().is_loopback());
        let sessions = u64::from(run.scenario.users.count) * run.hosts.len() as u64;
        // Ephemeral ports are 28,000 by default: on the loopback network there are addresses for all.
        if !is_loopback || sessions <= 25_000 {
            return Vec::new();
        }
        let [high, low] = (number as u16 + 1).to_be_bytes();
        return vec![IpAddr::V4(Ipv4Addr::new(127, 0, high, low))];
    }
    let parts = parts - joined;
    if run.sources.len() < parts {
        return run.sources.clone();
    }
    run.sources
        .iter()
        .copied()
        .skip(number)
        .step_by(parts)
        .collect()
}

pub(super) fn cores_of(run: &Run, number: usize) -> Vec<usize> {
    let count = run.cores.len();
    (0..run.threads.min(count))
        .map(|thread| run.cores[(number * run.threads + thread) % count])
        .collect()
}

/// Of one part: a process usually may have 20,000 descriptors.
pub const MOST_SESSIONS: u32 = 19_000;

#[cfg(test)]
mod tests {
    use super::super::coordinator::Host;
    use super::*;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(text, &[]).expect("a good scenario")
    }

    fn run(server: &str, users: u32, sources: &[&str], joined: usize) -> Run {
        let address = |text: &&str| text.parse().expect("an address");
        let server = server.parse().expect("an address and a port");
        Run {
            name: "idle".to_owned(),
            scenario: scenario(&format!("scenario = 'idle'\n[users]\ncount = {users}")),
            hosts: vec![Host {
                domain: "localhost".to_owned(),
                servers: vec![server],
                watch: Vec::new(),
            }],
            parts: 4,
            threads: 1,
            cores: Vec::new(),
            sources: sources.iter().map(address).collect(),
            joining: (joined > 0).then_some((server, joined)),
            seed: 0,
            prepares: false,
        }
    }

    #[test]
    fn each_part_here_has_addresses_for_itself_and_those_elsewhere_have_their_own() {
        let of = |run: &Run| {
            [0, 1, 2, 3].map(|number| {
                let sources = sources_of(run, number, 4);
                let sources: Vec<_> = sources.iter().map(IpAddr::to_string).collect();
                sources.join(" ")
            })
        };
        let nothing = ["", "", "", ""];
        // Ports do not run out, or nothing is known of the network.
        assert_eq!(of(&run("127.0.0.1:5222", 25_000, &[], 0)), nothing);
        for elsewhere in ["10.0.0.1:5222", "[::1]:5222"] {
            assert_eq!(of(&run(elsewhere, 50_000, &[], 0)), nothing);
        }
        for here in ["127.0.0.1:5222", "127.0.1.1:5222"] {
            let spread = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
            assert_eq!(of(&run(here, 50_000, &[], 0)), spread);
        }
        let named = ["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.9"];
        let from = |sources: &[&str], joined| of(&run("10.0.0.1:5222", 50_000, sources, joined));
        let each = ["10.0.0.5 10.0.0.9", "10.0.0.6", "10.0.0.7", "10.0.0.8"];
        assert_eq!(from(&named, 0), each);
        assert_eq!(from(&named[..1], 0), ["10.0.0.5"; 4]);
        let two = ["", "", "10.0.0.5 10.0.0.7 10.0.0.9", "10.0.0.6 10.0.0.8"];
        assert_eq!(from(&named, 2), two);
    }

    #[test]
    fn every_user_is_driven_once_and_communities_stay_whole() {
        for (count, community, contacts) in
            [(1_000, 50, 10), (40_000, 100, 2), (150, 50, 2), (50, 50, 4)]
        {
            let scenario = scenario(&format!(
                "scenario = 'day'\n[users]\ncount = {count}\ncommunity = {community}\ncontacts = {contacts}\nfirst = 7"
            ));
            for (parts, threads) in [(1, 1), (2, 1), (3, 2), (8, 4)] {
                let shares = divide(&scenario, 2, parts, threads).expect("possible");
                for host in 0..2 {
                    let mut next = 7;
                    for (first, users) in shares
                        .iter()
                        .filter(|s| s.host == host)
                        .flat_map(|s| &s.threads)
                    {
                        assert_eq!(*first, next);
                        assert!(users.is_multiple_of(community));
                        next += users;
                    }
                    assert_eq!(
                        next,
                        7 + count,
                        "{count} users, {parts} parts, {threads} threads"
                    );
                }
            }
        }
    }

    #[test]
    fn no_part_has_more_sessions_than_descriptors() {
        let scenario = scenario("scenario = 'idle'\n[users]\ncount = 300_000");
        let shares = divide(&scenario, 1, 1, 2).expect("possible");
        assert_eq!(shares.len(), 16);
    }

    #[test]
    fn large_communities_are_no_fault_as_long_as_each_fits_into_a_part() {
        let with = |community| {
            let text = format!(
                "scenario = 'day'\n[users]\ncount = 60_000\ncontacts = 10\ncommunity = {community}"
            );
            divide(&scenario(&text), 1, 1, 2)
        };
        let shares = with(10_000).expect("possible");
        assert_eq!(shares.len(), 6);
        assert!(
            shares
                .iter()
                .all(|share| share.sessions() <= u64::from(MOST_SESSIONS))
        );
        let error = with(20_000).expect_err("too large").to_string();
        assert_eq!(error, "a community is too large for one part");
    }
}
