//! The hours in which a worker takes tasks (D-280 to D-284).

use std::fmt;

use crate::api::Queue;

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Tags by which a queue overrules everything else.
const FORCE_ON: &str = "force_workers:on";
const FORCE_OFF: &str = "force_workers:off";

/// An hour of a week, local time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hour {
    /// 0 is Sunday.
    pub day: usize,
    /// 0 to 23.
    pub hour: u8,
}

/// Where the present hour comes from; tests have a clock of their own.
pub type Clock = fn() -> Hour;

/// When tasks are taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Schedule {
    /// At any time.
    #[default]
    Always,
    /// In these hours only.
    Uptime(Vec<Interval>),
    /// In all hours but these.
    Downtime(Vec<Interval>),
}

/// One entry, such as `9-17,20-22 MON-FRI`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interval {
    /// First hour, and the hour behind the last.
    hours: Vec<(u8, u8)>,
    /// In the order in which they were written.
    days: Vec<usize>,
}

/// An entry that nobody can understand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: `{entry}`: {reason}")]
pub struct InvalidHours {
    /// The option or the key, and which of its entries.
    pub place: String,
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What outranks the schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Force {
    /// Tasks are taken.
    On,
    /// None is taken.
    Off,
}

impl Schedule {
    /// The schedule of these entries; `place` is named where one is wrong. Both lists at once are none (D-051).
    pub fn parse(
        uptime: (&str, &[String]),
        downtime: (&str, &[String]),
    ) -> Result<Self, InvalidHours> {
        let uptime = intervals(uptime.0, uptime.1)?;
        let downtime = intervals(downtime.0, downtime.1)?;
        Ok(match (uptime.is_empty(), downtime.is_empty()) {
            (true, true) => Self::Always,
            (false, true) => Self::Uptime(uptime),
            (true, false) => Self::Downtime(downtime),
            (false, false) => {
                tracing::error!(
                    "Both uptime and downtime were specified when only one of them could be used. \
                     Both will be ignored."
                );
                Self::Always
            }
        })
    }

    /// Whether tasks of `queue` are taken now; `property` is the worker's own override.
    pub(super) fn is_active(
        &self,
        queue: Option<&Queue>,
        property: Option<Force>,
        now: Hour,
    ) -> bool {
        match queue.and_then(forced_by_tag).or(property) {
            Some(force) => force == Force::On,
            None => match self {
                Self::Always => true,
                Self::Uptime(intervals) => intervals.iter().any(|interval| interval.holds(now)),
                Self::Downtime(intervals) => !intervals.iter().any(|interval| interval.holds(now)),
            },
        }
    }
}

/// What a tag of the queue says.
pub fn forced_by_tag(queue: &Queue) -> Option<Force> {
    let has = |tag: &str| queue.tags.iter().any(|known| known == tag);
    if has(FORCE_OFF) {
        Some(Force::Off)
    } else if has(FORCE_ON) {
        Some(Force::On)
    } else {
        None
    }
}

impl Force {
    /// The value of the runtime property `force`.
    pub fn of_property(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

impl fmt::Display for Force {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "ON",
            Self::Off => "OFF",
        })
    }
}

impl Interval {
    fn holds(&self, now: Hour) -> bool {
        let is_hour = |(from, to): &(u8, u8)| (*from..*to).contains(&now.hour);
        self.days.contains(&now.day) && self.hours.iter().any(is_hour)
    }
}

/// D-285: one line for each stretch of hours.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, intervals) = match self {
            Self::Always => return f.write_str("No uptime/downtime configurations found"),
            Self::Uptime(intervals) => ("uptime", intervals),
            Self::Downtime(intervals) => ("downtime", intervals),
        };
        write!(f, "Working hours {name} configurations")?;
        for interval in intervals {
            let days: Vec<&str> = interval.days.iter().map(|day| DAYS[*day]).collect();
            for (from, to) in &interval.hours {
                let (last, days) = (to - 1, days.join(" and "));
                write!(f, "\n  - {from}:00-{last}:59 on {days}")?;
            }
        }
        Ok(())
    }
}

