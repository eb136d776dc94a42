//! Durations as people write them in scenarios: `"500 ms"`, `"10 s"`, `"5 min"`, `"1 h"`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration that is written as a number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(pub Duration);

impl Span {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim() {
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number * unit).ok().map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            0 => f.write_str("0 s"),
            _ if milliseconds.is_multiple_of(3_600_000) => {
                write!(f, "{} h", milliseconds / 3_600_000)
            }
            _ if milliseconds.is_multiple_of(60_000) => write!(f, "{} min", milliseconds / 60_000),
            _ if milliseconds.is_multiple_of(1_000) => write!(f, "{} s", milliseconds / 1_000),
            _ => write!(f, "{milliseconds} ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let wanted = "a time such as \"500 ms\", \"10 s\", \"5 min\" or \"1 h\"";
            de::Error::custom(format!("\"{text}\" is not {wanted}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["0 s", "500 ms", "10 s", "5 min", "1 h", "90 s"] {
            let span = Span::parse(text).expect(text);
            assert_eq!(span.to_string(), text);
        }
        assert_eq!(
            Span::parse("1.5s"),
            Some(Span(Duration::from_millis(1_500)))
        );
        for text in ["", "10", "s", "10 days", "-1 s"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
