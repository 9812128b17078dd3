//! musterd
