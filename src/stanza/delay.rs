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

/// Which of two milliseconds a moment between them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    Down,
    Up,
}

/// The milliseconds since 1970 of a DateTime of XEP-0082, 0 for one before; none if it is no such.
pub fn parse_stamp(text: &str, rounding: Rounding) -> Option<u64> {
    // Section 3.2: "CCYY-MM-DDThh:mm:ss[.sss]TZD", where jiff would take more.
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let (head, rest) = text.as_bytes().split_at_checked(shape.len())?;
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let is_head = head.iter().zip(shape).all(fits);
    if !is_head {
        return None;
    }
    let (fraction, zone) = fraction_of(rest)?;
    // Not as a moment, of which fewer can be expressed: every date of the four digits is a valid one.
    let local: jiff::civil::DateTime = text.get(..shape.len())?.parse().ok()?;
    let since = local.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
    let seconds = since.as_secs() - i64::from(offset_s(zone)?);
    let ms = seconds * 1_000 + fraction_ms(fraction, rounding);
    Some(u64::try_from(ms).unwrap_or(0))
}

/// The digits behind the point, none if there is no point, and what follows them.
fn fraction_of(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else {
        return Some((&[], rest));
    };
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (count > 0).then(|| digits.split_at(count))
}

/// Of these there are any number (section 2.1).
fn fraction_ms(digits: &[u8], rounding: Rounding) -> i64 {
    let (ms, rest) = digits.split_at(digits.len().min(3));
    let digits = ms.iter().chain(b"000").take(3);
    let ms = digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    let is_more = rest.iter().any(|digit| *digit != b'0');
    ms + i64::from(rounding == Rounding::Up && is_more)
}

/// Seconds by which a zone is ahead of UTC: "Z" or "(+|-)hh:mm".
fn offset_s(zone: &[u8]) -> Option<i32> {
    let [sign, h1, h2, b':', m1, m2] = zone else {
        return (zone == b"Z").then_some(0);
    };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
    };
    let (hours, minutes) = (number(*h1, *h2)?, number(*m1, *m2)?);
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
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
        let parse_stamp = |text| parse_stamp(text, Rounding::Down);
        assert_eq!(parse_stamp("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse_stamp("2026-11-23T01:42:03.456Z"),
            Some(1_795_398_123_456)
        );
        assert_eq!(
            parse_stamp("2026-11-22T20:42:03-05:00"),
            Some(1_795_398_123_000)
        );
        assert_eq!(
            parse_stamp("1970-01-01T05:30:00.001+05:30"),
            Some(1),
            "half hours"
        );
        for early in [
            "1969-12-31T23:59:59.999Z",
            "1969-07-21T02:56:15Z",
            "0001-01-01T00:00:00+14:00",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_stamp(early), Some(0), "{early}");
        }
        let end = parse_stamp("9999-12-31T23:59:59.999Z");
        assert_eq!(end, Some(253_402_300_799_999));
        let later = parse_stamp("9999-12-31T23:59:59.999-14:00");
        assert_eq!(later, end.map(|end| end + 14 * 3_600_000));
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
            "2026-11-23T01:42:03+24:00",
            "2026-11-23T01:42:03+00:60",
            "2026-11-23T01:42:03.Z",
            "2026-11-23T01:42:03.1.2Z",
            "2026-11-23T01:42:031Z",
            // "two-digit hour portion of Time (00 through 23)".
            "2026-11-23T24:00:00Z",
            "2026-02-29T01:42:03Z",
            "٢٠٢٦-11-23T01:42:03Z",
        ] {
            assert_eq!(parse_stamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_between_two_milliseconds_is_rounded_as_is_asked() {
        for (text, down, up) in [
            ("1970-01-01T00:00:00.4567891Z", 456, 457),
            ("1970-01-01T00:00:00.456Z", 456, 456),
            ("1970-01-01T00:00:00.456000000Z", 456, 456),
            ("1969-12-31T23:59:59.9999Z", 0, 0),
            // "MAY contain any number of digits".
            ("1970-01-01T00:00:00.4Z", 400, 400),
            ("1970-01-01T00:00:00.45678912345678901234567890Z", 456, 457),
            ("1970-01-01T00:00:00.456000000000000000000000001Z", 456, 457),
            (
                "1970-01-01T00:00:00.456000000000000000000000000+00:00",
                456,
                456,
            ),
            ("1970-01-01T01:00:00.999999999999999999+01:00", 999, 1_000),
        ] {
            assert_eq!(parse_stamp(text, Rounding::Down), Some(down), "{text}");
            assert_eq!(parse_stamp(text, Rounding::Up), Some(up), "{text}");
        }
    }

    #[test]
    fn stamps_have_milliseconds_and_end_in_z() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_398_123_456), "2026-11-23T01:42:03.456Z");
        assert!(stamp(u64::MAX).starts_with("9999-12-30"));
    }
}
