//! The PROXY protocol, versions 1 and 2, as pure functions over bytes. Refuses to know sockets: whoever
//! calls has peeked, and takes exactly the header's bytes once it is whole.
//!
//! Spec: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header that is read: version 1 needs at most 107 bytes, version 2 with the TLS and identity
/// fields that known proxies send stays below 1 KiB.
pub const HEADER_BYTES_MAX: usize = 2048;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// So far a beginning of a header.
    Unfinished,
    /// A whole header of `length` bytes. `source` is none where the proxy speaks for itself (health
    /// checks) or does not know: then the socket's own peer counts.
    Whole {
        length: usize,
        source: Option<SocketAddr>,
    },
    /// No header at all, or one that breaks the specification.
    Broken,
}

/// Reads the header at the beginning of `bytes`.
pub fn read_header(bytes: &[u8]) -> Header {
    if begins(bytes, V2_SIGNATURE) {
        read_v2(bytes)
    } else if begins(bytes, V1_SIGNATURE) {
        read_v1(bytes)
    } else {
        Header::Broken
    }
}

/// Whether `bytes` and `signature` agree as far as both go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let common = bytes.len().min(signature.len());
    bytes[..common] == signature[..common]
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
/// "The maximum line lengths the receiver must support including the CRLF" (section 2.1).
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

fn read_v1(bytes: &[u8]) -> Header {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX {
            Header::Unfinished
        } else {
            Header::Broken
        };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else {
        return Header::Broken;
    };
    match v1_source(line) {
        Some(source) => Header::Whole {
            length: end + 2,
            source,
        },
        None => Header::Broken,
    }
}

/// Outer none: broken. Inner none: `UNKNOWN`, after which "the receiver must ignore anything presented
/// before the CRLF".
fn v1_source(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let target: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let _target_port: u16 = words.next()?.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(Some(SocketAddr::new(source, port)))
}

fn read_v2(bytes: &[u8]) -> Header {
    if bytes.len() < V2_FIXED_BYTES {
        return Header::Unfinished;
    }
    let body_bytes = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let length = V2_FIXED_BYTES + body_bytes;
    let (version, command) = (bytes[12] >> 4, bytes[12] & 0x0f);
    if version != 2 || command > 1 || length > HEADER_BYTES_MAX {
        return Header::Broken;
    }
    let Some(body) = bytes.get(V2_FIXED_BYTES..length) else {
        return Header::Unfinished;
    };
    // Command 0 is LOCAL: "the receiver must accept this connection as valid and must use the real
    // connection endpoints and discard the protocol block".
    let source = if command == 0 {
        Some(None)
    } else {
        v2_source(bytes[13] >> 4, body)
    };
    match source {
        Some(source) => Header::Whole { length, source },
        None => Header::Broken,
    }
}

/// Outer none: the block is shorter than its family's addresses. Inner none: a family without addresses
/// that mean anything to us.
fn v2_source(family: u8, body: &[u8]) -> Option<Option<SocketAddr>> {
    match family {
        1 => {
            let octets: [u8; 4] = body.get(..4)?.try_into().ok()?;
            let port = u16::from_be_bytes(body.get(8..10)?.try_into().ok()?);
            body.get(..12)?;
            Some(Some(SocketAddr::from((Ipv4Addr::from(octets), port))))
        }
        2 => {
            let octets: [u8; 16] = body.get(..16)?.try_into().ok()?;
            let port = u16::from_be_bytes(body.get(32..34)?.try_into().ok()?);
            body.get(..36)?;
            Some(Some(SocketAddr::from((Ipv6Addr::from(octets), port))))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 5222 40000\r\n";

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = V2_SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(body);
        header
    }

    fn v2_ipv6() -> Vec<u8> {
        let mut body = Vec::new();
        body.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        body.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        body.extend(5222_u16.to_be_bytes());
        body.extend(40_000_u16.to_be_bytes());
        body.extend([0x04, 0x00, 0x01, 0x00]); // a PP2_TYPE_NOOP field behind the addresses
        v2(1, 0x21, &body)
    }

    #[test]
    fn a_header_split_anywhere_is_the_same_header() {
        for whole in [V1.to_vec(), v2_ipv6()] {
            let mut with_rest = whole.clone();
            with_rest.extend(b"<?xml");
            for cut in 0..whole.len() {
                assert_eq!(
                    read_header(&whole[..cut]),
                    Header::Unfinished,
                    "cut at {cut}"
                );
            }
            assert_eq!(read_header(&whole), read_header(&with_rest));
            assert!(
                matches!(read_header(&whole), Header::Whole { length, .. } if length == whole.len())
            );
        }
    }

    #[test]
    fn the_source_is_the_first_address_and_the_first_port() {
        let source = Some("192.0.2.7:5222".parse().unwrap());
        assert_eq!(
            read_header(V1),
            Header::Whole {
                length: V1.len(),
                source
            }
        );
        let source = Some("[2001:db8::7]:5222".parse().unwrap());
        let header = v2_ipv6();
        assert_eq!(
            read_header(&header),
            Header::Whole {
                length: header.len(),
                source
            }
        );
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_no_source() {
        for header in [
            v2(0, 0, b""),
            v2(1, 0x31, &[0; 216]),
            b"PROXY UNKNOWN ffff::1 x\r\n".to_vec(),
        ] {
            assert_eq!(
                read_header(&header),
                Header::Whole {
                    length: header.len(),
                    source: None
                }
            );
        }
    }

    #[test]
    fn what_breaks_the_specification_is_broken() {
        let long = [V1_SIGNATURE, &[b'1'; 120]].concat();
        let mut version_3 = v2(1, 0x11, &[0; 12]);
        version_3[12] = 0x31;
        let cases: [&[u8]; 11] = [
            b"<?xml version='1.0'?>",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 5222\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 70000 1\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
            b"PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
            b"PROXY \xff\xff\r\n",
            &long,
            &version_3,
            &v2(2, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 11]),
        ];
        for case in cases {
            assert_eq!(read_header(case), Header::Broken, "{}", case.escape_ascii());
        }
        assert_eq!(read_header(&v2(1, 0x11, &[0; 4000])), Header::Broken);
    }
}
