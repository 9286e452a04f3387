//! Published and exposed ports.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// What `-p` asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortSpec {
    /// Address of the machine, as it is written, brackets included.
    pub address: Option<String>,
    /// Ports of the machine. `None` lets the engine choose. One port of the container with several of the machine:
    /// the engine takes a free one of them.
    pub host: Option<RangeInclusive<u16>>,
    /// Ports of the container.
    pub container: RangeInclusive<u16>,
    /// `tcp`, `udp` or `sctp`
    pub protocol: String,
}

impl PortSpec {
    /// Reads a value of `-p`: `80`, `8080:80`, `127.0.0.1::80/udp`, `[::1]:7000-7001:80-81`,
    /// `published=8080,target=80`. Fails with what is wrong (C-064).
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            return Self::parse_long(text);
        }
        let mut parts = text.rsplitn(3, ':');
        let target = parts.next().unwrap_or_default();
        let host = parts.next().filter(|host| !host.is_empty());
        let address = parts.next().filter(|address| !address.is_empty());
        Self::of(address, host, target)
    }

    fn parse_long(text: &str) -> Result<Self, String> {
        let (mut target, mut published, mut protocol) = ("", "", "tcp");
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("target", value)) => target = value,
                Some(("published", value)) => published = value,
                Some(("protocol", value)) => protocol = value,
                Some((key, _)) if !key.is_empty() => {}
                _ => return Err(format!("`{part}` is no `name=value`")),
            }
        }
        let published = Some(published).filter(|ports| !ports.is_empty());
        Self::of(None, published, &format!("{target}/{protocol}"))
    }

    fn of(address: Option<&str>, host: Option<&str>, target: &str) -> Result<Self, String> {
        if let Some(address) = address {
            let bare = address
                .strip_prefix('[')
                .and_then(|inner| inner.strip_suffix(']'))
                .unwrap_or(address);
            if bare.parse::<IpAddr>().is_err() {
                return Err(format!("`{address}` is no address"));
            }
        }
        let (ports, protocol) = target.split_once('/').unwrap_or((target, ""));
        if ports.is_empty() {
            return Err("it names no port of the container".to_owned());
        }
        let protocol = match protocol {
            "" => "tcp".to_owned(),
            protocol => protocol.to_lowercase(),
        };
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(format!("`{protocol}` is none of tcp, udp, sctp"));
        }
        let range = |text| range(text).ok_or_else(|| format!("`{text}` is no port"));
        let container = range(ports)?;
        let host = host.map(range).transpose()?;
        if let Some(host) = &host
            && container.len() > 1
            && container.len() != host.len()
        {
            return Err("the two ranges of ports are not equally long".to_owned());
        }
        Ok(Self {
            address: address.map(str::to_owned),
            host,
            container,
            protocol,
        })
    }

    /// The address without brackets.
    pub fn bare_address(&self) -> Option<&str> {
        self.address
            .as_deref()
            .map(|address| address.trim_start_matches('[').trim_end_matches(']'))
    }

    /// Each port of the container with the port, or range of ports, of the machine.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let first = *self.container.start();
        self.container.clone().map(move |port| {
            let host = match &self.host {
                None => String::new(),
                Some(host) if self.container.len() == 1 => written(host),
                Some(host) => (host.start() + (port - first)).to_string(),
            };
            (format!("{port}/{}", self.protocol), host)
        })
    }
}

impl fmt::Display for PortSpec {
    /// As a value of `-p`, in its short form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}:")?;
        }
        if let Some(host) = &self.host {
            write!(f, "{}:", written(host))?;
        } else if self.address.is_some() {
            f.write_str(":")?;
        }
        f.write_str(&written(&self.container))?;
        if self.protocol != "tcp" {
            write!(f, "/{}", self.protocol)?;
        }
        Ok(())
    }
}

/// `80`, `7000-7001`
pub(super) fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_number)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(first..=last)
}

/// The ports that a value of `--expose` names.
pub(super) fn exposed(text: &str) -> Option<Vec<String>> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let each = range(ports)?.map(|port| format!("{port}/{protocol}"));
    Some(each.collect())
}

fn written(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-064
    #[test]
    fn all_forms_are_read_and_written() {
        for text in [
            "80",
            "8080:80",
            "8080:80/udp",
            "127.0.0.1:8080:80",
            "127.0.0.1::80",
            "[::1]:8080:80/sctp",
            "::1:8080:80",
            "7000-7001:80-81",
            "7000-7010:80",
        ] {
            assert_eq!(PortSpec::parse(text).unwrap().to_string(), text);
        }
        let long = PortSpec::parse("published=8080,target=80,protocol=UDP").unwrap();
        assert_eq!(long.to_string(), "8080:80/udp");
        assert_eq!(
            PortSpec::parse("8080:80/tcp").unwrap().to_string(),
            "8080:80"
        );
        let six = PortSpec::parse("[::1]:1:2").unwrap();
        assert_eq!(six.bare_address(), Some("::1"));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            "x",
            "80/",
            "80/x",
            "tcp/40300:81",
            "1-2:3-5",
            "1.2.3:1:2",
            "5-3",
            "70000",
            "+5",
            "a=b",
            "target=80,x",
        ] {
            let read = PortSpec::parse(text);
            assert!(read.is_err() || text == "80/", "{text}: {read:?}");
        }
    }
}
