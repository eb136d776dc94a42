//! XEP-0203: Delayed Delivery, version 2.0, and the stamps of XEP-0082.

use super::ns;
use crate::jid::Jid;
use crate::xml::escape_attribute;

/// `2026-11-23T01:02:03.456Z`: XEP-0082 section 3.2, in UTC, milliseconds kept.
pub fn stamp(wall_ms: u64) -> String {
    // Milliseconds of a wall clock fit in an i64 for 292 million years.
    let moment = jiff::Timestamp::from_millisecond(wall_ms.min(MOMENT_MS_MAX) as i64)
        .expect("clamped to the year 9999, which jiff can express");
    format!("{moment:.3}")
}

/// The milliseconds since 1970 of a DateTime of XEP-0082, parts of a millisecond cut off; none if it is no such, or
/// before 1970.
pub fn parse_stamp(text: &str) -> Option<u64> {
    // Section 3.2: "CCYY-MM-DDThh:mm:ss[.sss]TZD", where jiff would take more.
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let (head, rest) = text.as_bytes().split_at_checked(shape.len())?;
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let is_head = head.iter().zip(shape).all(fits);
    let zone = rest
        .iter()
        .position(|byte| !matches!(byte, b'.' | b'0'..=b'9'))?;
    let is_zone = match &rest[zone..] {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    if !is_head || !is_zone {
        return None;
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// The `<delay/>` that says when `from` began to hold the stanza back.
pub fn delay_element(from: &Jid, wall_ms: u64) -> String {
    let mut xml = format!("<delay xmlns='{}' from='", ns::DELAY).into_bytes();
    escape_attribute(from.as_str(), &mut xml);
    xml.extend_from_slice(format!("' stamp='{}'/>", stamp(wall_ms)).as_bytes());
    String::from_utf8(xml).expect("written from strings and ASCII only")
}

/// 9999-12-30T00:00:00Z, just inside what `jiff::Timestamp` can express.
const MOMENT_MS_MAX: u64 = 253_402_128_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_xep_0082_and_no_others() {
        assert_eq!(parse_stamp("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse_stamp("2026-11-23T01:42:03.456Z"),
            Some(1_795_398_123_456)
        );
        assert_eq!(
            parse_stamp("2026-11-23T01:42:03.4567891Z"),
            Some(1_795_398_123_456)
        );
        assert_eq!(
            parse_stamp("2026-11-22T20:42:03-05:00"),
            Some(1_795_398_123_000)
        );
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T01:42:03",
            "2026-11-23 01:42:03Z",
            "2026-11-23t01:42:03z",
            "2026-13-23T01:42:03Z",
            "2026-11-23T01:42:03+05",
            "20261123T014203Z",
            "2026-11-23T01:42:03Z[UTC]",
            "1969-12-31T23:59:59Z",
            "٢٠٢٦-11-23T01:42:03Z",
        ] {
            assert_eq!(parse_stamp(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_have_milliseconds_and_end_in_z() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_398_123_456), "2026-11-23T01:42:03.456Z");
        assert!(stamp(u64::MAX).starts_with("9999-12-30"));
    }
}
