"""Holds the published sealed streams against Google Tink, in both directions.

    tink_check.py VECTORS OUTPUT

Every positive stream of VECTORS (docs/spec/vectors/sealed-stream.json) must open with Tink to its
plaintext, every negative one must not: except those that name what Tink reads of them, since its
reader ignores whatever follows a full last segment, and allows a last segment to be empty behind a
full one ("Where this is stricter than Tink" in docs/spec/sealed-stream.md). Then Tink seals streams of its own into OUTPUT, in the form
of VECTORS, for `cargo run -p lockyard-seal --example vectors -- open OUTPUT`. Needs PyPI's tink.

Exits 1 and names each failure if there is one; prints one summary line otherwise.
"""

import base64
import io
import json
import os
import sys

import tink
from tink import json_proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2

TYPE_URL = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"


def primitive(main_key, log2_segment):
    """The streaming AEAD with this key and segment size."""
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=main_key)
    key.params.ciphertext_segment_size = 1 << log2_segment
    key.params.derived_key_size = 32
    key.params.hkdf_hash_type = common_pb2.SHA256
    keyset = {
        "primaryKeyId": 1,
        "key": [
            {
                "keyData": {
                    "typeUrl": TYPE_URL,
                    "keyMaterialType": "SYMMETRIC",
                    "value": base64.b64encode(key.SerializeToString()).decode(),
                },
                "outputPrefixType": "RAW",
                "keyId": 1,
                "status": "ENABLED",
            }
        ],
    }
    handle = json_proto_keyset_format.parse(json.dumps(keyset), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def open_stream(vector, sealed):
    """The plaintext, or None if Tink refuses the stream."""
    aead = primitive(bytes.fromhex(vector["main_key"]), vector["log2_segment"])
    aad = bytes.fromhex(vector["aad"])
    try:
        with aead.new_decrypting_stream(io.BytesIO(sealed), aad) as stream:
            return stream.read()
    except tink.TinkError:
        return None


class Kept(io.BytesIO):
    """A sink whose bytes outlive its closing."""

    def close(self):
        self.kept = self.getvalue()
        super().close()


def seal_stream(vector, content):
    """The stream that Tink makes of the content."""
    aead = primitive(bytes.fromhex(vector["main_key"]), vector["log2_segment"])
    sink = Kept()
    with aead.new_encrypting_stream(sink, bytes.fromhex(vector["aad"])) as stream:
        stream.write(content)
    return sink.kept


def plaintext(length):
    """The rule by which vectors name a plaintext."""
    return bytes((7 * at + at // 256) % 256 for at in range(length))


def pieced(negative, positive):
    """A negative stream, put together."""
    sealed = bytes.fromhex(positive["sealed"])
    pieces = negative["sealed"]
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else sealed[piece[0] : piece[1]]
        for piece in pieces
    )


def new_streams():
    """Streams sealed by Tink, at the borders of each segment size."""
    for log2_segment in (12, 13, 16, 18, 20, 24):
        first, other = (1 << log2_segment) - 56, (1 << log2_segment) - 16
        lengths = {0, 1, first - 1, first, first + 1}
        if log2_segment <= 16:
            lengths |= {first + other - 1, first + other, first + other + 1, first + 3 * other}
        if log2_segment >= 20:
            lengths = {0, 1, 100_000}
        for length in sorted(lengths):
            vector = {
                "name": f"{length} bytes in segments of 2^{log2_segment}, sealed by Tink",
                "main_key": os.urandom(32).hex(),
                "aad": os.urandom(length % 300).hex(),
                "log2_segment": log2_segment,
                "plaintext_len": length,
            }
            vector["sealed"] = seal_stream(vector, plaintext(length)).hex()
            yield vector


def main(vectors_path, output_path):
    streaming_aead.register()
    with open(vectors_path, encoding="utf-8") as file:
        vectors = json.load(file)
    failures, lenient = [], 0

    positives = {vector["name"]: vector for vector in vectors["positive"]}
    for name, vector in positives.items():
        if open_stream(vector, bytes.fromhex(vector["sealed"])) != plaintext(vector["plaintext_len"]):
            failures.append(f"tink does not open `{name}`")
    for negative in vectors["negative"]:
        positive = positives[negative["of"]]
        vector = {**positive, **negative}
        reads = negative.get("tink_reads")
        expected = None if reads is None else plaintext(reads)
        lenient += reads is not None
        if open_stream(vector, pieced(negative, positive)) != expected:
            failures.append(f"tink opens, or does not read as expected, `{negative['name']}`")

    sealed = list(new_streams())
    about = "Sealed by Tink; the form of docs/spec/vectors/sealed-stream.json."
    with open(output_path, "w", encoding="utf-8") as file:
        json.dump({"about": about, "positive": sealed, "negative": []}, file, indent=2)

    for failure in failures:
        print(f"tink_check: {failure}", file=sys.stderr)
    if failures or not positives or not vectors["negative"]:
        return 1
    print(
        f"tink_check: {len(positives)} positive streams open, "
        f"{len(vectors['negative']) - lenient} negative ones do not, "
        f"{lenient} are read as expected, {len(sealed)} sealed by tink"
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tink_check.py VECTORS OUTPUT")
    sys.exit(main(sys.argv[1], sys.argv[2]))
