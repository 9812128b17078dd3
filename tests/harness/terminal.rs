//! A terminal for tests that type and read the screen, as a person would.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};

use super::signals::take_environment;
use super::{heeding_all_signals, wait_for};

/// A pseudo-terminal. Its output is kept until a test has looked for it.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// A terminal and its device, with this size if given.
    pub fn open(size: Option<&Winsize>) -> (Terminal, File) {
        let pair = openpty(size, None).expect("a terminal can be made");
        let (keyboard, device) = (File::from(pair.master), File::from(pair.slave));
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut source, sink) = (clone(&keyboard), Arc::clone(&screen));
        // Fails once no process has the device open.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut piece) {
                sink.lock()
                    .expect("no thread panics while holding the lock")
                    .push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        (Terminal { keyboard, screen }, device)
    }

    pub fn text(&self) -> String {
        self.screen.lock().expect("no thread panics while holding the lock").clone()
    }

    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Waits until the screen shows this text, and discards everything up to and including it.
    pub fn shows(&self, what: &str) {
        wait_for(&format!("the screen shows {what:?}"), || {
            let mut screen = self.screen.lock().expect("no thread panics while holding the lock");
            let at = screen.find(what)?;
            screen.drain(..at + what.len());
            Some(())
        });
    }
}

/// The command attached to this terminal, as its session's leader. `options` are those of setsid(1).
pub fn in_front_of(device: &File, options: &[&str], words: &Command) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(options).arg(words.get_program()).args(words.get_args());
    take_environment(&mut command, words);
    let mut command = heeding_all_signals(&command);
    command.stdin(clone(device)).stdout(clone(device)).stderr(clone(device));
    command
}

fn clone(file: &File) -> File {
    file.try_clone().expect("a descriptor is available")
}
