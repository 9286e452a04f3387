//! The calls of the API, one file for each service.

mod auth;
mod events;
mod metadata;
mod models;
mod organization;
mod projects;
pub(crate) mod queues;
mod server;
mod tasks;
pub(crate) mod users;
pub(crate) mod watchdog;
mod workers;

use crate::endpoint::Endpoint;

/// All calls.
pub(crate) const TABLES: &[&[Endpoint]] = &[
    auth::ENDPOINTS,
    events::add::ENDPOINTS,
    events::log::ENDPOINTS,
    events::plots::ENDPOINTS,
    events::scalars::ENDPOINTS,
    models::ENDPOINTS,
    organization::ENDPOINTS,
    projects::ENDPOINTS,
    queues::ENDPOINTS,
    server::ENDPOINTS,
    tasks::create::ENDPOINTS,
    tasks::edit::ENDPOINTS,
    tasks::many::ENDPOINTS,
    tasks::outputs::ENDPOINTS,
    tasks::parameters::ENDPOINTS,
    tasks::queueing::ENDPOINTS,
    tasks::read::ENDPOINTS,
    tasks::removal::ENDPOINTS,
    tasks::status::ENDPOINTS,
    users::ENDPOINTS,
    workers::ENDPOINTS,
];
