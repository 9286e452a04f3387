//! The ports that a container publishes: moved where they are taken, and told to the task (C 1.6).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::arguments::all_flags;

/// Where ports are moved to without `agent.docker_args_allowed_port_range`.
const RANGE: RangeInclusive<u16> = 10_000..=60_000;

/// What was published.
pub(super) struct Published {
    /// The words, with ports that are free.
    pub(super) words: Vec<String>,
    /// The pairs of ports for tcp, host and container, as `_external_host_tcp_port_mapping` has them (C-063).
    pub(super) mapping: Vec<String>,
    /// What is to be said of ports that were taken, or are not allowed.
    pub(super) moved: Vec<String>,
}

/// Looks for free ports; none where nothing is published or the container has the host's network (C-060).
pub(super) fn publish(
    words: &[String],
    allowed: Option<(u16, u16)>,
    taken: fn() -> BTreeSet<u16>,
) -> Option<Published> {
    let flags = all_flags(words);
    let is_host =
        |name: &str, value: &Option<String>| name == "network" && value.as_deref() == Some("host");
    if flags.iter().any(|flag| is_host(&flag.name, &flag.value)) {
        return None;
    }
    let published: Vec<_> = flags
        .into_iter()
        .filter(|flag| flag.name == "publish")
        .filter_map(|flag| Some((flag.value_at?, flag.value?)))
        .collect();
    if published.is_empty() {
        return None;
    }
    let mut free = FreePorts {
        taken: taken(),
        allowed: allowed.map(|(first, last)| first..=last),
    };
    let mut words = words.to_vec();
    let mut mapping = Vec::new();
    let mut moved = Vec::new();
    for ((word, byte), value) in published {
        let Some(port) = Mapping::read(&value).filter(Mapping::is_tcp) else {
            continue;
        };
        let host = free.claim(port.host.clone()).unwrap_or(port.host.clone());
        let shown = range_text(&host);
        if host != port.host {
            moved.push(format!(
                "NOTICE: port {} of this machine is taken or not allowed: the container's {} is published at {shown}",
                range_text(&port.host),
                port.container
            ));
        }
        let Mapping {
            address,
            container,
            protocol,
            ..
        } = &port;
        mapping.push(format!("{shown}:{container}"));
        words[word].replace_range(byte.., &format!("{address}{shown}:{container}{protocol}"));
    }
    Some(Published {
        words,
        mapping,
        moved,
    })
}

/// A value of `--publish` that names a port of the host.
struct Mapping {
    /// With its colon; may be empty.
    address: String,
    host: RangeInclusive<u16>,
    container: String,
    /// With its slash; may be empty.
    protocol: String,
}

impl Mapping {
    /// `[ADDRESS:]HOST:CONTAINER[/PROTOCOL]`; none where docker is to choose the port of the host (C-064).
    fn read(value: &str) -> Option<Self> {
        let (ports, protocol) = match value.find('/') {
            Some(place) => value.split_at(place),
            None => (value, ""),
        };
        let (before, container) = ports.rsplit_once(':')?;
        let start = before.rfind(':').map_or(0, |place| place + 1);
        let (address, host) = before.split_at(start);
        Some(Self {
            address: address.to_owned(),
            host: range(host)?,
            container: container.to_owned(),
            protocol: protocol.to_owned(),
        })
    }

    fn is_tcp(&self) -> bool {
        self.protocol.is_empty() || self.protocol.eq_ignore_ascii_case("/tcp")
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

fn range_text(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// The ports of this machine.
struct FreePorts {
    taken: BTreeSet<u16>,
    allowed: Option<RangeInclusive<u16>>,
}

impl FreePorts {
    /// The wanted ports, or the first free ones in a row; none where there are none (C-061).
    fn claim(&mut self, wanted: RangeInclusive<u16>) -> Option<RangeInclusive<u16>> {
        let is_allowed = |ports: &RangeInclusive<u16>| {
            self.allowed
                .as_ref()
                .is_none_or(|allowed| ports.clone().all(|port| allowed.contains(&port)))
        };
        let found = if is_allowed(&wanted) && self.is_free(&wanted) {
            wanted
        } else {
            let length = wanted.end() - wanted.start();
            let place = self.allowed.clone().unwrap_or(RANGE);
            let last = place.end().checked_sub(length)?;
            (*place.start()..=last)
                .map(|first| first..=first + length)
                .find(|ports| self.is_free(ports))?
        };
        self.taken.extend(found.clone());
        Some(found)
    }

    fn is_free(&self, ports: &RangeInclusive<u16>) -> bool {
        self.taken.range(ports.clone()).next().is_none()
    }
}
