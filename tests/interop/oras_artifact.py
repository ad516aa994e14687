"""Pushes an artifact with PyPI's oras and pulls it back; the bytes must be the same.

    oras_artifact.py REGISTRY REPOSITORY FOLDER [USER SECRET]

REGISTRY speaks plain HTTP to whoever gives no user. Prints one line if all is well, fails otherwise.
"""

import hashlib
import os
import sys

from oras.client import OrasClient


def main(registry, repository, folder, user=None, secret=None):
    os.chdir(folder)
    content = b"".join(hashlib.sha256(bytes([n % 251, n // 251])).digest() for n in range(40_000))
    with open("artifact.bin", "wb") as file:
        file.write(content)
    client = OrasClient(hostname=registry, insecure=user is None)
    if user is not None:
        client.login(user, secret, hostname=registry, config_path=f"{folder}/config.json")
    target = f"{registry}/{repository}:v1"
    pushed = client.push(
        target=target,
        files=["artifact.bin:application/vnd.example.artifact"],
        manifest_annotations={"org.example.key": "a value"},
        disable_path_validation=True,
    )
    assert pushed.status_code == 201, pushed.status_code
    os.mkdir("back")
    files = client.pull(target=target, outdir="back")
    with open(files[0], "rb") as file:
        assert file.read() == content, "other bytes came back"
    manifest = client.get_manifest(target)
    assert manifest["annotations"]["org.example.key"] == "a value", manifest
    assert client.get_tags(f"{registry}/{repository}") == ["v1"]
    chunked = client.push(
        target=f"{registry}/{repository}:v2",
        files=["artifact.bin"],
        disable_path_validation=True,
        do_chunked=True,
        chunk_size=300_000,
    )
    assert chunked.status_code == 201, chunked.status_code
    print("oras: pushed and pulled", len(content), "bytes")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 6):
        sys.exit("usage: oras_artifact.py REGISTRY REPOSITORY FOLDER [USER SECRET]")
    main(*sys.argv[1:])
