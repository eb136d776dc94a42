//! The form of a record: one line of JSON, numbered and dated. Refuses to know files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::audit::AuditEvent;

#[derive(Serialize)]
struct Record<'a> {
    /// Counts on over restarts as long as the file is there: a gap is a missing record.
    sequence: u64,
    time: String,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

/// Appends the record and a line feed to `out`.
pub(super) fn write_record(sequence: u64, wall_ms: u64, event: &AuditEvent, out: &mut Vec<u8>) {
    let time = i64::try_from(wall_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.map_or_else(String::new, |time| format!("{time:.3}"));
    // Writing to a Vec cannot fail, and the record's keys are strings.
    serde_json::to_writer(
        &mut *out,
        &Record {
            sequence,
            time,
            event,
        },
    )
    .expect("a record is plain data");
    out.push(b'\n');
}

/// The number of the last whole record in `tail`, the end of a file.
pub(super) fn last_sequence(tail: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        sequence: u64,
    }
    let mut lines = tail.split(|byte| *byte == b'\n').rev();
    lines
        .find_map(|line| serde_json::from_slice::<Numbered>(line).ok())
        .map(|record| record.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_with_number_and_time() {
        let mut out = Vec::new();
        write_record(
            7,
            1_700_000_000_123,
            &AuditEvent::RecordsDropped { count: 2 },
            &mut out,
        );
        let expected = "{\"sequence\":7,\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"records-dropped\",\"count\":2}\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn the_last_whole_record_counts_even_if_a_crash_left_half_a_line() {
        let tail = b"ence\":3}\n{\"sequence\":4,\"x\":1}\n{\"sequence\":5,\"ti";
        assert_eq!(last_sequence(tail), Some(4));
        assert_eq!(last_sequence(b""), None);
    }
}
