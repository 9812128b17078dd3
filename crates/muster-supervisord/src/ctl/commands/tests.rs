//! Commands against a server of recorded answers: lines, calls and exit codes.
