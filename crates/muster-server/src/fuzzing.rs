//! The entry point of the fuzz targets to the server: a connection like those of the control socket, with untrusted
//! bytes.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use muster_api::Route;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::{connections, request_body};

/// Serves everything a client sends until it hangs up. Each request is routed, and its body read.
pub fn http_request(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made");
    }
    RUNTIME.with(|runtime| runtime.block_on(talk(bytes)));
}

async fn talk(bytes: &[u8]) {
    let (mut client, daemon) = duplex(64 * 1024);
    let connection = connections::protocol().serve_connection(TokioIo::new(daemon), service_fn(answer));
    let client = async {
        let (mut answers, mut requests) = tokio::io::split(&mut client);
        let sending = async {
            // The daemon may close the connection before it has read everything.
            let _ = requests.write_all(bytes).await;
            let _ = requests.shutdown().await;
        };
        let mut received = Vec::new();
        let receiving = answers.read_to_end(&mut received);
        let _ = tokio::join!(sending, receiving);
    };
    let _ = tokio::join!(connection, client);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let told = match Route::parse(request.method().as_str(), target) {
        Ok(route) => route.path(),
        Err(_) => String::new(),
    };
    let body = request_body::collect(&mut request.into_body()).await;
    let is_read = body.is_ok_and(|bytes| request_body::parse::<serde_json::Value>(&bytes).is_ok());
    Ok(Response::new(Full::from(format!("{told} {is_read}"))))
}
