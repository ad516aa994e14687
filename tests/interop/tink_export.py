"""Opens with Google Tink what `lockyard debug export-part --dangerous` wrote.

    tink_export.py FOLDER OUTPUT

FOLDER holds part-N.ciphertext, part-N.aad and part-N.keyset.json, counted from 0; OUTPUT becomes
the blob. Needs PyPI's tink.
"""

import os
import sys

from tink import json_proto_keyset_format, secret_key_access, streaming_aead


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def main(folder, output):
    streaming_aead.register()
    number = 0
    with open(output, "wb") as blob:
        while os.path.exists(os.path.join(folder, f"part-{number}.ciphertext")):
            keyset = read(folder, f"part-{number}.keyset.json").decode()
            handle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
            aead = handle.primitive(streaming_aead.StreamingAead)
            sealed = open(os.path.join(folder, f"part-{number}.ciphertext"), "rb")
            with aead.new_decrypting_stream(sealed, read(folder, f"part-{number}.aad")) as part:
                blob.write(part.read())
            number += 1
    if number == 0:
        sys.exit("no parts in the folder")
    print("tink: opened", number, "parts")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tink_export.py FOLDER OUTPUT")
    main(sys.argv[1], sys.argv[2])
