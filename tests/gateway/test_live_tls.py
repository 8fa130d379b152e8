"""The real proxy behind TLS: names, versions, HTTP/2 through the whole path, renewal, client certificates."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from PIL import Image

from free_ports import free_port
from gateway.pki import authority, written
from gateway.world import PATIENCE_S, World, pool, service, snapshot, until, world
from tidegate.base.errors import GatewayError
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.tls import CertificateFiles, Tls
from tidegate.spec.requests import Accepts, Match, Range, Route


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, ca: trustme.CA) -> CertificateFiles:
    return written(tmp_path / "pki", ca.issue_cert("127.0.0.1", "localhost"))


@asynccontextmanager
async def secure(folder: Path, tls: Tls, **changes: object) -> AsyncIterator[World]:
    async with world(folder / "g", tls=tls, **changes) as here:
        yield here


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def client(here: World, ca: trustme.CA, *, http2: bool, context: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=here.gateway.settings.url,
        http2=http2,
        verify=context or trusting(ca),
        timeout=PATIENCE_S,
        trust_env=False,
    )


def tls(files: CertificateFiles, **changes: object) -> Tls:
    return Tls((files,), **({"internal_port": free_port()} | changes))  # type: ignore[arg-type]


def picture(width: int, height: int, size: int = 0) -> bytes:
    """A GIF of one colour with a tail of zeros that makes it `size` bytes long."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "GIF")
    return file.getvalue() + bytes(max(0, size - file.tell()))


