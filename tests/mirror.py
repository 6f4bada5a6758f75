"""A web host in the layout of Ensembl's, on this machine: ETags, CHECKSUMS, folder pages, and faults on demand."""

import datetime
import gzip
import ipaddress
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RELEASE = "/pub/release-115"
FASTA = f"{RELEASE}/fasta/homo_sapiens/dna/Homo_sapiens.GRCh38.dna.primary_assembly.fa.gz"
GTF = f"{RELEASE}/gtf/homo_sapiens/Homo_sapiens.GRCh38.115.gtf.gz"


@dataclass(slots=True, kw_only=True)
class File:
    """One file of the host.

    Attributes:
        body: what it sends.
        etag: its mark; None for none.
        promised: bytes said to come beyond those that do.
        kind: its Content-Type.
        size: whether Content-Length is sent at all.
        seconds: how long the body takes.
    """

    body: bytes
    etag: str | None = '"1-a"'
    promised: int = 0
    kind: str = "application/x-gzip"
    size: bool = True
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Mirror:
    """The host's files, changeable while it runs, and what it was asked for."""

    url: str = ""
    files: dict[str, File] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def fill(self) -> None:
        """Two files and the lists of checksums beside them; forgets what was there."""
        self.files.clear()
        self.moved.clear()
        self.asked.clear()
        self.put(FASTA, packed(">1 dna:chromosome\n" + "ACGTN" * 4000 + "\n"))
        self.put(GTF, packed('1\tensembl\tgene\t11\t90\t.\t+\t.\tgene_id "g";\n' * 200))

    def put(self, path: str, body: bytes, **changes: Any) -> None:
        """Serve a file, and state its BSD checksum as coreutils computes it."""
        self.files[path] = File(body=body, **changes)
        folder, _, name = path.rpartition("/")
        said = subprocess.run(["sum"], input=body, capture_output=True, check=True).stdout.decode().split()
        self.files[f"{folder}/CHECKSUMS"] = File(
            body=f"00439 799942 Another.file.fa.gz\n{said[0]} {said[1]} {name}\n".encode(), kind="text/plain"
        )


def packed(text: str) -> bytes:
    """Gzip, the same at any time."""
    return gzip.compress(text.encode(), mtime=0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    mirror: Mirror

    def handle_error(self, *_: Any) -> None:
        return  # a client that hangs up is what is tested here


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _mirror(self) -> Mirror:
        assert isinstance(self.server, _Server)
        return self.server.mirror

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self._mirror.asked.append(f"{self.command} {self.path}")
        if self.path in self._mirror.moved or self._is_folder():
            self.send_response(301)
            self.send_header("Location", self._mirror.moved.get(self.path, f"{self.path}/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = self._mirror.files.get(self.path) or self._page()
        if file is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", file.kind)
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.size:
            self.send_header("Content-Length", str(len(file.body) + file.promised))
        self.close_connection = bool(file.promised) or not file.size
        self.end_headers()
        if with_body:
            for start in range(0, len(file.body), step := len(file.body) // 8 + 1):
                self.wfile.write(file.body[start : start + step])
                time.sleep(file.seconds / 8)

    def _is_folder(self) -> bool:
        return any(path.startswith(f"{self.path.rstrip('/')}/") for path in self._mirror.files) and self.path[-1] != "/"

    def _page(self) -> File | None:
        inside = [path for path in self._mirror.files if self.path.endswith("/") and path.startswith(self.path)]
        links = "".join(f'<a href="{path}">{path}</a>' for path in inside)
        return File(body=f"<html>{links}</html>".encode(), kind="text/html", etag=None) if inside else None

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def serve(certificate: Path | None = None) -> Iterator[Mirror]:
    """Run the host; over https with the key and certificate in one file where one is given."""
    mirror = Mirror()

    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.mirror = mirror
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        mirror.url = f"{scheme}://127.0.0.1:{server.server_port}"
        mirror.fill()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()


def certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody signed but itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path
