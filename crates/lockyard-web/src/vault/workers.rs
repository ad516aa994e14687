//! The threads on which keys are used.
//!
//! A use of a key is a millisecond of arithmetic. As many threads as there are processors do all
//! there is to do; more of them only take turns, and take the processor from the thread that writes
//! the trail and from those that answer. What waits meanwhile waits without a thread.

use std::{fmt, io, thread};

use tokio::runtime::{Builder, Runtime};

/// Threads that do one piece of work after the other.
pub struct Workers {
    /// Only its blocking threads are used; `None` once it is being dropped.
    runtime: Option<Runtime>,
}

impl Workers {
    /// As many threads as there are processors, begun when they are needed.
    ///
    /// Errors: what the system says if it has nothing left for this.
    pub fn new() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_current_thread();
        let runtime = builder.thread_name("keys").max_blocking_threads(threads).build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Has something done, some time soon. It is done even if nobody waits for it.
    pub(super) fn begin(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            drop(runtime.spawn_blocking(work));
        }
    }
}

impl Drop for Workers {
    /// What is being done goes on; the last holder may be a task, which must not wait for it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}
