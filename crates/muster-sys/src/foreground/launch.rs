//! Starts the command.
//!
//! Everything is prepared before the fork: the paths to try, the arguments, the environment. Between fork and exec the
//! child only enters its group or session, restores what the init had changed, and calls execve. The caller is notified of each step
//! in the child ([`Step`]) and decides how to handle a failure ([`Onward`]), because that is where tini and dumb-init differ.
//!
//! fork(2), not vfork: a parent that waits for the child's exec cannot handle signals for as long as a slow file system takes.

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::inherited::{TOUCHED, inherited};
use super::{errno, terminal};
use crate::fd::check;
use crate::signal::{Pid, SignalSet, set_blocked};

/// The command to start, and its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// Its process group and session.
    pub place: Placement,
    /// Its signal dispositions and mask.
    pub dispositions: Dispositions,
    /// Whether a `LISTEN_PID` that names this process is changed to name the command, so that socket activation (sd_listen_fds(3))
    /// works through the init.
    pub passes_sockets: bool,
}

/// The process group and session of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Those of the init.
    Here,
    /// Its own group, in the foreground of the terminal open as this descriptor.
    Group {
        /// The terminal, if it should be taken.
        terminal: Option<RawFd>,
    },
    /// Its own session, with standard input as its controlling terminal if that is free.
    Session,
}

/// The signal state of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispositions {
    /// Blocked and ignored as when this process started.
    Inherited,
    /// Nothing is blocked, and 1 to 31 have their default action.
    Default,
}

/// A step between fork and exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Creating the process group.
    Group,
    /// Moving to the terminal's foreground.
    Foreground,
    /// Creating the session.
    Session,
    /// Making standard input the controlling terminal.
    ControllingTerminal,
    /// Execution; reported only on failure.
    Exec,
}

/// How the child continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// With the next step. (After [`Step::Exec`] there is none: it exits with status 126.)
    Continue,
    /// It exits with this status.
    Exit(u8),
}

/// Starts the command and returns its pid. An error means that there is no process.
///
/// `on_step` is called in the child after every step, with 0 or the error number. It runs between fork and exec: it must
/// not allocate, and may use [`write_stderr`] for messages.
pub fn launch(launch: &Launch<'_>, on_step: &dyn Fn(Step, i32) -> Onward) -> io::Result<Pid> {
    let mut image = Image::new(launch)?;
    // SAFETY: this process has one thread, so the child is a full copy in which anything may be called; it never
    // returns from `become_command`.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        become_command(launch, &mut image, on_step);
    }
    if matches!(launch.place, Placement::Group { .. }) {
        // The child does the same. Whichever is first, a signal to the group finds it from here on; if the child has
        // already executed, this fails and is not needed.
        // SAFETY: memory is not touched.
        unsafe { libc::setpgid(pid, pid) };
    }
    Ok(Pid(pid))
}

/// Writes as much as possible to standard error, without allocating.
pub fn write_stderr(mut text: &[u8]) {
    while !text.is_empty() {
        // SAFETY: reads `text.len()` bytes of `text`.
        let written = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => text = text.get(written..).unwrap_or_default(),
            Err(_) if errno() == libc::EINTR => {}
            _ => return,
        }
    }
}

fn become_command(launch: &Launch<'_>, image: &mut Image, on_step: &dyn Fn(Step, i32) -> Onward) -> ! {
    let tell = |step: Step, outcome: io::Result<()>| {
        let error = outcome.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
        if let Onward::Exit(status) = on_step(step, error) {
            exit_now(status);
        }
    };
    take_place(launch.place, &tell);
    image.name_listener();
    restore_signals(launch.dispositions);
    image.execute();
    tell(Step::Exec, Err(io::Error::last_os_error()));
    exit_now(126)
}

/// Runs with every signal blocked: taking the foreground from the background must not stop us.
fn take_place(place: Placement, tell: &dyn Fn(Step, io::Result<()>)) {
    // SAFETY (all four calls): memory is not touched, and the numbers stand for this process.
    match place {
        Placement::Here => {}
        Placement::Group { terminal } => {
            tell(Step::Group, check(unsafe { libc::setpgid(0, 0) }).map(drop));
            if let Some(descriptor) = terminal {
                tell(Step::Foreground, terminal::put_in_front(descriptor, unsafe { libc::getpid() }));
            }
        }
        Placement::Session => {
            tell(Step::Session, check(unsafe { libc::setsid() }).map(drop));
            let taken = check(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) });
            tell(Step::ControllingTerminal, taken.map(drop));
        }
    }
}

/// The mask comes last: a signal that arrived since the fork takes effect here, before the command exists.
fn restore_signals(dispositions: Dispositions) {
    let blocked = match dispositions {
        Dispositions::Inherited => {
            let inherited = inherited();
            TOUCHED.iter().for_each(|&number| ignore(number, inherited.ignored.contains(number)));
            inherited.blocked
        }
        Dispositions::Default => {
            (1..32).for_each(|number| ignore(number, false));
            SignalSet::NONE
        }
    };
    // Fails only for arguments that are wrong for every process.
    let _ = set_blocked(blocked);
}

/// Ignores a signal, or restores its default action.
fn ignore(number: i32, ignored: bool) {
    let action = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither runs code of ours. KILL and STOP are refused.
    unsafe { libc::signal(number, action) };
}

fn exit_now(status: u8) -> ! {
    // SAFETY: ends the process without running the parent's exit handlers.
    unsafe { libc::_exit(status.into()) }
}

