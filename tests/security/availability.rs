//! Programs and resources that would keep PID 1 from its work.