fn intervals(place: &str, entries: &[String]) -> Result<Vec<Interval>, InvalidHours> {
    let numbered = entries.iter().enumerate();
    numbered
        .map(|(number, entry)| {
            interval(entry).map_err(|reason| InvalidHours {
                place: format!("{place}, entry {}", number + 1),
                entry: entry.clone(),
                reason,
            })
        })
        .collect()
}

/// A comma at the end is what is left of a list that was typed as in a file.
fn interval(entry: &str) -> Result<Interval, String> {
    let words: Vec<&str> = entry
        .trim_end_matches([',', ' '])
        .split_whitespace()
        .collect();
    let [hours, days] = words[..] else {
        return Err("hours and days are needed, such as \"9-17 MON-FRI\", in quotes".to_owned());
    };
    let hours = hours.split(',').map(stretch).collect::<Result<_, _>>()?;
    let mut all: Vec<usize> = Vec::new();
    for part in days.split(',') {
        for day in day_range(part)? {
            if !all.contains(&day) {
                all.push(day);
            }
        }
    }
    Ok(Interval { hours, days: all })
}

fn stretch(text: &str) -> Result<(u8, u8), String> {
    let hour = |text: &str| {
        let hour = text.parse::<u8>().ok().filter(|hour| *hour < 24);
        hour.ok_or_else(|| format!("`{text}` is no hour from 0 to 23"))
    };
    let Some((from, to)) = text.split_once('-') else {
        return Ok((hour(text)?, 24));
    };
    let (from, to) = (hour(from)?, hour(to)?);
    let to = if to == 0 { 24 } else { to };
    if from >= to {
        return Err(format!(
            "`{text}` ends before it begins; for a night write {from}-0 for one day and 0-{to} for the next"
        ));
    }
    Ok((from, to))
}

