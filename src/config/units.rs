//! Lengths of time and amounts of bytes as an operator writes them: "5 min", "256 KiB". Refuses bare
//! numbers, because nobody remembers which unit they were in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, kept in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

impl Duration {
    /// A duration of so many milliseconds.
    pub const fn from_ms(ms: u64) -> Duration {
        Duration(ms)
    }

    /// Its milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0
    }
}

/// An amount of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// It does not begin with a whole number.
    NumberMissing,
    /// The amount does not fit in 64 bits.
    TooLarge,
    /// What follows the number is no unit of a duration.
    UnknownDurationUnit,
    /// What follows the number is no unit of a size.
    UnknownSizeUnit,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnitError::NumberMissing => {
                "write a whole number and a unit, as in \"5 min\" or \"256 KiB\""
            }
            UnitError::TooLarge => "the amount is too large",
            UnitError::UnknownDurationUnit => {
                "the unit of a duration is ms, s, min, h, d or year, as in \"5 min\""
            }
            UnitError::UnknownSizeUnit => {
                "the unit of a size is B, KiB, MiB or GiB, as in \"256 KiB\""
            }
        })
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Duration, UnitError> {
        let (number, unit) = split(text)?;
        let ms = in_base_units(DURATION_UNITS, unit).ok_or(UnitError::UnknownDurationUnit)?;
        number
            .checked_mul(ms)
            .map(Duration)
            .ok_or(UnitError::TooLarge)
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Size, UnitError> {
        let (number, unit) = split(text)?;
        let bytes = in_base_units(SIZE_UNITS, unit).ok_or(UnitError::UnknownSizeUnit)?;
        number
            .checked_mul(bytes)
            .map(Size)
            .ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, DURATION_UNITS, f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, SIZE_UNITS, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The number, and the unit behind it.
fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(UnitError::NumberMissing);
    }
    // Only digits are left, so the one way to fail is to be too large.
    let number = number.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, unit.trim_start()))
}

fn in_base_units(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map(|(_, factor)| *factor)
}

/// In the largest unit that divides the amount, so that what is printed is exact.
fn print(amount: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |factor: u64| amount != 0 && amount.is_multiple_of(factor);
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| fits(*factor))
        .unwrap_or(&units[units.len() - 1]);
    write!(f, "{} {name}", amount / factor)
}

/// Largest first. A year is 365 days: nothing here follows a calendar.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("year", 365 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_are_a_number_and_a_unit() {
        assert_eq!("5 min".parse(), Ok(Duration::from_ms(300_000)));
        assert_eq!("10s".parse(), Ok(Duration::from_ms(10_000)));
        assert_eq!("1 year".parse(), Ok(Duration::from_ms(31_536_000_000)));
        assert_eq!("256 KiB".parse(), Ok(Size::from_bytes(262_144)));
    }

    #[test]
    fn bare_numbers_signs_fractions_and_strange_units_are_refused() {
        assert_eq!(
            "300".parse::<Duration>(),
            Err(UnitError::UnknownDurationUnit)
        );
        assert_eq!("256 kB".parse::<Size>(), Err(UnitError::UnknownSizeUnit));
        assert_eq!("-1 s".parse::<Duration>(), Err(UnitError::NumberMissing));
        assert_eq!("".parse::<Size>(), Err(UnitError::NumberMissing));
        assert_eq!(
            "1.5 h".parse::<Duration>(),
            Err(UnitError::UnknownDurationUnit)
        );
    }

    #[test]
    fn amounts_beyond_64_bits_are_refused() {
        assert_eq!(
            "18446744073709551615 KiB".parse::<Size>(),
            Err(UnitError::TooLarge)
        );
        assert_eq!(
            "99999999999999999999 ms".parse::<Duration>(),
            Err(UnitError::TooLarge)
        );
    }

    #[test]
    fn amounts_are_printed_in_the_largest_exact_unit() {
        assert_eq!(Duration::from_ms(90_000).to_string(), "90 s");
        assert_eq!(Duration::from_ms(0).to_string(), "0 ms");
        assert_eq!(Size::from_bytes(1 << 20).to_string(), "1 MiB");
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(amount: u64) {
            prop_assert_eq!(Duration::from_ms(amount).to_string().parse(), Ok(Duration::from_ms(amount)));
            prop_assert_eq!(Size::from_bytes(amount).to_string().parse(), Ok(Size::from_bytes(amount)));
        }
    }
}
