//! Options of `init`.

use clap::{ArgAction, Args};

use crate::cli::values;

/// Options of `init`.
#[derive(Args, Clone, Debug, Default)]
pub struct Init {
    /// Ask nothing: take everything from these options and from variables of the environment
    #[arg(long)]
    pub non_interactive: bool,
    /// API server, else CLEARML_API_HOST
    #[arg(long, value_name = "URL", requires = "non_interactive", value_parser = values::text)]
    pub api_host: Option<String>,
    /// Web server, else CLEARML_WEB_HOST, else what follows from the API server
    #[arg(long, value_name = "URL", requires = "non_interactive", value_parser = values::text)]
    pub web_host: Option<String>,
    /// File server, else CLEARML_FILES_HOST, else what follows from the other two
    #[arg(long, value_name = "URL", requires = "non_interactive", value_parser = values::text)]
    pub files_host: Option<String>,
    /// Access key, else CLEARML_API_ACCESS_KEY
    #[arg(long, value_name = "KEY", requires = "non_interactive", value_parser = values::text)]
    pub access_key: Option<String>,
    /// Read the secret key from standard input instead of CLEARML_API_SECRET_KEY
    #[arg(long, requires = "non_interactive")]
    pub secret_key_stdin: bool,
    /// User for git over https, else CLEARML_AGENT_GIT_USER; the token is CLEARML_AGENT_GIT_PASS
    #[arg(long, value_name = "USER", requires = "non_interactive", value_parser = values::text)]
    pub git_user: Option<String>,
    /// Package index beside PyPI; may be repeated
    #[arg(long, value_name = "URL", requires = "non_interactive", action = ArgAction::Append, value_parser = values::text)]
    pub extra_index_url: Vec<String>,
    /// Where models and artifacts go
    #[arg(long, value_name = "URI", requires = "non_interactive", value_parser = values::text)]
    pub output_uri: Option<String>,
    /// Write the file without asking the server whether it knows the keys
    #[arg(long, requires = "non_interactive")]
    pub no_verify: bool,
}
