//! The right to the customer key, taken away and given back in each way there is, by the doors that
//! its owner has: the vault's data plane, Resource Manager, the operator's commands.
//!
//! While it goes away, downloads run without a pause, one client has stopped reading, and others
//! ask again and again. What is measured is told as a table: milliseconds from the request that
//! changed something to the last byte that any client got, to the last open cipher, and from the
//! request that gave it back to the first byte. `LOCKYARD_REVOKED_MIB` sets the size of the blob.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{House, KEY, VAULT, gauge, identity_path, vault_path};
use crate::http::{Call, Reply};
use crate::outside::{Story, stories};
use crate::push;
use crate::world::{Server, World, eventually};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        each_way_to_take_the_key_away_locks_within_a_second_and_heals,
        a_server_that_is_killed_while_locked_comes_back_locked_for_the_same_reason,
        a_firewall_lets_pulls_go_on_and_a_start_under_it_is_locked,
    ]
}

/// From the change to the last byte and to the last cipher.
const LOCK_MAX: Duration = Duration::from_secs(1);
/// From the restoration to the first byte: how often a locked registry asks by itself.
const HEAL_MAX: Duration = Duration::from_secs(10);
/// How many downloads run.
const READERS: usize = 3;

/// What a way needs to know: paths and bodies of requests.
type Prepared = Vec<(String, Value)>;

