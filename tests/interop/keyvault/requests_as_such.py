"""Plain requests to a vault, as clients of all ages send them, and what they get.

Argument: an instance's `bootstrap.json`. Prints a line for each part that is done.
"""

import os
import time

from house import House, b64, done, unb64

OAEP = "RSA-OAEP-256"


class Requests:
    def __init__(self):
        self.house = House()
        self.url = self.house.make_vault("plain")
        self.rest = self.house.rest("plain")

    def create(self, name, **body):
        return self.rest.good("POST", f"/keys/{name}/create", {"kty": "EC", **body})

    def versions(self):
        """Any version of the interface is served, and one has to be named."""
        rest = self.rest
        for version in ("2016-10-01", "7.0", "7.4", "7.6-preview.2", "2025-07-01",
                        "2026-03-01-preview", "2199-12-31"):
            rest.good("GET", "/keys", query=f"api-version={version}")
            rest.good("GET", "/keys", query=f"API%2DVersion={version}")
        for query in ("", "api-version="):
            assert "api-version" in rest.refused("GET", "/keys", 400, "BadParameter", query=query)
        done("versions")

    def methods(self):
        """Clients behind narrow proxies say in a header which method they mean."""
        rest = self.rest
        self.create("methods")
        for header in ("X-HTTP-Method", "X-HTTP-Method-Override"):
            tags = {"by": header}
            said = {header: "PATCH"}
            rest.good("POST", "/keys/methods", {"tags": tags}, headers=said)
            assert rest.good("GET", "/keys/methods")["tags"] == tags
        rest.good("POST", "/keys/methods", headers={"X-HTTP-Method": "DELETE"})
        rest.refused("GET", "/keys/methods", 404, "KeyNotFound")
        refused = rest.ask("PUT", "/keys")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET"), refused.text
        done("methods")

    def names(self):
        """Names are read in any case and at any port, and written as they are now."""
        rest = self.rest
        made = self.create("Names")["key"]["kid"]
        assert made.startswith(f"{self.url}/keys/Names/"), made
        version = made.rsplit("/", 1)[1]
        assert len(version) == 32 and version == version.lower()
        host = self.house.suffix
        for said in (f"plain.{host}", f"PLAIN.{host.upper()}", f"plain.{host}:8443",
                     f"Plain.{host}:443"):
            for path in ("/keys/names", "/Keys/NAMES/", f"/keys/Names/{version.upper()}"):
                shown = rest.good("GET", path, headers={"Host": said})
                assert shown["key"]["kid"] == made, (said, path, shown)
        again = self.create("NAMES")
        assert again["key"]["kid"].startswith(f"{self.url}/keys/Names/"), "one key, as it was named"
        page = rest.good("GET", "/keys?maxresults=1", headers={"Host": f"plain.{host}:8443"})
        assert page["value"][0]["kid"] == f"{self.url}/keys/Names", page
        assert rest.good("GET", "/keys/nothing/versions") == {"value": [], "nextLink": None}
        done("names")

    def kinds(self):
        """A key of an -HSM kind is one, and says that no hardware is behind it."""
        for kind in ("RSA", "RSA-HSM", "EC", "EC-HSM"):
            made = self.create(f"kind-{kind}", kty=kind.lower())
            assert made["key"]["kty"] == kind, made
            told = made["attributes"]
            assert (told["hsmPlatform"], told["exportable"]) == ("0", False), told
        done("kinds")

    def validity(self):
        """What was wrapped is unwrapped whatever the hour; what is disabled does nothing."""
        rest, key = self.rest, "/keys/validity"
        self.create("validity", kty="RSA")
        secret, digest = os.urandom(32), {"alg": "PS256", "value": b64(os.urandom(32))}
        wrap = {"alg": OAEP, "value": b64(secret)}
        wrapped = rest.good("POST", f"{key}/wrapkey", wrap)["value"]
        signed = {"alg": "PS256", "digest": digest["value"],
                  "value": rest.good("POST", f"{key}/sign", digest)["value"]}
        unwrap = {"alg": OAEP, "value": wrapped}
        now = int(time.time())
        for attributes, inner, says in (
                ({"nbf": now + 3600, "exp": now + 7200}, "KeyNotYetValid", "not yet valid"),
                ({"nbf": now - 7200, "exp": now - 3600}, "KeyExpired", "expired")):
            told = rest.good("PATCH", key, {"attributes": attributes})["attributes"]
            assert attributes.items() <= told.items(), told
            for verb, body in (("wrapkey", wrap), ("encrypt", wrap), ("sign", digest)):
                message = rest.refused("POST", f"{key}/{verb}", 403, "Forbidden", inner, body)
                assert says in message, message
            for verb in ("unwrapkey", "decrypt"):
                assert unb64(rest.good("POST", f"{key}/{verb}", unwrap)["value"]) == secret
            assert rest.good("POST", f"{key}/verify", signed) == {"value": True}
        rest.good("PATCH", key, {"attributes": {"enabled": False}})
        for verb, body in (("unwrapkey", unwrap), ("decrypt", unwrap), ("wrapkey", wrap),
                           ("encrypt", wrap), ("sign", digest), ("verify", signed)):
            message = rest.refused("POST", f"{key}/{verb}", 403, "Forbidden", "KeyDisabled", body)
            word = {"unwrapkey": "unwrapKey", "wrapkey": "wrapKey"}.get(verb, verb)
            assert message == f"Operation {word} is not allowed on a disabled key.", message
        assert rest.good("GET", key)["attributes"]["enabled"] is False
        done("validity")

    def deletion(self):
        """What is deleted says until when it can come back, by the vault's own span."""
        for vault, days, more, level in (
                ("plain", 90, {}, "Recoverable+Purgeable"),
                ("plain7", 7, {"softDeleteRetentionInDays": 7}, "CustomizedRecoverable+Purgeable"),
                ("plain7p", 7, {"softDeleteRetentionInDays": 7, "enablePurgeProtection": True},
                 "CustomizedRecoverable"),
                ("plain90p", 90, {"enablePurgeProtection": True}, "Recoverable")):
            if vault != "plain":
                self.house.make_vault(vault, **more)
            rest = self.house.rest(vault)
            rest.good("POST", "/keys/k/create", {"kty": "EC"})
            gone = rest.good("DELETE", "/keys/k")
            told = gone["attributes"]
            assert (told["recoverableDays"], told["recoveryLevel"]) == (days, level), told
            assert gone["scheduledPurgeDate"] - gone["deletedDate"] == days * 86_400
            assert gone["recoveryId"] == f"{self.house.url(vault)}/deletedkeys/k"
            assert rest.good("GET", "/deletedkeys/k") == gone
            listed, = rest.good("GET", "/deletedkeys?maxresults=1")["value"]
            assert listed["kid"] == f"{self.house.url(vault)}/keys/k", listed
            for name in ("recoveryId", "deletedDate", "scheduledPurgeDate"):
                assert listed[name] == gone[name], listed
            if level.endswith("Purgeable"):
                assert rest.ask("DELETE", "/deletedkeys/k").status_code == 204
            else:
                rest.refused("DELETE", "/deletedkeys/k", 403, "Forbidden")
                assert rest.good("POST", "/deletedkeys/k/recover", {})["key"] == gone["key"]
        done("deletion")

    def errors(self):
        """Each refusal in the envelope that clients know, with the words that they look for."""
        rest, house = self.rest, self.house
        nobody = rest.__class__(self.url, None)
        reply = nobody.ask("POST", "/keys/k/create", {"kty": "EC"})
        assert reply.status_code == 401 and reply.json() == {"error": {
            "code": "Unauthorized",
            "message": "AKV10000: Request is missing a Bearer or PoP token."}}, reply.text
        assert reply.headers["www-authenticate"] == (
            f'Bearer authorization="{house.where["loginEndpoint"]}/{house.where["tenantId"]}", '
            f'resource="https://{house.suffix}"')
        message = rest.refused("GET", "/keys/nothing", 404, "KeyNotFound")
        assert message.startswith("A key with (name/id) nothing was not found in this key vault")
        self.create("deleted")
        rest.good("DELETE", "/keys/deleted")
        message = rest.refused("POST", "/keys/deleted/create", 409, "Conflict",
                               "ObjectIsDeletedButRecoverable", {"kty": "EC"})
        assert message.startswith("Key deleted is currently in a deleted but recoverable state")
        who = f"oid={house.object_id()};iss=https://sts.windows.net/{house.where['tenantId']}/"
        house.make_vault("plainpol", enableRbacAuthorization=False)
        message = house.rest("plainpol").refused(
            "GET", "/keys", 403, "Forbidden", "ForbiddenByPolicy")
        assert who in message and "does not have keys list permission on key vault 'plainpol;" \
            "location=eastus'" in message, message
        house.make_vault("plainshut", networkAcls={"defaultAction": "Deny"})
        message = house.rest("plainshut").refused(
            "GET", "/keys", 403, "Forbidden", "ForbiddenByFirewall")
        assert "\r\nClient address: 127.0.0.1\r\nCaller: appid=" in message and who in message
        house.make_vault("plainoff", publicNetworkAccess="Disabled")
        house.rest("plainoff").refused("GET", "/keys", 403, "Forbidden", "ForbiddenByFirewall")
        reply = rest.session.post(f"{self.url}/keys/k/create?api-version=7.4", data="{no json")
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "BadParameter")
        done("errors")


def main():
    requests = Requests()
    for part in ("versions", "methods", "names", "kinds", "validity", "deletion", "errors"):
        getattr(requests, part)()


main()
