//! Disks that stand still: only the program that writes to one waits for it.