/// The data for execve, in memory before the fork.
struct Image {
    paths: Vec<CString>,
    // Owns what `argv` points to.
    _arguments: Vec<CString>,
    argv: Vec<*const c_char>,
    script_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    listener: Option<Box<Listener>>,
}

const SHELL: &CStr = c"/bin/sh";

impl Image {
    fn new(launch: &Launch<'_>) -> io::Result<Image> {
        let arguments: Vec<CString> =
            launch.command.iter().map(|argument| c_string(argument)).collect::<io::Result<_>>()?;
        let paths = match launch.command.first() {
            Some(name) => candidates(name, std::env::var_os("PATH").as_deref())?,
            None => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let argv: Vec<*const c_char> = arguments.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect();
        // `sh FILE ARGUMENTS`: the first two entries are filled in when needed.
        let script_argv = [SHELL.as_ptr()].into_iter().chain(argv.iter().copied()).collect();
        let mut image = Image { paths, _arguments: arguments, argv, script_argv, envp: environment(), listener: None };
        if launch.passes_sockets {
            image.adopt_listener();
        }
        Ok(image)
    }

    /// Replaces a LISTEN_PID that names this process by room for the child's pid.
    fn adopt_listener(&mut self) {
        let own = format!("LISTEN_PID={}", std::process::id());
        for entry in &mut self.envp {
            // SAFETY: the environment's entries are NUL-terminated; the null at its end is skipped first.
            if !entry.is_null() && unsafe { CStr::from_ptr(*entry) }.to_bytes() == own.as_bytes() {
                let listener = self.listener.insert(Box::default());
                *entry = listener.0.as_ptr().cast();
            }
        }
    }

    fn name_listener(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.write(std::process::id());
        }
    }

    /// Executes the first possible path, like execvp(3). Returns only if there was none; errno has the reason.
    fn execute(&mut self) {
        let mut denied = false;
        for path in &self.paths {
            // SAFETY: path, arguments and environment are NUL-terminated strings in null-terminated arrays, all owned
            // by `self` or the environment, which does not change in a process with one thread.
            unsafe { libc::execve(path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
            match errno() {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                libc::ENOEXEC => {
                    // Both originals (and every shell) treat a text file without `#!` as a script.
                    self.script_argv[1] = path.as_ptr();
                    // SAFETY: as above.
                    unsafe { libc::execve(SHELL.as_ptr(), self.script_argv.as_ptr(), self.envp.as_ptr()) };
                    return;
                }
                _ => return,
            }
        }
        if denied {
            // "Not allowed" somewhere on the PATH is more useful than "not found" at its end.
            set_errno(libc::EACCES);
        } else if self.paths.is_empty() {
            set_errno(libc::ENOENT);
        }
    }
}

/// `LISTEN_PID=` and room for any number, NUL-terminated.
struct Listener([u8; Listener::SIZE]);

impl Listener {
    const NAME: &'static [u8] = b"LISTEN_PID=";
    const SIZE: usize = Self::NAME.len() + 11;

    fn write(&mut self, mut number: u32) {
        let mut digits = [0_u8; 10];
        let mut first = digits.len();
        while first > 0 && (number > 0 || first == digits.len()) {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        let digits = &digits[first..];
        self.0[Self::NAME.len()..][..digits.len()].copy_from_slice(digits);
    }
}

impl Default for Listener {
    fn default() -> Listener {
        let mut text = [0; Listener::SIZE];
        text[..Self::NAME.len()].copy_from_slice(Self::NAME);
        Listener(text)
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The paths execvp(3) would try: the name itself if it contains a slash, otherwise every directory of `PATH`; an empty entry
/// means the current directory, and the default `PATH` is /bin and /usr/bin.
fn candidates(name: &OsStr, path: Option<&OsStr>) -> io::Result<Vec<CString>> {
    if name.is_empty() {
        return Ok(Vec::new());
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(name)?]);
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    path.as_bytes().split(|&byte| byte == b':').map(|directory| c_string(&join(directory, name))).collect()
}

fn join(directory: &[u8], name: &OsStr) -> OsString {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    OsString::from_vec([directory, slash, name.as_bytes()].concat())
}

/// The unchanged environment, including entries without `=`, which Rust's own list omits.
fn environment() -> Vec<*const c_char> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or an array that ends with a null pointer, and does not change in a process with one
    // thread.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(*at);
            at = at.add(1);
        }
    }
    entries.push(std::ptr::null());
    entries
}

fn set_errno(value: i32) {
    // SAFETY: the address of this thread's errno is valid for its life.
    unsafe { *libc::__errno_location() = value };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, path: Option<&str>) -> Vec<String> {
        let paths = candidates(OsStr::new(name), path.map(OsStr::new)).expect("no NUL");
        paths.into_iter().map(|path| path.into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn a_name_is_looked_for_as_execvp_does() {
        assert_eq!(tried("ls", Some("/a:/b")), ["/a/ls", "/b/ls"]);
        assert_eq!(tried("ls", Some(":/b:")), ["ls", "/b/ls", "ls"]);
        assert_eq!(tried("ls", None), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(tried("./ls", Some("/a")), ["./ls"]);
        assert_eq!(tried("", Some("/a")), [""; 0]);
    }

    #[test]
    fn a_listener_is_named_by_its_number() {
        for (number, text) in
            [(7, "LISTEN_PID=7"), (4_194_304, "LISTEN_PID=4194304"), (u32::MAX, "LISTEN_PID=4294967295")]
        {
            let mut listener = Listener::default();
            listener.write(number);
            assert_eq!(CStr::from_bytes_until_nul(&listener.0).expect("a NUL is left").to_str(), Ok(text));
        }
    }
}
