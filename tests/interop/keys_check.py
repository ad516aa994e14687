"""Recomputes the published key vectors with nothing but Python's standard library.

    keys_check.py VECTORS

VECTORS is docs/spec/vectors/keys.json. What is sealed there is opened by the seal crate's own
tests, since the standard library has no AES.

Exits 1 and names each failure if there is one; prints one summary line otherwise.
"""

import hashlib
import hmac
import json
import struct
import sys


def mac(key, message):
    """HMAC-SHA-256."""
    return hmac.new(key, message, hashlib.sha256).digest()


def expand(prk, info):
    """The first 32 bytes of HKDF-Expand."""
    return mac(prk, info + b"\x01")


def hkdf(salt, ikm, info):
    """32 bytes of HKDF-SHA-256."""
    return expand(mac(salt or bytes(32), ikm), info)


def pae(*pieces):
    """PASETO's pre-authentication encoding."""
    out = struct.pack("<Q", len(pieces))
    for piece in pieces:
        out += struct.pack("<Q", len(piece)) + piece
    return out


def checks(keys):
    """Pairs of what is published and what it should be, each with a name."""
    raw = bytes.fromhex
    for case in keys["pae"]:
        yield "pae", case["encoded"], pae(*map(raw, case["pieces"]))
    for case in keys["bound_row"]:
        yield "bound_row", case["aad"], pae(
            b"\x01",
            case["table"].encode(),
            case["column"].encode(),
            raw(case["registry"]),
            struct.pack(">Q", case["epoch"]),
            case["row"].encode(),
            raw(case["index"]),
            *map(raw, case["clear"]),
        )
    for case in keys["bound_part"]:
        yield "bound_part", case["aad"], pae(
            b"\x01", bytes([case["log2_segment"]]), raw(case["registry"]), case["part"].encode()
        )
    for case in keys["blind_index"]:
        scope = (case["scope"] or "").encode()
        message = pae(case["kind"].encode(), scope, raw(case["value"]))
        yield "blind_index", case["index"], mac(raw(case["index_key"]), message)
    for case in keys["service_purpose"]:
        derived = hkdf(b"", raw(case["service_key"]), case["info"].encode())
        yield "service_purpose", case["derived"], derived
    for case in keys["registry_key"]:
        registry, epoch = raw(case["registry"]), struct.pack(">Q", case["epoch"])
        customer = case["customer_share"]
        info = b"lockyard/v1/registry" + (b"" if customer is None else b"+customer")
        shares = raw(case["service_share"]) + raw(customer or "")
        key = hkdf(registry + epoch, shares, info)
        row = case["index_key_row"].encode()
        place = pae(b"\x01", b"index_key", b"sealed", registry, epoch, row, b"")
        yield "info", case["info"].encode().hex(), info
        yield "salt", case["salt"], registry + epoch
        yield "registry_key", case["registry_key"], key
        yield "check", case["check"], expand(key, b"lockyard/v1/check")
        yield "row_key", case["row_key"], expand(key, b"lockyard/v1/row")
        yield "index_key_aad", case["index_key_aad"], place
        share_aad = pae(b"service share", registry, epoch)
        yield "service_share_aad", case["service_share_aad"], share_aad


def main(path):
    with open(path, encoding="utf-8") as file:
        results = list(checks(json.load(file)))
    failures = [name for name, published, computed in results if published != computed.hex()]
    for name in failures:
        print(f"keys_check: a published `{name}` is wrong", file=sys.stderr)
    if failures or not results:
        return 1
    print(f"keys_check: {len(results)} published values agree")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: keys_check.py VECTORS")
    sys.exit(main(sys.argv[1]))
