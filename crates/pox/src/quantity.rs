//! Sizes and times as people write them.

use crate::error::Failure;
use pox_core::UnixTime;
use std::str::FromStr;

/// A number of bytes: `512`, `64KiB`, `2 GiB`, `1GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// A number of seconds: `90`, `90s`, `15m`, `2h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

/// A time: a day or an instant in RFC 3339, or seconds since 1970.
pub(crate) fn time(text: &str) -> Result<UnixTime, Failure> {
    let bad = || {
        Failure::usage(format!(
            "{text:?} is not a time; write 2026-01-31, 2026-01-31T12:00:00Z or Unix seconds"
        ))
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(UnixTime).map_err(|_| bad());
    }
    let instant = match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == 10 => day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().map_err(|_| bad())?,
    };
    u64::try_from(instant.as_second()).map(UnixTime).map_err(|_| bad())
}

/// A number of entries of a dataset or archive: `1 entry`, `2 entries`.
pub(crate) fn entries(count: u64) -> String {
    counted(count, "entry", "entries")
}

/// A number of tasks: `1 task`, `2 tasks`.
pub(crate) fn tasks(count: u64) -> String {
    counted(count, "task", "tasks")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl Bytes {
    /// So many MiB.
    pub(crate) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The record's unit, rounded up.
    pub(crate) fn to_mib(self) -> Result<u32, Failure> {
        u32::try_from(self.0.div_ceil(1 << 20))
            .map_err(|_| Failure::usage(format!("{} bytes is more than a record can hold", self.0)))
    }
}

impl Seconds {
    /// The record's unit.
    pub(crate) fn to_u32(self) -> Result<u32, Failure> {
        u32::try_from(self.0)
            .map_err(|_| Failure::usage(format!("{} seconds is more than a record can hold", self.0)))
    }
}

impl FromStr for Bytes {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let units = [
            ("", 1),
            ("b", 1),
            ("k", 1 << 10),
            ("kib", 1 << 10),
            ("kb", 1000),
            ("m", 1 << 20),
            ("mib", 1 << 20),
            ("mb", 1_000_000),
            ("g", 1 << 30),
            ("gib", 1 << 30),
            ("gb", 1_000_000_000),
            ("t", 1 << 40),
            ("tib", 1 << 40),
            ("tb", 1_000_000_000_000),
        ];
        parse(text, &units)
            .map(Self)
            .ok_or_else(|| Failure::usage(format!("{text:?} is not a size; write 512MiB or 2GiB")))
    }
}

impl FromStr for Seconds {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let units = [("", 1), ("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400)];
        parse(text, &units)
            .map(Self)
            .ok_or_else(|| Failure::usage(format!("{text:?} is not a time; write 90s, 15m, 2h or 30d")))
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|value| *value > 0)
}

macro_rules! from_number_or_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Number(u64),
                    Text(String),
                }
                let text = match <Written as serde::Deserialize>::deserialize(deserializer)? {
                    Written::Number(number) => number.to_string(),
                    Written::Text(text) => text,
                };
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

from_number_or_text!(Bytes);
from_number_or_text!(Seconds);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_instants_or_seconds() {
        assert_eq!(time("1700000000").unwrap(), UnixTime(1_700_000_000));
        assert_eq!(time("2023-11-14").unwrap(), UnixTime(1_699_920_000));
        assert_eq!(time("2023-11-14T22:13:20Z").unwrap(), UnixTime(1_700_000_000));
        assert_eq!(time("2023-11-14T23:13:20+01:00").unwrap(), UnixTime(1_700_000_000));
        for bad in ["", "-1", "yesterday", "2023-13-01", "1969-12-31", "2023-11-14T22:13:20"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn people_write_it_in_many_ways() {
        for (text, bytes) in
            [("512", 512), ("64KiB", 65_536), ("2 GiB", 2 << 30), ("1gb", 1_000_000_000), ("1T", 1 << 40)]
        {
            assert_eq!(text.parse::<Bytes>().unwrap().0, bytes, "{text}");
        }
        for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("2 h", 7200), ("30d", 2_592_000)] {
            assert_eq!(text.parse::<Seconds>().unwrap().0, seconds, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "0", "MiB", "-1", "1.5GiB", "1 parsec", "99999999999999999999", "18446744073709551615 TiB"]
        {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }
}
