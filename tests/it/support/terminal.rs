//! A pseudo-terminal with the agent in it and a person before it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::wait_until;

/// A terminal in which a command runs.
#[derive(Debug)]
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    slave: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts the command with a terminal as its stdin, stdout and stderr.
    pub(crate) fn start(mut command: Command, terminal_type: &str) -> Self {
        let size = Winsize {
            ws_row: 50,
            ws_col: 250,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a pseudo-terminal");
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command
            .env("TERM", terminal_type)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the agent starts");
        let mut screen = File::from(master);
        let keyboard = screen.try_clone().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let collected = shown.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let mut shown = collected.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard,
            slave,
            shown,
        }
    }

    /// All that was shown until now, control sequences included.
    pub(crate) fn shown(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this text was shown, then presses keys.
    #[track_caller]
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.wait_for(question);
        self.press(keys);
    }

    /// Waits until this text was shown.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let shown = wait_until(|| self.shown().contains(text));
        assert!(shown, "`{text}` was not shown:\n{}", self.shown());
    }

    /// Process id of the command.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the terminal shows by itself what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let settings = tcgetattr(&self.slave).expect("the terminal's settings");
        settings.local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the command's end and gives its exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        let mut status = None;
        let ended = wait_until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "it goes on:\n{}", self.shown());
        status
            .and_then(|status| status.code())
            .expect("an exit code")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended in every test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
