//! How many keys a vault unwraps per second, next to bare aws-lc: what authorization, database and
//! sealed rows cost. `cargo run --release -p lockyard-vault --example unwrap_rate`.

#![expect(clippy::print_stdout, reason = "an example tells its figures")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey,
};
use lockyard_base::{Clock, Entropy, Guid, OsEntropy, SystemClock};
use lockyard_vault::{
    AccessPolicy, Caller, CreateMode, EncryptionAlgorithm, KeySettings, KeyShape, NoRoles,
    Permissions, Placement, RsaSize, Source, Vault, VaultChange, VaultRequest, VaultRootKey,
};

const SPAN: Duration = Duration::from_secs(3);

/// Runs `work` on two threads for a while; returns how often it was done per second.
fn rate(work: impl Fn() + Sync) -> f64 {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = SystemClock.boot();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    work();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(SPAN);
        over.store(true, Ordering::Relaxed);
    });
    let seconds = SystemClock.boot().since(started).as_secs_f64();
    f64::from(u32::try_from(done.into_inner()).unwrap_or(u32::MAX)) / seconds
}

fn main() {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
    let public = OaepPublicEncryptingKey::new(private.public_key()).expect("a key");
    let private = OaepPrivateDecryptingKey::new(private).expect("a key");
    let mut wrapped = [0; 256];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut wrapped, None).expect("wraps");
    let bare = rate(|| {
        let mut output = [0; 256];
        private.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut output, None).expect("unwraps");
    });

    let directory = tempfile::tempdir().expect("a directory");
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(SystemClock), Arc::new(OsEntropy));
    let root = VaultRootKey::generate(&*entropy);
    let vault = Vault::open(&directory.path().join("v"), &root, clock, entropy).expect("opens");
    let (tenant, object) = (Guid::from_bytes([1; 16]), Guid::from_bytes([2; 16]));
    let permissions = Permissions { keys: vec!["all".to_owned()], ..Permissions::default() };
    let policy = AccessPolicy { tenant, object, application: None, permissions };
    let place = Placement::new(tenant, object, "rg", "here").expect("a place");
    let name = "payments".parse().expect("a name");
    let change = VaultChange { policies: Some(vec![policy]), ..VaultChange::default() };
    let request = VaultRequest { place, mode: CreateMode::Default, change };
    vault.put_vault(&name, request).expect("made");
    let source = Source::TrustedService;
    let caller =
        Caller { tenant, object, application: None, groups: Vec::new(), resource: None, source };
    let plane = vault.data_plane(&name, caller, &NoRoles);
    let key = "release".parse().expect("a name");
    let shape = KeyShape::Rsa(RsaSize::R2048);
    plane.create_key(&key, shape, &KeySettings::default()).expect("made");
    let oaep = EncryptionAlgorithm::RsaOaep256;
    let wrapped = plane.wrap_key(&key, None, oaep, &[7; 32]).expect("wraps");
    let through = rate(|| {
        let version = Some(&wrapped.id.version);
        plane.unwrap_key(&key, version, oaep, &wrapped.value).expect("unwraps");
    });
    println!("aws-lc alone: {bare:.0}/s; through the vault: {through:.0}/s");
    println!("share: {:.1} %", through * 100.0 / bare);
}
