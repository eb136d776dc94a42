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
    fn stamps_have_milliseconds_and_end_in_z() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_398_123_456), "2026-11-23T01:42:03.456Z");
        assert!(stamp(u64::MAX).starts_with("9999-12-30"));
    }
}
