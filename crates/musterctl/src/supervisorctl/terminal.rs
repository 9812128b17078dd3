//! The user: what is printed and typed, and Ctrl-C.
//!
//! While the shell or a log waits, SIGINT is blocked and read as an event, so that it ends what waits and not the shell. A single
//! command has SIGINT's default action.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use muster_supervisord::ctl::{Failure, Server, World};
use muster_supervisord::xmlrpc::Value;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::logtail::Logtail;
use super::wire;
use crate::output::terminal_text;

/// The exit code of a command that Ctrl-C ended.
pub(super) const INTERRUPTED: u8 = 130;

/// The longest line that is typed; a longer one is several.
const LONGEST: usize = 1 << 20;

/// The user's terminal, or the pipes in its place.
pub(super) struct Terminal {
    input: Input,
    out_is_terminal: bool,
    /// Whether a shell is to outlive Ctrl-C.
    is_shell: bool,
    attached: Option<Attached>,
}

/// The logs that are shown while the user types.
struct Attached {
    interrupts: Interrupts,
    logs: Vec<Log>,
    _quiet: Option<Quiet>,
}

/// A terminal that does not echo Ctrl-C as `^C`, until this is dropped. The original's shell reads lines with an editor, which
/// does not either.
struct Quiet(Termios);

impl Quiet {
    /// `None` where there is no terminal.
    fn begin() -> Option<Quiet> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHOCTL);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &quiet).ok().map(|()| Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no setting.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

impl Terminal {
    pub(super) fn new(is_shell: bool) -> Terminal {
        let input = Input { file: io::stdin().as_fd().try_clone_to_owned().ok().map(File::from), buffer: Vec::new() };
        Terminal { input, out_is_terminal: io::stdout().is_terminal(), is_shell, attached: None }
    }
}

impl World for Terminal {
    fn call(&mut self, server: &Server, method: &str, params: &[Value]) -> Result<Value, Failure> {
        let is_shell = self.is_shell;
        wire::call(server, method, params, |connection| Patient {
            connection,
            interrupts: is_shell.then(Interrupts::catch),
        })
    }

    fn print(&mut self, text: &str) {
        let line = format!("{text}\n");
        // Names and reasons come from elsewhere and must not control the terminal.
        write(&if self.out_is_terminal { terminal_text(line, false) } else { line });
    }

    fn print_output(&mut self, text: &str) {
        write(&format!("{text}\n"));
    }

    fn line(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        write(prompt);
        let interrupts = Interrupts::catch();
        loop {
            if let Some(line) = self.input.line() {
                return Ok(line);
            }
            let Some(file) = &self.input.file else { return Ok(None) };
            interrupts.wait(&[file.as_fd()])?;
            self.input.fill();
        }
    }

    fn secret(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        let stdin = io::stdin();
        let shown = tcgetattr(&stdin).ok();
        if let Some(shown) = &shown {
            let mut hidden = shown.clone();
            hidden.local_flags.remove(LocalFlags::ECHO);
            let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden);
        }
        let typed = self.line(prompt);
        if let Some(shown) = &shown {
            let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, shown);
            write("\n");
        }
        typed
    }

    fn follow(&mut self, server: &Server, path: &str) -> Result<(), Failure> {
        let interrupts = Interrupts::catch();
        let Some(mut log) = Log::open(server, path) else { return Ok(()) };
        loop {
            interrupts.wait(&[log.connection.as_fd()])?;
            if !log.show() {
                return Ok(());
            }
        }
    }

    fn attach(&mut self, server: &Server, paths: &[String]) {
        let logs = paths.iter().filter_map(|path| Log::open(server, path)).collect();
        let quiet = if self.is_shell { Quiet::begin() } else { None };
        self.attached = Some(Attached { interrupts: Interrupts::catch(), logs, _quiet: quiet });
    }

    fn typed(&mut self) -> Result<Option<String>, Failure> {
        let Some(Attached { interrupts, logs, .. }) = &mut self.attached else { return Ok(None) };
        loop {
            if let Some(line) = self.input.line() {
                return Ok(line);
            }
            let Some(file) = &self.input.file else { return Ok(None) };
            let fds: Vec<BorrowedFd<'_>> =
                std::iter::once(file.as_fd()).chain(logs.iter().map(|log| log.connection.as_fd())).collect();
            let ready = interrupts.wait(&fds)?;
            if ready[0] {
                self.input.fill();
            }
            let mut ready = ready.into_iter().skip(1);
            logs.retain_mut(|log| !ready.next().unwrap_or_default() || log.show());
        }
    }

    fn detach(&mut self) {
        self.attached = None;
    }
}

