"""Every operation of PyPI azure-keyvault-keys, unmodified, with its check of the challenge on.

Argument: an instance's `bootstrap.json`. Prints a line for each part that is done.
"""

import asyncio
import os
from datetime import datetime, timedelta, timezone

from azure.core.exceptions import (
    ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError)
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.keyvault.keys import (
    JsonWebKey, KeyClient, KeyCurveName, KeyOperation, KeyRotationLifetimeAction,
    KeyRotationPolicy, KeyRotationPolicyAction)
from azure.keyvault.keys.aio import KeyClient as AsyncKeyClient
from azure.keyvault.keys.crypto import (
    CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm)
from cryptography.hazmat.primitives.asymmetric import ec

from house import House, done

SECOND = timedelta(seconds=1)
DIGEST = bytes(range(32))


def refused(kind, work, status, code, inner=None, says=""):
    """The SDK must raise this, with our codes in the model that it makes of them."""
    try:
        work()
    except HttpResponseError as error:
        assert type(error) is kind, (type(error), error)
        told = error.error
        inner_told = getattr(told, "innererror", None) or {}
        assert (error.status_code, told.code, inner_told.get("code")) == (status, code, inner), error
        assert told.message in str(error) and says in told.message, str(error)
        return
    raise AssertionError(f"{kind.__name__} {code} was not raised")


