//! `musterctl top`: a live table on a terminal.

use std::io::{self, IsTerminal};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::top;

/// Show programs live, with CPU, memory and restarts, and start, stop and restart them by keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: up and down (or k and j) select, s start, x stop, r restart, l or Enter logs, w why, Esc back, q quit.

Examples:
  musterctl top")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if !session.out_is_terminal || !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "top needs a terminal")
            .with_hint("`musterctl status --watch` works without one; `docker exec -it` provides one"));
    }
    top::run(session)
}

#[cfg(test)]
mod tests {
    use crate::testing::Setting;

    #[test]
    fn without_a_terminal_it_says_what_does_without() {
        let ended = Setting::default().run("top");
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("status --watch"), "{}", ended.err);
    }
}
