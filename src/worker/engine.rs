//! The engine of a worker whose tasks run in containers: while it does not answer, no task leaves its queue.

use std::time::Duration;

use tokio::time::timeout;

use crate::container::engine::{EndpointSource, Engine, EngineError};
use crate::ui::Printer;

/// How long it may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks whether the engine is there, and says when that changes.
#[derive(Debug)]
pub(super) struct EngineLook {
    source: EndpointSource,
    /// As long as it answers.
    engine: Option<Engine>,
    /// Why it does not, which has been said.
    fault: Option<String>,
    printer: Printer,
}

impl EngineLook {
    /// At an engine that has not been asked yet.
    pub(super) fn new(source: EndpointSource) -> Self {
        Self {
            source,
            engine: None,
            fault: None,
            printer: Printer::default(),
        }
    }

    /// Asks the engine; why it cannot make containers, where it cannot.
    pub(super) async fn ask(&mut self) -> Result<(), String> {
        let late = || EngineError::Lost(format!("{} seconds are over", PATIENCE.as_secs()));
        let asked = timeout(PATIENCE, self.connect()).await;
        let Err(error) = asked.unwrap_or_else(|_| Err(late())) else {
            if self.fault.take().is_some() {
                self.printer
                    .line("The container engine answers again: tasks are taken");
            }
            return Ok(());
        };
        self.engine = None;
        let text = error.to_string();
        if self.fault.replace(text.clone()).is_none() {
            self.printer
                .warning(&format!("{error}; no task is taken until this is mended"));
            if let Some(hint) = error.hint() {
                self.printer.line(format!("hint: {hint}"));
            }
        }
        Err(text)
    }

    /// The answer to the last look.
    pub(super) fn was_away(&self) -> bool {
        self.fault.is_some()
    }

    async fn connect(&mut self) -> Result<(), EngineError> {
        if let Some(engine) = &self.engine
            && engine.answers().await
        {
            return Ok(());
        }
        // What is the matter is known to who connects.
        self.engine = Some(Engine::connect(&self.source.endpoint()?).await?);
        Ok(())
    }
}
