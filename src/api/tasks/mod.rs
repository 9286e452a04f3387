//! Calls of the service `tasks`.

mod calls;
mod requests;
mod requirements;
mod status;
mod task;

pub use calls::Tasks;
pub use requests::{
    Dequeue, Enqueue, NewTask, Page, ScriptEdit, StatusChange, TaskFilter, Updated,
};
pub use requirements::{Requirement, Requirements};
pub use status::TaskStatus;
pub use task::{ConfigurationItem, Container, Execution, HyperParameter, Runtime, Script, Task};
