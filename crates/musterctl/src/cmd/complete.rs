//! `musterctl __complete`: candidates for the last word. For the scripts of `completions`.

use muster_api::{Program, Route};

use crate::complete::{Cursor, candidates, place};
use crate::contexts::Contexts;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Print the candidates for the last word of a command line, each with a tab and its description.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The words of the command line up to the cursor, beginning with `musterctl`.
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let place = place(&args.words);
    // Without a daemon there are no names to offer, and an error would appear in the middle of the prompt.
    let names = if place.takes_names() { names(&place, session).unwrap_or_default() } else { Vec::new() };
    let contexts = if place.takes_contexts() { contexts(session) } else { Vec::new() };
    for (candidate, about) in candidates(&place, &names, &contexts) {
        session.line(format!("{candidate}\t{about}"));
    }
    Ok(Exit::Well)
}

/// The names of contexts, and where they lead.
fn contexts(session: &Session) -> Vec<(String, String)> {
    let contexts = Contexts::read(session.variables.contexts.as_deref());
    contexts
        .map(|contexts| contexts.all().map(|(name, to)| (name.to_owned(), to.to_string())).collect())
        .unwrap_or_default()
}

fn names(place: &Cursor, session: &mut Session) -> Result<Vec<Program>, Failure> {
    session.point_at(place.reach())?;
    session.client.ask(&Route::Programs { select: None, fields: None })?.read(&[200])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Daemon, Setting, answer, program};

    #[test]
    fn names_come_from_the_daemon_of_the_line_with_their_states() {
        let daemon = Daemon::answering([answer(200, &[program("web"), program("worker")])]);
        let socket = daemon.socket();
        let ended = Setting::default().run(&format!("__complete -- musterctl -s {} stop w", socket.display()));
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), ("web\tRUNNING\nworker\tRUNNING\n", "", 0));
    }

    #[test]
    fn without_a_daemon_there_is_silence_and_no_error() {
        let setting = Setting { socket: Some("/nonexistent/s".into()), ..Setting::default() };
        let ended = setting.run("__complete -- musterctl start we");
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), ("", "", 0));
        let commands = Setting::default().run("__complete -- musterctl sta").out;
        assert!(commands.starts_with("status\tShow the state of programs"), "{commands}");
    }
}
