//! In the place of TLS where musterctl is built without it: a configuration is refused, and nothing else can exist.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;
use crate::failure::Failure;

/// There is none.
pub(crate) type Config = Infallible;

pub(crate) fn config(
    _: Option<PathBuf>,
    _: Option<(PathBuf, PathBuf)>,
    _: Option<&str>,
    _: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<Config>, String> {
    Err("this musterctl was built without TLS: use --via or a Unix socket".to_owned())
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Stream(Infallible);

impl Stream {
    pub(super) fn connect(_: TcpStream, config: Arc<Config>, _: &str, _: Instant) -> io::Result<Stream> {
        match *config {}
    }

    pub(super) fn is_buffered(&mut self) -> bool {
        match self.0 {}
    }

    pub(super) fn read_within(&mut self, _: Option<Duration>) {
        match self.0 {}
    }

    pub(super) fn write_within(&mut self, _: Option<Duration>) {
        match self.0 {}
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}

impl Read for Stream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for Stream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

pub(super) fn failure(_: &Target, _: &io::Error) -> Option<Failure> {
    None
}
