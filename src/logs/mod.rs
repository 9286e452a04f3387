//! From a task's output file to the server: lines, redaction, batches, acknowledged offset.
//!
//! The file is the spool. Nothing is lost while it exists: what the server has acknowledged is
//! behind the offset, everything else is still to be sent.

mod batch;
mod echo;
mod event;
mod headroom;
mod lines;
mod sender;
mod spool;
mod upload;

pub use batch::{Batch, EVENT_CHARACTERS, REQUEST_CHARACTERS};
pub use echo::{Echo, Speaker};
pub use event::{Level, LogEvent};
pub use headroom::Headroom;
pub use lines::LineRules;
pub use sender::{Acknowledged, Delivery, EventSink, Progress, Sender, SinkError};
pub use spool::{Segment, Spool};
pub use upload::{Upload, UploadEnd, UploadHandle, UploadOptions};
