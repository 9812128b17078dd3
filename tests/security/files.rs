//! Files that a less privileged user can shape, and that the daemon opens.
