"""As much of the Azure SDK's own test tools as its key tests need to run live against a vault.

The SDK's tests were written against tools that are in no package: they record and replay traffic.
Nothing is recorded here: a test runs live, signs in as the instance's owner, and names its keys
after itself, so that no test meets the keys of another.
"""

import os
import zlib
from functools import wraps
from inspect import Parameter, iscoroutinefunction, signature

from house import House


def is_live():
    return True


def _nothing(*_, **__):
    """Recordings are what these would clean or compare."""


add_general_string_sanitizer = add_oauth_response_sanitizer = _nothing
remove_batch_sanitizers = set_custom_default_matcher = set_bodiless_matcher = _nothing


def recorded_by_proxy(test):
    """Runs a test with those of the arguments that it takes."""
    parameters = signature(test).parameters.values()
    takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}

    @wraps(test)
    def live(*arguments, **named):
        named = {name: value for name, value in named.items() if takes_all or name in names}
        return test(*arguments, **named)

    @wraps(test)
    async def live_async(*arguments, **named):
        return await live(*arguments, **named)

    return live_async if iscoroutinefunction(test) else live


class AzureRecordedTestCase:
    is_live = True

    def get_credential(self, _client, is_async=False, **_):
        from azure.identity import ClientSecretCredential
        from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential

        kind = AsyncClientSecretCredential if is_async else ClientSecretCredential
        return House(os.environ["LOCKYARD_BOOTSTRAP"]).credential(kind=kind)

    def create_client_from_credential(self, client, credential, **named):
        return client(credential=credential, **{"logging_enable": True, **named})

    def get_resource_name(self, name):
        return f"{name}{zlib.crc32(os.environ['PYTEST_CURRENT_TEST'].encode()):08x}"

    def fail(self, message):
        raise AssertionError(message)
