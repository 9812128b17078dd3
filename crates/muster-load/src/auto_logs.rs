//! Log files whose names the daemon chooses: `CHILDLOGDIR/web-stdout---supervisor-x8k2_a0q.log`.
//!
//! A stream asks for one with [`Sink::Auto`]. The file is made when its program is added and keeps its name over restarts and
//! reloads. It belongs to the daemon, mode 0600, under an unpredictable name: the directory is usually /tmp, which
//! any user can write to. A file that cannot be made leaves its stream in memory. At the start, files of an earlier daemon with
//! the same identifier are removed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use muster_config::Disguises;
use muster_logs::Source;
use muster_spec::{AutoLogSpec, InstanceSpec, OutputSpec, Sink, Spec, Target};
use muster_sys::trusted::{Access, Creation, Missing, Trust, TrustedPlace, random_name};
use tracing::{info, warn};

/// The mode of the files.
const PRIVATE: Creation = Creation { mode: 0o600, owner: None };

/// How often another name is tried if one is taken.
const ATTEMPTS: usize = 16;

/// Whether new files may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// New streams get a file.
    Create,
    /// Only the names of known streams are filled in: nothing is applied.
    Known,
}

/// The names chosen so far, by directory, instance and stream.
#[derive(Debug, Default)]
pub struct AutoLogs {
    chosen: HashMap<Key, PathBuf>,
}

