//! Searching every byte of every file for what must not be there.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use memchr::memmem;

/// Something that must not be found, in every form in which it could be.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) what: String,
    pub(crate) forms: Vec<Vec<u8>>,
}

impl Mark {
    /// Returns a text's mark: as it is, in hex, in base64, and with its letters 16 bits wide.
    pub(crate) fn text(text: &str) -> Self {
        let bytes = text.as_bytes();
        let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut forms = vec![bytes.to_vec(), hex::encode(bytes).into_bytes(), wide];
        forms.extend(base64_cores(bytes));
        Self { what: format!("`{text}`"), forms }
    }

    /// Returns a digest's mark: raw, in hex of either case, and in base64.
    pub(crate) fn digest(digest: &str) -> Self {
        let hexadecimal = digest.split_once(':').map_or(digest, |(_, encoded)| encoded);
        let raw = hex::decode(hexadecimal).expect("a digest is hex");
        let upper = hexadecimal.to_uppercase().into_bytes();
        let mut forms = vec![hexadecimal.as_bytes().to_vec(), upper, raw.clone()];
        forms.extend(base64_cores(&raw));
        Self { what: format!("the digest `{digest}`"), forms }
    }

    /// Returns some bytes' own mark.
    pub(crate) fn bytes(what: &str, bytes: &[u8]) -> Self {
        Self { what: what.to_owned(), forms: vec![bytes.to_vec()] }
    }
}

/// Returns what base64 makes of some bytes wherever in a longer text they stand: the middle, for
/// each of the three places at which they can begin.
fn base64_cores(bytes: &[u8]) -> Vec<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| ALPHABET[usize::try_from(bits & 63).expect("six bits fit")];
    let from = |skip: usize| -> Vec<u8> {
        let groups = bytes.get(skip..).unwrap_or_default().chunks_exact(3);
        groups
            .flat_map(|group| {
                let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
                [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)]
            })
            .collect()
    };
    (0..3).map(from).filter(|core| core.len() >= 12).collect()
}

/// Returns a sentence for each mark found in a folder's files or file names.
pub(crate) fn found_in(folder: &Path, marks: &[Mark]) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = 0_usize;
    visit(folder, &mut |path| {
        files += 1;
        let shown = path.display().to_string();
        found.extend(found_in_bytes(
            &format!("the name {shown}"),
            path.as_os_str().as_bytes(),
            marks,
        ));
        // Sockets can't be read and hold nothing; a file may vanish while we look.
        if let Ok(content) = fs::read(path) {
            found.extend(found_in_bytes(&shown, &content, marks));
        }
    });
    assert!(files > 0, "nothing to search in {}", folder.display());
    found
}

/// Returns a sentence for each mark found in some bytes.
pub(crate) fn found_in_bytes(place: &str, content: &[u8], marks: &[Mark]) -> Vec<String> {
    let mut found = Vec::new();
    for mark in marks {
        for form in &mark.forms {
            if memmem::find(content, form).is_some() {
                let form = String::from_utf8_lossy(form);
                found.push(format!("{} as {form:?} in {place}", mark.what));
            }
        }
    }
    found
}

fn visit(folder: &Path, visitor: &mut impl FnMut(&Path)) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            visit(&path, visitor);
        } else {
            visitor(&path);
        }
    }
}
