//! How often something is done, as the configuration says it. Pure.

use std::time::Duration;

/// `"15m"`, `"every 15m"` or a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// So often.
    Every(Duration),
    /// At the times that the expression names, in UTC.
    Cron(String),
}

/// Reads a duration such as `90s`, `5m`, `6h` or `1h30m`: whole numbers with the units d, h, m, s
/// and ms, the larger first.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, size) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        if *size >= last {
            return None;
        }
        last = *size;
        total = total.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

impl Schedule {
    /// Reads a schedule; the error says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let every = text.strip_prefix("every ").unwrap_or(text).trim();
        if let Some(duration) = parse_duration(every) {
            return if duration < Duration::from_secs(1) {
                Err("less than a second is not a schedule".to_owned())
            } else {
                Ok(Self::Every(duration))
            };
        }
        let fields = text.split_whitespace().count();
        let cron = |c: char| c.is_ascii_alphanumeric() || "*/,-?#".contains(c) || c == ' ';
        if (5..=6).contains(&fields)
            && text.chars().all(cron)
            && text.contains(['*', '/', ',', '-'])
            || (5..=6).contains(&fields)
                && text.split_whitespace().all(|f| f.bytes().all(|b| b.is_ascii_digit()))
        {
            // Five fields have no seconds; the scheduler wants them.
            let full = if fields == 5 { format!("0 {text}") } else { text.to_owned() };
            return Ok(Self::Cron(full));
        }
        Err("expected a duration (\"15m\", \"every 15m\") or a cron expression of 5 or 6 fields"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("2d"), Some(172_800));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "5", "m", "5 m", "-5m", "5x", "30m1h", "5m5m", "99999999999999999999h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_schedule_is_a_duration_or_a_cron_expression() {
        assert_eq!(Schedule::parse("every 15m"), Ok(Schedule::Every(Duration::from_secs(900))));
        assert_eq!(Schedule::parse("*/15 * * * *"), Ok(Schedule::Cron("0 */15 * * * *".into())));
        for wrong in ["now and then", "10ms", "* * *", "every"] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