type Key = (PathBuf, String, &'static str);

impl AutoLogs {
    /// Removes the files of an earlier daemon, unless they are to be kept.
    pub fn remove_old(&self, spec: &Spec) {
        let Some(auto) = spec.daemon.auto_logs.as_ref().filter(|auto| !auto.keep_old) else { return };
        let any = auto.directory.join("any");
        let place = TrustedPlace::resolve(&any, &Trust::own(), Missing::Fail);
        match place.and_then(|place| place.remove_own(|name| is_old(name, &auto.identifier))) {
            Ok(0) => {}
            Ok(count) => info!(directory = %auto.directory.display(), count, "removed old log files"),
            Err(error) => {
                warn!(directory = %auto.directory.display(), %error, "cannot remove old log files");
            }
        }
    }

    /// Fills in the names of the files, and makes those that are new. Names of removed programs are forgotten.
    pub fn choose(&mut self, spec: &mut Spec, disguises: &mut Disguises, choice: Choice) {
        let Some(auto) = spec.daemon.auto_logs.clone() else { return };
        let (mut chosen, mut problem) = (HashMap::new(), None);
        for program in &mut spec.programs {
            if !program.instances.iter().any(|instance| wants_name(&instance.output)) {
                continue;
            }
            for instance in &mut Arc::make_mut(program).instances {
                if !wants_name(&instance.output) {
                    continue;
                }
                let name = instance.name.clone();
                let mut find = |stream| {
                    let key = (auto.directory.clone(), name.clone(), stream);
                    let known = self.chosen.get(&key).cloned();
                    let path = match (known, choice) {
                        (Some(path), _) => Some(path),
                        (None, Choice::Known) => None,
                        (None, Choice::Create) => {
                            create(&auto, &name, stream).map_err(|error| problem.get_or_insert(error).kind()).ok()
                        }
                    };
                    chosen.extend(path.clone().map(|path| (key, path)));
                    path
                };
                let mut output = OutputSpec::clone(&instance.output);
                fill_in(&mut output.stdout, || find("stdout"));
                output.stderr.iter_mut().for_each(|target| fill_in(target, || find("stderr")));
                replace(instance, Arc::new(output), disguises);
            }
        }
        if choice == Choice::Create {
            self.chosen = chosen;
        }
        if let Some(error) = problem {
            let directory = auto.directory.display();
            warn!(%directory, %error, "cannot make log files there, output is kept in memory only");
        }
    }
}

fn wants_name(output: &OutputSpec) -> bool {
    let targets = Source::BOTH.into_iter().filter_map(|source| source.target(output));
    targets.flat_map(Target::sinks).any(|sink| *sink == Sink::Auto(None))
}

fn fill_in(target: &mut Target, mut find: impl FnMut() -> Option<PathBuf>) {
    if let Target::Capture(sinks) = target {
        for sink in sinks.iter_mut().filter(|sink| **sink == Sink::Auto(None)) {
            *sink = Sink::Auto(find());
        }
    }
}

/// The copy that is shown instead of an instance with secrets follows it.
fn replace(instance: &mut Arc<InstanceSpec>, output: Arc<OutputSpec>, disguises: &mut Disguises) {
    let new = Arc::new(InstanceSpec { output: Arc::clone(&output), ..InstanceSpec::clone(instance) });
    for disguise in disguises.instances.iter_mut().filter(|disguise| disguise.real == *instance) {
        disguise.real = Arc::clone(&new);
        let mut shown = OutputSpec::clone(&disguise.shown.output);
        fill_in(&mut shown.stdout, || name_in(Some(&output.stdout)));
        shown.stderr.iter_mut().for_each(|target| fill_in(target, || name_in(output.stderr.as_ref())));
        disguise.shown.output = Arc::new(shown);
    }
    *instance = new;
}

/// The name that was filled in.
fn name_in(target: Option<&Target>) -> Option<PathBuf> {
    let names = |sink: &Sink| match sink {
        Sink::Auto(name) => name.clone(),
        _ => None,
    };
    target.map_or(&[][..], Target::sinks).iter().find_map(names)
}

/// Makes an empty file for this stream.
fn create(auto: &AutoLogSpec, instance: &str, stream: &str) -> io::Result<PathBuf> {
    // A name may have its group in front.
    let process = instance.rsplit(':').next().unwrap_or(instance);
    let start = format!("{process}-{stream}---{}-", auto.identifier).replace(['/', '\0'], "_");
    // Clients are shown the path, and it must not depend on the daemon's directory.
    let directory = std::path::absolute(&auto.directory)?;
    for _ in 0..ATTEMPTS {
        let path = directory.join(format!("{start}{}.log", random_name()?));
        let place = TrustedPlace::resolve(&path, &Trust::own(), Missing::Fail)?;
        match place.create("", Access::Append, PRIVATE) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether a file with this name is an automatic log file of a daemon with this identifier, or a rotated one: supervisord's
/// `.+?---IDENTIFIER-\S+\.log\.{0,1}\d{0,4}`, with anything behind it.
fn is_old(name: &OsStr, identifier: &str) -> bool {
    let name = name.to_string_lossy();
    let mark = format!("---{identifier}-");
    name.match_indices(&mark).any(|(start, _)| {
        let word = name[start + mark.len()..].split(char::is_whitespace).next().unwrap_or_default();
        start > 0 && !name[..start].contains('\n') && word.match_indices(".log").any(|(end, _)| end > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use muster_config::Disguise;

    /// A configuration in which both streams of these programs ask for a file.
    fn spec(directory: &Path, programs: &[&str]) -> (Spec, Disguises) {
        let text: String = programs.iter().map(|name| format!("[program.{name}]\ncommand = \"true\"\n")).collect();
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        fs::write(file.path(), text).unwrap();
        let loaded = crate::check::load(&[file.path().to_owned()], &crate::config_files::open);
        let (mut spec, mut disguises) = (loaded.spec.unwrap(), loaded.disguises);
        spec.daemon.auto_logs =
            Some(AutoLogSpec { directory: directory.to_owned(), identifier: "supervisor".to_owned(), keep_old: false });
        let target = || Target::Capture(vec![Sink::Auto(None), Sink::Syslog]);
        for program in &mut spec.programs {
            for instance in &mut Arc::make_mut(program).instances {
                let output = OutputSpec { stdout: target(), stderr: Some(target()), ..OutputSpec::default() };
                replace(instance, output.into(), &mut disguises);
            }
        }
        // As if each had a secret.
        let instances = spec.programs.iter().flat_map(|program| &program.instances);
        let disguise = |real: &Arc<InstanceSpec>| {
            let shown = InstanceSpec::clone(real);
            Disguise { real: Arc::clone(real), shown, hidden: Vec::new() }
        };
        disguises.instances = instances.map(disguise).collect();
        (spec, disguises)
    }

    /// The names of the files of stdout and stderr, by program.
    fn names(spec: &Spec) -> Vec<[Option<PathBuf>; 2]> {
        let of = |output: &OutputSpec| [name_in(Some(&output.stdout)), name_in(output.stderr.as_ref())];
        spec.programs.iter().flat_map(|program| &program.instances).map(|instance| of(&instance.output)).collect()
    }

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_stream_gets_a_private_file_that_it_keeps_over_reloads() {
        let scene = tempfile::tempdir().unwrap();
        let mut auto_logs = AutoLogs::default();
        let (mut first, mut disguises) = spec(scene.path(), &["db", "web"]);
        auto_logs.choose(&mut first, &mut disguises, Choice::Create);
        let made = entries(scene.path());
        let starts: Vec<&str> = made.iter().map(|name| &name[..name.len() - "xxxxxxxx.log".len()]).collect();
        let expected = [
            "db-stderr---supervisor-",
            "db-stdout---supervisor-",
            "web-stderr---supervisor-",
            "web-stdout---supervisor-",
        ];
        assert_eq!(starts, expected, "{made:?}");
        let chosen = names(&first);
        for path in chosen.iter().flatten() {
            let about = fs::metadata(path.as_ref().unwrap()).unwrap();
            assert_eq!((about.permissions().mode() & 0o7777, about.len()), (0o600, 0));
        }
        let shown = disguises.instances.iter().map(|disguise| [&disguise.real.output, &disguise.shown.output]);
        assert!(shown.clone().count() > 0 && shown.clone().all(|[real, shown]| real == shown), "they are shown");

        // A plan makes nothing; a reload keeps names, and forgets those of removed programs.
        let (mut planned, mut disguises) = spec(scene.path(), &["new", "web"]);
        auto_logs.choose(&mut planned, &mut disguises, Choice::Known);
        assert_eq!(names(&planned), [[None, None], chosen[1].clone()]);
        assert_eq!(entries(scene.path()), made);
        let (mut second, mut disguises) = spec(scene.path(), &["new", "web"]);
        auto_logs.choose(&mut second, &mut disguises, Choice::Create);
        assert_eq!((&names(&second)[1], entries(scene.path()).len()), (&chosen[1], 6));
        assert_eq!(auto_logs.chosen.len(), 4);
    }

    #[test]
    fn a_directory_in_which_no_file_can_be_made_leaves_the_output_in_memory() {
        let scene = tempfile::tempdir().unwrap();
        for directory in ["missing", "open"] {
            let directory = scene.path().join(directory);
            if directory.ends_with("open") {
                fs::create_dir(&directory).unwrap();
                fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
            }
            let (mut spec, mut disguises) = spec(&directory, &["web"]);
            AutoLogs::default().choose(&mut spec, &mut disguises, Choice::Create);
            assert_eq!(names(&spec), [[None, None]]);
        }
    }

    #[test]
    fn old_files_are_removed_at_the_start_and_nothing_else_is() {
        let scene = tempfile::tempdir().unwrap();
        let old = ["a---supervisor-x.log", "web-stdout---supervisor-abc_1234.log.10", "foo---supervisor-x.logfoo"];
        let others = ["---supervisor-x.log", "web---other-x.log", "web---supervisor-.log", "web---supervisor-a b.log"];
        old.iter().chain(&others).for_each(|name| fs::write(scene.path().join(name), "").unwrap());
        symlink("elsewhere", scene.path().join("link---supervisor-x.log")).unwrap();
        let (mut spec, _) = spec(scene.path(), &["web"]);
        if let Some(auto) = &mut spec.daemon.auto_logs {
            auto.keep_old = true;
        }
        AutoLogs::default().remove_old(&spec);
        assert_eq!(entries(scene.path()).len(), 8);
        if let Some(auto) = &mut spec.daemon.auto_logs {
            auto.keep_old = false;
        }
        AutoLogs::default().remove_old(&spec);
        let mut left = others.to_vec();
        left.push("link---supervisor-x.log");
        left.sort_unstable();
        assert_eq!(entries(scene.path()), left);
    }
}
