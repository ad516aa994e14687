"""A browser as small as can be: it opens pages, fills in forms and presses buttons.

It knows nothing of the issuer but what a person knows: the names of the fields that they see, what
they type, and which button they press. No scripts run.
"""

import html
import re
from urllib.parse import urljoin

import requests


class Browser:
    def __init__(self):
        self.session = requests.Session()

    def open(self, url):
        return self.session.get(url, allow_redirects=False)

    def submit(self, page, **typed):
        """Sends the page's form with its hidden fields and what was typed."""
        fields = {}
        for tag in re.findall(r"<input[^>]*>", page.text):
            name = re.search(r'name=(?:"([^"]*)"|([^\s>"]+))', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if name:
                fields[name.group(1) or name.group(2)] = html.unescape(value.group(1)) if value else ""
        action = re.search(r'<form[^>]*action=(?:"([^"]*)"|([^\s>"]+))', page.text)
        url = urljoin(page.url, html.unescape(action.group(1) or action.group(2)))
        fields.update(typed)
        return self.session.post(url, data=fields, allow_redirects=False)

    def sign_in(self, page, user, password):
        assert page.status_code == 200, page.text
        return self.submit(page, username=user, password=password, action="sign-in")

    def let_in(self, url, code, user, password):
        """Lets a device in that shows this code."""
        page = self.submit(self.open(url), user_code=code)
        done = self.sign_in(page, user, password)
        assert done.status_code == 200, done.text


def main():
    """Lets a device in: address, code, user name, password."""
    import sys

    Browser().let_in(*sys.argv[1:])


if __name__ == "__main__":
    main()
