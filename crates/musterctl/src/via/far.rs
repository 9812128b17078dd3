//! The far end of `--via`: many connections to the daemon over standard input and output.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::frame::{self, CONNECTIONS_MAX, GREETING, Kind, PIECE, STACK, WINDOW};
use crate::failure::{Exit, Failure};

/// One connection to the daemon.
struct Connection {
    socket: UnixStream,
    credit: Arc<Credit>,
}

/// How many bytes may be sent. `None` once the near end reads no more.
struct Credit {
    left: Mutex<Option<usize>>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Credit {
    fn change(&self, change: impl FnOnce(&mut Option<usize>)) {
        change(&mut lock(&self.left));
        self.changed.notify_all();
    }

    /// Waits until something may be sent, and returns how much.
    fn wait(&self) -> Option<usize> {
        let mut left = lock(&self.left);
        while *left == Some(0) {
            left = self.changed.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left
    }
}

/// Serves connections until the input ends, which means that the near end is gone: whatever is under way is dropped.
pub(crate) fn serve<W: Write + Send + 'static>(
    mut input: impl Read,
    mut output: W,
    connect: impl Fn() -> Result<UnixStream, Failure>,
) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::new(Exit::Failed, format!("cannot read from standard input: {error}"));
    if output.write_all(GREETING).and_then(|()| output.flush()).is_err() {
        return Ok(());
    }
    let output = Arc::new(Mutex::new(output));
    let mut connections: HashMap<u32, Connection> = HashMap::new();
    while let Some(frame) = frame::read(&mut input).map_err(broken)? {
        match frame.kind {
            Kind::End => connections.remove(&frame.connection).iter().for_each(Connection::end),
            Kind::Credit => {
                let credit = frame.credit().unwrap_or_default();
                if let Some(connection) = connections.get(&frame.connection) {
                    // However much is credited, at most a window is under way.
                    connection.credit.change(|left| {
                        *left = left.map(|left| left.saturating_add(credit).min(WINDOW));
                    });
                }
            }
            Kind::Data => {
                if !connections.contains_key(&frame.connection) {
                    if connections.len() >= CONNECTIONS_MAX {
                        return Err(Failure::new(Exit::Failed, format!("more than {CONNECTIONS_MAX} connections")));
                    }
                    let connection = Connection::open(connect()?, frame.connection, Arc::clone(&output))?;
                    connections.insert(frame.connection, connection);
                }
                let mut socket = &connections[&frame.connection].socket;
                // If the daemon has closed the connection, its thread has read the reason.
                let _ = socket.write_all(&frame.bytes);
            }
        }
    }
    connections.values().for_each(Connection::end);
    Ok(())
}

impl Connection {
    fn open<W: Write + Send + 'static>(
        socket: UnixStream,
        number: u32,
        output: Arc<Mutex<W>>,
    ) -> Result<Connection, Failure> {
        let broken = |error: io::Error| Failure::new(Exit::Failed, format!("cannot serve a connection: {error}"));
        let credit = Arc::new(Credit { left: Mutex::new(Some(WINDOW)), changed: Condvar::new() });
        let (reader, limit) = (socket.try_clone().map_err(broken)?, Arc::clone(&credit));
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(move || send(&reader, number, &output, &limit)).map_err(broken)?;
        Ok(Connection { socket, credit })
    }

    fn end(&self) {
        self.credit.change(|left| *left = None);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Sends what the daemon sends, until either end closes. If the output fails, so does the input, which ends this process.
fn send<W: Write>(mut socket: &UnixStream, number: u32, output: &Mutex<W>, credit: &Credit) {
    let mut piece = vec![0; PIECE];
    while let Some(allowed) = credit.wait() {
        let most = allowed.min(PIECE);
        let count = match socket.read(&mut piece[..most]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        credit.change(|left| *left = left.map(|left| left.saturating_sub(count)));
        if frame::write(&mut *lock(output), Kind::Data, number, &piece[..count]).is_err() {
            return;
        }
    }
    let _ = frame::write(&mut *lock(output), Kind::End, number, &[]);
}
