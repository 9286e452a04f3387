//! The place of a worker among the agents of its machine (D 2.5).

use super::Failed;
use crate::api::Session;
use crate::storage::{Places, Slot, SlotError};
use crate::ui::Printer;
use crate::worker::{WorkerName, speaks_for, vacant_slots, was_here};

/// A place on this machine for a worker of this name.
pub(super) async fn claim(
    places: &Places,
    name: &WorkerName,
    session: &Session,
    printer: Printer,
) -> Result<Slot, Failed> {
    places
        .slots
        .forget_namesakes(|worker| was_here(places, worker));
    forget_unregistered(places, session).await;
    let vacant = vacant_slots(places, name);
    let slot = Slot::claim(&places.slots, |slot| name.worker_id(slot), &vacant).await;
    let slot = slot.map_err(failed)?;
    if slot.has_twin {
        printer.warning(&format!(
            "Instance with the same WORKER_ID [{}] was found on this machine. We are ignoring it, make sure this not \
             a mistake.",
            slot.worker
        ));
    }
    Ok(slot)
}

/// Removes what dead agents of other containers have left; where the server does not say who lives, all may (D-127).
async fn forget_unregistered(places: &Places, session: &Session) {
    if !places.slots.is_shared() {
        return;
    }
    match session.workers().all(None, None).await {
        Ok(workers) => places.slots.forget_unregistered(|id| {
            workers
                .iter()
                .any(|worker| speaks_for(worker.id.as_str(), id))
        }),
        Err(error) => {
            tracing::warn!(%error, "could not ask which agents of other containers live");
        }
    }
}

fn failed(error: SlotError) -> Failed {
    let hint = match &error {
        SlotError::Duplicate(_) => {
            "stop the other agent, or give this one other GPUs or another `agent.worker_id`"
        }
        SlotError::Storage { .. } => "set `TMPDIR` to a folder that can be written",
    };
    Failed::new(error, Some(hint))
}
