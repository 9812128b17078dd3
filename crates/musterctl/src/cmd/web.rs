//! `musterctl web`: the daemon in a browser on this machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::web::Web;

/// Serve the daemon's page and API to a browser on this machine, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every request goes the way that the options name, with their login. The printed address opens the page once, in one browser.

Examples:
  musterctl web
  musterctl --via 'docker exec -i shop' web
  musterctl -x shop web --port 8080 --no-open")]
pub(crate) struct Args {
    /// The port on 127.0.0.1 [default: any free one].
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Only print the address, and open no browser.
    #[arg(long)]
    no_open: bool,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let failed = |error: io::Error| match args.port {
        0 => Failure::new(Exit::Failed, format!("cannot listen on 127.0.0.1: {error}")),
        port => Failure::new(Exit::Failed, format!("cannot listen on 127.0.0.1:{port}: {error}"))
            .with_hint("leave out --port for a free one"),
    };
    // A daemon that cannot be reached is reported here, and not in the browser.
    let info = session.client.ask(&muster_api::Route::Info)?.read::<muster_api::Info>(&[200])?;
    // There it is under a configuration of supervisord, too. An older daemon has no page there.
    let has_page = muster_api::compare_api(Some(&info.api)).is_some_and(std::cmp::Ordering::is_ge);
    let web = Web::bind(args.port, if has_page { "/ui/" } else { "/" }).map_err(failed)?;
    let url = web.url();
    let written = writeln!(session.live, "{url}").and_then(|()| session.live.flush());
    written.map_err(|error| Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))?;
    if !args.no_open && session.out_is_terminal && has_desktop() {
        // The address was printed, so a browser that does not start is no error.
        let _ = open(&url);
    }
    Err(failed(web.serve(&session.client)))
}

fn has_desktop() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Opens a browser. The key is in a file that only this user can read, since every user can read command lines.
fn open(url: &str) -> io::Result<()> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = directory.ok_or(io::ErrorKind::NotFound)?;
    let path = directory.join(format!("musterctl-web-{}.html", std::process::id()));
    // A file of an earlier process with this number.
    let _ = std::fs::remove_file(&path);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(
        file,
        "<!doctype html><meta name=\"referrer\" content=\"no-referrer\"><meta http-equiv=\"refresh\" content=\"0; url={url}\">"
    )?;
    let quiet = || Stdio::null();
    Command::new("xdg-open").arg(path).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().map(drop)
}
