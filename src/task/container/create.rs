//! The container that the engine is asked for, and another one where it has something against the first.

use super::start::{NotContained, remove_labelled};
use super::store::StoreMount;
use super::upload::Parcel;
use super::{Containment, RUN_LABEL, forget, log, shell, upload};
use crate::container::args::CreateRequest;
use crate::container::command::ContainerCommand;
use crate::container::engine::{Created, Engine, EngineError};
use crate::process::Output;
use crate::task::outcome::Outcome;

/// What the container of a run is made from.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) engine: Engine,
    pub(super) command: ContainerCommand,
    /// Without the store.
    pub(super) request: CreateRequest,
    pub(super) parcels: Vec<Parcel>,
    pub(super) store: Option<StoreMount>,
    /// Value of [`RUN_LABEL`].
    pub(super) run: String,
}

impl Order {
    /// Leaves the store out of the next container where the engine refuses this one for it.
    pub(super) fn leaves_store_out(&mut self, error: &EngineError, output: &Output) -> bool {
        let Some(store) = self.store.take_if(|store| store.is_refused(error)) else {
            return false;
        };
        output.line(format!(
            "NOTICE: the container engine does not mount the store of environments `{}`, and the container makes its \
             environment itself: {error}",
            store.outside
        ));
        true
    }
}

impl Containment {
    /// Makes the container of a run; once more without the store where the engine refuses that.
    pub(super) async fn fill(
        &self,
        order: &mut Order,
        output: &Output,
    ) -> Result<Created, NotContained> {
        loop {
            let mut request = order.request.clone();
            if let Some(store) = &order.store {
                store.add_to(&mut request.body);
            }
            let Order {
                engine,
                command,
                parcels,
                ..
            } = &*order;
            match self.create(engine, command, request, parcels).await {
                Err(error) if order.leaves_store_out(&error, output) => {
                    self.discard(order).await;
                }
                made => return made.map_err(|error| self.not_made(&order.command, &error))?,
            }
        }
    }

    /// Removes what was made of an order: the next one may have the same name.
    pub(super) async fn discard(&self, order: &Order) {
        remove_labelled(&self.source, (RUN_LABEL, &order.run)).await;
    }

    /// Lets the container stay, with all that it prints, until that has been read.
    pub(super) fn keep(&self, request: &mut CreateRequest, output: &Output) {
        if let Some(host) = &mut request.body.host_config {
            host.auto_remove = Some(false);
        }
        if !self.options.is_podman
            && let Some(line) = log::keep(&mut request.body)
        {
            output.line(line);
        }
    }

    /// Makes the container; again with another command where the image has no bash (C-207).
    pub(super) async fn create(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        mut request: CreateRequest,
        parcels: &[Parcel],
    ) -> Result<Result<Created, NotContained>, EngineError> {
        if command.boot.forgets {
            forget::hide_script(&mut request.body);
        }
        let mut made = self.create_once(engine, &request).await?;
        match shell::shell(engine, &made.id).await? {
            Some("bash") => {}
            Some(shell) => {
                engine.remove(&made.id).await?;
                let words = command.words_for(shell);
                request.body.cmd = words
                    .get(words.len().saturating_sub(3)..)
                    .map(<[_]>::to_vec);
                if command.boot.forgets {
                    forget::hide_script(&mut request.body);
                }
                made = self.create_once(engine, &request).await?;
            }
            None => {
                engine.remove(&made.id).await?;
                return Ok(Err(NotContained {
                    outcome: Outcome::Failed {
                        code: 127,
                        why: format!("the image `{}` has neither bash nor sh", command.image),
                    },
                    hint: Some("choose an image with a shell".to_owned()),
                    is_passing: false,
                }));
            }
        }
        if !parcels.is_empty() {
            let archive = match upload::archive(parcels) {
                Ok(archive) => archive,
                Err(error) => {
                    let text = format!("could not read what the container needs: {error}");
                    return Ok(Err(NotContained::because(&text, None)));
                }
            };
            engine.upload(&made.id, "/", archive).await?;
        }
        Ok(Ok(made))
    }

    async fn create_once(
        &self,
        engine: &Engine,
        request: &CreateRequest,
    ) -> Result<Created, EngineError> {
        let name = request.name.as_deref();
        engine
            .create(name, request.platform.as_deref(), request.body.clone())
            .await
    }
}
