//! An image copied by somebody else's client, both ways: what a user waits for.
//!
//! The figure is the time of the whole process. Layers are marked as compressed, so that skopeo
//! passes them on as they are.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::{
    clock,
    content::Mould,
    contestant::{Contestant, Kind, Stage, warm_memory},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Meter, Unit},
    process::children_cpu,
    registry::{digest, manifest},
};

const LAYERS: usize = 8;
/// The head of a gzip file (RFC 1952, section 2.3).
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    if Command::new("skopeo").arg("--version").stdout(Stdio::null()).status().is_err() {
        figures.note("skopeo is not installed, so nothing was copied with it");
        return Ok(());
    }
    let mut kinds = stage.present(&[Kind::Lockyard, Kind::DockerRegistry]);
    for _ in 0..stage.options().rounds {
        let image = stage.folder().join("image");
        // Other layers each time, so that nobody remembers having seen them.
        write_image(&image, stage.options().sizes.layer_bytes)?;
        for kind in &kinds {
            let contestant = stage.start(*kind)?;
            copy_both_ways(stage, &contestant, &image, figures)?;
            contestant.dismiss()?;
        }
        fs::remove_dir_all(&image).during("removing the image")?;
        kinds.rotate_left(1);
    }
    Ok(())
}

fn copy_both_ways(
    stage: &Stage,
    contestant: &Contestant,
    image: &Path,
    figures: &mut Figures,
) -> Outcome {
    let copied = stage.folder().join("copied");
    let local = |folder: &Path| format!("oci:{}:latest", folder.display());
    let host = &contestant.plain.host;
    let remote = format!("docker://{host}/bench/skopeo-{}:latest", clock::nanoseconds());
    for (case, flag, from, to) in [
        ("skopeo push", "--dest-tls-verify=false", local(image), remote.clone()),
        ("skopeo pull", "--src-tls-verify=false", remote.clone(), local(&copied)),
    ] {
        stage.settle()?;
        warm_memory(LAYERS as u64 * stage.options().sizes.layer_bytes);
        let before = children_cpu();
        let ((), spent) = Meter::measure(contestant, || copy(flag, &from, &to))?;
        let client = children_cpu().saturating_sub(before);
        figures.add(case, contestant.kind, Unit::Seconds, spent.once(client));
    }
    let index = |folder: &Path| fs::read(folder.join("index.json")).unwrap_or_default();
    let same = manifest_digest(&index(image)) == manifest_digest(&index(&copied));
    fs::remove_dir_all(&copied).during("removing the copied image")?;
    if same { Ok(()) } else { Err(Failure::new("skopeo copied another image back")) }
}

fn copy(flag: &str, from: &str, to: &str) -> Outcome {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", flag, from, to]);
    let output = skopeo.stdin(Stdio::null()).output().during("starting skopeo")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("skopeo copy {from} {to}: {said}")))
}

fn manifest_digest(index: &[u8]) -> Option<String> {
    let index: serde_json::Value = serde_json::from_slice(index).ok()?;
    index.pointer("/manifests/0/digest")?.as_str().map(ToOwned::to_owned)
}

/// Writes an image as an OCI image layout.
fn write_image(folder: &Path, layer_bytes: u64) -> Outcome {
    let what = || format!("writing an image into `{}`", folder.display());
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).during(what())?;
    let mould = Mould::new(layer_bytes);
    let layers = (0..LAYERS).map(|_| write_layer(&blobs, &mould));
    let layers = layers.collect::<Outcome<Vec<_>>>()?;
    let diff_ids: Vec<&String> = layers.iter().map(|(digest, _)| digest).collect();
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let layers: Vec<(&str, u64)> =
        layers.iter().map(|(digest, length)| (digest.as_str(), *length)).collect();
    let manifest = manifest(&digest(&config), config.len() as u64, &layers);
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": crate::registry::MANIFEST_TYPE,
            "digest": digest(&manifest),
            "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": "latest" },
        }],
    });
    for bytes in [&config, &manifest] {
        fs::write(blobs.join(hex_of(&digest(bytes))), bytes).during(what())?;
    }
    fs::write(folder.join("index.json"), index.to_string()).during(what())?;
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).during(what())
}

/// Writes a layer and returns its digest and length.
fn write_layer(blobs: &Path, mould: &Mould) -> Outcome<(String, u64)> {
    let what = "writing a layer";
    let content = mould.cast();
    let unnamed = blobs.join("unnamed");
    let mut file = File::create(&unnamed).during(what)?;
    let mut hasher = Sha256::new();
    for piece in [&GZIP[..]].into_iter().chain(content.pieces()) {
        hasher.update(piece);
        file.write_all(piece).during(what)?;
    }
    let digest = format!("sha256:{}", hex::encode(hasher.finalize()));
    fs::rename(&unnamed, blobs.join(hex_of(&digest))).during(what)?;
    Ok((digest, content.len() + GZIP.len() as u64))
}

fn hex_of(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}
