//! Where a directory may send us (RFC 4511 section 4.1.10), and whose entries count that are found there. Refuses to go
//! there, and to believe a reference: whoever may write one entry may write one.

use std::collections::BTreeSet;

use super::ber::Entry;
use super::dn::Dn;
use super::pool::{Depth, Query};
use super::resolver::place;
use crate::config::HostDirectory;

/// What of it the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    hosts: BTreeSet<String>,
    bases: Vec<Dn>,
}

impl Destinations {
    /// Those of these options: hosts of the directory's own servers, and what is named besides.
    pub fn of(options: &HostDirectory) -> Destinations {
        let own = options.servers.iter().filter_map(|url| place(url));
        let own = own.map(|(host, _)| host);
        let others = options.referral_hosts.iter().map(String::as_str);
        let bases = options.referral_bases.iter();
        Destinations {
            hosts: own.chain(others).map(str::to_lowercase).collect(),
            bases: bases.filter_map(|base| Dn::parse(base)).collect(),
        }
    }

    /// Whether a server is asked. No other is, not even as nobody: whatever it says would be the directory's word, of who
    /// somebody is, by which keys they come in, and in which groups they are.
    pub fn has(&self, server: &str) -> bool {
        place(server).is_some_and(|(host, _)| self.hosts.contains(&host.to_lowercase()))
    }

    /// Whether an entry that is found there counts: it is where it was asked about, or where the operator says.
    pub fn counts(&self, entry: &Entry, query: &Query) -> bool {
        let Some(dn) = Dn::parse(&entry.dn) else {
            return false;
        };
        let is_asked_about = Dn::parse(&query.base).is_some_and(|base| {
            let below = dn.depth().saturating_sub(base.depth());
            dn.is_within(&base)
                && match query.depth {
                    Depth::Base => below == 0,
                    Depth::Children => below == 1,
                    Depth::Subtree => true,
                }
        });
        is_asked_about || self.bases.iter().any(|base| dn.is_within(base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::person;
    use super::*;

    fn destinations(servers: &[&str], options: &str) -> Destinations {
        let config = person::tests::config(options);
        let servers = servers.iter().map(|url| (*url).to_owned()).collect();
        Destinations::of(&HostDirectory {
            servers,
            ..config.options.clone()
        })
    }

    #[test]
    fn a_directory_sends_us_to_its_own_hosts_and_to_those_that_are_named() {
        let own = ["ldaps://LDAP.verona.example:1636", "ldap://[2001:db8::1]/"];
        let named = "referral_hosts = [\"ldap.Mantua.example\", \"[::1]\"]\n";
        let destinations = destinations(&own, named);
        for server in [
            "ldap://ldap.verona.example",
            "ldaps://Ldap.Verona.Example:636",
            "ldap://[2001:DB8::1]:389",
            "ldap://ldap.mantua.example",
            "ldap://[::1]:389",
        ] {
            assert!(destinations.has(server), "{server}");
        }
        for server in [
            "ldap://verona.example",
            "ldap://evil.ldap.verona.example",
            "ldap://ldap.verona.example.evil",
            "ldap://ldap.verona.example#.evil",
            "ldap://ldap.verona.example\n.evil",
            "ldap://[::1",
            "ldap://::1",
            "ldap://",
            "",
        ] {
            assert!(!destinations.has(server), "{server}");
        }
    }

    #[test]
    fn entries_count_below_what_was_asked_about_and_where_the_operator_says() {
        let entry = |dn: &str| Entry::of(dn, &[]);
        let counts = |options: &str, dn: &str| {
            let destinations = destinations(&["ldap://a"], options);
            let query = Query {
                base: "ou=people,dc=verona".to_owned(),
                ..person::query_for_all(&person::tests::config(""))
            };
            destinations.counts(&entry(dn), &query)
        };
        let named = "referral_bases = [\"dc=mantua\"]\n";
        assert!(counts("", "uid=juliet,OU=People,dc=verona"));
        for dn in ["uid=paris,dc=mantua", "cn=admins,ou=groups,dc=verona"] {
            assert!(!counts("", dn), "{dn}");
        }
        assert!(counts(named, "uid=paris,dc=mantua") && counts(named, "uid=a,ou=people,dc=verona"));
        assert!(!counts(named, "cn=admins,ou=groups,dc=verona"));
    }

    #[test]
    fn entries_count_as_deep_as_was_asked_whatever_a_reference_says() {
        let destinations = destinations(&["ldap://a"], "referral_bases = [\"dc=mantua\"]\n");
        let counted = |depth| {
            let query = Query {
                base: "ou=people,dc=verona".to_owned(),
                depth,
                ..person::query_for_all(&person::tests::config(""))
            };
            let all = [
                "OU=people,dc=verona",
                "uid=juliet,ou=people,dc=verona",
                "uid=romeo,ou=former,ou=people,dc=verona",
                "uid=paris,ou=counts,dc=mantua",
            ];
            all.map(|dn| destinations.counts(&Entry::of(dn, &[]), &query))
        };
        assert_eq!(counted(Depth::Base), [true, false, false, true]);
        assert_eq!(counted(Depth::Children), [false, true, false, true]);
        assert_eq!(counted(Depth::Subtree), [true; 4]);
    }
}