class Operations:
    def __init__(self):
        self.house = House()
        self.credential = self.house.credential()
        self.client = self.of(self.house.make_vault("operations"))

    def of(self, url, credential=None):
        return KeyClient(url, credential or self.credential)

    def create(self):
        client = self.client
        for hsm in (False, True):
            suffix = "-HSM" if hsm else ""
            key = client.create_rsa_key(f"rsa{suffix}", size=2048, hardware_protected=hsm,
                                        tags={"a": "b", "empty": ""})
            assert key.key_type == f"RSA{suffix}" and key.properties.enabled is True, key
            assert key.id.startswith(f"{client.vault_url}/keys/rsa{suffix}/"), key.id
            assert sorted(key.key_operations) == sorted(
                ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"])
            # No hardware is behind either kind, and each bundle says so.
            assert key.properties.hsm_platform == "0" and not key.properties.exportable
            assert key.properties.tags == {"a": "b", "empty": ""}
            assert key.properties.recovery_level == "Recoverable+Purgeable"
            assert key.properties.recoverable_days == 90
            for curve in KeyCurveName:
                made = client.create_ec_key(f"ec{suffix}{curve.value}", curve=curve,
                                            hardware_protected=hsm)
                assert (made.key_type, made.key.crv) == (f"EC{suffix}", curve), made
                assert sorted(made.key_operations) == ["sign", "verify"]
        begin = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        key = client.create_key("plain", "RSA", enabled=False, not_before=begin,
                                expires_on=begin + SECOND, key_operations=["wrapKey"])
        assert key.properties.enabled is False and key.key_operations == ["wrapKey"]
        assert (key.properties.not_before, key.properties.expires_on) == (begin, begin + SECOND)
        done("create")

    def import_key(self):
        numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        point, octets = numbers.public_numbers, lambda number: number.to_bytes(32, "big")
        jwk = JsonWebKey(kty="EC", crv="P-256", x=octets(point.x), y=octets(point.y),
                         d=octets(numbers.private_value), key_ops=["sign"])
        key = self.client.import_key("taken", jwk, hardware_protected=True, tags={"from": "here"})
        assert (key.key_type, key.key.x, key.key.d) == ("EC-HSM", octets(point.x), None), key
        assert key.properties.tags == {"from": "here"} and key.key_operations == ["sign"]
        wrong = JsonWebKey(kty="EC", crv="P-256", x=octets(point.y), y=octets(point.x),
                           d=octets(numbers.private_value))
        refused(HttpResponseError, lambda: self.client.import_key("wrong", wrong), 400,
                "BadParameter")
        done("import")

    def look(self):
        client = self.client
        made = [client.create_ec_key("look") for _ in range(7)]
        assert client.get_key("look").id == made[-1].id
        first = made[0].properties.version
        assert client.get_key("look", first).key.x == made[0].key.x
        pages = client.list_properties_of_key_versions("look", max_page_size=3).by_page()
        pages = [[version.id for version in page] for page in pages]
        assert [len(page) for page in pages] == [3, 3, 1], pages
        assert sorted(sum(pages, [])) == sorted(key.id for key in made)
        names = {f"many-{number:02}" for number in range(30)}
        for name in names:
            client.create_ec_key(name)
        found = [key.name for key in client.list_properties_of_keys()]
        assert names < set(found) and len(set(found)) == len(found)
        pages = list(client.list_properties_of_keys(max_page_size=25).by_page())
        assert len(pages) > 1
        refused(ResourceNotFoundError, lambda: client.get_key("nothing"), 404, "KeyNotFound",
                says="nothing was not found")
        refused(ResourceNotFoundError, lambda: client.get_key("look", "0" * 32), 404, "KeyNotFound")
        done("get and list")

    def update(self):
        client = self.client
        key = client.create_rsa_key("update", tags={"a": "b"})
        until = datetime(2050, 1, 2, tzinfo=timezone.utc)
        changed = client.update_key_properties(
            "update", expires_on=until, enabled=True, key_operations=[KeyOperation.decrypt])
        assert changed.id == key.id and changed.properties.expires_on == until
        # What is not said stays, and what is said takes the place of all.
        assert changed.properties.tags == {"a": "b"} and changed.key_operations == ["decrypt"]
        changed = client.update_key_properties("update", key.properties.version, tags={"c": "d"},
                                               enabled=False)
        assert changed.properties.tags == {"c": "d"} and changed.properties.enabled is False
        assert client.get_key("update").properties.enabled is False, "a disabled key is shown"
        changed = client.update_key_properties("update", tags={})
        assert not changed.properties.tags
        done("update")

    def rotate(self):
        client = self.client
        key = client.create_rsa_key("rotate", hardware_protected=True, tags={"a": "b"})
        default = client.get_key_rotation_policy("rotate")
        assert [action.action for action in default.lifetime_actions] == ["Notify"], default
        policy = KeyRotationPolicy(
            expires_in="P90D", lifetime_actions=[
                KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P2M"),
                KeyRotationLifetimeAction(KeyRotationPolicyAction.notify, time_before_expiry="P7D"),
            ])
        made = client.update_key_rotation_policy("rotate", policy)
        assert (made.id or "").endswith("/keys/rotate/rotationpolicy"), made.id
        told = client.get_key_rotation_policy("rotate")
        assert told.expires_in == "P90D" and told.created_on and told.updated_on
        assert sorted((action.action, action.time_after_create, action.time_before_expiry)
                      for action in told.lifetime_actions) == [
            ("Notify", None, "P7D"), ("Rotate", "P2M", None)], told
        new = client.rotate_key("rotate")
        assert new.id != key.id and new.key.n != key.key.n and new.key_type == "RSA-HSM"
        life = new.properties.expires_on - new.properties.created_on
        assert timedelta(days=90) - SECOND <= life <= timedelta(days=90) + SECOND, life
        assert new.properties.tags == {"a": "b"}
        for wrong in (
                KeyRotationPolicy(expires_in="P1D"), KeyRotationPolicy(expires_in="a while"),
                KeyRotationPolicy(lifetime_actions=[KeyRotationLifetimeAction(
                    KeyRotationPolicyAction.rotate, time_before_expiry="P30D")])):
            refused(HttpResponseError, lambda: client.update_key_rotation_policy("rotate", wrong),
                    400, "BadParameter")
        done("rotate")

    def delete(self):
        client = self.client
        made = client.create_ec_key("delete", tags={"a": "b"})
        poller = client.begin_delete_key("delete")
        deleted = poller.result()
        poller.wait()
        assert poller.done() and deleted.id == made.id
        assert deleted.recovery_id == f"{client.vault_url}/deletedkeys/delete"
        assert deleted.scheduled_purge_date - deleted.deleted_date == timedelta(days=90)
        refused(ResourceNotFoundError, lambda: client.get_key("delete"), 404, "KeyNotFound",
                says="recover")
        refused(ResourceExistsError, lambda: client.create_ec_key("delete"), 409, "Conflict",
                "ObjectIsDeletedButRecoverable", "deleted but recoverable")
        shown = client.get_deleted_key("delete")
        assert (shown.id, shown.deleted_date) == (deleted.id, deleted.deleted_date)
        assert shown.properties.tags == {"a": "b"}
        for number in range(4):
            client.create_ec_key(f"gone-{number}")
            client.begin_delete_key(f"gone-{number}").wait()
        pages = [list(page) for page in client.list_deleted_keys(max_page_size=2).by_page()]
        assert [len(page) for page in pages] == [2, 2, 1], pages
        for key in sum(pages, []):
            assert key.deleted_date and key.scheduled_purge_date and key.recovery_id, key
        recovered = client.begin_recover_deleted_key("delete")
        assert recovered.result().id == made.id
        recovered.wait()
        assert client.get_key("delete").id == made.id
        for number in range(4):
            client.purge_deleted_key(f"gone-{number}")
            refused(ResourceNotFoundError, lambda: client.get_deleted_key(f"gone-{number}"), 404,
                    "KeyNotFound")
        refused(ResourceNotFoundError, lambda: client.purge_deleted_key("delete"), 404,
                "KeyNotFound")
        refused(ResourceNotFoundError, lambda: client.begin_delete_key("nothing"), 404,
                "KeyNotFound")
        done("delete, recover and purge")

    def backup(self):
        client = self.client
        made = [client.create_rsa_key("backup", tags={"n": str(n)}) for n in range(2)]
        backup = client.backup_key("backup")
        assert len(backup) > 100
        refused(ResourceExistsError, lambda: client.restore_key_backup(backup), 409, "Conflict",
                says="exists")
        client.begin_delete_key("backup").wait()
        refused(ResourceExistsError, lambda: client.restore_key_backup(backup), 409, "Conflict",
                "ObjectIsDeletedButRecoverable")
        client.purge_deleted_key("backup")
        restored = client.restore_key_backup(backup)
        assert restored.id == made[1].id and restored.key.n == made[1].key.n
        assert restored.properties.created_on == made[1].properties.created_on
        versions = {key.id for key in client.list_properties_of_key_versions("backup")}
        assert versions == {key.id for key in made}
        for wrong in (backup[:-1], b"no backup", bytes([backup[0] ^ 1]) + backup[1:]):
            refused(HttpResponseError, lambda: client.restore_key_backup(wrong), 400,
                    "BadParameter", says="backup")
        # Another vault of the same subscription takes it, as the service does.
        other = self.of(self.house.make_vault("operations2"))
        assert other.restore_key_backup(backup).key.n == made[1].key.n
        done("backup and restore")

    def random(self):
        seen = {self.client.get_random_bytes(count=count) for count in (1, 32, 128)}
        assert {len(octets) for octets in seen} == {1, 32, 128}
        refused(HttpResponseError, lambda: self.client.get_random_bytes(count=129), 400,
                "BadParameter", says="128")
        done("random bytes")

    def use(self):
        """By key, by id, by name; encrypting, wrapping and verifying happen in the SDK."""
        client, secret = self.client, os.urandom(32)
        key = client.create_rsa_key("use", size=3072)
        for crypto in (CryptographyClient(key, self.credential),
                       CryptographyClient(key.id, self.credential),
                       client.get_cryptography_client("use"),
                       client.get_cryptography_client("use", key_version=key.properties.version)):
            for algorithm in (EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa_oaep,
                              EncryptionAlgorithm.rsa1_5):
                closed = crypto.encrypt(algorithm, secret)
                opened = crypto.decrypt(algorithm, closed.ciphertext)
                assert (opened.plaintext, opened.key_id) == (secret, key.id)
            for algorithm in (KeyWrapAlgorithm.rsa_oaep_256, KeyWrapAlgorithm.rsa_oaep,
                              KeyWrapAlgorithm.rsa1_5):
                wrapped = crypto.wrap_key(algorithm, secret)
                assert crypto.unwrap_key(algorithm, wrapped.encrypted_key).key == secret
            for algorithm in (SignatureAlgorithm.ps256, SignatureAlgorithm.rs256):
                signed = crypto.sign(algorithm, DIGEST)
                assert signed.key_id == key.id
                assert crypto.verify(algorithm, DIGEST, signed.signature).is_valid
                assert not crypto.verify(algorithm, DIGEST[::-1], signed.signature).is_valid
        crypto = CryptographyClient(key, self.credential)
        wrong = [
            lambda: crypto.decrypt(EncryptionAlgorithm.rsa_oaep_256, bytes(384)),
            lambda: crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"too short"),
            lambda: crypto.sign(SignatureAlgorithm.ps512, DIGEST),
            lambda: crypto.sign(SignatureAlgorithm.es256, DIGEST),
        ]
        for work in wrong:
            refused(HttpResponseError, work, 400, "BadParameter")
        client.update_key_properties("use", enabled=False)
        refused(HttpResponseError,
                lambda: crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, bytes(384)), 403,
                "Forbidden", "KeyDisabled", "disabled key")
        done("use")

    def use_without_get(self):
        """Whoever may use a key and not read it makes the SDK ask the vault for everything."""
        owner = self.client
        uses = ["encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"]
        url = self.house.make_vault("uses", enableRbacAuthorization=False, accessPolicies=[
            self.policy(["create", *uses])])
        client = self.of(url)
        key, point = client.create_rsa_key("rsa"), client.create_ec_key("ec")
        secret = os.urandom(32)
        crypto = CryptographyClient(key.id, self.credential)
        refused(HttpResponseError, lambda: client.get_key("rsa"), 403, "Forbidden",
                "ForbiddenByPolicy", "does not have keys get permission")
        for algorithm in (EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa_oaep,
                          EncryptionAlgorithm.rsa1_5):
            closed = crypto.encrypt(algorithm, secret)
            assert closed.key_id == key.id
            assert crypto.decrypt(algorithm, closed.ciphertext).plaintext == secret
        wrapped = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret)
        assert crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == secret
        for crypto, algorithm in ((crypto, SignatureAlgorithm.ps256),
                                  (CryptographyClient(point.id, self.credential),
                                   SignatureAlgorithm.es256)):
            signed = crypto.sign(algorithm, DIGEST)
            assert crypto.verify(algorithm, DIGEST, signed.signature).is_valid
            assert not crypto.verify(algorithm, DIGEST[::-1], signed.signature).is_valid
        assert owner.vault_url != client.vault_url
        done("use without get")

    def policy(self, keys):
        return {"tenantId": self.house.where["tenantId"], "objectId": self.house.object_id(),
                "permissions": {"keys": keys}}

    def wrong(self):
        client, credential = self.client, self.credential
        bad = [
            lambda: client.create_rsa_key("w", size=1024),
            lambda: client.create_rsa_key("w", public_exponent=17),
            lambda: client.create_ec_key("w", curve="P-192"),
            lambda: client.create_ec_key("w", key_operations=["wrapKey"]),
            lambda: client.create_oct_key("w"),
            lambda: client.create_key("w", "DSA"),
            lambda: client.create_rsa_key("w", key_operations=["fly"]),
            lambda: client.create_rsa_key("under_score"),
            lambda: client.create_rsa_key("w" * 128),
            lambda: client.create_rsa_key("w", exportable=True),
            lambda: client.create_rsa_key("w", tags={f"t{n}": "" for n in range(16)}),
            lambda: client.create_rsa_key("w", tags={"t": "v" * 257}),
            lambda: client.create_rsa_key("w", not_before=datetime(2030, 1, 1, tzinfo=timezone.utc),
                                          expires_on=datetime(2029, 1, 1, tzinfo=timezone.utc)),
            lambda: client.release_key("rsa", "token"),
        ]
        for work in bad:
            refused(HttpResponseError, work, 400, "BadParameter")
        protected = self.of(self.house.make_vault("protected", enablePurgeProtection=True))
        protected.create_ec_key("k")
        protected.begin_delete_key("k").wait()
        assert protected.get_deleted_key("k").properties.recovery_level == "Recoverable"
        refused(HttpResponseError, lambda: protected.purge_deleted_key("k"), 403, "Forbidden",
                says="purge protected")
        shut = self.of(self.house.make_vault("shut", networkAcls={
            "defaultAction": "Deny", "bypass": "AzureServices",
            "ipRules": [{"value": "192.0.2.0/24"}]}))
        refused(HttpResponseError, lambda: shut.get_key("k"), 403, "Forbidden",
                "ForbiddenByFirewall", "127.0.0.1")
        refused(ResourceNotFoundError, lambda: self.of(self.house.url("nosuch")).get_key("k"),
                404, "ResourceNotFound", says="nosuch")
        stranger = self.of(client.vault_url, self.house.credential(secret="wrong"))
        try:
            stranger.get_key("rsa")
            raise AssertionError("a wrong secret was taken")
        except ClientAuthenticationError as error:
            assert "AADSTS7000215" in str(error), error
        assert credential is not None
        done("wrong inputs")

    async def asynchronous(self):
        async with (self.house.credential(kind=AsyncClientSecretCredential) as credential,
                    AsyncKeyClient(self.client.vault_url, credential) as client):
            key = await client.create_rsa_key("async")
            crypto = client.get_cryptography_client("async")
            wrapped = await crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DIGEST)
            opened = await crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key)
            assert opened.key == DIGEST and opened.key_id == key.id
            names = [one.name async for one in client.list_properties_of_keys(max_page_size=4)]
            assert "async" in names and len(names) > 30
            # Returns when the deletion is complete.
            assert (await client.delete_key("async")).id == key.id
            assert (await client.recover_deleted_key("async")).id == key.id
        done("async")


def main():
    operations = Operations()
    for part in ("create", "import_key", "look", "update", "rotate", "delete", "backup", "random",
                 "use", "use_without_get", "wrong"):
        getattr(operations, part)()
    asyncio.run(operations.asynchronous())


main()
