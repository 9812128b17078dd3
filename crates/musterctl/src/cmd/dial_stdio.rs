//! `musterctl dial-stdio`: the far end of `--via`, and a pipe to the daemon for any client of HTTP.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::via::far;

/// How long the daemon may be silent after the end of input, and how long its answer may take in all.
const SILENCE_MS: u16 = 1000;
const AFTER_INPUT: Duration = Duration::from_secs(5);

/// Connect standard input and output to the daemon's socket.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`--via COMMAND` runs it where the daemon is. It ends when the daemon closes the connection, or soon after the end of its input.

Examples:
  musterctl dial-stdio
  musterctl --via 'docker exec -i shop' status")]
pub(crate) struct Args {
    /// Carry several connections, in the protocol of `--via`.
    #[arg(long)]
    streams: bool,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("cannot use standard input or output: {error}"));
    let own = |stream: io::Result<std::os::fd::OwnedFd>| stream.map(File::from).map_err(failed);
    let (input, output) =
        (own(io::stdin().as_fd().try_clone_to_owned())?, own(io::stdout().as_fd().try_clone_to_owned())?);
    let client = session.client.clone();
    if args.streams {
        far::serve(io::BufReader::with_capacity(64 * 1024, input), output, || client.dial())?;
    } else {
        let socket = client.dial()?;
        copy(input, output, socket).map_err(failed)?;
    }
    Ok(Exit::Well)
}

/// Copies in both directions until the daemon closes its side, or the reader of the output has gone.
fn copy(input: File, mut output: File, socket: UnixStream) -> io::Result<()> {
    let copied = Arc::new(AtomicU64::new(0));
    let (progress, watched, requests) = (Arc::clone(&copied), output.try_clone()?, socket.try_clone()?);
    std::thread::Builder::new().spawn(move || {
        send(input, &watched, &requests);
        let _ = requests.shutdown(Shutdown::Write);
        await_end(&watched, &progress);
        let _ = requests.shutdown(Shutdown::Both);
    })?;
    let mut piece = vec![0; 32 * 1024];
    loop {
        match (&socket).read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => {
                match output.write_all(&piece[..count]) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    written => written?,
                }
                copied.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Sends the input to the daemon until it ends, or the reader of the output is gone.
fn send(mut input: File, output: &File, mut socket: &UnixStream) {
    let mut piece = vec![0; 32 * 1024];
    loop {
        let mut ready =
            [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(output.as_fd(), PollFlags::empty())];
        if poll(&mut ready, PollTimeout::NONE).is_err() {
            continue;
        }
        if has_hung_up(&ready[1]) {
            return;
        }
        match input.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(count) if socket.write_all(&piece[..count]).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Waits until the rest of the answer has come: after the end of input nothing says whether a follower of a log is still there.
fn await_end(output: &File, progress: &AtomicU64) {
    let until = std::time::Instant::now() + AFTER_INPUT;
    while std::time::Instant::now() < until {
        let before = progress.load(Ordering::Relaxed);
        let mut ready = [PollFd::new(output.as_fd(), PollFlags::empty())];
        let waited = poll(&mut ready, PollTimeout::from(SILENCE_MS));
        if has_hung_up(&ready[0]) || (waited.is_ok() && progress.load(Ordering::Relaxed) == before) {
            return;
        }
    }
}

fn has_hung_up(polled: &PollFd<'_>) -> bool {
    polled.revents().is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
}
