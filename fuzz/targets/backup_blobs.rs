//! Backups of keys: nothing but a blob that was made here is taken, whatever is changed in one.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lockyard_fuzz::Vaults;
use lockyard_vault::VaultError;

fuzz_target!(|edits: (u16, Vec<u8>, bool)| {
    static SCENE: OnceLock<(Vaults, Vec<u8>)> = OnceLock::new();
    let (vaults, good) = SCENE.get_or_init(|| {
        let vaults = Vaults::new();
        let good = vaults.plane().backup_key(&"k".parse().expect("a name")).expect("a backup");
        (vaults, good)
    });
    let (place, bytes, cut) = edits;
    let mut blob = good.clone();
    let place = usize::from(place) % (blob.len() + 1);
    if cut {
        blob.truncate(place);
        blob.extend_from_slice(&bytes);
    } else {
        let end = (place + bytes.len()).min(blob.len());
        blob[place..end].copy_from_slice(&bytes[..end - place]);
    }
    match vaults.plane().restore_key(&blob) {
        Err(VaultError::KeyExists(_)) => assert!(blob == *good, "a changed backup was opened"),
        Err(VaultError::BadParameter(_)) => assert!(blob != *good, "a good backup was refused"),
        other => panic!("{other:?}"),
    }
});
