//! The same program under musterd and under the real supervisord leaves the same log files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::harness::{self, Setting};

const ORIGINAL: &str = "/usr/bin/supervisord";

/// Writes numbered lines of 50 bytes, each when the last one is in the file, so that each is read by itself.
const NUMBERED: &str = r"log=$1 max=$2 count=$3 size=0 i=0
while [ $i -lt $count ]; do
    printf 'line %04d of a program that writes numbered lines\n' $i
    size=$((size + 50)); [ $max -gt 0 ] && [ $size -ge $max ] && size=0
    tries=0
    until [ $(stat -c %s $log 2>/dev/null || echo -1) -eq $size ]; do
        sleep 0.005; tries=$((tries + 1)); [ $tries -gt 4000 ] && exit 1
    done
    i=$((i + 1))
done
";

/// Waits for the last word in the log.
const SEEN: &str = "tries=0\nuntil grep -q hidden $1; do sleep 0.005; tries=$((tries + 1)); [ $tries -gt 4000 ] && exit 1; done; exit 0\n";

/// The files of a directory whose names start with this one.
fn files(directory: &Path, name: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("it exists").map(|entry| entry.expect("it can be read").path());
    let named = entries.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let read = |path: PathBuf| fs::read_to_string(path).expect("it is text");
    named.filter(|(file, _)| file.starts_with(name)).map(|(file, path)| (file, read(path))).collect()
}

/// The real supervisord. Dropping it kills it; the program has exited by then.
struct Original(Child);

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of this script under the real supervisord, with these options of the daemon and of the program.
fn under_the_original(
    directory: &Path,
    script: &Path,
    [daemon, program]: [&str; 2],
    arguments: &str,
) -> BTreeMap<String, String> {
    let (here, done) = (directory.display(), directory.join("done"));
    let configuration = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={here}/pid\nchildlogdir={here}\n\
         {daemon}[program:numbers]\ncommand=/bin/sh -c 'sh {} {here}/numbers.log {arguments} && touch {}'\n\
         autorestart=false\nstartsecs=0\nstderr_logfile=NONE\nstdout_logfile={here}/numbers.log\n{program}",
        script.display(),
        done.display(),
    );
    let path = directory.join("supervisord.conf");
    fs::write(&path, configuration).expect("the test directory is writable");
    let mut command = Command::new(ORIGINAL);
    command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _original = Original(command.spawn().expect("it is installed"));
    harness::wait_until("the program has exited", || done.exists());
    files(directory, "numbers.log")
}

/// The files of this script under musterd.
fn under_ours(script: &Path, logs: &str, arguments: &str) -> BTreeMap<String, String> {
    let program = format!(
        "[program.numbers]\nstartsecs = 0\nrestart = \"no\"\n\
         command = [\"sh\", \"-c\", \"sh {} {{here}}/numbers.log {arguments}\"]\n\
         logs = {{ stdout = \"{{here}}/numbers.log\", stderr = \"none\", {logs} }}\n",
        script.display(),
    );
    let mut daemon = Setting::supervising(program).start();
    let ended = daemon.wait_for_state("numbers", "EXITED");
    let files = files(&daemon.path(""), "numbers.log");
    daemon.finish();
    assert_eq!(ended["exit"]["code"], 0, "{ended}, {files:?}");
    files
}

fn is_missing() -> bool {
    let is_missing = !Path::new(ORIGINAL).exists();
    if is_missing {
        harness::skip("supervisord is not installed");
    }
    is_missing
}

#[test]
fn numbered_lines_are_rotated_as_supervisord_does() {
    if is_missing() {
        return;
    }
    let scene = tempfile::tempdir().expect("a temporary directory can be created");
    let script = scene.path().join("numbered");
    fs::write(&script, NUMBERED).expect("the test directory is writable");
    // Sizes that a line reaches exactly, sizes that it exceeds, and one that the first line exceeds.
    for (max_size, max_files, count) in [(200, 2, 23), (110, 3, 31), (200, 0, 10), (40, 2, 5), (1000, 1, 47), (0, 2, 9)]
    {
        let arguments = format!("{max_size} {count}");
        let directory = scene.path().join(format!("{max_size}-{max_files}"));
        fs::create_dir(&directory).expect("the test directory is writable");
        let options = format!("stdout_logfile_maxbytes={max_size}\nstdout_logfile_backups={max_files}\n");
        let theirs = under_the_original(&directory, &script, ["", &options], &arguments);
        let ours = under_ours(&script, &format!("max_size = {max_size}, max_files = {max_files}"), &arguments);
        assert_eq!(ours, theirs, "max_size = {max_size}, max_files = {max_files}");
        let expected = if max_size == 0 { 1 } else { 1 + max_files };
        assert_eq!(ours.len(), expected, "{ours:?}");
    }
}

#[test]
fn terminal_sequences_are_removed_as_supervisord_does() {
    if is_missing() {
        return;
    }
    let scene = tempfile::tempdir().expect("a temporary directory can be created");
    let script = scene.path().join("coloured");
    let text = r"\033[1;31mred\033[0m \033[2Jclear \033[12;40Hmoved \033[1Gkept\n\033]0;title\007 \033 \033\033[Kx \033[?25lhidden\n";
    fs::write(&script, format!("printf '{text}'\n{SEEN}")).expect("the test directory is writable");
    let theirs = under_the_original(scene.path(), &script, ["strip_ansi=true\n", ""], "");
    let ours = under_ours(&script, "strip_ansi = true", "");
    assert_eq!(ours, theirs);
    assert!(ours["numbers.log"].starts_with("red clear moved "), "{ours:?}");
}
