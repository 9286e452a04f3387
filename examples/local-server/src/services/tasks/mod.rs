//! `tasks.*`: everything about tasks.

pub(super) mod create;
pub(super) mod edit;
mod fields;
pub(super) mod many;
pub(super) mod outputs;
pub(super) mod parameters;
pub(super) mod queueing;
pub(super) mod read;
pub(super) mod removal;
pub(super) mod status;

pub(super) use queueing::leave_deleted_queue;
pub(super) use status::{note_life, stop_silent};
