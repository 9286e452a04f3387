//! The store: environments kept from task to task, shared by all agents of the machine (E-239..E-250).
//!
//! ```text
//! <store>/lock                     held for a moment by who adds or removes entries
//! <store>/entries/<id>/entry.json  keys, inputs and size
//!                      files.json  every file of the tree
//!                      lease       shared by who reads the entry, exclusive for who removes it
//!                      sys-path.json  what the interpreter of its environments said of `sys.path`, where that is known
//!                      times       when this agent itself has touched the shared files
//!                      tree/       the environment
//! <store>/rooms/<id>/             in a store of containers: packages of an environment that is in use, see [`room`]
//! <store>/temporary/<id>/          entries that are being made or removed; their lease is held meanwhile
//! ```
//!
//! An entry comes into being and goes by one `rename`, so that nobody sees half of it.

mod check_in;
mod check_out;
mod entry;
mod explain;
mod folders;
mod identity;
mod index_settings;
mod key;
mod manifest;
mod place;
mod prune;
mod record;
mod refresh;
mod room;
mod sys_path;
mod times;

pub(super) use check_in::{CheckIn, NewEntry};
pub(super) use check_out::{CheckOut, remove_environment};
pub use entry::EntryKind;
pub use explain::{Difference, Explanation, Nearest};
pub(super) use folders::Store;
pub(super) use identity::{file_identity, file_in_image, packages_in_image};
pub use index_settings::index_settings;
pub(super) use key::platform;
pub use key::{Input, StoreInputs, StoreKey};
pub use prune::{PruneLimits, Pruned, has_room_to_spare};
pub(super) use sys_path::{keep_sys_path, known_sys_path};

pub use folders::{Listed, list};
pub use prune::prune;

#[cfg(test)]
mod tests;
