//! The signals that somebody has sent to a container by its engine.

use std::collections::HashMap;

use bollard::query_parameters::EventsOptionsBuilder;
use chrono::DateTime;
use futures_util::StreamExt;

use super::{Engine, EngineError};

impl Engine {
    /// Their numbers, oldest first, with those of `docker stop`; none where the engine does not remember.
    ///
    /// An engine keeps some hundreds of events, and none over its own restart.
    pub async fn signals(&self, container: &str) -> Result<Vec<i32>, EngineError> {
        let info = self.docker.info().await;
        let info = info.map_err(|error| EngineError::from_call(&error))?;
        // By its own clock: with a time to come it would go on to send what happens.
        let now = info.system_time.unwrap_or_default();
        let Ok(now) = DateTime::parse_from_rfc3339(&now) else {
            return Ok(Vec::new());
        };
        let until = format!("{}.{:09}", now.timestamp(), now.timestamp_subsec_nanos());
        let filters = HashMap::from([
            ("type", vec!["container"]),
            ("event", vec!["kill"]),
            ("container", vec![container]),
        ]);
        let options = EventsOptionsBuilder::new()
            .since("1")
            .until(&until)
            .filters(&filters)
            .build();
        let mut events = self.docker.events(Some(options));
        let mut signals = Vec::new();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| EngineError::from_call(&error))?;
            let attributes = event.actor.and_then(|actor| actor.attributes);
            let signal =
                attributes.and_then(|attributes| attributes.get("signal")?.parse::<i32>().ok());
            signals.extend(signal);
        }
        Ok(signals)
    }
}
