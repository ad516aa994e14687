"""Makes the vaults that `node/keyvault.js` works in. Argument: an instance's `bootstrap.json`."""

from house import House, done

house = House()
house.make_vault("node")
USES = ["create", "encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"]
house.make_vault("nodeuses", enableRbacAuthorization=False, accessPolicies=[{
    "tenantId": house.where["tenantId"], "objectId": house.object_id(),
    "permissions": {"keys": USES}}])
done("vaults")
