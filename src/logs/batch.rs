//! Cuts text into events and events into requests of the sizes that the server takes (D-220, D-221).

use super::{Level, LogEvent};

/// The longest text of one event, in characters (D-220).
pub const EVENT_CHARACTERS: usize = 65_536;
/// The longest request, in characters of serialised JSON (D-221).
pub const REQUEST_CHARACTERS: usize = 1_048_576;
/// What the fields of an event take beside its text.
const FIELDS: usize = 256;

/// The events of one request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// In the order in which they were written.
    pub events: Vec<LogEvent>,
}

impl Batch {
    /// `text` as events with rising times from `timestamp` on, in as many requests as it takes.
    pub fn split(text: &str, level: Level, mut timestamp: u64) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut batch = Self::default();
        let mut size = 0;
        for message in messages(text) {
            let length = FIELDS + serialised_length(message);
            if size + length > REQUEST_CHARACTERS && !batch.events.is_empty() {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += length;
            batch.events.push(LogEvent {
                level,
                message: message.to_owned(),
                timestamp,
            });
            timestamp += 1;
        }
        if !batch.events.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// Time of the last event; 0 where there is none.
    pub fn last_timestamp(&self) -> u64 {
        self.events.last().map_or(0, |event| event.timestamp)
    }
}

/// Whole lines up to the limit; a longer line is cut exactly there (D-220).
fn messages(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let limit = rest
            .char_indices()
            .nth(EVENT_CHARACTERS)
            .map_or(rest.len(), |(at, _)| at);
        let end = if limit == rest.len() {
            limit
        } else {
            rest[..limit].rfind('\n').map_or(limit, |at| at + 1)
        };
        let (message, after) = rest.split_at(end);
        rest = after;
        Some(message)
    })
}

/// Characters of `text` as ASCII-escaped JSON.
fn serialised_length(text: &str) -> usize {
    text.chars()
        .map(|character| match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            ' '..='~' => 1,
            '\u{10000}'.. => 12,
            _ => 6,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<Vec<usize>> {
        let of = |batch: &Batch| {
            batch
                .events
                .iter()
                .map(|event| event.message.chars().count())
                .collect()
        };
        Batch::split(text, Level::Debug, 1).iter().map(of).collect()
    }

    /// D-220
    #[test]
    fn lines_are_joined_up_to_the_limit_and_a_long_line_is_cut_at_it() {
        assert_eq!(lengths("one\ntwo\n"), [[8]]);
        assert_eq!(lengths(&"x".repeat(70_000)), [[65_536, 4_464]]);
        let line = format!("{}\n", "y".repeat(65_000));
        assert_eq!(lengths(&line.repeat(2)), [[65_001, 65_001]]);
    }

    /// D-221
    #[test]
    fn events_full_of_escapes_go_in_more_requests() {
        let escapes = "\u{1}".repeat(65_536 * 4);
        assert_eq!(lengths(&escapes), [[65_536, 65_536], [65_536, 65_536]]);
    }

    /// D-225
    #[test]
    fn times_rise_within_a_text() {
        let batches = Batch::split(&"z".repeat(200_000), Level::Debug, 100);
        let times: Vec<u64> = batches
            .iter()
            .flat_map(|batch| &batch.events)
            .map(|event| event.timestamp)
            .collect();
        assert_eq!(times, [100, 101, 102, 103]);
    }

    #[test]
    fn nothing_is_lost_or_changed() {
        let text = format!("a\n{}\nä€🦀\n", "long ".repeat(40_000));
        let joined: String = Batch::split(&text, Level::Debug, 1)
            .into_iter()
            .flat_map(|batch| batch.events)
            .map(|event| event.message)
            .collect();
        assert_eq!(joined, text);
    }
}
