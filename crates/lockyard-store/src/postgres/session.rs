//! One connection: how it is set up, how its transactions begin and end, and its statements, each
//! of which is prepared once.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use lockyard_base::Timestamp;
use postgres::{Client, Config, NoTls, SimpleQueryMessage, Statement, config::Host, types::ToSql};

use crate::{
    OpenError, Place, StoreError,
    value::{Row, Value},
};

/// How to reach the server.
pub(super) struct Settings(Config);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f) // the rest may hold a password
    }
}

/// How long the server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// What every connection is told first. Waiting for a lock or an idle transaction must end: a
/// writer that hangs would otherwise hold everybody up. A commit is durable before it is answered,
/// whatever the server's default.
const HELLO: &str = "SET lock_timeout = '20s'; \
    SET idle_in_transaction_session_timeout = '60s'; \
    SET client_min_messages = warning; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// The number under which nodes that start at the same time queue to create or migrate the schema
/// ("lockyard" in ASCII).
const SCHEMA_LOCK: i64 = 0x6c6f_636b_7961_7264;

impl Settings {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let mut config: Config =
            url.parse().map_err(|error: postgres::Error| OpenError::Url(Arc::new(error)))?;
        config.keepalives_idle(Duration::from_secs(60));
        if config.get_application_name().is_none() {
            config.application_name("lockyard");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_PATIENCE);
        }
        Ok(Self(config))
    }

    pub(super) fn place(&self) -> Place {
        let hosts = self.0.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        Place::Server(hosts.collect::<Vec<_>>().join(","))
    }
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// One connection.
pub(crate) struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
    used: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let mut client = settings.0.connect(NoTls)?;
        client.batch_execute(HELLO)?;
        Ok(Self { client, statements: HashMap::new(), used: false })
    }

    /// Whether a transaction ended well on this connection, so that a failure is news.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    /// Begins a transaction and learns the server's time, in one exchange.
    pub(super) fn begin(&mut self, kind: Kind, offset: i64) -> Result<Timestamp, StoreError> {
        let begin = match kind {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        let answer = self.client.simple_query(&format!(
            "{begin}; SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ))?;
        let micros = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i64>().ok(),
            _ => None,
        });
        let micros = micros.ok_or_else(|| StoreError::damaged("the server has no time"))?;
        Ok(Timestamp::from_micros(micros.saturating_add(offset)))
    }

    /// Ends the transaction.
    pub(super) fn end(&mut self, how: &'static str) -> Result<(), StoreError> {
        self.client.batch_execute(how)?;
        self.used = true;
        Ok(())
    }

    /// Waits until no other node is creating or migrating tables.
    pub(super) fn lock_schema(&mut self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute(&format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"))?)
    }

    pub(crate) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let statement = self.prepared(sql)?;
        Ok(self.client.execute(&statement, &parameters(values))?)
    }

    pub(crate) fn rows<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, &parameters(values))?;
        rows.iter().map(|row| read(&Row::Postgres(row))).collect()
    }

    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(self.client.batch_execute(sql)?)
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn parameters<'p>(values: &'p [Value<'_>]) -> Vec<&'p (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}
