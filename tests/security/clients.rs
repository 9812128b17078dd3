//! Clients that may only read, and what their requests may cost the daemon.
