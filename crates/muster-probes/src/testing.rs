//! Shared by the tests of probes: a runtime like the daemon's, and servers with scripted responses.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Runs a test as the daemon runs its probes.
pub(crate) fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(Default::default());
    runtime.expect("a runtime can be made").block_on(test)
}

/// A server that sends one of these responses per connection, and closes it. Returns its address.
pub(crate) fn serve(answers: Vec<String>) -> String {
    serve_with(answers, drop)
}

/// Like [`serve`], but passes each connection to `after` once the response is sent.
pub(crate) fn serve_with(answers: Vec<String>, mut after: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&piece[..count]),
                }
            }
            // A probe may close the connection before it has read all of it.
            let _ = stream.write_all(answer.as_bytes());
            after(stream);
        }
    });
    format!("http://{address}/")
}
