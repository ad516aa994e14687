//! Seals and opens a whole small stream in memory: what rows need.
//!
//! Parts are never handled here: they are sealed segment by segment as they arrive, by whoever
//! moves the bytes. The format is the same.

use lockyard_base::Entropy;
use zeroize::Zeroizing;

use crate::{Damaged, HEADER_LEN, Header, Layout, MainKey, SegmentSize, TAG_LEN};

impl MainKey {
    /// Seals `plaintext` as a stream of its own, bound to `aad`, under a freshly derived key.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        size: SegmentSize,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Vec<u8> {
        let layout = Layout::of_plaintext(size, plaintext.len() as u64)
            .expect("no plaintext in memory exhausts the segment counter");
        let header = Header::generate(entropy);
        let cipher = self.cipher(&header, aad);

        let mut out = Vec::with_capacity(in_memory(layout.ciphertext_len()));
        out.extend_from_slice(header.as_bytes());
        for index in 0..layout.segments() {
            let place = layout.segment(index);
            let start = out.len();
            assert_eq!(start as u64, place.ciphertext.start, "segments follow each other");
            out.extend_from_slice(
                &plaintext[in_memory(place.plaintext.start)..in_memory(place.plaintext.end)],
            );
            let tag = cipher.seal_in_place(layout.position(index), &mut out[start..]);
            out.extend_from_slice(&tag);
        }
        assert_eq!(out.len() as u64, layout.ciphertext_len(), "the stream is as long as laid out");
        out
    }

    /// Opens a whole stream that was sealed under this key, this segment size and this `aad`.
    ///
    /// All or nothing: no plaintext is returned unless every segment opened.
    pub fn open(
        &self,
        size: SegmentSize,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let layout = Layout::of_ciphertext(size, sealed.len() as u64)?;
        let header = Header::parse(sealed)?;
        let cipher = self.cipher(&header, aad);

        // Room for the last tag too: a buffer that grew would leave plaintext where it was.
        let capacity = in_memory(layout.plaintext_len()) + TAG_LEN;
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        let allocated = out.capacity();
        let mut rest = sealed.get(HEADER_LEN..).ok_or(Damaged)?;
        for index in 0..layout.segments() {
            let place = layout.segment(index);
            let length = in_memory(place.ciphertext.end - place.ciphertext.start);
            let (segment, behind) = rest.split_at_checked(length).ok_or(Damaged)?;
            rest = behind;
            let start = out.len();
            out.extend_from_slice(segment);
            let opened = cipher.open_in_place(layout.position(index), &mut out[start..])?.len();
            out.truncate(start + opened);
        }
        assert!(rest.is_empty(), "the layout covers the whole stream");
        assert_eq!(
            out.len() as u64,
            layout.plaintext_len(),
            "the plaintext is as long as laid out"
        );
        assert_eq!(out.capacity(), allocated, "the buffer never moved");
        Ok(out)
    }
}

fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("a length within a buffer fits usize")
}
