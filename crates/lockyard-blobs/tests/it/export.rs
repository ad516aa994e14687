//! The dangerous export: whoever has it can open the part with nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockyard_blobs::{ExportError, dangerous_export};
use lockyard_seal::{MainKey, SegmentSize};

use crate::support::{World, content};

#[test]
fn an_export_opens_on_its_own() {
    let world = World::new();
    let plaintext = content(100_000, 1);
    let list = world.blob(&[b"first", &plaintext]);
    let export = dangerous_export(&world.cell.handle(), &world.store, &list, 1).expect("exported");
    assert_eq!(Some(export.part), list.ids().nth(1));
    assert_eq!(export.plaintext_len, 100_000);

    let json: serde_json::Value = serde_json::from_str(&export.keyset_json).expect("JSON");
    let value = json["key"][0]["keyData"]["value"].as_str().expect("text");
    let message = STANDARD.decode(value).expect("base64");
    let key = message.last_chunk::<32>().expect("the key comes last");
    let mut sealed = vec![0; usize::try_from(export.ciphertext.len()).expect("small")];
    export.ciphertext.read_at(&mut sealed, 0).expect("read");
    let opened = MainKey::from_bytes(key)
        .open(SegmentSize::CURRENT, &export.aad, &sealed)
        .expect("key, bound data and ciphertext fit");
    assert!(*opened == plaintext);
    let shown = format!("{export:?}");
    assert!(!shown.contains(value), "{shown}");
}

#[test]
fn an_export_needs_a_part_and_an_unlocked_registry() {
    let world = World::new();
    let list = world.blob(&[b"first"]);
    let handle = world.cell.handle();
    let none = dangerous_export(&handle, &world.store, &list, 1);
    assert!(matches!(none, Err(ExportError::NoSuchPart(1))));
    world.cell.lock();
    let locked = dangerous_export(&handle, &world.store, &list, 0);
    assert!(matches!(locked, Err(ExportError::Locked)));
    world.cell.unlock();
    let id = list.ids().next().expect("a part");
    world.store.delete(id).expect("deleted");
    let gone = dangerous_export(&world.cell.handle(), &world.store, &list, 0);
    assert!(matches!(gone, Err(ExportError::Missing(told)) if told == id));
}
