//! Starts a daemon from its configuration, stops it, and ensures that none of its processes outlives the test.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::Client;
use super::log::Log;
use super::place::{Place, can_enclose, enclosing_words};
use super::processes::{self, Process};
use super::{puppet, wait_for, wait_until};

/// How long a process may take to exit after SIGKILL on a busy machine.
const EXITING: Duration = Duration::from_millis(500);

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

/// Where an output stream of the daemon goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file in the daemon's directory.
    File,
    /// Anything that can be opened for reading and appending: a FIFO, /dev/full.
    Path(PathBuf),
}

/// How to start a daemon.
#[derive(Clone, Debug)]
pub struct Setting {
    place: Place,
    programs: String,
    musterd: String,
    http: String,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    stdout: Output,
    stderr: Output,
    block_signals: bool,
    owner: Option<u32>,
    /// The configuration's file name; that of a supervisord configuration ends in `.conf`.
    file: &'static str,
}

impl Setting {
    /// A plain daemon that supervises these program tables. It keeps running when all have ended; tests about its exit
    /// say what ends it.
    pub fn supervising(programs: impl Into<String>) -> Setting {
        Setting {
            place: Place::Plain,
            programs: programs.into(),
            musterd: "exit_when_done = false\n".to_owned(),
            http: String::new(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            stdout: Output::File,
            stderr: Output::File,
            block_signals: false,
            owner: None,
            file: "muster.toml",
        }
    }

    /// A daemon that runs these sections of a supervisord configuration, in which `@` stands for its directory.
    pub fn supervisord(sections: impl Into<String>) -> Setting {
        Setting { file: "supervisord.conf", ..Setting::supervising(sections) }
    }

    pub fn at(mut self, place: Place) -> Setting {
        self.place = place;
        self
    }

    /// Lines for `[musterd]` that replace `exit_when_done = false`.
    pub fn musterd(mut self, lines: &str) -> Setting {
        self.musterd = format!("{lines}\n");
        self
    }

    /// Lines for `[http]`.
    pub fn http(mut self, lines: &str) -> Setting {
        self.http = format!("{lines}\n");
        self
    }

    /// A command that changes its own attributes and executes the daemon, such as `prlimit --nofile=64 --`.
    pub fn wrapped(mut self, words: &[&str]) -> Setting {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Wraps the daemon in a shell that first runs this script.
    pub fn after_shell(self, script: &str) -> Setting {
        self.wrapped(&["sh", "-c", &format!("{script}; exec \"$@\""), "sh"])
    }

    pub fn env(mut self, name: &str, value: &str) -> Setting {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn stdout(mut self, path: impl Into<PathBuf>) -> Setting {
        self.stdout = Output::Path(path.into());
        self
    }

    pub fn stderr(mut self, path: impl Into<PathBuf>) -> Setting {
        self.stderr = Output::Path(path.into());
        self
    }

    /// Starts the daemon with every signal blocked, as a careless parent would. Only in [`Place::Plain`].
    pub fn with_signals_blocked(mut self) -> Setting {
        self.block_signals = true;
        self
    }

    /// Puts this command in front of the current wrapper.
    pub fn within(mut self, words: &[&str]) -> Setting {
        self.wrapper.splice(0..0, words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Runs the daemon as this user, without any of root's privileges. Only root can do that.
    pub fn owned_by(mut self, uid: u32) -> Setting {
        let number = uid.to_string();
        self.owner = Some(uid);
        self.wrapped(&["setpriv", "--clear-groups", "--reuid", &number, "--regid", &number, "--"])
    }

    /// Has the daemon's directory belong to a user that the daemon itself becomes.
    pub fn in_directory_of(mut self, uid: u32) -> Setting {
        self.owner = Some(uid);
        self
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(self) -> Daemon {
        let daemon = self.launch();
        daemon.wait_until_it_answers();
        daemon
    }

    /// Starts the daemon without waiting for anything.
    pub fn launch(self) -> Daemon {
        let directory =
            tempfile::Builder::new().prefix("muster-").tempdir().expect("a temporary directory can be created");
        self.launch_in(directory)
    }

    fn launch_in(self, directory: TempDir) -> Daemon {
        let path = |name: &str| directory.path().join(name);
        fs::write(path(self.file), self.configuration(&path("sock"))).expect("the test directory is writable");
        for name in ["out", "err"] {
            File::options().create(true).append(true).open(path(name)).expect("the test directory is writable");
        }
        chown(directory.path(), self.owner, self.owner).expect("only root gives it to another user");
        let mut daemon = Daemon {
            child: None,
            keeper_stdin: None,
            report: path("report"),
            log: Log::at(&path("err")),
            client: Client::of(&path("sock")),
            setting: self,
            directory,
        };
        daemon.spawn();
        daemon
    }

    fn configuration(&self, socket: &Path) -> String {
        if self.file.ends_with(".conf") {
            let place = socket.parent().expect("it is in a directory").display().to_string();
            let daemon = "[supervisord]\npidfile=@/pid\n[unix_http_server]\nfile=@/sock\n";
            return format!("{daemon}{}", self.programs).replace('@', &place);
        }
        let has_socket = self.http.contains("socket =");
        let socket = if has_socket { String::new() } else { format!("socket = {socket:?}\n") };
        let format = if self.musterd.contains("logformat =") { "" } else { "logformat = \"json\"\n" };
        format!("[musterd]\n{format}{}[http]\n{socket}{}{}", self.musterd, self.http, self.programs)
    }
}

/// A running daemon and all of its descendants.
pub struct Daemon {
    setting: Setting,
    child: Option<Child>,
    /// Closing it makes the keeper exit, and everything below the keeper with it.
    keeper_stdin: Option<std::process::ChildStdin>,
    report: PathBuf,
    pub log: Log,
    pub client: Client,
    directory: TempDir,
}

impl Daemon {
    fn spawn(&mut self) {
        let mut words: Vec<String> = self.setting.wrapper.clone();
        let config = self.path(self.setting.file);
        words.extend([super::executables::musterd(), "-c", &config.to_string_lossy()].map(str::to_owned));
        let (stdout, stderr) = (self.stream(&self.setting.stdout, "out"), self.stream(&self.setting.stderr, "err"));
        // Killing a test kills its daemons. Without setpriv only that is lost.
        let mut enclosed: Vec<String> = ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).to_vec();
        enclosed.extend(enclosing_words().iter().map(|&word| word.to_owned()));
        let mut environment = self.setting.environment.clone();
        let mut command;
        match self.setting.place {
            Place::Pid1 => {
                assert!(can_enclose(), "a test that needs PID 1 must check can_enclose first");
                enclosed.extend(words);
                command = Command::new(&enclosed[0]);
                let open = |path: &Path| File::options().read(true).append(true).open(path).expect("it can be opened");
                command.args(&enclosed[1..]).stdin(Stdio::null()).stdout(open(&stdout)).stderr(open(&stderr));
            }
            Place::Plain => {
                let part = serde_json::json!({
                    "command": words, "report": self.report, "stdout": stdout, "stderr": stderr,
                    "block_signals": self.setting.block_signals,
                });
                let (keeper, variable) = puppet::command(&format!("keeper {part}"));
                environment.extend(variable);
                enclosed.extend(keeper);
                command = Command::new(&enclosed[0]);
                command.args(&enclosed[1..]).stdin(Stdio::piped()).stdout(Stdio::null());
                command.stderr(
                    File::options().create(true).append(true).open(self.path("keeper")).expect("the test owns it"),
                );
            }
        }
        let mut child = command.envs(environment).spawn().expect("setpriv and unshare of util-linux are installed");
        self.keeper_stdin = child.stdin.take();
        self.child = Some(child);
    }

    fn stream(&self, output: &Output, name: &str) -> PathBuf {
        match output {
            Output::File => self.path(name),
            Output::Path(path) => path.clone(),
        }
    }

    /// A path in the daemon's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the configuration with that of another setting, as an editor does. Does not ask the daemon to reload.
    pub fn rewrite(&self, setting: &Setting) {
        let new = self.path("new");
        fs::write(&new, setting.configuration(&self.socket())).expect("the test directory is writable");
        fs::rename(&new, self.path(setting.file)).expect("the test directory is writable");
    }

    pub fn socket(&self) -> PathBuf {
        self.path("sock")
    }

    /// The programs' output on the daemon's stdout so far.
    pub fn output(&self) -> Vec<u8> {
        fs::read(self.path("out")).unwrap_or_default()
    }

    pub fn wait_until_it_answers(&self) {
        wait_until(&format!("the daemon answers\n{}", self.log.text()), || {
            assert!(!self.has_ended(), "the daemon ended before it answered:\n{}", self.story());
            self.client.try_request("GET", "/livez", "").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// The root of the process tree: the keeper, or the daemon itself as PID 1.
    fn root(&self) -> Option<i32> {
        let child = self.child.as_ref()?.id() as i32;
        if enclosing_words().is_empty() {
            return Some(child);
        }
        // `setpriv` becomes `unshare`, which stays outside with one child.
        processes::below(child).into_iter().find(|process| process.ppid == child).map(|process| process.pid)
    }

    /// A field of the daemon's memory in kB: `RssAnon` is its own memory now, `VmHWM` the peak resident size, including
    /// the pages of its executable. `VmRSS` counts those too, and they come and go.
    pub fn memory(&self, figure: &str) -> u64 {
        let text = processes::find(self.pid()).and_then(|process| process.status(figure)).unwrap_or_default();
        text.trim_end_matches(" kB").parse().expect("the kernel reports it in kB")
    }

    /// The number of its open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// The processor time that it has used so far.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        // Fields 14 and 15 of proc(5), in hundredths of a second; the first here is field 3.
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// How often its main thread has waited, and so may have been woken.
    pub fn wake_ups(&self) -> u64 {
        let counted = processes::find(self.pid()).and_then(|process| process.status("voluntary_ctxt_switches"));
        counted.and_then(|count| count.parse().ok()).expect("the daemon is there")
    }

    /// Waits until it is not woken for so long: earlier work may take a moment to end.
    pub fn assert_no_wake_up_for(&self, span: Duration) {
        let (mut before, mut quiet) = (self.wake_ups(), Instant::now());
        let patience = Instant::now();
        while quiet.elapsed() < span {
            assert!(patience.elapsed() < span + Duration::from_secs(15), "it wakes up without a reason");
            std::thread::sleep(Duration::from_millis(100));
            if self.wake_ups() != before {
                (before, quiet) = (self.wake_ups(), Instant::now());
            }
        }
        println!("0 wake-ups in {span:?}");
    }

    /// The daemon's pid as this test sees it, as soon as it has one.
    pub fn pid(&self) -> i32 {
        wait_for("the daemon has a pid", || {
            let root = self.root()?;
            match self.setting.place {
                Place::Pid1 => processes::find(root).filter(|process| process.comm == "musterd").map(|_| root),
                Place::Plain => {
                    let inner = self.reported("pid ")?;
                    processes::below(root).into_iter().find(|process| process.inner == inner).map(|process| process.pid)
                }
            }
        })
    }

    fn reported(&self, what: &str) -> Option<i32> {
        let report = fs::read_to_string(&self.report).ok()?;
        report.lines().find_map(|line| line.strip_prefix(what)?.parse().ok())
    }

    /// All processes below the daemon, zombies included.
    pub fn processes(&self) -> Vec<Process> {
        processes::below(self.pid())
    }

    /// Processes other than the daemon in its place: those it left to the keeper when it ended. Reaping zombies is up
    /// to the keeper.
    pub fn left_behind(&self) -> Vec<Process> {
        let Some(root) = self.root() else { return Vec::new() };
        let mut left = processes::below(root);
        left.retain(|process| !process.is_zombie() && process.comm != "musterd");
        left
    }

    /// The process that the daemon knows by this pid.
    pub fn process(&self, inner: i32) -> Option<Process> {
        self.processes().into_iter().find(|process| process.inner == inner)
    }

    pub fn signal(&self, number: i32) {
        super::send(self.pid(), number);
    }

    pub fn terminate(&self) {
        self.signal(15);
    }

    /// How the daemon ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<End> {
        match self.setting.place {
            Place::Plain => self.reported("code ").map(End::Code).or_else(|| self.reported("signal ").map(End::Signal)),
            Place::Pid1 => {
                use std::os::unix::process::ExitStatusExt;
                let status = self.child.as_mut()?.try_wait().expect("it is a child of this process")?;
                status.code().map(End::Code).or_else(|| status.signal().map(End::Signal))
            }
        }
    }

    fn has_ended(&self) -> bool {
        match self.setting.place {
            Place::Plain => self.reported("code ").is_some() || self.reported("signal ").is_some(),
            Place::Pid1 => {
                let child = self.child.as_ref().map(|child| child.id() as i32);
                child.and_then(processes::find).is_none_or(|process| process.is_zombie())
            }
        }
    }

    /// Waits until the daemon has ended.
    pub fn wait(&mut self) -> End {
        let began = Instant::now();
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            assert!(began.elapsed() < super::PATIENCE, "the daemon did not end\n{}", self.story());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends TERM and checks the result: exit code 0, no process and no socket left. Returns how long it took.
    pub fn finish(&mut self) -> Duration {
        self.terminate();
        let began = Instant::now();
        let end = self.wait();
        let took = began.elapsed();
        assert_eq!(end, End::Code(0), "{}", self.story());
        self.assert_nothing_is_left();
        took
    }

    /// Checks that the daemon left neither a process nor its socket behind.
    pub fn assert_nothing_is_left(&self) {
        // A process that was killed last may still be exiting; one that was not killed would stay.
        let since = Instant::now();
        while !self.left_behind().is_empty() && since.elapsed() < EXITING {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.left_behind(), [], "left behind\n{}", self.story());
        for name in ["sock", "sock.lock", "sock.new", "sock.notify", "sock.credentials"] {
            assert!(!self.path(name).exists(), "{name} was left behind");
        }
    }

    /// Sends SIGKILL to the daemon alone and starts another one in the same directory, with the files left there.
    pub fn kill_and_start_again(&mut self) {
        assert_eq!(self.setting.place, Place::Plain, "nothing in a pid namespace survives its PID 1");
        self.signal(9);
        assert_eq!(self.wait(), End::Signal(9));
        self.dismiss();
        fs::remove_file(&self.report).expect("the keeper wrote it");
        self.spawn();
        self.wait_until_it_answers();
    }

    /// Logs and output, for the message of a failed test.
    pub fn story(&self) -> String {
        let keeper = fs::read_to_string(self.path("keeper")).unwrap_or_default();
        format!("log:\n{}\noutput:\n{}\n{keeper}", self.log.text(), String::from_utf8_lossy(&self.output()))
    }

    fn dismiss(&mut self) {
        let root = self.root();
        self.keeper_stdin = None;
        let Some(mut child) = self.child.take() else { return };
        if enclosing_words().is_empty() && self.setting.place == Place::Plain {
            // The keeper kills everything below it and exits.
            let _ = child.wait();
            return;
        }
        if let Some(root) = root {
            super::send(root, 9);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test runner prints this with the failure.
            eprintln!("{}", self.story());
        }
        self.dismiss();
    }
}
