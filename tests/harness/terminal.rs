//! A terminal that a test types at and looks at, as a person would.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};

use super::{heeding_all_signals, wait_for};

/// What a person has of a terminal. What was shown is kept until it was looked for.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// A terminal, of this size if that matters, and its device.
    pub fn open(size: Option<&Winsize>) -> (Terminal, File) {
        let pair = openpty(size, None).expect("a terminal can be made");
        let (keyboard, device) = (File::from(pair.master), File::from(pair.slave));
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut source, sink) = (clone(&keyboard), Arc::clone(&screen));
        // Ends with an error once nobody has the device open.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut piece) {
                sink.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        (Terminal { keyboard, screen }, device)
    }

    pub fn text(&self) -> String {
        self.screen.lock().expect("nobody panics with it").clone()
    }

    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Waits until the screen shows this, and forgets what came before and it.
    pub fn shows(&self, what: &str) {
        wait_for(&format!("the screen shows {what:?}"), || {
            let mut screen = self.screen.lock().expect("nobody panics with it");
            let at = screen.find(what)?;
            screen.drain(..at + what.len());
            Some(())
        });
    }
}

/// The command in front of this terminal, as the leader of its session. `options` are those of setsid(1).
pub fn in_front_of(device: &File, options: &[&str], words: &Command) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(options).arg(words.get_program()).args(words.get_args());
    let mut command = heeding_all_signals(&command);
    command.stdin(clone(device)).stdout(clone(device)).stderr(clone(device));
    command
}

fn clone(file: &File) -> File {
    file.try_clone().expect("a descriptor is left")
}
