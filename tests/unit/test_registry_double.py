"""The registry of the tests keeps the rules that it is used for: OCI distribution specification 1.1, by its end points.

The order is that of the specification's conformance tests: pull, push, discovery, removal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from registry_double import INDEX, Fault, Registry, served

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG, LAYER = b'{"architecture":"amd64"}', b"layer" * 100


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Asker:
    def __init__(self, there: Registry) -> None:
        self.top = f"http://{there.address}"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, path if "://" in path else f"{self.top}{path}", timeout=10, **options)

    def start(self, name: str = "a") -> str:
        answer = self("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status_code == 202 and answer.headers["Location"]
        return str(answer.headers["Location"])

    def blob(self, content: bytes, name: str = "a") -> requests.Response:
        return self("PUT", f"{self.start(name)}&digest={sha(content)}", data=content)

    def image(self, tag: str, name: str = "a", **more: object) -> str:
        for content in (CONFIG, LAYER):
            assert self.blob(content, name).status_code == 201
        manifest = described(**more)
        assert (
            self("PUT", f"/v2/{name}/manifests/{tag}", data=manifest, headers={"Content-Type": MANIFEST}).status_code
            == 201
        )
        return sha(manifest)


def described(**more: object) -> bytes:
    rows = [{"mediaType": "x", "digest": sha(content), "size": len(content)} for content in (CONFIG, LAYER)]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": rows[0], "layers": rows[1:], **more}
    ).encode()


@pytest.fixture
def there() -> Iterator[Registry]:
    with served(Registry()) as made:
        yield made


@pytest.fixture
def ask(there: Registry) -> Asker:
    return Asker(there)


def test_end_1_the_api_is_there(ask: Asker) -> None:
    assert ask("GET", "/v2/").status_code == 200


def test_end_2_blobs(ask: Asker) -> None:
    assert (
        ask("HEAD", f"/v2/a/blobs/{sha(LAYER)}").status_code
        == ask("GET", f"/v2/a/blobs/{sha(LAYER)}").status_code
        == 404
    )
    ask.blob(LAYER)
    head, get = ask("HEAD", f"/v2/a/blobs/{sha(LAYER)}"), ask("GET", f"/v2/a/blobs/{sha(LAYER)}")
    assert head.status_code == get.status_code == 200 and get.content == LAYER and not head.content
    assert head.headers["Content-Length"] == str(len(LAYER)) and head.headers["Docker-Content-Digest"] == sha(LAYER)
    assert ask("GET", f"/v2/other/blobs/{sha(LAYER)}").status_code == 404, "a repository has its own blobs"


def test_end_3_manifests(ask: Asker) -> None:
    missing = ask("GET", "/v2/a/manifests/none")
    assert missing.status_code == 404 and missing.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    assert ask("HEAD", "/v2/a/manifests/none").status_code == 404
    digest = ask.image("one")
    for reference in ("one", digest):
        answer = ask("GET", f"/v2/a/manifests/{reference}")
        assert sha(answer.content) == digest == answer.headers["Docker-Content-Digest"]
        assert answer.headers["Content-Type"] == MANIFEST
        head = ask("HEAD", f"/v2/a/manifests/{reference}")
        assert head.status_code == 200 and int(head.headers["Content-Length"]) == len(answer.content)


def test_end_4a_6_a_blob_in_one_piece(ask: Asker) -> None:
    done = ask.blob(LAYER)
    assert done.status_code == 201 and done.headers["Location"].endswith(sha(LAYER))
    wrong = ask("PUT", f"{ask.start()}&digest={sha(b'other')}", data=LAYER)
    assert wrong.status_code == 400 and wrong.json()["errors"][0]["code"] == "DIGEST_INVALID"
    assert ask("PUT", f"/v2/a/blobs/uploads/0-0?digest={sha(LAYER)}", data=LAYER).status_code == 404


def test_end_5_13_a_blob_in_pieces(ask: Asker) -> None:
    place = ask.start()
    first = ask("PATCH", place, data=LAYER[:200], headers={"Content-Range": "0-199"})
    assert first.status_code == 202 and first.headers["Range"] == "0-199" and first.headers["Location"]
    gap = ask("PATCH", first.headers["Location"], data=LAYER[300:], headers={"Content-Range": f"300-{len(LAYER) - 1}"})
    assert gap.status_code == 416, "out of order"
    again = ask("PATCH", first.headers["Location"], data=LAYER[:200], headers={"Content-Range": "0-199"})
    assert again.status_code == 416, "the same piece once more"
    where = ask("GET", first.headers["Location"])
    assert where.status_code == 204 and where.headers["Range"] == "0-199"
    second = ask("PATCH", where.headers["Location"], data=LAYER[200:400], headers={"Content-Range": "200-399"})
    assert second.status_code == 202
    # the last piece may come with the end
    end = ask("PUT", f"{second.headers['Location']}&digest={sha(LAYER)}", data=LAYER[400:])
    assert end.status_code == 201 and ask("GET", f"/v2/a/blobs/{sha(LAYER)}").content == LAYER


def test_half_a_piece_is_kept_when_the_connection_breaks(there: Registry, ask: Asker) -> None:
    place = ask.start()
    there.fault = lambda asked: Fault("middle") if asked.method == "PATCH" else None
    with pytest.raises(requests.RequestException):
        ask("PATCH", place, data=LAYER[:200], headers={"Content-Range": "0-199"})
    assert ask("GET", place).headers["Range"] == "0-99"


def test_end_7_what_a_manifest_names_must_be_there(ask: Asker) -> None:
    send = {"data": described(), "headers": {"Content-Type": MANIFEST}}
    refused = ask("PUT", "/v2/a/manifests/one", **send)
    assert refused.status_code == 400 and refused.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    digest = ask.image("one")
    done = ask("PUT", f"/v2/a/manifests/{digest}", **send)
    assert done.status_code == 201 and done.headers["Location"] and done.headers["Docker-Content-Digest"] == digest
    assert ask("PUT", f"/v2/a/manifests/{sha(b'other')}", **send).status_code == 400
    index = json.dumps(
        {"schemaVersion": 2, "manifests": [{"digest": digest, "mediaType": MANIFEST, "size": 1}]}
    ).encode()
    assert ask("PUT", "/v2/a/manifests/all", data=index, headers={"Content-Type": INDEX}).status_code == 201
    assert ask("PUT", "/v2/b/manifests/all", data=index, headers={"Content-Type": INDEX}).status_code == 400
    assert ask("GET", "/v2/a/manifests/all").headers["Content-Type"] == INDEX


def test_end_8_tags_in_pages(ask: Asker) -> None:
    assert ask("GET", "/v2/a/tags/list").status_code == 404
    for tag in ("c", "a", "b"):
        ask.image(tag)
    assert ask("GET", "/v2/a/tags/list").json() == {"name": "a", "tags": ["a", "b", "c"]}
    page = ask("GET", "/v2/a/tags/list?n=2")
    assert page.json()["tags"] == ["a", "b"] and 'rel="next"' in page.headers["Link"]
    rest = ask("GET", page.headers["Link"].partition(">")[0][1:])
    assert rest.json()["tags"] == ["c"] and "Link" not in rest.headers
    assert ask("GET", "/v2/a/tags/list?last=b").json()["tags"] == ["c"]


def test_end_11_mounts(there: Registry, ask: Asker) -> None:
    ask.blob(LAYER)
    done = ask("POST", f"/v2/b/blobs/uploads/?mount={sha(LAYER)}&from=a")
    assert done.status_code == 201 and done.headers["Location"].endswith(sha(LAYER))
    assert ask("GET", f"/v2/b/blobs/{sha(LAYER)}").content == LAYER
    unknown = ask("POST", f"/v2/b/blobs/uploads/?mount={sha(b'x')}&from=a")
    assert unknown.status_code == 202 and unknown.headers["Location"], "an upload, as without the mount"


def test_end_12_referrers(there: Registry, ask: Asker) -> None:
    digest = ask.image("one")
    empty = ask("GET", f"/v2/a/referrers/{digest}")
    assert empty.status_code == 200 and empty.headers["Content-Type"] == INDEX and empty.json()["manifests"] == []
    subject = {"mediaType": MANIFEST, "digest": digest, "size": 1}
    sent = described(subject=subject, artifactType="x/report", annotations={"when": "now"})
    answer = ask("PUT", f"/v2/a/manifests/{sha(sent)}", data=sent, headers={"Content-Type": MANIFEST})
    assert answer.headers["OCI-Subject"] == digest
    (row,) = ask("GET", f"/v2/a/referrers/{digest}").json()["manifests"]
    assert row["digest"] == sha(sent) and row["artifactType"] == "x/report" and row["annotations"] == {"when": "now"}
    filtered = ask("GET", f"/v2/a/referrers/{digest}?artifactType=x/other")
    assert filtered.json()["manifests"] == [] and filtered.headers["OCI-Filters-Applied"] == "artifactType"
    there.refers = False
    assert ask("GET", f"/v2/a/referrers/{digest}").status_code == 404
    answer = ask("PUT", f"/v2/a/manifests/{sha(sent)}", data=sent, headers={"Content-Type": MANIFEST})
    assert "OCI-Subject" not in answer.headers


def test_end_9_10_removal(ask: Asker) -> None:
    digest = ask.image("one")
    ask.image("two")
    assert ask("DELETE", "/v2/a/manifests/one").status_code == 202
    assert ask("GET", "/v2/a/manifests/one").status_code == 404 and ask("GET", "/v2/a/manifests/two").status_code == 200
    assert ask("DELETE", f"/v2/a/manifests/{digest}").status_code == 202
    assert ask("GET", "/v2/a/manifests/two").status_code == 404
    assert ask("DELETE", f"/v2/a/blobs/{sha(LAYER)}").status_code == 202
    assert ask("GET", f"/v2/a/blobs/{sha(LAYER)}").status_code == 404
    assert ask("DELETE", f"/v2/a/blobs/{sha(LAYER)}").status_code == 404
