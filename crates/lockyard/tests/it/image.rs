//! A realistic image: Debian root filesystems in an OCI layout, made once and kept.
//!
//! Two platforms behind one index. `amd64` is a minimal Debian with a layer of incompressible
//! bytes, a layer that deletes and links, and a layer that is not compressed; `arm64` shares a
//! layer with it. More than 100 MB unpacked. Kept in the test command's cache, since making it
//! takes half a minute and only Debian's mirrors can change it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::outside::{Need, good, interop_folder, program};

/// What making the image needs.
pub(crate) const MMDEBSTRAP: Need = Need::Program("mmdebstrap");
/// Counted up when the recipe changes.
const RECIPE: &str = "debian-image-1";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The size of the layer that no compression makes smaller.
const INCOMPRESSIBLE_BYTES: u64 = 24 << 20;

/// An image in an OCI layout on disk.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) layout: PathBuf,
    /// The digest of the index over both platforms; its name in the layout is `both`.
    pub(crate) index: String,
    /// The digest of the machine's own platform; its name in the layout is `amd64`.
    pub(crate) amd64: String,
}

impl Image {
    /// Returns the image, making it if no run before has.
    pub(crate) fn debian() -> Self {
        static MAKING: Mutex<()> = Mutex::new(());
        let one_at_a_time = MAKING.lock();
        let cache = interop_folder().expect("stories with images have a cache").join("cache");
        let layout = cache.join(RECIPE);
        if !layout.is_dir() {
            fs::create_dir_all(&cache).expect("the cache is writable");
            let workshop = tempfile::tempdir_in(&cache).expect("the cache is writable");
            make(workshop.path(), &workshop.path().join("layout"));
            fs::rename(workshop.path().join("layout"), &layout).expect("the image can be kept");
        }
        drop(one_at_a_time);
        let named = read_json(&layout.join("index.json"));
        let digest_of = |name: &str| {
            let manifests = named["manifests"].as_array().expect("the layout lists manifests");
            let named = manifests
                .iter()
                .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == name);
            named.expect("each name is there")["digest"].as_str().expect("a digest").to_owned()
        };
        Self { index: digest_of("both"), amd64: digest_of("amd64"), layout }
    }

    /// Returns the digests of all blobs that hang on a manifest or an index, itself included.
    pub(crate) fn reachable(&self, digest: &str) -> Vec<String> {
        let mut all = vec![digest.to_owned()];
        let content = read_json(&self.blob(digest));
        let list = |name: &str| content[name].as_array().cloned().unwrap_or_default();
        for child in list("manifests") {
            all.extend(self.reachable(child["digest"].as_str().expect("a digest")));
        }
        let parts = list("layers").into_iter().chain([content["config"].clone()]);
        all.extend(parts.filter_map(|part| part["digest"].as_str().map(str::to_owned)));
        all.sort();
        all.dedup();
        all
    }

    /// Returns where a blob lies.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }

    /// Returns how skopeo calls a name of the layout.
    pub(crate) fn skopeo_name(&self, name: &str) -> String {
        format!("oci:{}:{name}", self.layout.display())
    }
}

/// Makes the layout.
fn make(workshop: &Path, layout: &Path) {
    fs::create_dir_all(layout.join("blobs/sha256")).expect("the workshop is writable");
    let keep = |content: &Value| {
        let bytes = serde_json::to_vec(content).expect("JSON is written");
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        fs::write(layout.join("blobs").join(digest.replace(':', "/")), &bytes).expect("kept");
        (digest, bytes.len())
    };
    let root = workshop.join("amd64.tar");
    debootstrap(&root, &["--variant=minbase"]);
    let foreign = workshop.join("arm64.tar");
    let packages = "--include=base-files,bash,coreutils,libc6";
    debootstrap(&foreign, &["--variant=extract", "--arch=arm64", packages]);

    let payload = gzip_layer(layout, &payload_tar(workshop));
    let layers = [
        gzip_layer(layout, &root),
        payload.clone(),
        gzip_layer(layout, &deletions_tar(workshop)),
        plain_layer(layout, &letters_tar(workshop)),
    ];
    let platforms =
        [("amd64", layers.to_vec()), ("arm64", vec![gzip_layer(layout, &foreign), payload])];
    let mut named = Vec::new();
    let mut children = Vec::new();
    for (architecture, layers) in platforms {
        let (config, config_len) = keep(&config(architecture, &layers));
        let layers: Vec<Value> = layers.iter().map(Layer::descriptor).collect();
        let config_type = "application/vnd.oci.image.config.v1+json";
        let (digest, size) = keep(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": config_type, "digest": config, "size": config_len},
            "layers": layers,
        }));
        let mut entry = json!({"mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture}});
        children.push(entry.clone());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": architecture});
        named.push(entry);
    }
    let (digest, size) =
        keep(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}));
    named.push(json!({"mediaType": INDEX, "digest": digest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": "both"}}));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": named});
    fs::write(layout.join("index.json"), index.to_string()).expect("the workshop is writable");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("kept");
}

