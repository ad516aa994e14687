//! PostgreSQL: a small pool of blocking connections, used from threads that may block.
//!
//! Writes run at READ COMMITTED and rely on the row locks that the rooms ask for; the two errors by
//! which the server asks for a replay get one. Reads see one snapshot and cannot write. There is no
//! TLS yet: the connection goes over a local socket or a network that the operator trusts.

mod session;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task,
};

pub(crate) use self::session::Session;
use self::session::{Kind, Settings};
use crate::{
    OpenError, StoreError, Txn,
    job::{Job, settled},
    schema,
    txn::is_collision,
};

/// The PostgreSQL engine.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Arc<Pool>,
    /// As many permits as connections; whoever waits for one blocks no thread.
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Pool {
    settings: Settings,
    connections: usize,
    idle: Mutex<Vec<Session>>,
    closed: AtomicBool,
    /// Microseconds that tests add to the server's clock.
    offset: AtomicI64,
}

/// How often a transaction is replayed after a collision before the caller hears of it.
const TRIES: usize = 8;

impl Postgres {
    pub(crate) fn open(url: &str, connections: usize) -> Result<Self, OpenError> {
        let settings = Settings::parse(url)?;
        let place = settings.place();
        let pool = Arc::new(Pool {
            settings,
            connections: connections.max(1),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            offset: AtomicI64::new(0),
        });
        off_runtime(|| pool.bring_up()).map_err(|refused| {
            refused.explain(|source| match source {
                StoreError::Damaged { .. } => OpenError::Damaged { place, source },
                source => OpenError::Store { place, source },
            })
        })?;
        let places = Arc::new(Semaphore::new(pool.connections));
        Ok(Self { pool, places })
    }

    pub(crate) async fn submit(&self, mut job: Box<dyn Job>) -> Result<(), StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(&self.pool);
        drop(task::spawn_blocking(move || {
            pool.write(job.as_mut());
            drop(pool);
            drop(place);
            job.answer();
        }));
        Ok(())
    }

    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(&self.pool);
        let (reply, answer) = oneshot::channel();
        drop(task::spawn_blocking(move || {
            let outcome = pool.read(work);
            drop(pool);
            drop(place);
            // Nobody may be waiting any more.
            drop(reply.send(outcome));
        }));
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs and answers a job here; the pool may grow by this one connection for as long.
    pub(crate) fn run_blocking(&self, mut job: Box<dyn Job>) {
        off_runtime(|| self.pool.write(job.as_mut()));
        job.answer();
    }

    pub(crate) fn read_blocking<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
    {
        off_runtime(|| self.pool.read(work))
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.read_blocking(|txn| txn.one("SELECT 1::bigint", &[], |row| row.int(0)).map(drop))
    }

    pub(crate) fn close(&self) {
        self.places.close();
        self.pool.close();
    }

    #[cfg(feature = "testing")]
    pub(crate) fn advance_clock(&self, by: std::time::Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.pool.offset.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Pool {
    fn bring_up(&self) -> Result<(), schema::Refusal> {
        let mut session = self.session()?;
        let now = session.begin(Kind::Write, 0)?;
        session.lock_schema()?;
        schema::bring_up(&mut Txn::postgres(&mut session, now), schema::MIGRATIONS)?;
        session.end("COMMIT")?;
        self.give_back(session);
        Ok(())
    }

    fn write(&self, job: &mut dyn Job) {
        for _ in 0..TRIES {
            match self.attempt(job) {
                Ok(Attempt::Settled) => return,
                Ok(Attempt::Refused) => return job.fail(StoreError::Refused),
                Ok(Attempt::Collided) => {}
                Err(error) => return job.fail(error),
            }
        }
        job.fail(StoreError::Busy(None));
    }

    fn attempt(&self, job: &mut dyn Job) -> Result<Attempt, StoreError> {
        if !job.permitted() {
            return Ok(Attempt::Refused);
        }
        let (mut session, now) = self.begun(Kind::Write)?;
        let mut txn = Txn::postgres(&mut session, now);
        let keep = job.run(&mut txn);
        let collided = txn.trouble().is_some_and(is_collision);
        if !keep {
            if session.end("ROLLBACK").is_ok() {
                self.give_back(session);
            }
            return Ok(if collided { Attempt::Collided } else { Attempt::Settled });
        }
        if !job.permitted() {
            session.end("ROLLBACK")?;
            self.give_back(session);
            return Ok(Attempt::Refused);
        }
        match session.end("COMMIT") {
            Ok(()) => {
                self.give_back(session);
                Ok(Attempt::Settled)
            }
            Err(error) if is_collision(&error) => Ok(Attempt::Collided),
            Err(StoreError::Unreachable(cause)) => Err(StoreError::OutcomeUnknown(cause)),
            Err(error) => Err(error),
        }
    }

    fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut session, now) = self.begun(Kind::Read)?;
        let outcome = settled(&mut Txn::postgres(&mut session, now), work);
        if session.end("COMMIT").is_ok() {
            self.give_back(session);
        }
        outcome
    }

    /// A session in a new transaction, and the time at which it began.
    fn begun(&self, kind: Kind) -> Result<(Session, lockyard_base::Timestamp), StoreError> {
        let offset = self.offset.load(Ordering::Relaxed);
        let mut session = self.session()?;
        match session.begin(kind, offset) {
            Ok(now) => Ok((session, now)),
            // The server was restarted since; the other idle connections are broken as well.
            Err(StoreError::Unreachable(_)) if session.is_used() => {
                self.idle().clear();
                session = Session::connect(&self.settings)?;
                let now = session.begin(kind, offset)?;
                Ok((session, now))
            }
            Err(error) => Err(error),
        }
    }

    fn session(&self) -> Result<Session, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let idle = self.idle().pop();
        idle.map_or_else(|| Session::connect(&self.settings), Ok)
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle();
        if idle.len() < self.connections && !self.closed.load(Ordering::Acquire) {
            idle.push(session);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let idle = std::mem::take(&mut *self.idle());
        off_runtime(|| drop(idle));
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        // Nothing panics while it holds the list, and a list of sessions is never half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

enum Attempt {
    /// The job holds its answer: committed, or rolled back by its own will.
    Settled,
    Refused,
    /// Others were in the way; nothing is written.
    Collided,
}

/// Runs something that blocks on a connection, away from any asynchronous runtime: the driver has a
/// little one of its own in each connection, and runtimes must not be nested.
fn off_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Handle::try_current().is_err() {
        return work();
    }
    let outcome = thread::scope(|scope| {
        scope.spawn(|| catch_unwind(AssertUnwindSafe(work))).join().unwrap_or_else(Err)
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
