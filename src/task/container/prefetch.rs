//! The image of a waiting task, brought while others run.

use std::path::Path;

use super::Containment;
use super::start::NotContained;
use crate::container::command::{Launch, Purpose};
use crate::process::Output;
use crate::task::server::TaskServer;

impl Containment {
    /// Pulls the image that the task will have, where its run would; nothing is made, and `folder` is not touched.
    ///
    /// The error is the line that says what is wrong.
    pub async fn prefetch(
        &self,
        server: &TaskServer,
        folder: &Path,
        output: &Output,
    ) -> Result<(), String> {
        let brought = self.bring_image_of(server, folder, output).await;
        brought.map_err(|failure| failure.message().to_owned())
    }

    async fn bring_image_of(
        &self,
        server: &TaskServer,
        folder: &Path,
        output: &Output,
    ) -> Result<(), NotContained> {
        let engine = self.engine(output).await?;
        let (facts, _) = self.facts(server, None).await?;
        let launch = Launch {
            worker: server.worker().to_string(),
            parent: self.parent.clone(),
            purpose: Purpose::Task,
            is_service: self.is_service,
            random: Launch::random_text(),
            configuration: folder.join("clearml.conf"),
            ssh_copy: folder.join("ssh"),
            runner: self.runner.clone(),
        };
        let command = self.assemble(&engine, &facts, &launch).await?;
        let (request, _) = self.request(&engine, &command, output)?;
        self.bring_image(&engine, &command, &request, output).await
    }
}