async def dripped(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 50_000):
        yield data[at : at + 50_000]


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_a_request_takes_the_whole_path(tmp_path: Path, ca: trustme.CA, files: CertificateFiles, http2: bool):
    async with secure(tmp_path, tls(files)) as here:
        small, large = await here.replica("face-1"), await here.replica("face-2")
        face = service(
            pool(name="large", servers=(large.server(),), match=Match(pixels=Range(min=10e6))),
            pool(servers=(small.server(),)),
            accepts=Accepts(pixels=50_000_000),
        )
        await here.gateway.publish(snapshot(face))
        async with client(here, ca, http2=http2) as https:
            for size in (1000, 200_000, 3_000_000):
                data = picture(100, 100, size)
                for body in (data, dripped(data)):
                    answer = await https.post("/face/fuse", content=body)
                    assert (answer.status_code, answer.http_version) == (200, "HTTP/2" if http2 else "HTTP/1.1")
                    assert answer.text == "face-1"
                    seen = small.seen[-1]
                    assert (seen.path, seen.body_bytes) == ("/fuse", size)
                    assert seen.headers["x-forwarded-proto"] == "https"
            answer = await https.post("/face", content=picture(4000, 3000))
            assert answer.text == "face-2"
            assert large.seen[-1].headers["x-media-pixels"] == "12000000"
            answer = await https.post("/face", content=picture(8000, 7000))
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "media_too_many_pixels")
            answer = await https.post("/face", content=b"x" * (9 * 2**20))
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_request_over_http2_is_sent_again_when_its_replica_dies(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    async with secure(tmp_path, tls(files)) as here:

        async def dies(replica, _):  # type: ignore[no-untyped-def]
            replica.kill()
            return 200, b""

        for size in (1000, 2_000_000):
            bad, good = await here.replica("bad", answer=dies), await here.replica("good", 0.01)
            await here.gateway.publish(snapshot(service(pool(servers=(bad.server(), good.server(tier=1))))))
            async with client(here, ca, http2=True) as https:
                answer = await https.post("/face", content=b"x" * size)
            assert (answer.status_code, answer.text, answer.http_version) == (200, "good", "HTTP/2")
            assert bad.seen


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_the_certificate_follows_the_name_and_old_versions_are_refused(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    other = written(tmp_path / "pki", ca.issue_cert("ocr.example.org"), "ocr")
    async with secure(tmp_path, Tls((files, other), internal_port=free_port())) as here:
        port = here.gateway.settings.listen_port

        def shown(name: str, context: ssl.SSLContext | None = None) -> tuple[str, str]:
            context = context or trusting(ca)
            context.check_hostname = False
            with (
                socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
                context.wrap_socket(plain, server_hostname=name) as secured,
            ):
                names = secured.getpeercert()["subjectAltName"]  # type: ignore[index]
                return names[0][1], secured.version() or ""

        assert await asyncio.to_thread(shown, "ocr.example.org") == ("ocr.example.org", "TLSv1.3")
        assert (await asyncio.to_thread(shown, "unknown.example.org"))[0] in ("localhost", "127.0.0.1")
        old = trusting(ca)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(shown, "localhost", old)


async def test_a_renewed_certificate_is_served_without_a_reload_and_no_request_is_lost(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    async with secure(tmp_path, tls(files)) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        worker = (await here.gateway.main.master.workers()).current
        statuses: list[int] = []
        stop = asyncio.Event()

        async def ask(https: httpx.AsyncClient) -> None:
            while not stop.is_set():
                statuses.append((await https.get("/face")).status_code)

        async def first_name() -> str:
            seen, _ = await here.gateway.observe()
            return seen.certificates[0].names[-1] if seen.certificates[0].names else ""

        async with client(here, ca, http2=True) as kept, asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(kept)) for _ in range(2)]
            before = await first_name()
            written(tmp_path / "pki", ca.issue_cert("127.0.0.1", "renewed.example.org"))

            async def renewed() -> bool:
                return await first_name() not in ("", before)

            await until(renewed)
            async with client(here, ca, http2=True) as fresh:
                assert (await fresh.get("/face")).status_code == 200
            count = len(statuses)
            await until(lambda: asyncio.sleep(0, len(statuses) > count + 5))
            stop.set()
            await asyncio.gather(*asking)
        assert set(statuses) == {200}
        assert (await here.gateway.main.master.workers()).current == worker, "no reload"
        # A proxy that is started again serves the new one as well.
        assert (tmp_path / "pki/server.key").read_text() in (tmp_path / "g/certificate-0.pem").read_text()


async def test_a_broken_renewal_is_reported_and_the_old_certificate_stays(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    async with secure(tmp_path, tls(files)) as here:
        await here.gateway.observe()
        good = files.key.read_bytes()
        files.key.write_bytes(ca.issue_cert("127.0.0.1").private_key_pem.bytes())
        seen, _ = await here.gateway.observe()
        assert "does not belong to" in seen.certificates[0].fault
        async with client(here, ca, http2=True) as https:
            assert (await https.get("/.tidegate/healthz")).status_code == 200
        files.key.write_bytes(good)
        seen, _ = await here.gateway.observe()
        assert seen.certificates[0].fault == ""
        assert seen.certificates[0].until_at is not None


async def test_plain_http_is_redirected_and_services_of_this_machine_need_no_tls(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    redirect_port = free_port()
    async with secure(tmp_path, tls(files, redirect_port=redirect_port)) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        answer = await here.client.post(f"http://127.0.0.1:{redirect_port}/face/a%20b?x=1", content=b"x")
        assert answer.status_code == 308
        assert answer.headers["location"] == f"{here.gateway.settings.url}/face/a%20b?x=1"
        answer = await here.client.get(f"{here.gateway.settings.internal_url}/face")
        assert (answer.status_code, one.seen[-1].headers["x-forwarded-proto"]) == (200, "http")


async def test_only_clients_with_a_certificate_are_let_in_when_an_authority_is_named(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    clients = trustme.CA()
    async with secure(tmp_path, tls(files, client_ca=authority(tmp_path / "pki", clients))) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        context = trusting(ca)
        clients.issue_cert("camera-7@example.org", common_name="camera-7").configure_cert(context)
        async with client(here, ca, http2=True, context=context) as known:
            forged = {"x-client-subject": "/CN=root"}
            assert (await known.get("/face", headers=forged)).status_code == 200
            assert one.seen[-1].headers["x-client-subject"].endswith("/CN=camera-7")
            assert (await known.post("/face", content=b"x" * 1_000_000)).status_code == 200
            assert one.seen[-1].headers["x-client-subject"].endswith("/CN=camera-7")
        async with client(here, ca, http2=False) as stranger:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):
                await stranger.get("/face")


async def test_other_authorities_of_clients_are_taken_over_while_it_runs(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    old, new = trustme.CA(), trustme.CA()
    trusted = authority(tmp_path / "pki", old, "clients")

    async def let_in(here: World, clients: trustme.CA) -> bool:
        context = trusting(ca)
        clients.issue_cert("camera-7@example.org").configure_cert(context)
        try:
            async with client(here, ca, http2=False, context=context) as https:
                return (await https.get("/.tidegate/healthz")).status_code == 200
        except (httpx.TransportError, ssl.SSLError):
            return False

    async with secure(tmp_path, tls(files, client_ca=trusted)) as here:
        assert [await let_in(here, clients) for clients in (old, new)] == [True, False]
        authority(tmp_path / "pki", new, "clients")
        await here.gateway.observe()
        assert [await let_in(here, clients) for clients in (old, new)] == [False, True]


async def test_the_next_driver_brings_what_was_renewed_while_there_was_none(
    tmp_path: Path, ca: trustme.CA, files: CertificateFiles
):
    async with secure(tmp_path, tls(files)) as here:
        await here.gateway.publish(snapshot())
        await here.gateway.close(stop=False)
        written(tmp_path / "pki", ca.issue_cert("127.0.0.1", "renewed.example.org"))
        second = HaproxyGateway(here.gateway.settings)
        await second.start()
        try:
            seen, _ = await second.observe()
            assert seen.certificates[0].names[-1] == "renewed.example.org"
        finally:
            await second.close(stop=False)


async def test_what_a_client_came_by_is_kept_over_a_reload(tmp_path: Path, ca: trustme.CA, files: CertificateFiles):
    async with secure(tmp_path, tls(files)) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        async with client(here, ca, http2=False) as https:
            assert (await https.get("/face")).status_code == 200
            moved = service(pool(servers=(one.server(),)), route=Route(pathPrefix="/moved"))
            await here.gateway.publish(snapshot(moved))
            assert (await https.get("/moved")).status_code == 200
        assert one.seen[-1].headers["x-forwarded-proto"] == "https"


async def test_what_cannot_be_served_is_told_with_the_file_and_the_remedy(tmp_path: Path, ca: trustme.CA):
    good = written(tmp_path / "pki", ca.issue_cert("a.example.org"))
    other = written(tmp_path / "pki", ca.issue_cert("b.example.org"), "other")
    (tmp_path / "empty").write_text("")
    sealed = tmp_path / "sealed.key"
    key = serialization.load_pem_private_key(good.key.read_bytes(), None)
    sealed.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for files, words in (
        (CertificateFiles(tmp_path / "gone.crt", good.key), "gone.crt: No such file or directory"),
        (CertificateFiles(good.certificate, tmp_path / "gone.key"), "gone.key: No such file or directory"),
        (CertificateFiles(good.certificate, other.key), "other.key does not belong to the certificate in"),
        (CertificateFiles(tmp_path / "empty", good.key), "empty holds no certificate"),
        (CertificateFiles(good.certificate, good.certificate), "server.crt holds no private key"),
        (CertificateFiles(good.certificate, sealed), "sealed.key has a passphrase"),
    ):
        with pytest.raises(GatewayError) as told:
            async with secure(tmp_path, tls(files)):
                pass
        assert words in str(told.value)


async def test_a_handshake_that_does_not_end_is_cut_off(tmp_path: Path, files: CertificateFiles, ca: trustme.CA):
    async with secure(tmp_path, tls(files), handshake_timeout_s=2.0) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        # Closed by the proxy: `raw` waits for that.
        assert await asyncio.gather(here.raw(b""), here.raw(b"\x16\x03\x01\x02\x00\x01")) == [b"", b""]
        async with client(here, ca, http2=False) as others:
            assert (await others.post("/face", content=b"x")).status_code == 200
