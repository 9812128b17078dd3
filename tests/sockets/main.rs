//! Sockets that the daemon opens for programs: their kinds and options, that no client is refused across restarts, and
//! programs that start on a connection.

#[path = "../harness/mod.rs"]
mod harness;

mod contact;
mod kinds;
mod mistakes;
mod queue;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reports about each inherited socket into the file of its first argument, and then answers clients: with the name of the
/// socket and its own pid.
const SERVER: &str = "
import fcntl, os, select, socket, sys
count = int(os.environ.get('LISTEN_FDS', '0'))
names = os.environ.get('LISTEN_FDNAMES', '').split(':')
own = os.environ.get('LISTEN_PID') == str(os.getpid())
sockets = {}
lines = []
for number, name in zip(range(3, 3 + count), names):
    each = socket.socket(fileno=number)
    listens = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    blocks = not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_NONBLOCK
    survives = not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    kind = {socket.SOCK_STREAM: 'stream', socket.SOCK_DGRAM: 'dgram', socket.SOCK_SEQPACKET: 'seqpacket'}[each.type]
    nodelay = kind == 'stream' and each.family != socket.AF_UNIX and each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    lines.append(f'{number} {name} {kind} listens={listens} blocks={blocks} survives={survives} nodelay={bool(nodelay)}')
    sockets[number] = (name, each, listens)
lines.append(f'count={count} own={own} arguments={sys.argv[2:]}')
with open(sys.argv[1] + '.new', 'w') as report:
    report.write('\\n'.join(lines))
os.rename(sys.argv[1] + '.new', sys.argv[1])
while sockets:
    for number in select.select(list(sockets), [], [])[0]:
        name, each, listens = sockets[number]
        text = f'{name} {os.getpid()}'.encode()
        if listens:
            client = each.accept()[0]
            client.sendall(text)
            client.close()
        else:
            _, sender = each.recvfrom(100)
            each.sendto(text, sender)
";

/// Serves one client of descriptor 3 and exits with success.
const ONCE: &str = "
import os, socket
client = socket.socket(fileno=3).accept()[0]
client.sendall(str(os.getpid()).encode())
client.close()
";

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be created")
}

fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("the test directory is writable");
    path
}

fn answer_of(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a server answers and closes");
    text
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes a timeout");
    stream
}

fn ask_port(port: u16) -> String {
    answer_of(patient(TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens")))
}

fn ask_path(path: &Path) -> String {
    let stream = UnixStream::connect(path).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes a timeout");
    answer_of(stream)
}
