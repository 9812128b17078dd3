//! Listeners: each accepts clients in its own way and hands them to the [`Server`](crate::http::server::Server).

pub(crate) mod unix;
