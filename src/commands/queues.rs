//! The queues of a command line, found on the server (D 2.3).

use std::collections::HashSet;

use super::Failed;
use super::daemon::Arguments;
use crate::api::{NameMatch, Queue, QueueId, Session};
use crate::ui::Table;

/// Most names that an error lists (D-109, D-110).
const MOST_LISTED: usize = 10;

/// The queues in the order of the command line; each is known to the server (D-107, D-112).
pub(super) async fn find_queues(
    session: &Session,
    arguments: &Arguments,
) -> Result<(Vec<QueueId>, Vec<Queue>), Failed> {
    let mut ids = resolve_queues(session, arguments).await?;
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

/// D 2.3
async fn resolve_queues(session: &Session, arguments: &Arguments) -> Result<Vec<QueueId>, Failed> {
    let Some(names) = &arguments.queue else {
        return match session.queues().default_queue().await {
            Ok(queue) => Ok(vec![queue.id]),
            Err(error) if error.refusal().is_some() => Ok(vec![
                resolve_queue(session, "default", arguments.create_queue).await?,
            ]),
            Err(error) => Err(error.into()),
        };
    };
    let mut ids = Vec::new();
    for name in names {
        ids.push(resolve_queue(session, name, arguments.create_queue).await?);
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
* ({id}) {name}"
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
pub(super) fn table(ids: &[QueueId], queues: &[Queue]) -> Table<3> {
    let mut table = Table::new(["id", "name", "tags"]);
    for queue in ids
        .iter()
        .filter_map(|id| queues.iter().find(|queue| queue.id == *id))
    {
        let name = queue.name.clone().unwrap_or_default();
        table.row([queue.id.to_string(), name, queue.tags.join(", ")]);
    }
    table
}
