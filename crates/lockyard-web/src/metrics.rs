//! Counters and gauges in Prometheus' text format.
//!
//! Labels are route templates, statuses and registry ids: nothing that a customer put in.

use std::sync::Arc;

use lockyard_keyring::{Keyring, Standing};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What the faces count; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    received: Counter,
    sent: Counter,
    connections: Gauge,
    cut: Counter,
    locked: Family<RegistryLabels, Gauge>,
    live_ciphers: Family<RegistryLabels, Gauge>,
    confirmed: Family<RegistryLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u32,
}

/// How often key vaults were called for registries, by what came of it; clones count together.
#[derive(Clone, Debug, Default)]
pub struct KeyCalls(Family<KeyCallLabels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyCallLabels {
    operation: &'static str,
    outcome: &'static str,
}

impl KeyCalls {
    /// Counts a call that ended like this.
    pub fn count(&self, operation: &'static str, outcome: &'static str) {
        let _count = self.0.get_or_create(&KeyCallLabels { operation, outcome }).inc();
    }

    /// How often a call has ended like this.
    pub fn counted(&self, operation: &'static str, outcome: &'static str) -> u64 {
        self.0.get(&KeyCallLabels { operation, outcome }).map_or(0, |count| count.get())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    registry: String,
}

impl Metrics {
    /// Counters that stand at zero, beside those of key vaults.
    pub fn new(key_calls: &KeyCalls) -> Self {
        let mut registry = Registry::with_prefix("lockyard");
        let requests = Family::default();
        registry.register("requests", "Requests answered", requests.clone());
        let received = Counter::default();
        registry.register("received_bytes", "Bytes of request bodies", received.clone());
        let sent = Counter::default();
        registry.register("sent_bytes", "Bytes of answers' bodies", sent.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        let cut = Counter::default();
        let help = "Connections cut because their registry was locked";
        registry.register("connections_cut", help, cut.clone());
        let help = "Calls of key vaults for registries, by what came of them";
        registry.register("key_calls", help, key_calls.0.clone());
        let locked = Family::default();
        registry.register("registry_locked", "Whether the registry is locked", locked.clone());
        let live_ciphers = Family::default();
        let help = "Part ciphers in memory, 0 while locked";
        registry.register("registry_live_ciphers", help, live_ciphers.clone());
        let confirmed = Family::default();
        let help = "Seconds since the customer key's last grant was asked for";
        registry.register("registry_key_confirmed_seconds", help, confirmed.clone());
        Self {
            registry: Arc::new(registry),
            requests,
            received,
            sent,
            connections,
            cut,
            locked,
            live_ciphers,
            confirmed,
        }
    }

    /// Counts an answer and its bytes.
    pub(crate) fn answered(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        received: u64,
        sent: u64,
    ) {
        let labels = RequestLabels { method, route, status: status.into() };
        let _count = self.requests.get_or_create(&labels).inc();
        let _count = self.received.inc_by(received);
        let _count = self.sent.inc_by(sent);
    }

    /// Counts a connection for as long as the value lives.
    pub(crate) fn connected(&self) -> Connected {
        let _count = self.connections.inc();
        Connected(self.connections.clone())
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        u64::try_from(self.connections.get()).unwrap_or(0)
    }

    /// Counts a connection that was cut because its registry was locked.
    pub(crate) fn cut(&self) {
        let _count = self.cut.inc();
    }

    /// Everything as text, with the registries as they stand now.
    pub(crate) fn text(&self, keyring: &Keyring) -> String {
        // Registries come and go; what is not there now must not be reported as it was.
        self.locked.clear();
        self.live_ciphers.clear();
        self.confirmed.clear();
        for id in keyring.registries() {
            let labels = RegistryLabels { registry: id.to_string() };
            let locked =
                !matches!(keyring.standing(id), Some(Standing::Unlocked | Standing::Degraded));
            let _was = self.locked.get_or_create(&labels).set(locked.into());
            let live = i64::try_from(keyring.live_ciphers(id)).unwrap_or(i64::MAX);
            let _was = self.live_ciphers.get_or_create(&labels).set(live);
            if let Some(since) = keyring.confirmed_since(id) {
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                let _was = self.confirmed.get_or_create(&labels).set(seconds);
            }
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
}

/// An open connection, counted.
#[derive(Debug)]
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        let _count = self.0.dec();
    }
}
