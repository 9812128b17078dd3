//! A runtime for tests of checks.

use std::future::Future;

/// Runs a test as the daemon runs its probes.
pub(crate) fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(Default::default());
    runtime.expect("a runtime can be made").block_on(test)
}
