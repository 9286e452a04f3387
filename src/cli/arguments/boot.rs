//! Options of the hidden `boot`, which a container's first shell calls.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Options of the hidden `boot`.
#[derive(Args, Debug)]
pub struct Boot {
    /// What to do
    #[command(subcommand)]
    pub step: BootStep,
}

/// What the shell cannot do in every image.
#[derive(Debug, Subcommand)]
pub enum BootStep {
    /// Put mounted files in their places
    Files(Mounted),
    /// Find or bring a Python, and print what the shell is to evaluate
    Python {
        /// Bring nothing
        #[arg(long)]
        standalone: bool,
        /// A script of the user's own has installed the packages
        #[arg(long)]
        own_script: bool,
        /// Install what OpenCV wants
        #[arg(long)]
        opencv: bool,
        /// The task needs none
        #[arg(long)]
        not_needed: bool,
    },
    /// Try to reach the API server
    Server,
    /// Copy the mounted configuration into the home
    Configuration,
    /// Copy this program into a folder that is shared with another container
    Deliver {
        /// The folder
        folder: PathBuf,
    },
    /// Become the shell of the image, with the script that was made for it
    Shell {
        /// Folder of the scripts, one for each shell
        folder: PathBuf,
    },
    /// Remove the credentials that came into the container
    Forget(Mounted),
}

/// Folders that the agent has mounted.
#[derive(Args, Debug)]
pub struct Mounted {
    /// Mounted folder with ssh keys
    #[arg(long, value_name = "FOLDER")]
    pub ssh: Option<PathBuf>,
    /// Where they belong
    #[arg(long, value_name = "FOLDER", default_value = "~/.ssh")]
    pub ssh_folder: PathBuf,
    /// Mounted folder with files of git
    #[arg(long, value_name = "FOLDER")]
    pub git: Option<PathBuf>,
}
