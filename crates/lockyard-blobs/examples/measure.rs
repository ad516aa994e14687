//! Measures the room on this machine's disk: sealed writes, streamed reads, small parts.
//!
//! `cargo run --release -p lockyard-blobs --example measure [directory]`. Reads are from the page
//! cache and thrown away, so that they show what this room costs and not what the disk does; writes
//! count until the part is durable. It shares the machine with nothing, or its figures mean nothing.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "it prints figures for people, and what it measures is the passing of time"
)]

use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use lockyard_base::{OsEntropy, PartId};
use lockyard_blobs::{BlobStream, BufferPool, LocalParts, PartList, PartStore, PartWriter};
use lockyard_keyring::{UnlockedRegistry, testing::unlocked};

const GIB: u64 = 1 << 30;
const POOL_BYTES: usize = 64 << 20;
/// What an upload arrives in, roughly.
const PIECE: usize = 256 << 10;

struct Bench {
    unlocked: UnlockedRegistry,
    store: Arc<dyn PartStore>,
    pool: BufferPool,
    piece: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let directory = tempfile::tempdir_in(directory)?;
    let bench = Arc::new(Bench {
        unlocked: unlocked(),
        store: Arc::new(LocalParts::open(&directory.path().join("parts"))?),
        pool: BufferPool::new(POOL_BYTES),
        piece: (0..=u8::MAX).cycle().take(PIECE).collect(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;

    let mut blobs = Vec::new();
    for round in 0..5 {
        let started = Instant::now();
        let list = bench.write(GIB)?;
        rate(&format!("sealed write, durable, 1 GiB, round {round}"), GIB, started.elapsed());
        for id in blobs.drain(..).flat_map(|list: PartList| list.ids().collect::<Vec<_>>()) {
            bench.store.delete(id)?;
        }
        blobs.push(list);
    }
    let large = Arc::new(blobs.remove(0));
    for streams in [1, 8] {
        for round in 0..5 {
            let started = Instant::now();
            let bytes = GIB * if streams == 1 { 2 } else { 4 } / streams;
            let bytes = bytes.min(GIB);
            runtime.block_on(bench.read(&large, streams, bytes))?;
            let name = format!("stream read, {streams} at once, round {round}");
            rate(&name, bytes * streams, started.elapsed());
        }
    }
    small(&bench, &runtime)
}

fn small(bench: &Arc<Bench>, runtime: &tokio::runtime::Runtime) -> Result<(), Box<dyn Error>> {
    const PARTS: u32 = 1000;
    for threads in [1, 8] {
        let started = Instant::now();
        let lists = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        (0..PARTS / threads)
                            .map(|_| bench.write(4096).map_err(|error| error.to_string()))
                            .collect::<Result<Vec<_>, _>>()
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no thread panics"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        each(&format!("4 KiB part, durable, {threads} at once"), PARTS, started.elapsed());
        let started = Instant::now();
        runtime.block_on(async {
            for list in lists.iter().flatten() {
                bench.drain(list, 4096).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        })?;
        each("4 KiB part, read", PARTS, started.elapsed());
    }
    Ok(())
}

impl Bench {
    fn write(&self, bytes: u64) -> Result<PartList, Box<dyn Error>> {
        let id = PartId::random(&OsEntropy);
        let mut writer = PartWriter::begin(&self.unlocked, &self.store, id, &OsEntropy)?;
        let mut left = bytes;
        while left > 0 {
            let now = left.min(PIECE as u64);
            writer.write(&self.piece[..usize::try_from(now)?])?;
            left -= now;
        }
        let mut list = PartList::new();
        list.push(writer.finish()?)?;
        Ok(list)
    }

    async fn read(
        self: &Arc<Self>,
        list: &Arc<PartList>,
        streams: u64,
        bytes: u64,
    ) -> Result<(), Box<dyn Error>> {
        let running: Vec<_> = (0..streams)
            .map(|_| {
                let (bench, list) = (Arc::clone(self), Arc::clone(list));
                tokio::spawn(async move {
                    bench.drain(&list, bytes).await.map_err(|error| error.to_string())
                })
            })
            .collect();
        for task in running {
            task.await??;
        }
        Ok(())
    }

    async fn drain(&self, list: &PartList, bytes: u64) -> Result<(), Box<dyn Error>> {
        let mut stream =
            BlobStream::open(&self.unlocked, &self.store, &self.pool, list, 0..bytes).await?;
        let mut read = 0;
        while let Some(piece) = stream.next().await {
            read += piece?.len() as u64;
        }
        assert_eq!(read, bytes, "everything came");
        Ok(())
    }
}

fn rate(what: &str, bytes: u64, elapsed: Duration) {
    println!("{what}: {:.0} MB/s", bytes as f64 / 1e6 / elapsed.as_secs_f64());
}

fn each(what: &str, count: u32, elapsed: Duration) {
    println!("{what}: {:.0} per second", f64::from(count) / elapsed.as_secs_f64());
}
