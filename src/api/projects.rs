//! Calls of the service `projects`.

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::id::ProjectId;
use super::lenient;
use super::session::Session;

const GET_ALL: Endpoint = Endpoint::new("projects.get_all").version(2, 13);
const GET_BY_ID: Endpoint = Endpoint::new("projects.get_by_id").version(2, 5);

/// A project; only the asked fields are filled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// The project's id.
    #[serde(default)]
    pub id: Option<ProjectId>,
    /// The name with those of its parents, `team/demo`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// The calls about projects.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'a>(&'a Session);

impl Session {
    /// The calls about projects.
    pub fn projects(&self) -> Projects<'_> {
        Projects(self)
    }
}

impl Projects<'_> {
    /// `projects.get_all` for the name of one project; none where it does not exist.
    pub async fn name(&self, id: &ProjectId) -> Result<Option<String>, ApiError> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            id: [&'a ProjectId; 1],
            only_fields: [&'a str; 1],
        }
        #[derive(Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::or_default")]
            projects: Vec<Project>,
        }
        let arguments = Arguments {
            id: [id],
            only_fields: ["name"],
        };
        let data: Data = self.0.call(&GET_ALL, &arguments).await?;
        Ok(data.projects.into_iter().next().and_then(|p| p.name))
    }

    /// `projects.get_by_id`.
    pub async fn by_id(&self, id: &ProjectId) -> Result<Project, ApiError> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            project: &'a ProjectId,
        }
        #[derive(Deserialize)]
        struct Data {
            project: Project,
        }
        let data: Data = self.0.call(&GET_BY_ID, &Arguments { project: id }).await?;
        Ok(data.project)
    }
}
