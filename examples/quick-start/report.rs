//! What the task has left at the server.

use std::fmt;

use anyhow::ensure;
use local_server::LocalServer;
use serde_json::{Value, json};

/// Status and results of a task.
#[derive(Debug)]
pub(crate) struct Report {
    task: Value,
    scalars: Vec<Scalar>,
}

/// One curve.
#[derive(Debug)]
struct Scalar {
    name: String,
    values: Vec<f64>,
}

impl Report {
    /// Asks the server.
    pub(crate) fn of(server: &LocalServer, task: &str) -> anyhow::Result<Self> {
        let query = json!({ "task": task });
        let curves = server.call("events.scalar_metrics_iter_histogram", query.clone())?;
        let mut scalars = Vec::new();
        for (metric, variants) in curves.as_object().into_iter().flatten() {
            for (variant, curve) in variants.as_object().into_iter().flatten() {
                let values = curve["y"].as_array().into_iter().flatten();
                scalars.push(Scalar {
                    name: format!("{metric}/{variant}"),
                    values: values.filter_map(Value::as_f64).collect(),
                });
            }
        }
        let task = server.call("tasks.get_by_id", query)?["task"].take();
        Ok(Self { task, scalars })
    }

    /// Fails unless the server has every epoch's accuracy and loss, and the last of them in the task itself.
    pub(crate) fn check(&self, epochs: usize) -> anyhow::Result<()> {
        for name in ["accuracy/test", "loss/test"] {
            let reported = self.scalars.iter().find(|scalar| scalar.name == name);
            let count = reported.map_or(0, |scalar| scalar.values.len());
            ensure!(
                count == epochs,
                "{name} has {count} points on the server instead of {epochs}"
            );
        }
        let last = self.task["last_metrics"].as_object();
        ensure!(
            last.is_some_and(|last| !last.is_empty()),
            "the task has no last metrics"
        );
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (status, reason) = (
            text(&self.task["status"]),
            text(&self.task["status_reason"]),
        );
        writeln!(formatter, "    status          {status} ({reason})")?;
        for scalar in self
            .scalars
            .iter()
            .filter(|scalar| !scalar.name.starts_with(':'))
        {
            let last = scalar.values.last().copied().unwrap_or_default();
            let (name, count) = (&scalar.name, scalar.values.len());
            writeln!(formatter, "    {name:<15} {last:.3} after {count} epochs")?;
        }
        for artifact in self.task["execution"]["artifacts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let (name, place) = (text(&artifact["key"]), text(&artifact["uri"]));
            writeln!(formatter, "    artifact        {name}: {place}")?;
        }
        Ok(())
    }
}
