//! `lockyard debug export-part --dangerous`: a blob's parts with all that opens them.
//!
//! For proving with other tools that parts are what the specification says, and for rescue. The
//! files hold keys in the clear: they are private, and never overwrite anything.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use lockyard_blobs::{DangerousExport, PartError};
use lockyard_oci::{Digest, RegistryName, RepositoryName};
use thiserror::Error;

use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::{Instance, blocking},
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Which blob.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// In this registry.
    pub(crate) registry: RegistryName,
    /// In this repository.
    pub(crate) repository: RepositoryName,
    /// Of this digest.
    pub(crate) digest: Digest,
}

#[derive(Debug, Error)]
enum ExportError {
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the part")]
    Read(#[source] PartError),
}

/// Writes the parts of a blob into the directory `out`; answers in lines for the operator.
pub(crate) async fn run(instance: &Instance, blob: &Blob, out: &Path) -> Outcome<Vec<String>> {
    let entry = instance
        .registries
        .find(&blob.registry)
        .await
        .or_fail()?
        .ok_or_else(|| Failure::text(format!("there is no registry `{}`", blob.registry)))?;
    let id = entry.id();
    let registry = instance.registries.open_inside(id).or_fail()?;
    let parts = registry.dangerous_export(&blob.repository, &blob.digest).await.or_fail()?;
    tracing::warn!(registry = %id, parts = parts.len(), "blob keys were exported");
    let out = out.to_owned();
    blocking(move || {
        let failed = |source| ExportError::Write { path: out.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&out).map_err(failed)?;
        let mut lines = vec![
            "warning: these files hold keys in the clear; whoever reads them reads the blob; \
             delete them when you are done"
                .to_owned(),
        ];
        for (number, part) in parts.iter().enumerate() {
            let files = write(&out, number, part)?;
            lines.push(format!(
                "part {number}: {} ({} bytes of content)",
                part.part, part.plaintext_len
            ));
            lines.extend(files.iter().map(|file| format!("  {}", file.display())));
        }
        Ok::<_, ExportError>(lines)
    })
    .await
}

fn write(out: &Path, number: usize, part: &DangerousExport) -> Result<Vec<PathBuf>, ExportError> {
    let path = |kind: &str| out.join(format!("part-{number}.{kind}"));
    let (ciphertext, aad, keyset) = (path("ciphertext"), path("aad"), path("keyset.json"));
    save(&keyset, |file| file.write_all(part.keyset_json.as_bytes()))?;
    save(&aad, |file| file.write_all(&part.aad))?;
    let mut file = open(&ciphertext)?;
    let failed = |source| ExportError::Write { path: ciphertext.clone(), source };
    let mut buffer = vec![0; COPY_BYTES];
    let (mut offset, length) = (0, part.ciphertext.len());
    while offset < length {
        let room = u64::try_from(buffer.len()).unwrap_or(u64::MAX).min(length - offset);
        let piece = buffer.get_mut(..usize::try_from(room).unwrap_or(0)).unwrap_or_default();
        part.ciphertext.read_at(piece, offset).map_err(ExportError::Read)?;
        file.write_all(piece).map_err(failed)?;
        offset += room;
    }
    file.sync_all().map_err(failed)?;
    Ok(vec![ciphertext, aad, keyset])
}

fn save(
    path: &Path,
    work: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut file = open(path)?;
    work(&mut file)
        .and_then(|()| file.sync_all())
        .map_err(|source| ExportError::Write { path: path.to_owned(), source })
}

fn open(path: &Path) -> Result<std::fs::File, ExportError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| ExportError::Write { path: path.to_owned(), source })
}