/// A range that passes the end of the week goes on at its beginning.
fn day_range(text: &str) -> Result<Vec<usize>, String> {
    let day = |text: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("`{text}` is no day from SUN to SAT"))
    };
    let Some((from, to)) = text.split_once('-') else {
        return Ok(vec![day(text)?]);
    };
    let (from, to) = (day(from)?, day(to)?);
    let count = (to + 7 - from) % 7;
    Ok((0..=count).map(|step| (from + step) % 7).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    fn uptime(entries: &[&str]) -> Schedule {
        Schedule::parse(("--uptime", &strings(entries)), ("--downtime", &[])).unwrap()
    }

    /// All hours of a week in which the schedule lets tasks run, as `DAY hour`.
    fn week(schedule: &Schedule) -> Vec<String> {
        let hours = (0..7).flat_map(|day| (0..24).map(move |hour| Hour { day, hour }));
        hours
            .filter(|now| schedule.is_active(None, None, *now))
            .map(|now| format!("{} {}", DAYS[now.day], now.hour))
            .collect()
    }

    fn hours(day: &str, hours: std::ops::Range<u8>) -> Vec<String> {
        hours.map(|hour| format!("{day} {hour}")).collect()
    }

    /// D-281, D-282: as the vendor's documentation prints them, a comma between two of them included.
    #[test]
    fn the_documented_examples_mean_what_they_say() {
        for (entries, expected) in [
            (&["20-23 SUN"] as &[&str], vec![hours("SUN", 20..23)]),
            (
                &["20-23 SUN,TUE"],
                vec![hours("SUN", 20..23), hours("TUE", 20..23)],
            ),
            (
                &["20-23 SUN-TUE"],
                vec![
                    hours("SUN", 20..23),
                    hours("MON", 20..23),
                    hours("TUE", 20..23),
                ],
            ),
            (&["20 SUN"], vec![hours("SUN", 20..24)]),
            (
                &["20-00,00-08 SUN"],
                vec![hours("SUN", 0..8), hours("SUN", 20..24)],
            ),
            (
                &["20-00 SUN,", "00-08 MON"],
                vec![hours("SUN", 20..24), hours("MON", 0..8)],
            ),
            (
                &["17-20 SUN-TUE", "13-22 WED"],
                vec![
                    hours("SUN", 17..20),
                    hours("MON", 17..20),
                    hours("TUE", 17..20),
                    hours("WED", 13..22),
                ],
            ),
            (&["17-20 TUE"], vec![hours("TUE", 17..20)]),
            (&["09-13 tue"], vec![hours("TUE", 9..13)]),
        ] {
            assert_eq!(week(&uptime(entries)), expected.concat(), "{entries:?}");
        }
    }

    /// D-280, D-283
    #[test]
    fn downtime_is_the_rest_of_the_week_and_days_go_round() {
        let entries = strings(&["0-00 FRI-MON"]);
        let schedule = Schedule::parse(("", &[]), ("--downtime", &entries)).unwrap();
        let expected = [
            hours("TUE", 0..24),
            hours("WED", 0..24),
            hours("THU", 0..24),
        ];
        assert_eq!(week(&schedule), expected.concat());
    }

    /// D-283, D-284
    #[test]
    fn what_cannot_be_understood_is_refused_with_its_place() {
        for (entries, expected) in [
            (
                &["9-17 MON", "9-17"] as &[&str],
                "--uptime, entry 2: `9-17`: hours and days are needed, such as \"9-17 MON-FRI\", in quotes",
            ),
            (
                &["24 MON"],
                "--uptime, entry 1: `24 MON`: `24` is no hour from 0 to 23",
            ),
            (
                &["a-3 MON"],
                "--uptime, entry 1: `a-3 MON`: `a` is no hour from 0 to 23",
            ),
            (
                &["9-17 MONDAY"],
                "--uptime, entry 1: `9-17 MONDAY`: `MONDAY` is no day from SUN to SAT",
            ),
            (
                &["22-6 FRI"],
                "--uptime, entry 1: `22-6 FRI`: `22-6` ends before it begins; for a night write 22-0 for one day and 0-6 for the next",
            ),
        ] {
            let entries = strings(entries);
            let error = Schedule::parse(("--uptime", &entries), ("", &[])).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    /// D-051
    #[test]
    fn both_lists_at_once_are_none() {
        let entries = strings(&["9-17 MON"]);
        let schedule = Schedule::parse(("--uptime", &entries), ("--downtime", &entries)).unwrap();
        assert_eq!(schedule, Schedule::Always);
    }

    /// D-280: tags before the property, the property before the hours.
    #[test]
    fn the_strongest_word_counts() {
        let queue = |tags: &[&str]| -> Queue {
            serde_json::from_value(serde_json::json!({ "id": "a".repeat(32), "tags": tags }))
                .unwrap()
        };
        let never = uptime(&["1-2 MON"]);
        let now = Hour { day: 3, hour: 3 };
        for (tags, property, expected) in [
            (&[] as &[&str], None, false),
            (&[], Some(Force::On), true),
            (&["force_workers:off"], Some(Force::On), false),
            (&["force_workers:on", "force_workers:off"], None, false),
            (&["other", "force_workers:on"], Some(Force::Off), true),
        ] {
            let active = never.is_active(Some(&queue(tags)), property, now);
            assert_eq!(active, expected, "{tags:?} {property:?}");
        }
        assert!(Schedule::Always.is_active(Some(&queue(&[])), None, now));
        assert_eq!(Force::of_property("On"), Some(Force::On));
        assert_eq!(Force::of_property("maybe"), None);
    }

    /// D-285
    #[test]
    fn the_status_shows_whole_hours() {
        assert_eq!(
            uptime(&["9-17,20 MON-TUE", "0-8 SAT"]).to_string(),
            "Working hours uptime configurations\n  - 9:00-16:59 on MON and TUE\n  \
             - 20:00-23:59 on MON and TUE\n  - 0:00-7:59 on SAT"
        );
    }
}
