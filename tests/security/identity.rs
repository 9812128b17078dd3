//! Messages and processes that claim to belong to another program.