/// A way to take the key away.
struct Way {
    name: &'static str,
    /// Finds out what taking and giving need, before anything is measured.
    prepare: fn(&House<'_>) -> Prepared,
    take: fn(&House<'_>, &Prepared),
    give: fn(&House<'_>, &Prepared),
    /// What the refusal says.
    told: &'static str,
}

const WAYS: [Way; 8] = [
    Way {
        name: "role removed",
        prepare: |house| vec![house.role()],
        take: |house, role| {
            house.manage("DELETE", &role[0].0, "2022-04-01", None).expect(200);
        },
        give: |house, role| {
            let (path, body) = &role[0];
            house.manage("PUT", path, "2022-04-01", Some(body)).expect(201);
        },
        told: "az role assignment create",
    },
    Way {
        name: "identity disabled",
        prepare: |house| vec![(house.client(), Value::Null)],
        take: |house, client| {
            house.ask(&json!({"identity": {"disable": {"client": client[0].0}}}));
        },
        give: |house, client| {
            house.ask(&json!({"identity": {"enable": {"client": client[0].0}}}));
        },
        told: "is gone or disabled",
    },
    Way {
        name: "key disabled",
        prepare: |_| Vec::new(),
        take: |house, _| {
            house.ask(&json!({"key": {"disable": {"key": format!("{VAULT}/{KEY}")}}}));
        },
        give: |house, _| {
            house.ask(&json!({"key": {"enable": {"key": format!("{VAULT}/{KEY}")}}}));
        },
        told: "is disabled",
    },
    Way {
        name: "version in use disabled",
        prepare: |house| {
            let bundle = house.keys(&format!("GET /keys/{KEY}"), None).expect(200).json();
            let id = bundle["key"]["kid"].as_str().expect("a key id");
            let version = id.rsplit('/').next().expect("a version");
            vec![(format!("PATCH /keys/{KEY}/{version}"), Value::Null)]
        },
        take: |house, version| {
            let disabled = json!({"attributes": {"enabled": false}});
            house.keys(&version[0].0, Some(&disabled)).expect(200);
        },
        give: |house, version| {
            let enabled = json!({"attributes": {"enabled": true}});
            house.keys(&version[0].0, Some(&enabled)).expect(200);
        },
        told: "is disabled",
    },
    Way {
        name: "key deleted",
        prepare: |_| Vec::new(),
        take: |house, _| {
            house.keys(&format!("DELETE /keys/{KEY}"), None).expect(200);
        },
        give: |house, _| {
            house.keys(&format!("POST /deletedkeys/{KEY}/recover"), None).expect(200);
        },
        told: "there is no key",
    },
    Way {
        name: "vault deleted",
        prepare: |house| vec![house.role(), (vault_path(), house.vault())],
        take: |house, vault| {
            house.manage("DELETE", &vault[1].0, "2026-02-01", None).expect(200);
        },
        give: |house, vault| {
            let [role, vault] = &vault[..] else { panic!("a role and a vault") };
            let recovered = house.manage("PUT", &vault.0, "2026-02-01", Some(&vault.1));
            assert!([200, 201].contains(&recovered.status), "{}", recovered.text());
            // The role went with the vault, and the refusal says so.
            let told = || house.server.get("/v2/_catalog").text();
            eventually("it is locked for its role", || told().contains("does not bring them back"));
            house.manage("PUT", &role.0, "2022-04-01", Some(&role.1)).expect(201);
        },
        told: "there is no vault",
    },
    Way {
        name: "policy removed",
        prepare: |house| {
            // From here on the vault goes by policies.
            let properties = json!({"properties": {"enableRbacAuthorization": false}});
            let policy = json!({"properties": {"accessPolicies": [{
                "tenantId": house.vault()["properties"]["tenantId"],
                "objectId": house.identity(),
                "permissions": {"keys": ["get", "wrapKey", "unwrapKey"]},
            }]}});
            let path = format!("{}/accessPolicies", vault_path());
            house.manage("PUT", &format!("{path}/add"), "2026-02-01", Some(&policy));
            house.manage("PATCH", &vault_path(), "2026-02-01", Some(&properties)).expect(200);
            vec![(path, policy)]
        },
        take: |house, policy| {
            let (path, body) = &policy[0];
            let path = format!("{path}/remove");
            house.manage("PUT", &path, "2026-02-01", Some(body)).expect(200);
        },
        give: |house, policy| {
            let (path, body) = &policy[0];
            let path = format!("{path}/add");
            let given = house.manage("PUT", &path, "2026-02-01", Some(body));
            assert!([200, 201].contains(&given.status), "{}", given.text());
        },
        told: "az keyvault set-policy",
    },
    Way {
        name: "identity deleted",
        prepare: |house| {
            // Whoever mends it needs another identity; it is there in time.
            let made = house.operator(&["identity", "create", "successor"]);
            assert!(made.contains("successor"), "{made}");
            vec![(identity_path("lockyard"), Value::Null)]
        },
        take: |house, identity| {
            house.manage("DELETE", &identity[0].0, "2024-11-30", None).expect(200);
        },
        give: |house, _| {
            let assign = json!({"name": "lockyard", "identity": "successor", "grant": true});
            house.ask(&json!({"registry": {"assign-identity": assign}}));
        },
        told: "assign-identity",
    },
];

/// Clients that read, one that does not, and what they saw.
struct Pulls {
    begun: Instant,
    address: String,
    ops: String,
    path: String,
    /// When the last byte of a download arrived, in microseconds since `begun`.
    last_byte: AtomicU64,
    /// When the first byte of a download arrived after a refusal.
    first_byte: AtomicU64,
    /// How many readers were refused since it was last set to zero.
    refused: AtomicU64,
    /// When a cipher was last seen open.
    open: AtomicU64,
    over: AtomicBool,
}

impl Pulls {
    fn new(server: &Server, path: &str) -> Self {
        Self {
            begun: Instant::now(),
            address: server.http(),
            ops: server.ops(),
            path: path.to_owned(),
            last_byte: AtomicU64::new(0),
            first_byte: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            open: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).expect("a test is short")
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Downloads again and again.
    fn read(&self) {
        let mut was_refused = false;
        let mut buffer = vec![0; 256 << 10];
        while !self.is_over() {
            let line = format!("GET {}", self.path);
            let Ok(mut call) = Call::begin(&self.address, &line, &[], 0) else { continue };
            let mut head = true;
            while let Ok(count @ 1..) = call.receive(&mut buffer) {
                if head && !buffer.starts_with(b"HTTP/1.1 200") {
                    if !was_refused {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    was_refused = true;
                    break;
                }
                let now = self.now();
                self.last_byte.fetch_max(now, Ordering::Relaxed);
                if std::mem::take(&mut was_refused) {
                    let _first = self.first_byte.compare_exchange(
                        0,
                        now,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                (head, _) = (false, count);
                if self.is_over() {
                    return;
                }
            }
        }
    }

    /// Looks at the gauge of open ciphers again and again.
    fn watch(&self) {
        while !self.is_over() {
            let before = self.now();
            if gauge(&self.ops, "lockyard_registry_live_ciphers").is_none_or(|live| live > 0) {
                self.open.fetch_max(before, Ordering::Relaxed);
            }
        }
    }

    /// Waits until every reader was refused.
    fn all_refused(&self) {
        let all = u64::try_from(READERS).expect("few");
        eventually("every reader is refused", || self.refused.load(Ordering::Relaxed) >= all);
    }
}

/// The size of the blob that is downloaded.
fn blob_len() -> usize {
    let mib = std::env::var("LOCKYARD_REVOKED_MIB").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(64) << 20
}

/// Milliseconds between two times of [`Pulls::now`].
fn millis(from: u64, to: u64) -> f64 {
    let micros = u32::try_from(to.saturating_sub(from)).expect("within an hour");
    f64::from(micros) / 1000.0
}

fn each_way_to_take_the_key_away_locks_within_a_second_and_heals() {
    let world = World::new();
    let house = House::quickstart(&world);
    let bytes = push::noise("a long blob", blob_len());
    push::blob(&house.server, "team/app", &bytes);
    let path = format!("/v2/team/app/blobs/{}", push::digest(&bytes));
    let pulls = Pulls::new(&house.server, &path);
    let mut table =
        vec![format!("{:28}{:>10}{:>10}{:>10}", "way", "last byte", "ciphers", "healed")];
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| pulls.read());
        }
        scope.spawn(|| pulls.watch());
        let done = Over(&pulls.over);
        for way in &WAYS {
            table.push(one_way(&house, &pulls, way, bytes.len()));
        }
        drop(done);
    });
    let table = format!("{} MiB, ms\n{}\n", bytes.len() >> 20, table.join("\n"));
    drop(std::io::Write::write_all(&mut std::io::stderr(), table.as_bytes()));
    assert!(house.server.get(&path).expect(200).body == bytes);
}

/// Takes the key away in one way and gives it back; returns the line of the table.
fn one_way(house: &House<'_>, pulls: &Pulls, way: &Way, len: usize) -> String {
    let started = pulls.now();
    eventually("downloads run", || pulls.last_byte.load(Ordering::Relaxed) > started);
    let line = format!("GET {}", pulls.path);
    let mut stalled = Call::begin(&pulls.address, &line, &[], 0).expect("the server listens");
    let mut first = [0; 1024];
    let received = stalled.receive(&mut first).expect("the download begins");
    assert!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));

    let prepared = (way.prepare)(house);
    pulls.refused.store(0, Ordering::Relaxed);
    pulls.first_byte.store(0, Ordering::Relaxed);
    let asked_at = pulls.now();
    (way.take)(house, &prepared);
    let done_at = pulls.now();
    pulls.all_refused();
    eventually("no cipher is open", || house.gauge("lockyard_registry_live_ciphers") == Some(0));
    let (last, open) = (&pulls.last_byte, &pulls.open);
    let (last, open) = (last.load(Ordering::Relaxed), open.load(Ordering::Relaxed));
    // Whoever does not read gets what lay in the buffers of both sides, and no more.
    assert!(received + stalled.drain() < len, "{}: the stalled download went on", way.name);
    refused(&house.server.get(&pulls.path), way);

    let given_at = pulls.now();
    (way.give)(house, &prepared);
    let back_at = pulls.now();
    eventually("bytes come again", || pulls.first_byte.load(Ordering::Relaxed) > 0);
    let first = pulls.first_byte.load(Ordering::Relaxed);
    // The bounds count from the change, which is made before its answer is there; what is told
    // counts from before the request, so that it is never too little.
    let max = |span: Duration| span.as_secs_f64() * 1000.0;
    let (late, left) = (millis(done_at, last), millis(done_at, open));
    assert!(late <= max(LOCK_MAX), "{}: a byte came {late} ms after the change", way.name);
    assert!(left <= max(LOCK_MAX), "{}: a cipher was open {left} ms after it", way.name);
    let healed = millis(back_at, first);
    assert!(healed <= max(HEAL_MAX), "{}: healed {healed} ms after the change", way.name);
    let [last, open, first] =
        [millis(asked_at, last), millis(asked_at, open), millis(given_at, first)];
    format!("{:28}{last:10.1}{open:10.1}{first:10.1}", way.name)
}

/// Fails unless a request is refused for what was taken away, with a cure.
#[track_caller]
fn refused(reply: &Reply, way: &Way) {
    assert_eq!(reply.status, 403, "{}: {}", way.name, reply.text());
    let (code, message) = reply.oci_error();
    assert_eq!(code, "DENIED", "{message}");
    assert!(message.contains(way.told), "{}: {message}", way.name);
}

/// Ends the readers, also when a test fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn a_server_that_is_killed_while_locked_comes_back_locked_for_the_same_reason() {
    let world = World::new();
    let mut house = House::quickstart(&world);
    let pushed = push::small_image(&house.server, "team/app", "v1");
    // Killed while unlocked: it comes back as a fresh unwrap says.
    house = house.killed();
    pushed.check(&house.server);
    for way in &WAYS {
        let prepared = (way.prepare)(&house);
        (way.take)(&house, &prepared);
        eventually("it is locked", || house.server.get("/v2/_catalog").status == 403);
        house = house.killed();
        refused(&house.server.get("/v2/_catalog"), way);
        assert_eq!(house.gauge("lockyard_registry_locked"), Some(1), "{}", way.name);
        (way.give)(&house, &prepared);
        eventually("it is open", || house.server.get("/v2/_catalog").status == 200);
        pushed.check(&house.server);
    }
}

