//! Networks as an operator writes them: "10.20.0.0/16", "fd00::/8", or one address. Refuses to know who is in them.

// The types of addresses alone, as `core` has them: nothing here opens anything.
use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// What stands before the slash is no IP address.
    Address,
    /// What stands behind it is no number of bits that such an address has.
    Bits,
    /// The address has bits behind those that count: one of the two is a mistake.
    Beyond,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkError::Address => {
                "write an IP address, or the first of a network and its bits, as in \"10.20.0.0/16\" or \"fd00::/8\""
            }
            NetworkError::Bits => "the number of bits is at most 32 for IPv4 and 128 for IPv6",
            NetworkError::Beyond => {
                "the address has bits behind those that count: write the first address of the network"
            }
        })
    }
}

impl Network {
    /// Whether the address is one of it. One of IPv4 that IPv6 carries (RFC 4291 section 2.5.5.2) is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            (network, address) => {
                (number(network) ^ number(address)) & mask(network, self.bits) == 0
            }
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let width = width(address);
        let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            Some(bits) => Some(bits)
                .filter(is_number)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= width)
                .ok_or(NetworkError::Bits)?,
            None => width,
        };
        if number(address) & !mask(address, bits) != 0 {
            return Err(NetworkError::Beyond);
        }
        // Who writes a network of IPv4 as IPv6 carries it (RFC 4291 section 2.5.5.2) means that of IPv4.
        let carried = match address {
            IpAddr::V6(address) => address.to_ipv4_mapped().zip(bits.checked_sub(96)),
            IpAddr::V4(_) => None,
        };
        Ok(match carried {
            Some((address, bits)) => Network {
                address: IpAddr::V4(address),
                bits,
            },
            None => Network { address, bits },
        })
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(Ipv6Addr::from(address.octets())),
    }
}

/// The first bits of an address of that kind.
fn mask(address: IpAddr, bits: u8) -> u128 {
    low(width(address)) & !low(width(address) - bits)
}

/// So many ones.
fn low(bits: u8) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX >> (128 - bits),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_in_a_network_whose_bits_it_begins_with() {
        for (text, inside, outside) in [
            (
                "10.20.0.0/16",
                ["10.20.0.0", "10.20.255.255"],
                ["10.21.0.0", "10.19.255.255"],
            ),
            (
                "192.0.2.1",
                ["192.0.2.1", "::ffff:192.0.2.1"],
                ["192.0.2.2", "::192.0.2.1"],
            ),
            // As IPv6 carries it (RFC 4291 section 2.5.5.2), and as addresses of it are known.
            (
                "::ffff:10.20.0.0/112",
                ["10.20.0.0", "::ffff:10.20.255.255"],
                ["10.21.0.0", "fd00::1"],
            ),
            (
                "::ffff:192.0.2.1",
                ["192.0.2.1", "::ffff:192.0.2.1"],
                ["192.0.2.2", "::1"],
            ),
            (
                "0.0.0.0/0",
                ["0.0.0.0", "255.255.255.255"],
                ["::", "fd00::1"],
            ),
            ("::/0", ["::1", "ffff::"], ["10.0.0.1", "::ffff:10.0.0.1"]),
            (
                "fd00::/8",
                ["fd00::1", "fdff:ffff::"],
                ["fc00::1", "fe00::"],
            ),
            (
                "2001:db8::/33",
                ["2001:db8::", "2001:db8:7fff::"],
                ["2001:db8:8000::", "2001:db9::"],
            ),
            ("fd00::7", ["fd00::7", "fd00:0::7"], ["fd00::6", "fd00::8"]),
        ] {
            for it in inside {
                assert!(network(text).contains(address(it)), "{it} in {text}");
            }
            for it in outside {
                assert!(!network(text).contains(address(it)), "{it} not in {text}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_told_why() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("ship.example", NetworkError::Address),
            ("10.20.0/16", NetworkError::Address),
            ("10.20.0.0/33", NetworkError::Bits),
            ("10.20.0.0/", NetworkError::Bits),
            ("10.20.0.0/+8", NetworkError::Bits),
            ("fd00::/129", NetworkError::Bits),
            ("10.20.0.1/16", NetworkError::Beyond),
            ("fd00::1/127", NetworkError::Beyond),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        assert_eq!(network("10.20.0.0/16").to_string(), "10.20.0.0/16");
        assert_eq!(network("::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
        assert_eq!(network("fd00::7").to_string(), "fd00::7/128");
    }
}
