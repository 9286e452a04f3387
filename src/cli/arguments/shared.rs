//! Options that several verbs have (D 1.3).

use clap::Args;

/// Credentials for repositories, before those of the configuration.
#[derive(Args, Clone, Debug)]
pub struct GitCredentials {
    /// User for git over https
    #[arg(long, value_name = "USER")]
    pub git_user: Option<String>,
    /// Password or token for git over https
    #[arg(long, value_name = "PASSWORD")]
    pub git_pass: Option<String>,
}