fn a_firewall_lets_pulls_go_on_and_a_start_under_it_is_locked() {
    let world = World::new();
    let house = House::quickstart(&world);
    let pushed = push::small_image(&house.server, "team/app", "v1");
    // The identity that quickstart made is the user's; the registry has one of its own, too.
    let house = closed_and_opened(house, &pushed);
    let assign = ["registry", "assign-identity", "lockyard", "--identity", "[system]", "--grant"];
    let told = house.operator(&assign);
    assert!(told.contains("unlocked"), "{told}");
    house.manage("DELETE", &identity_path("lockyard"), "2024-11-30", None).expect(200);
    closed_and_opened(house, &pushed);
}

/// Closes the vault's firewall for everybody but trusted services, then for them too, starts anew
/// under it, and opens it.
fn closed_and_opened<'w>(house: House<'w>, pushed: &push::Pushed) -> House<'w> {
    let close = |house: &House<'_>, bypass: &str| {
        let rules = json!({"bypass": bypass, "defaultAction": "Deny"});
        let body = json!({"properties": {"networkAcls": rules}});
        house.manage("PATCH", &vault_path(), "2026-02-01", Some(&body)).expect(200);
    };
    let stands = |house: &House<'_>, word: &str| {
        let ready = crate::http::request(&house.server.ops(), "GET /readyz", &[], b"");
        ready.expect(200).text().contains(word)
    };
    // The registry is a trusted service.
    close(&house, "AzureServices");
    assert!(house.shown("standing").starts_with("unlocked"), "{}", house.shown("standing"));
    assert!(stands(&house, " unlocked"));
    // Without the bypass it is refused like anybody: nothing is concluded from that for a while.
    close(&house, "None");
    eventually("it is degraded", || stands(&house, " degraded"));
    let told = house.shown("standing");
    assert!(told.contains("trusted services"), "no cure in: {told}");
    pushed.check(&house.server);
    push::small_image(&house.server, "team/app", "v2").check(&house.server);
    // A start needs a fresh grant, and gets none: it is no more open than before.
    let house = house.killed();
    let refused = house.server.get("/v2/_catalog").expect(503);
    let (code, message) = refused.oci_error();
    assert_eq!(code, "DENIED", "{message}");
    assert!(message.contains("trusted services"), "no cure in: {message}");
    assert!(refused.header("retry-after").is_some());
    close(&house, "AzureServices");
    eventually("it is open", || house.server.get("/v2/_catalog").status == 200);
    pushed.check(&house.server);
    house
}
