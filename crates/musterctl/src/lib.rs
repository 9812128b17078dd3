//! musterctl
