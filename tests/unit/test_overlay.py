"""Overlays: every mistake is named with its file and field; an overlay adds, and is refused where it would choose."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import samples
import update

from imagekit import locking, own_files, pipeline, render, tag, trust
from imagekit.compat import overlaid
from imagekit.compat.resolve import resolve
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.lock import model
from imagekit.profile import Profile, Wishes, load
from imagekit.resolution import Resolution
from imagekit.site import Tags

ARMOURED = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def loaded(text: str, name: str = "acme.yaml", profile: str = "tiny") -> Profile:
    return load(profile, (write(name, text),))


def refused(text: str, name: str = "acme.yaml") -> str:
    with pytest.raises(UsageError) as error:
        loaded(text, name)
    return str(error.value)


def resolution(text: str, profile: str = "tiny") -> Resolution:
    return resolve(loaded(text, profile=profile), Wishes())


def root(name: str = "root.pem") -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, _ = samples.certificate(Path(), "192.0.2.1")
    cert.rename(name)
    return Path(name)


def test_every_problem_of_every_overlay_at_once() -> None:
    write("b.yaml", "aptt: [jq]\n")
    write("a.yaml", "pakages: [six]\nsteps: ['']\nenv: {A: 1.5}\napt:\ntrust: [no.pem]\n")
    with pytest.raises(UsageError) as error:
        load("tiny", ("a.yaml", "b.yaml"))
    message = str(error.value)
    for line in (
        "a.yaml: pakages: unknown key; did you mean packages?", "a.yaml: steps.0: is empty", "a.yaml: env.A: ",
        "a.yaml: apt: is empty", "b.yaml: aptt: unknown key; did you mean apt",
    ):  # fmt: skip
        assert line in message


@pytest.mark.parametrize("key", ["torch", "cuda", "python", "base"])
def test_what_only_a_profile_chooses_is_refused_with_both_places(key: str) -> None:
    message = refused(f"apt: [jq]\n{key}: '1'\n")
    assert f"acme.yaml:2: {key}: an overlay adds to a profile and does not set this: tiny.yaml:" in message


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "[1]\n", "", "env: {A: b, A: c}\n", "a: [\n"])
def test_yaml_is_read_strictly(text: str) -> None:
    assert "acme.yaml" in refused(text)


def test_too_large_not_utf8_not_there() -> None:
    assert "at most 1,000,000" in refused("#" * 1_000_001)
    write("odd.yaml", b"a: \xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        load("tiny", ("odd.yaml",))
    with pytest.raises(UsageError, match="there is no file"):
        load("tiny", ("none.yaml",))


@pytest.mark.parametrize(
    "name", ["Acme.yaml", "a+b.yaml", "failed.yaml", "py310.yaml", "with-six.yaml", "20260101.yaml", "-a.yaml"]
)
def test_a_name_that_a_tag_could_not_tell_apart_is_refused(name: str) -> None:
    assert Path(name).stem in refused("apt: [jq]\n", name)


def test_a_name_of_a_suite_or_a_feature_is_refused() -> None:
    for name in ("trixie", "rdma"):
        with pytest.raises(UsageError, match=name):
            resolve(loaded("apt: [jq]\n", f"{name}.yaml"), Wishes())


def test_one_overlay_twice() -> None:
    write("x/acme.yaml", "apt: [jq]\n")
    with pytest.raises(UsageError, match="two overlays have this name"):
        load("tiny", (write("acme.yaml", "apt: [jq]\n"), "x/acme.yaml"))


@pytest.mark.parametrize(
    "key",
    ["trust: [x.pem]", "start: x.pem", "apt_sources: [{name: a, uri: 'https://a.example/', suites: [./], key: x.pem}]"],
)
def test_links_that_lead_out_are_refused(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("secret")
    Path("x.pem").symlink_to(outside)
    message = refused(key + "\n")
    assert "leads out of the overlay's folder" in message and "secret" not in message


def test_files_and_checks_by_links_that_lead_out_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.py").write_text("def check_a(): pass\n")
    Path("in").mkdir()
    Path("in/x.py").symlink_to(outside / "x.py")
    profile = loaded("files: {in/: /etc/x}\nchecks: [in]\n")
    with pytest.raises(UsageError) as error:
        own_files.of(profile)
    assert str(error.value).count("a link that leads out") == 2


@pytest.mark.parametrize("text", ["../x.pem", "/etc/passwd"])
def test_paths_that_lead_out_are_refused(text: str) -> None:
    assert "outside" in refused(f"trust: [{text}]\n")


def test_what_is_trusted_must_be_what_it_is_said_to_be() -> None:
    write("secret.pem", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")
    write("empty.pem", "nothing")
    write("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    message = refused("trust: [secret.pem, empty.pem, damaged.pem]\n")
    for line in ("secret.pem holds a private key", "empty.pem holds no certificate", "certificate 1 in it is damaged"):
        assert line in message
    for name, content, says in (("s.asc", b"-----BEGIN PGP PRIVATE KEY BLOCK-----", "secret key"), ("s.gpg", b"\x95\x01", "secret key"), ("s", b"hm", "no OpenPGP")):  # fmt: skip
        Path(name).write_bytes(content)
        with pytest.raises(ValueError, match=says):
            trust.openpgp(Path(name))
    assert trust.openpgp(Path(write("ok", ARMOURED)))[0] == ".asc"
    assert trust.openpgp(Path(write("ok", b"\x99\x01")))[0] == ".gpg"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{name: a, uri: 'https://me:pw@a.example/', suites: [x], components: [main], key: k.asc}", "would stay in the image"),
        ("{name: a, uri: 'file:///x', suites: [x], components: [main], key: k.asc}", "http or https"),
        ("{name: 'a b', uri: 'https://a.example/', suites: [x], components: [main], key: k.asc}", "not a name"),
        ("{name: a, uri: 'https://a.example/', suites: ['x y'], components: [main], key: k.asc}", "not a suite"),
        ("{name: a, uri: 'https://a.example/', suites: [x], key: k.asc}", "components is missing"),
        ("{name: a, uri: 'https://a.example/', suites: [x/], components: [main], key: k.asc}", "takes no components"),
        ("{name: a, uri: 'https://a.example/', suites: [x], components: [main]}", "key"),
        ("{name: a, uri: 'https://a.example/', suites: [], key: k.asc}", "suites"),
    ],
)  # fmt: skip
def test_an_archive_needs_address_suites_and_key(source: str, says: str) -> None:
    write("k.asc", ARMOURED)
    assert says in refused(f"apt_sources: [{source}]\n")


def test_a_start_that_is_no_script() -> None:
    write("start.sh", "exec $@\n")
    assert "is no script" in refused("start: start.sh\n")


def test_a_pin_other_than_the_profiles_is_refused_with_both_places() -> None:
    write("mine.yaml", "extends: tiny\npackages:\n  - six ==1.16.0\n  - tqdm >=4,<5\n")
    write("acme.yaml", "packages:\n  - acme-sdk\n  - six ==1.17.0\n  - tqdm ==5.0\n  - torch ==2.5\n")
    with pytest.raises(ImpossibleWish) as error:
        resolve(load("./mine.yaml", ("acme.yaml",)), Wishes())
    message = str(error.value)
    assert "acme.yaml:3: six ==1.17.0 is in the way of mine.yaml:3: six ==1.16.0" in message
    assert "acme.yaml:4: tqdm ==5.0 is in the way of mine.yaml:4: tqdm >=4,<5" in message
    assert "acme.yaml:5: torch ==2.5 is in the way of tiny.yaml:" in message


def test_a_pin_of_a_requirements_file_and_of_another_overlay_counts_as_well() -> None:
    write("requirements.txt", "idna==3.9\n")
    write("mine.yaml", "extends: tiny\nrequirements: [requirements.txt]\n")
    write("one.yaml", "packages: [acme ==1]\n")
    write("two.yaml", "packages: [acme ==2, idna ==3.10]\n")
    with pytest.raises(ImpossibleWish) as error:
        resolve(load("./mine.yaml", ("one.yaml", "two.yaml")), Wishes())
    assert "two.yaml:1: acme ==2 is in the way of one.yaml:1: acme ==1" in str(error.value)
    assert "two.yaml:1: idna ==3.10 is in the way of requirements.txt:1: idna==3.9" in str(error.value)


def test_a_version_that_the_profiles_lock_has_pinned() -> None:
    with pytest.raises(ImpossibleWish) as error:
        overlaid.check_lock(
            loaded("packages: [six ==1.16.0, idna >=3]\n"), {"six": "1.17.0", "idna": "3.1"}, "locks/x.json"
        )
    assert "acme.yaml:1: six ==1.16.0 is in the way of locks/x.json: six==1.17.0" in str(error.value)
    assert "idna" not in str(error.value)


def test_it_may_add_and_narrow() -> None:
    write("mine.yaml", "extends: tiny\npackages: ['six >=1.16']\napt: [jq]\nenv: {A: '1', B: '1'}\n")
    write(
        "acme.yaml",
        "packages: [acme-sdk, 'six <2', 'torch ==2.4.1']\napt: [curl]\nenv: {B: '2'}\nlabels: {team: x}\nfeatures: [rdma]\n",
    )
    r = resolve(load("./mine.yaml", ("acme.yaml",)), Wishes())
    wants = {want.requirement.split()[0].split("<")[0].split(">")[0]: want for want in r.wants}
    assert wants["six"].requirement in ("six<2,>=1.16", "six>=1.16,<2")
    assert "mine" in wants["six"].why and "acme" in wants["six"].why and "acme" in wants["acme-sdk"].why
    assert {"curl", "jq"} <= set(r.apt) and r.env["A"] == "1" and r.env["B"] == "2" and "rdma" in r.features
    assert r.torch == "2.4.1" and r.overlays == ("acme",)


def test_an_unknown_feature_names_the_overlay() -> None:
    with pytest.raises(UsageError, match="overlay acme: features: rdmaa: did you mean rdma"):
        resolution("features: [rdmaa]\n")


def test_locks_and_tags_with_and_without_it_differ() -> None:
    plain, with_it = resolve(load("tiny"), Wishes()), resolution("apt: [jq]\n")
    assert model.file_name(plain) == model.file_name(with_it)
    assert (model.folder_name(plain), model.folder_name(with_it)) == ("tiny", "tiny+acme")
    lock = samples.lock().model_copy(update={"resolution": with_it})
    names = tag.names(lock.resolution, Tags(bare="tiny"), "0" * 64, "20260101")
    assert names.profile == "pytorch:2.4.1-cuda12.1-tiny-acme" and not names.bare
    assert "--overlay acme.yaml" in locking.command(loaded("apt: [jq]\n"), with_it)


def rendered(text: str) -> render.Context:
    profile = loaded(text)
    lock = samples.lock().model_copy(update={"resolution": resolve(profile, Wishes())})
    return render.context(lock, own=own_files.of(profile))


def test_archives_and_roots_are_in_the_system_stage_before_its_packages() -> None:
    root()
    write("k.asc", ARMOURED)
    source = (
        "{name: acme, uri: 'https://apt.example/debian', suites: [bookworm], components: [main, extra], key: k.asc}"
    )
    context = rendered(f"apt_sources: [{source}]\ntrust: [root.pem]\napt: [acme-tool]\n")
    text = context.dockerfile
    system = text[text.index("AS system") : text.index("AS builder")]
    order = ["COPY trust/", "COPY apt/", "update-ca-certificates", "apt-get update", "acme-tool"]
    assert sorted(order, key=system.index) == order
    assert context.files["apt/sources.list.d/acme.sources"].content == (
        b"Types: deb\nURIs: https://apt.example/debian\nSuites: bookworm\nComponents: main extra\n"
        b"Signed-By: /etc/apt/keyrings/acme.asc\n"
    )
    assert context.files["apt/keyrings/acme.asc"].content == ARMOURED.encode()
    assert context.files["trust/acme-root.crt"].content.startswith(b"-----BEGIN CERTIFICATE-----")
    assert 'SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt"' in text and "REQUESTS_CA_BUNDLE=" in text
    digest = context.plan.lock.resolution.trust["acme-root.crt"]
    assert f'io.imagekit.trust="acme-root.crt=sha256:{digest}"' in text
    openssl = subprocess.run(["openssl", "x509", "-in", "root.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True)  # fmt: skip
    assert openssl.stdout.strip().split("=")[1].replace(":", "").lower() == digest


def test_on_an_image_that_may_lack_certificates_they_come_first() -> None:
    write("k.asc", ARMOURED)
    source = "{name: acme, uri: 'https://apt.example/debian', suites: [bookworm], components: [main], key: k.asc}"
    profile = loaded(f"apt_sources: [{source}]\n")
    lock = samples.lock().model_copy(update={"resolution": resolve(profile, Wishes(base="image:debian:bookworm-slim"))})
    text = render.context(lock, own=own_files.of(profile)).dockerfile
    assert text.index("no-install-recommends ca-certificates;") < text.index("COPY apt/") < text.index("AS builder")


def test_a_root_that_changed_since_the_lock_was_taken_as_it_is() -> None:
    root()
    profile = loaded("trust: [root.pem]\n")
    lock = samples.lock().model_copy(update={"resolution": resolve(profile, Wishes())})
    pipeline.rendered(profile, lock)
    root()
    with pytest.raises(UsageError, match="another certificate than the lock's"):
        pipeline.rendered(profile, lock)


def test_golden() -> None:
    path = update.HERE / "tiny-acme/Dockerfile"
    assert update.with_overlay() == path.read_text(), "if that is meant: make golden, and review the diff"


def test_a_bundle_of_roots_becomes_a_file_for_each() -> None:
    one = root().read_text()
    write("bundle.pem", f"# ours\n{one}\n{one}")
    profile = loaded("trust: [bundle.pem]\n")
    assert sorted(own_files.of(profile)) == [f"/usr/local/share/ca-certificates/acme-bundle{n}.crt" for n in ("-2", "")]


def test_steps_are_one_layer_and_stay_words_of_the_shell() -> None:
    context = rendered("steps: ['echo it''s; # $HOME', 'cat <<EOF', 'a \\']\n")
    text = context.dockerfile
    (layer,) = [part for part in text.split("\nRUN ") if "imagekit_step=" in part]
    assert layer.index("eval") and text.index("COPY --link rootfs/") < text.index("imagekit_step=") < text.index(
        "LABEL"
    )
    script = layer[: layer.index("\nLABEL")].replace("\\\n", "\n")
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (unit,) = [unit for unit in context.plan.units if unit.kind == "steps"]
    assert "not pinned" in unit.name


def test_another_step_changes_its_own_unit_only() -> None:
    before, after = (
        {u.name.split()[0] + u.kind: u.key for u in rendered(t).plan.units} for t in ("steps: [a]\n", "steps: [b]\n")
    )
    assert {name for name in before if before[name] != after[name]} == {
        "1steps",
        next(n for n in before if n.endswith("files")),
    }


def test_the_wrapper_follows_the_preflight() -> None:
    write("start.sh", '#!/bin/sh\nexec "$@"\n')
    context = rendered("start: start.sh\n")
    assert (
        'ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/opt/imagekit/start", "/opt/imagekit/overlays/acme/start"]'
        in context.dockerfile
    )
    assert context.files["files/opt/imagekit/overlays/acme/start"].mode == 0o755


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "no function whose name starts with check_"), ("def check_a(:\n", "line 1"),
        ("STAGE = 'later'\ndef check_a(): pass\n", "STAGE is 'later'"), ("LIMIT = 0\ndef check_a(): pass\n", "LIMIT is 0"),
        ("LIMIT = f()\ndef check_a(): pass\n", "line 1: LIMIT is not a plain value"),
    ],
)  # fmt: skip
def test_a_file_of_checks_is_read_before_anything_is_built(text: str, says: str) -> None:
    write("in/bad.py", text)
    with pytest.raises(UsageError) as error:
        own_files.of(loaded("checks: [in]\n"))
    assert "acme: checks: in: bad.py" in str(error.value) and says in str(error.value)


def test_two_files_for_one_place() -> None:
    write("a.conf", "a"), write("b.conf", "b")
    with pytest.raises(UsageError, match="/etc/x.conf is given twice"):
        own_files.of(loaded("files: {a.conf: /etc/x.conf, b.conf: /etc/x.conf}\n"))


def test_checks_are_copied_with_what_they_need_beside_them() -> None:
    write("in/good.py", "def check_a(): pass\n")
    write("in/data/sample.txt", "x")
    write("in/_helper.py", "Y = 1\n")
    found = own_files.of(loaded("checks: [in]\n"))
    assert sorted(found) == [f"/opt/imagekit/checks/acme/{n}" for n in ("_helper.py", "data/sample.txt", "good.py")]
