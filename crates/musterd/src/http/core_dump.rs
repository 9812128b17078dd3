//! The core of a run that crashed, for `why`: its file is looked for on a thread, since a disk may be slow.

use std::time::Duration;

use crate::core_dumps::CoreDump;
use crate::reload::on_a_thread;
use crate::thread_limit::ThreadLimit;

/// How long looking for the file may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The maximum number of threads that look for a file, those included that hang.
const MOST_THREADS: usize = 4;

static THREADS: ThreadLimit = ThreadLimit::at_most(MOST_THREADS);

/// Where it is, or why there is none, in a sentence.
pub(super) async fn in_words(dump: CoreDump) -> String {
    if let Some(words) = dump.in_words() {
        return words;
    }
    let Some(counted) = THREADS.count() else {
        return "core dump: written to a file that was not looked for: earlier looks have not returned".to_owned();
    };
    let looked = on_a_thread(move || {
        let _counted = counted;
        dump.find()
    });
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => "core dump: written to a file that could not be looked for in time".to_owned(),
    }
}
