"""Uses keys by the SDK and by plain requests, from several threads, and counts what was answered.

Argument: an instance's `bootstrap.json`. Prints one JSON object: for each operation by the name that
the audit trail has for it, how often which status was answered.
"""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient

from house import House, Rest, b64

NAMES = {
    "encrypt": "KeyEncrypt", "decrypt": "KeyDecrypt", "wrapkey": "KeyWrap",
    "unwrapkey": "KeyUnwrap", "sign": "KeySign", "verify": "KeyVerify", "create": "KeyCreate",
    "rng": "RandomBytesGet",
}
ROUNDS, THREADS = 12, 4


class Count(SansIOHTTPPolicy):
    """Sees what goes over the wire, and nothing of what the server writes down."""

    def __init__(self):
        self.counted, self.lock = Counter(), threading.Lock()

    def on_response(self, request, response):
        self.note(request.http_request.method, request.http_request.url,
                  response.http_response.status_code)

    def note(self, method, url, status):
        # Who has no token is counted by the trail, not recorded one by one.
        if status == 401:
            return
        word = url.split("?")[0].rstrip("/").rsplit("/", 1)[1].lower()
        name = NAMES.get(word) if method == "POST" else "KeyGet" if method == "GET" else None
        assert name, (method, url)
        with self.lock:
            self.counted[name, status] += 1


class Counted(Rest):
    def __init__(self, url, token, count):
        super().__init__(url, token)
        self.session.headers["User-Agent"], self.count = "counted", count

    def ask(self, method, path, *arguments, **named):
        reply = super().ask(method, path, *arguments, **named)
        self.count.note(method, path, reply.status_code)
        return reply


def by_sdk(house, url, key_id, count):
    credential = house.credential()
    crypto = CryptographyClient(key_id, credential, custom_hook_policy=count)
    client = KeyClient(url, credential, custom_hook_policy=count)
    for _ in range(ROUNDS):
        wrapped = crypto.wrap_key("RSA-OAEP-256", b"a key").encrypted_key
        assert crypto.unwrap_key("RSA-OAEP-256", wrapped).key == b"a key"
        signature = crypto.sign("PS256", bytes(32)).signature
        assert crypto.verify("PS256", bytes(32), signature).is_valid
        client.get_random_bytes(count=1)
        for work in (lambda: crypto.decrypt("RSA-OAEP-256", bytes(256)),
                     lambda: client.get_key("nothing")):
            try:
                work()
                raise AssertionError("nothing was refused")
            except HttpResponseError:
                pass


def by_hand(rest, off):
    for _ in range(ROUNDS):
        body = {"alg": "RSA-OAEP-256", "value": b64(b"a key")}
        closed = rest.good("POST", "/keys/k/encrypt", body)
        body["value"] = closed["value"]
        rest.good("POST", "/keys/k/decrypt", body)
        rest.good("POST", "/keys/k/unwrapkey", body)
        assert rest.ask("POST", f"/keys/{off}/unwrapkey", body).status_code == 403
        assert rest.ask("POST", "/keys/nothing/unwrapkey", body).status_code == 404


def main():
    house, count = House(), Count()
    url = house.make_vault("counted")
    rest = Counted(url, house.token(), count)
    made = rest.good("POST", "/keys/k/create", {"kty": "RSA"})["key"]["kid"]
    rest.good("POST", "/keys/off/create", {"kty": "RSA", "attributes": {"enabled": False}})
    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(by_sdk, house, url, made, count) for _ in range(THREADS // 2)]
        work += [pool.submit(by_hand, Counted(url, house.token(), count), "off")
                 for _ in range(THREADS // 2)]
        for each in work:
            each.result()
    told = {}
    for (name, status), number in count.counted.items():
        told.setdefault(name, {})[str(status)] = number
    print(json.dumps(told))


main()
