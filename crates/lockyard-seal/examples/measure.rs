//! Measures what the segment size costs (`docs/decisions/0001-segment-size.md`).
//!
//! Prints medians of interleaved rounds, each with its lowest and highest value. Every case walks
//! over much more memory than the caches hold, and moves its bytes as the rooms do: through one
//! pooled buffer per batch, or in place. It reads no file and no socket: what is compared is the
//! cipher and the memory, nothing else. Time is the thread's processor time, so that a busy machine
//! disturbs little more than the caches.
//!
//! `cargo run --release -p lockyard-seal --example measure [ROUNDS]`

use std::{error::Error, hint::black_box, io::Write as _, thread, time::Duration};

use lockyard_base::{Entropy, Epoch, OsEntropy, RegistryId, RowId};
use lockyard_seal::{Bound, Header, Layout, MainKey, SegmentCipher, SegmentSize, TAG_LEN, hkdf};

const MEGABYTE: usize = 1 << 20;
/// Bytes that each thread walks over in a round: eight times the last-level cache.
const SPAN: usize = 256 * MEGABYTE;
const THREADS: usize = 2;
const RANGES: usize = 2000;
const ROWS: usize = 20_000;
const ROW_LEN: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(7), |rounds| rounds.parse::<usize>())?;
    let sizes = [16, 18, 20].map(|log2| SegmentSize::from_log2(log2).expect("a known size"));
    let mut worlds: Vec<Vec<Part>> =
        sizes.iter().map(|&size| (0..THREADS).map(|_| Part::new(size)).collect()).collect();
    let mut results: Vec<(String, &str, Vec<f64>)> = Vec::new();

    for round in 0..rounds {
        let mut note = |name: String, unit: &'static str, value: f64| match results
            .iter_mut()
            .find(|(known, ..)| *known == name)
        {
            Some((.., values)) => values.push(value),
            None => results.push((name, unit, vec![value])),
        };
        // No case always follows the same one: what runs first finds colder caches.
        let mut batches = BATCHES;
        batches.rotate_left(round % BATCHES.len());
        for threads in 1..=THREADS {
            for (size, batch) in batches {
                for verb in [Verb::Seal, Verb::Open] {
                    let parts = &mut worlds[size][..threads];
                    let speed = on_threads(parts, |part| part.batched(verb, batch));
                    let name = format!(
                        "{verb:?} {} segments in {} batches, {threads} thread(s)",
                        size_name(parts[0].size.bytes()),
                        size_name(batch)
                    );
                    note(name, "GB/s", speed);
                }
            }
            for parts in &mut worlds {
                let parts = &mut parts[..threads];
                let size = size_name(parts[0].size.bytes());
                // Opening turns the part into plaintext where it lies, sealing turns it back.
                let opened = on_threads(parts, |part| part.in_place(Verb::Open));
                let sealed = on_threads(parts, |part| part.in_place(Verb::Seal));
                note(format!("Open {size} segments in place, {threads} thread(s)"), "GB/s", opened);
                note(format!("Seal {size} segments in place, {threads} thread(s)"), "GB/s", sealed);
            }
        }
        for parts in &mut worlds {
            let size = size_name(parts[0].size.bytes());
            for (range, len) in [(4096, 4096), (65_536, 65_536)] {
                let name = format!("a range of {} out of {size} segments", size_name(range));
                note(name, "µs", parts[0].ranges(len, round as u64));
            }
        }
        for (name, nanos) in rows() {
            note(name.to_owned(), "ns", nanos);
        }
    }

    let mut out = std::io::stdout().lock();
    writeln!(out, "medians of {rounds} interleaved rounds (lowest, highest)")?;
    for (name, unit, mut values) in results {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[0], values[values.len() - 1]);
        let median = values[values.len() / 2];
        writeln!(out, "{name:<62} {median:>9.2} {unit} ({low:.2}, {high:.2})")?;
    }
    Ok(())
}

/// Index of the segment size, and bytes moved at once.
const BATCHES: [(usize, usize); 5] =
    [(0, 256 * 1024), (0, MEGABYTE), (1, 256 * 1024), (1, MEGABYTE), (2, MEGABYTE)];

#[derive(Clone, Copy, Debug)]
enum Verb {
    Seal,
    Open,
}

/// One thread's sealed part, its cipher, and the buffers of a pool of one.
struct Part {
    size: SegmentSize,
    layout: Layout,
    cipher: SegmentCipher,
    sealed: Vec<u8>,
    buffer: Vec<u8>,
}

impl Part {
    fn new(size: SegmentSize) -> Self {
        let header = Header::generate(&OsEntropy);
        let cipher = MainKey::generate(&OsEntropy).cipher(&header, b"measured");
        let layout = Layout::of_ciphertext(size, SPAN as u64).expect("whole segments");
        let mut part =
            Self { size, layout, cipher, sealed: vec![0x5a; SPAN], buffer: vec![0; 2 * MEGABYTE] };
        part.in_place(Verb::Seal);
        part
    }

    /// Opens or seals every segment where it lies.
    fn in_place(&mut self, verb: Verb) {
        for index in 0..self.layout.segments() {
            let place = self.layout.segment(index).ciphertext;
            let segment = &mut self.sealed[memory(place.start)..memory(place.end)];
            run(&self.cipher, &self.layout, verb, index, segment);
        }
    }

