//! Files that survive a crash, locks, and the folders that the agent owns.

mod atomic;
mod held_folder;
mod lock;
mod machine;
mod places;
mod room;
mod shared;
mod slots;
mod temporary;

pub use atomic::{
    create_private, exchange, make_spare, read_private, refill_spare, replace, write_private,
    write_roomy,
};
pub use held_folder::HeldFolder;
pub use lock::{FileLock, LockKind};
pub use places::Places;
pub use room::{is_full, with_least_room};
pub use shared::{create_shared, own_folder};
pub use slots::{Instance, Slot, SlotError, SlotFolder};
pub use temporary::{age, create_temporary, temporaries, temporary_name};
