//! Figures as text that Prometheus reads (text format 0.0.4).

use std::fmt::Write as _;

/// What a figure does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// It never falls, but for a new start.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A page of figures.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    text: String,
    family: String,
}

impl Exposition {
    /// What the answer to a question for this page names it.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins the figures of this name, such as `name_unit` or, for a counter, `name_unit_total`.
    #[must_use]
    pub fn family(mut self, name: &str, kind: MetricKind, help: &str) -> Self {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a text cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        name.clone_into(&mut self.family);
        self
    }

    /// One figure of the family that was begun last, with these labels.
    #[must_use]
    pub fn labelled(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        // As above.
        let _ = writeln!(self.text, "{}{labels} {value}", self.family);
        self
    }

    /// The only figure of a family.
    #[must_use]
    pub fn figure(self, name: &str, kind: MetricKind, help: &str, value: f64) -> Self {
        self.family(name, kind, help).labelled(&[], value)
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_help_type_and_escaped_labels() {
        let text = Exposition::default()
            .figure("a_total", MetricKind::Counter, "Of \\ and\nmore", 3.0)
            .family("b_seconds", MetricKind::Gauge, "Time")
            .labelled(&[("x", "say \"a\\b\"\n"), ("y", "")], 0.25)
            .into_text();
        let expected = r#"# HELP a_total Of \\ and\nmore
# TYPE a_total counter
a_total 3
# HELP b_seconds Time
# TYPE b_seconds gauge
b_seconds{x="say \"a\\b\"\n",y=""} 0.25
"#;
        assert_eq!(text, expected);
    }
}