    /// Copies batch after batch into one buffer, as a read of a file or a socket would, and seals
    /// or opens there. Batches are aligned to segments; the header goes with the first.
    fn batched(&mut self, verb: Verb, batch: usize) {
        let per_batch = u32::try_from(batch / self.size.bytes()).expect("a few");
        for first in (0..self.layout.segments()).step_by(per_batch as usize) {
            let end = (first + per_batch).min(self.layout.segments());
            let from = memory(self.layout.segment(first).ciphertext.start);
            let to = memory(self.layout.segment(end - 1).ciphertext.end);
            self.buffer[..to - from].copy_from_slice(&self.sealed[from..to]);
            for index in first..end {
                let place = self.layout.segment(index).ciphertext;
                let segment =
                    &mut self.buffer[memory(place.start) - from..memory(place.end) - from];
                run(&self.cipher, &self.layout, verb, index, segment);
            }
            black_box(&mut self.buffer);
        }
    }

    /// Microseconds to open the segments that hold a range at a random offset.
    fn ranges(&mut self, len: u64, seed: u64) -> f64 {
        let mut state = seed;
        let started = processor();
        for _ in 0..RANGES {
            state =
                state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let offset = (state >> 16) % (self.layout.plaintext_len() - len);
            let (first, last) =
                (self.layout.holding(offset), self.layout.holding(offset + len - 1));
            for index in first..=last {
                let place = self.layout.segment(index).ciphertext;
                let (from, to) = (memory(place.start), memory(place.end));
                let segment = &mut self.buffer[..to - from];
                segment.copy_from_slice(&self.sealed[from..to]);
                run(&self.cipher, &self.layout, Verb::Open, index, segment);
            }
            black_box(&mut self.buffer);
        }
        seconds(started) * 1e6 / number(RANGES)
    }
}

fn run(cipher: &SegmentCipher, layout: &Layout, verb: Verb, index: u32, segment: &mut [u8]) {
    let position = layout.position(index);
    match verb {
        Verb::Open => {
            let opened = cipher.open_in_place(position, segment);
            assert!(opened.is_ok(), "what was sealed opens");
        }
        Verb::Seal => {
            let (plaintext, tag) =
                segment.split_last_chunk_mut::<TAG_LEN>().expect("a segment has a tag");
            *tag = cipher.seal_in_place(position, plaintext);
        }
    }
}

/// Gigabytes (10⁹) per second of processor time, added up over threads that each have a part of
/// their own.
fn on_threads(parts: &mut [Part], work: impl Fn(&mut Part) + Sync) -> f64 {
    let speed = |part: &mut Part| {
        let started = processor();
        work(part);
        number(SPAN) / seconds(started) / 1e9
    };
    thread::scope(|scope| {
        let threads: Vec<_> = parts.iter_mut().map(|part| scope.spawn(|| speed(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("measuring does not panic")).sum()
    })
}

/// Nanoseconds per row of 200 bytes, and what of that is the derivation.
fn rows() -> [(&'static str, f64); 4] {
    let key = MainKey::generate(&OsEntropy);
    let row = |id: [u8; 16]| Bound {
        table: "blob",
        column: "sealed",
        registry: RegistryId::from_bytes([1; 16]),
        epoch: Epoch::FIRST,
        row: RowId::from_bytes(id),
        index: &[7; 32],
        clear: &[],
    };
    let aad = row([2; 16]).aad();
    let plaintext = [0x5a; ROW_LEN];
    let sealed = key.seal(&OsEntropy, SegmentSize::ROW, &aad, &plaintext);
    let salt: [u8; 32] = sealed[1..33].try_into().expect("32 bytes of salt");
    let entropy: &dyn Entropy = &OsEntropy;
    [
        ("bound data of a row", each(|| black_box(row([3; 16]).aad()).len())),
        ("HKDF of a row", each(|| hkdf(&salt, key.dangerous_expose(), &aad).len())),
        (
            "seal a row of 200 bytes",
            each(|| key.seal(entropy, SegmentSize::ROW, &aad, &plaintext).len()),
        ),
        (
            "open a row of 200 bytes",
            each(|| key.open(SegmentSize::ROW, &aad, &sealed).expect("it was just sealed").len()),
        ),
    ]
}

fn each(mut work: impl FnMut() -> usize) -> f64 {
    let started = processor();
    for _ in 0..ROWS {
        black_box(work());
    }
    seconds(started) * 1e9 / number(ROWS)
}

/// The processor time of this thread: what other work on the machine takes does not count.
fn processor() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("processor time is positive")
}

fn seconds(started: Duration) -> f64 {
    processor().saturating_sub(started).max(Duration::from_nanos(1)).as_secs_f64()
}

fn size_name(bytes: usize) -> String {
    if bytes < MEGABYTE { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn memory(offset: u64) -> usize {
    usize::try_from(offset).expect("a part in memory")
}

#[expect(clippy::cast_precision_loss, reason = "figures are printed with four digits")]
fn number(count: usize) -> f64 {
    count as f64
}