fn config(architecture: &str, layers: &[Layer]) -> Value {
    let diffs: Vec<&str> = layers.iter().map(|layer| layer.diff.as_str()).collect();
    let history = vec![json!({"created_by": "the interop tests"}); layers.len()];
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/bin:/bin"], "Labels": {"a": "b"}},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": history,
    })
}

/// A layer that lies in the layout.
#[derive(Debug, Clone)]
struct Layer {
    media_type: &'static str,
    digest: String,
    size: u64,
    /// The digest of the unpacked archive.
    diff: String,
}

impl Layer {
    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size})
    }
}

/// Puts an archive into the layout as it is.
fn plain_layer(layout: &Path, tar: &Path) -> Layer {
    let diff = sha256_of(tar);
    let size = fs::metadata(tar).expect("the archive is there").len();
    fs::rename(tar, layout.join("blobs").join(diff.replace(':', "/"))).expect("kept");
    Layer { media_type: TAR, digest: diff.clone(), size, diff }
}

/// Puts an archive into the layout, compressed.
fn gzip_layer(layout: &Path, tar: &Path) -> Layer {
    let diff = sha256_of(tar);
    good(program("gzip").args(["--no-name", "-3", "--keep"]).arg(tar));
    let packed = tar.with_extension("tar.gz");
    let Layer { digest, size, .. } = plain_layer(layout, &packed);
    Layer { media_type: TAR_GZIP, digest, size, diff }
}

/// Makes a root filesystem.
fn debootstrap(tar: &Path, arguments: &[&str]) {
    good(program("mmdebstrap").args(arguments).arg("bookworm").arg(tar).stderr(Stdio::null()));
}

/// Packs a folder, the same bytes each time.
fn pack(folder: &Path) -> PathBuf {
    let tar = folder.with_extension("tar");
    let same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    good(program("tar").args(same).arg("-C").arg(folder).arg("-cf").arg(&tar).arg("."));
    tar
}

/// A layer that no compression makes smaller.
fn payload_tar(workshop: &Path) -> PathBuf {
    let folder = workshop.join("payload");
    fs::create_dir_all(folder.join("opt/app")).expect("the workshop is writable");
    let mut file = File::create(folder.join("opt/app/payload.bin")).expect("writable");
    let mut block = Sha256::digest(b"seed");
    let mut megabyte = Vec::with_capacity(1 << 20);
    for _ in 0..INCOMPRESSIBLE_BYTES >> 20 {
        megabyte.clear();
        while megabyte.len() < 1 << 20 {
            block = Sha256::digest(block);
            megabyte.extend_from_slice(&block);
        }
        file.write_all(&megabyte).expect("the workshop is writable");
    }
    pack(&folder)
}

/// A layer that deletes what is below it, and links.
fn deletions_tar(workshop: &Path) -> PathBuf {
    let folder = workshop.join("deletions");
    fs::create_dir_all(folder.join("usr/share/doc")).expect("the workshop is writable");
    fs::create_dir_all(folder.join("opt")).expect("the workshop is writable");
    fs::write(folder.join("usr/share/doc/.wh.apt"), "").expect("the workshop is writable");
    symlink("app/payload.bin", folder.join("opt/link")).expect("the workshop is writable");
    pack(&folder)
}

/// A layer with names beyond ASCII.
fn letters_tar(workshop: &Path) -> PathBuf {
    let folder = workshop.join("letters");
    fs::create_dir_all(folder.join("srv/größe/数据")).expect("the workshop is writable");
    fs::write(folder.join("srv/größe/数据/ключ.txt"), "a key\n").expect("writable");
    pack(&folder)
}

/// Returns the digest of a file's bytes.
pub(crate) fn sha256_of(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("the file is readable") {
            0 => return format!("sha256:{}", hex::encode(hasher.finalize())),
            read => hasher.update(buffer.get(..read).expect("a read fits its buffer")),
        }
    }
}

/// Reads a file of JSON.
pub(crate) fn read_json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
