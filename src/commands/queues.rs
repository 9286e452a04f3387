//! The queues of a command line, found on the server (D 2.3).

use std::collections::HashSet;

use super::Failed;
use crate::api::{NameMatch, Queue, QueueId, Session};
use crate::ui::Table;
use crate::visible;

/// Most names that an error lists (D-109, D-110).
const MOST_LISTED: usize = 10;

/// The queues of these ids in their order; each is known to the server (D-107, D-112).
pub(super) async fn find_queues(
    session: &Session,
    given: &[QueueId],
) -> Result<(Vec<QueueId>, Vec<Queue>), Failed> {
    let mut ids = given.to_vec();
    // A queue that is named twice is asked once.
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let queues = session.queues().by_ids(&ids).await?;
    match ids
        .iter()
        .find(|id| !queues.iter().any(|queue| queue.id == **id))
    {
        Some(missing) => Err(unknown_queue(missing.as_str(), &[])),
        None => Ok((ids, queues)),
    }
}

/// The ids of the queues that are named, one for each; the server's default queue without names (D 2.3).
pub(super) async fn resolve_queues(
    session: &Session,
    names: Option<&[String]>,
    create: bool,
) -> Result<Vec<QueueId>, Failed> {
    let Some(names) = names else {
        return match session.queues().default_queue().await {
            Ok(queue) => Ok(vec![queue.id]),
            Err(error) if error.refusal().is_some() => {
                Ok(vec![resolve_queue(session, "default", create).await?])
            }
            Err(error) => Err(error.into()),
        };
    };
    let mut ids = Vec::new();
    for name in names {
        ids.push(resolve_queue(session, name, create).await?);
    }
    Ok(ids)
}

async fn resolve_queue(session: &Session, name: &str, create: bool) -> Result<QueueId, Failed> {
    if QueueId::is_written_in(name) {
        return Ok(name.parse()?);
    }
    match session.queues().by_name(name).await? {
        NameMatch::One(queue) => Ok(queue.id),
        NameMatch::None { .. } if create => Ok(session.queues().create(name, &[]).await?),
        NameMatch::None { near } => Err(unknown_queue(name, &near)),
        NameMatch::Several(queues) => Err(ambiguous_queue(name, &queues)),
    }
}

/// D-110
fn unknown_queue(name: &str, similar: &[Queue]) -> Failed {
    let mut names: Vec<(&str, &QueueId)> = similar
        .iter()
        .map(|queue| (queue.name.as_deref().unwrap_or_default(), &queue.id))
        .collect();
    names.sort_unstable();
    let intro = if names.is_empty() {
        ""
    } else {
        ". Did you mean this?"
    };
    let lines: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|(name, id)| {
            format!(
                "
* ({id}) {}",
                visible::line(name)
            )
        })
        .collect();
    let lines = lines.concat();
    Failed::message(
        format!("Could not find queue with name/id \"{name}\"{intro}{lines}"),
        "name a queue of the server, or add `--create-queue`",
    )
}

/// D-109
fn ambiguous_queue(name: &str, queues: &[Queue]) -> Failed {
    let (shown, more) = match queues.len() {
        count if count > MOST_LISTED => (format!(" (showing {MOST_LISTED}/{count})"), "\n..."),
        _ => (String::new(), ""),
    };
    let lines: Vec<String> = queues
        .iter()
        .take(MOST_LISTED)
        .map(|queue| {
            format!(
                "
* {}",
                queue.id
            )
        })
        .collect();
    let lines = lines.concat();
    Failed::message(
        format!("Found multiple queues with name \"{name}\"{shown}:{lines}{more}"),
        "name the queue by its id",
    )
}

/// As the daemon prints them at its start (D-135).
/// The queues' names, in the order of the command line.
pub(super) fn names(ids: &[QueueId], queues: &[Queue]) -> Vec<(QueueId, Option<String>)> {
    let name = |id: &QueueId| {
        let queue = queues.iter().find(|queue| queue.id == *id)?;
        queue.name.clone()
    };
    ids.iter().map(|id| (id.clone(), name(id))).collect()
}

pub(super) fn table(ids: &[QueueId], queues: &[Queue]) -> Table<3> {
    let mut table = Table::new(["id", "name", "tags"]);
    for queue in in_order(ids, queues) {
        table.row(cells(queue));
    }
    table
}

/// The same with the GPUs that the tasks of each queue get (D-136).
pub(super) fn table_with_gpus(
    ids: &[QueueId],
    queues: &[Queue],
    gpus: impl Fn(&QueueId) -> String,
) -> Table<4> {
    let mut table = Table::new(["id", "name", "tags", "gpus (min, max)"]);
    for queue in in_order(ids, queues) {
        let [id, name, tags] = cells(queue);
        table.row([id, name, tags, gpus(&queue.id)]);
    }
    table
}

fn in_order<'a>(ids: &'a [QueueId], queues: &'a [Queue]) -> impl Iterator<Item = &'a Queue> {
    ids.iter()
        .filter_map(|id| queues.iter().find(|queue| queue.id == *id))
}

fn cells(queue: &Queue) -> [String; 3] {
    let name = queue.name.clone().unwrap_or_default();
    [queue.id.to_string(), name, queue.tags.join(", ")]
}