/// Writes at once. If stdout is closed, the exit code remains.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Standard input, line by line.
struct Input {
    /// `None` at its end.
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Input {
    /// The next line, if it is complete; `Some(None)` at the end of the input.
    fn line(&mut self) -> Option<Option<String>> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let length = match end {
            Some(end) => end,
            None if self.buffer.len() >= LONGEST => LONGEST,
            None if self.file.is_some() => return None,
            None if self.buffer.is_empty() => return Some(None),
            None => self.buffer.len(),
        };
        let line = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        self.buffer.drain(..length + usize::from(end.is_some()));
        Some(Some(line))
    }

    fn fill(&mut self) {
        let mut piece = [0; 16 * 1024];
        let Some(file) = &mut self.file else { return };
        match file.read(&mut piece) {
            Ok(count) if count > 0 => self.buffer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => self.file = None,
        }
    }
}

/// Catches Ctrl-C until it is dropped.
struct Interrupts {
    /// `None` if the kernel has no descriptor left: then Ctrl-C ends the process.
    signals: Option<SignalFd>,
    before: SigSet,
}

impl Interrupts {
    fn catch() -> Interrupts {
        let (interrupt, mut before) = (SigSet::from(Signal::SIGINT), SigSet::empty());
        let signals = SignalFd::with_flags(&interrupt, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).ok();
        if signals.is_some() {
            // It cannot fail with these arguments.
            let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&interrupt), Some(&mut before));
        }
        Interrupts { signals, before }
    }

    /// Waits until one of these descriptors can be read, and returns which.
    fn wait(&self, fds: &[BorrowedFd<'_>]) -> Result<Vec<bool>, Failure> {
        let signals = self.signals.as_ref().map(AsFd::as_fd);
        let all = fds.iter().copied().chain(signals);
        let mut polled: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Failure::other("OSError", format!("[Errno {}] {}", error as i32, error.desc()))),
        }
        if self.signals.as_ref().is_some_and(|signals| matches!(signals.read_signal(), Ok(Some(_)))) {
            return Err(Failure::Interrupted);
        }
        Ok(polled.iter().take(fds.len()).map(|fd| fd.any().unwrap_or(false)).collect())
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(signals) = &self.signals {
            while let Ok(Some(_)) = signals.read_signal() {}
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
        }
    }
}

/// A connection that is read when it has something, or fails at Ctrl-C.
struct Patient {
    connection: File,
    interrupts: Option<Interrupts>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(interrupts) = &self.interrupts {
            interrupts.wait(&[self.connection.as_fd()]).map_err(|_| io::Error::other("interrupted by the user"))?;
        }
        self.connection.read(buffer)
    }
}

/// A log of the server's that is shown as it grows.
struct Log {
    url: String,
    connection: File,
    tail: Logtail,
}

impl Log {
    /// Asks for it, or reports why it cannot.
    fn open(server: &Server, path: &str) -> Option<Log> {
        let url = format!("{}{path}", server.url);
        match wire::get(server, path) {
            Ok(connection) => Some(Log { url, connection, tail: Logtail::new() }),
            Err(failure) => {
                let text = failure.to_string();
                let (class, why) = text.split_once(", ").unwrap_or((&text, ""));
                report(&url, &format!("Cannot connect, error: {class} ({why})"));
                None
            }
        }
    }

    /// Shows what has arrived; returns whether there may be more.
    fn show(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let count = match self.connection.read(&mut piece) {
            Ok(count) => count,
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        match self.tail.feed(&piece[..count]) {
            Ok(text) => {
                let mut out = io::stdout().lock();
                let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                count > 0 && written.is_ok()
            }
            Err(why) => {
                report(&self.url, &why);
                false
            }
        }
    }
}

fn report(url: &str, why: &str) {
    // If stderr is closed, too, the message is lost.
    let _ = writeln!(io::stderr(), "{url} {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_ends_and_at_the_end() {
        let mut input = Input { file: None, buffer: b"a\n\nb".to_vec() };
        let lines: Vec<_> = std::iter::from_fn(|| input.line()).take(4).collect();
        assert_eq!(lines, [Some("a".to_owned()), Some(String::new()), Some("b".to_owned()), None]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let file = Some(File::open("/dev/null").unwrap());
        let mut input = Input { file, buffer: vec![b'x'; LONGEST + 1] };
        assert_eq!(input.line().flatten().map(|line| line.len()), Some(LONGEST));
        assert_eq!(input.line(), None, "the rest may grow");
    }
}
