"""How a package index is asked: nothing of the environment, and with patience for what passes."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util import Retry

RETRIES = 5
"""Of a request that got no answer at all, or one that passes (BUSY); and of a file that broke off. As many as pip's."""

PAUSE = 0.25
"""Seconds, doubled at each retry but the first, which comes at once."""

BUSY = (429, 500, 502, 503, 504)
"""What a server answers that may answer otherwise a moment later."""


class _Patience(Retry):
    """Waits as long as a reply asks for (Retry-After), but half a minute at most."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        told = super().get_retry_after(response)
        return min(told, 30.0) if told else told


def session(retries: int = RETRIES) -> requests.Session:
    """A session that takes nothing from the environment: no netrc, no proxies, no CA bundle."""
    made = requests.Session()
    made.trust_env = False
    # an index that closes an idle connection just when it is asked again is not one that does not answer
    retry = _Patience(total=retries, redirect=False, status_forcelist=BUSY, raise_on_status=False, backoff_factor=PAUSE)
    again = HTTPAdapter(max_retries=retry)
    made.mount("http://", again)
    made.mount("https://", again)
    return made
