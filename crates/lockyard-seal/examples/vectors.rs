//! Prints the published vectors, and opens streams that another implementation sealed.
//!
//! `vectors sealed-stream` and `vectors keys` print the files of `docs/spec/vectors/`, always the
//! same. `vectors open FILE` opens every positive stream of a file of the same form; it fails if
//! there is none, or if one does not open to its plaintext. The main keys here are examples and
//! protect nothing.

use std::{error::Error, fs, io::Write as _};

use lockyard_seal::{MainKey, SegmentSize};

#[path = "../tests/it/keys.rs"]
mod keys;
#[path = "../tests/it/streams.rs"]
mod streams;
#[path = "../tests/it/vectors.rs"]
mod vectors;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let out = match words[..] {
        ["sealed-stream"] => serde_json::to_string_pretty(&streams::streams())?,
        ["keys"] => serde_json::to_string_pretty(&keys::keys())?,
        ["open", path] => open(path)?,
        _ => return Err("usage: vectors sealed-stream | keys | open FILE".into()),
    };
    writeln!(std::io::stdout(), "{out}")?;
    Ok(())
}

fn open(path: &str) -> Result<String, Box<dyn Error>> {
    let file: vectors::Streams = serde_json::from_str(&fs::read_to_string(path)?)?;
    for stream in &file.positive {
        let main = MainKey::from_bytes(&stream.main_key.array());
        let size = SegmentSize::from_log2(stream.log2_segment)?;
        let opened = main
            .open(size, &stream.aad.0, &stream.sealed.0)
            .map_err(|damaged| format!("`{}`: {damaged}", stream.name))?;
        if *opened != streams::plaintext(stream.plaintext_len) {
            return Err(format!("`{}` opens to another plaintext", stream.name).into());
        }
    }
    match file.positive.len() {
        0 => Err("the file has no positive streams".into()),
        count => Ok(format!("vectors: {count} foreign streams open")),
    }
}
