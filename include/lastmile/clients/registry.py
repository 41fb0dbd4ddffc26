"""A container registry (OCI distribution): blobs and manifests, up and down, each verified by its digest.

A blob that is there already is not sent again. A large one goes in chunks: after a cut it goes on where
the registry says it stopped.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase
from typing import BinaryIO

import httpx

from lastmile.clients.registry_address import RegistryAccount, RegistryAddress
from lastmile.clients.registry_calls import (
    DIGEST_INVALID,
    HINT,
    BusyRegistryError,
    Persistence,
    RegistryCalls,
)
from lastmile.errors import ArtefactError, LastmileError, ServiceUnavailableError, StoreError

log = logging.getLogger(__name__)

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
READ_BYTES = 1 << 20
REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to send, by digest. `open` may be called several times."""

    digest: str
    size: int
    open: Callable[[], BufferedIOBase]


class Registry:
    """One registry. Connects on first use; close it, or use it as a context manager."""

    def __init__(
        self,
        address: RegistryAddress,
        account: RegistryAccount | None = None,
        persistence: Persistence | None = None,
    ) -> None:
        """Connect nothing yet.

        Raises:
            SettingsError: The account's password would go over the network in clear.
        """
        self.address = address
        self.account = account
        self._persistence = persistence or Persistence()
        self._calls = RegistryCalls(address, account, self._persistence)

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._calls.close()

    def check(self) -> None:
        """See that it answers and takes our account.

        Raises:
            ServiceUnavailableError: It does not answer.
            SettingsError: It refuses our account.
        """
        self._calls.again("answer", lambda: self._calls.ask("GET", f"{self.address.url}/v2/", ""))

    # Blobs

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether a repository holds a blob.

        Raises:
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        return self._calls.again(
            f"look for {digest[:19]}",
            lambda: self._calls.is_there(self._url(repository, "blobs", digest), repository),
        )

    def put_blob(self, repository: str, blob: Blob, mount_from: str | None = None) -> bool:
        """Send a blob unless it is there; tell whether its bytes were sent.

        Args:
            repository: Where to.
            blob: The content.
            mount_from: Another repository of the registry that may hold it already.

        Raises:
            ServiceUnavailableError: The registry does not answer or does not take it just now.
            SettingsError: It refuses our account.
            PermanentError: It does not take such a blob.
        """
        # A try whose answer was lost may have succeeded: each one begins by looking.
        return self._calls.again(
            f"take {blob.digest[:19]}", lambda: self._put_blob(repository, blob, mount_from)
        )

    def mount_blob(self, repository: str, digest: str, origin: str) -> bool:
        """Let a repository have another one's blob; tell whether it has it now.

        Raises:
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        return self._calls.again(
            f"mount {digest[:19]}", lambda: self._mount_blob(repository, digest, origin)
        )

    def get_blob(self, repository: str, digest: str, largest: int) -> bytes:
        """Fetch a small blob, verified.

        Raises:
            ArtefactError: It is not there, is larger, or is not what its digest says.
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """

        def fetch() -> bytes:
            content = bytearray()
            for chunk in self._stream(repository, digest):
                content += chunk
                if len(content) > largest:
                    raise _not_what_it_says(digest, f"it has more than {largest} bytes")
            return bytes(content)

        content = self._calls.again(f"give {digest[:19]}", fetch)
        _verify(digest, f"sha256:{hashlib.sha256(content).hexdigest()}")
        return content

    def download_blob(self, repository: str, digest: str, target: BinaryIO) -> int:
        """Fetch a blob into a file, verified; return its size. On an error the file is of no use.

        Raises:
            ArtefactError: It is not there, or is not what its digest says.
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
            StoreError: The file cannot be written.
        """

        def fetch() -> tuple[str, int]:
            target.seek(0)
            target.truncate()
            found = hashlib.sha256()
            for chunk in self._stream(repository, digest):
                found.update(chunk)
                target.write(chunk)
            return f"sha256:{found.hexdigest()}", target.tell()

        try:
            found, size = self._calls.again(f"give {digest[:19]}", fetch)
        except OSError as error:
            raise StoreError(
                f"{digest[:19]} cannot be written to this machine's disk: {error.strerror}.",
                "Free some space; then run again.",
            ) from error
        _verify(digest, found)
        return size

    # Manifests

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Tell whether a repository holds a manifest of this digest or tag.

        Raises:
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        return self.find_manifest(repository, reference) is not None

    def find_manifest(self, repository: str, reference: str) -> bytes | None:
        """Return a manifest by digest, then verified, or by tag; None where there is none.

        Raises:
            ArtefactError: It is not what its digest says.
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        url = self._url(repository, "manifests", reference)
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        answer = self._calls.again(
            f"give {repository}@{reference}",
            lambda: self._calls.ask("GET", url, repository, headers=headers, also=(404,)),
        )
        if answer.status_code == 404:
            return None
        if reference.startswith("sha256:"):
            _verify(reference, f"sha256:{hashlib.sha256(answer.content).hexdigest()}")
        return answer.content

    def get_manifest(self, repository: str, reference: str) -> bytes:
        """Fetch a manifest by digest, then verified, or by tag.

        Raises:
            ArtefactError: It is not there, or is not what its digest says.
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        content = self.find_manifest(repository, reference)
        if content is None:
            raise ArtefactError(
                f"{self.address.host}/{repository} has no {reference}.",
                "It was deleted, or never sent. Package the run again with --force, or `make images`.",
            )
        return content

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Store a manifest under its digest or a tag; return its digest. All it names must be there.

        Raises:
            ServiceUnavailableError: The registry does not answer or does not take it just now.
            SettingsError: It refuses our account.
            PermanentError: It does not take such a manifest.
        """
        url = self._url(repository, "manifests", reference)
        headers = {"Content-Type": media_type}
        self._calls.again(
            f"take the manifest of {repository}",
            lambda: self._calls.ask("PUT", url, repository, content=content, headers=headers),
        )
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def referrers(self, repository: str, digest: str) -> bytes | None:
        """Return the index of what refers to a manifest; None where nothing does.

        Registries older than version 1.1 of the specification keep it under a tag made of the digest.

        Raises:
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        answer = self._ask_referrers(repository, digest)
        if answer.status_code == 200:
            return answer.content
        return self.find_manifest(repository, referrers_tag(digest))

    def knows_referrers(self, repository: str, digest: str) -> bool:
        """Tell whether the registry lists by itself what refers to a manifest.

        Raises:
            ServiceUnavailableError: The registry does not answer.
            SettingsError: It refuses our account.
        """
        return self._ask_referrers(repository, digest).status_code == 200

    def _ask_referrers(self, repository: str, digest: str) -> httpx.Response:
        url = self._url(repository, "referrers", digest)
        return self._calls.again(
            f"list what refers to {digest[:19]}",
            lambda: self._calls.ask("GET", url, repository, also=(400, 404, 405)),
        )

    # One upload

    def _put_blob(self, repository: str, blob: Blob, mount_from: str | None) -> bool:
        if self._calls.is_there(self._url(repository, "blobs", blob.digest), repository):
            return False
        place = self._start_upload(repository, blob.digest, mount_from)
        if place is None:
            return False
        try:
            with blob.open() as source:
                self._send(repository, place, source, blob)
        except Exception as error:
            self._abandon(repository, place)
            if isinstance(error, BusyRegistryError) and error.code == DIGEST_INVALID:
                _verify_source(blob)
            raise
        return True

    def _mount_blob(self, repository: str, digest: str, origin: str) -> bool:
        if self._calls.is_there(self._url(repository, "blobs", digest), repository):
            return True
        place = self._start_upload(repository, digest, origin)
        if place is not None:  # not lent: the registry waits for the bytes
            self._abandon(repository, place)
        return place is None

    def _abandon(self, repository: str, place: httpx.URL) -> None:
        """Tell the registry that an upload will not go on; if it cannot hear, it clears it away some day."""
        with suppress(LastmileError):
            self._calls.ask("DELETE", place, repository)

    def _start_upload(
        self, repository: str, digest: str, mount_from: str | None
    ) -> httpx.URL | None:
        """Return where to send the bytes; None where the registry took them from another repository."""
        url = httpx.URL(self._url(repository, "blobs", "uploads/"))
        lender = mount_from if mount_from and mount_from != repository else ""
        if lender:
            url = url.copy_merge_params({"mount": digest, "from": lender})
        answer = self._calls.ask("POST", url, repository, lender=lender)
        if answer.status_code == 201:
            return None
        return _location(answer)

    def _send(self, repository: str, place: httpx.URL, source: BufferedIOBase, blob: Blob) -> None:
        if blob.size > self._persistence.chunk_bytes:
            place, rest = self._send_chunks(repository, place, source, blob.size), b""
        else:
            rest = source.read()
        closing = place.copy_merge_params({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream"}
        self._calls.ask("PUT", closing, repository, content=rest, headers=headers)

    def _send_chunks(
        self, repository: str, place: httpx.URL, source: BufferedIOBase, size: int
    ) -> httpx.URL:
        sent, failures = 0, 0
        while sent < size:
            source.seek(sent)
            chunk = source.read(self._persistence.chunk_bytes)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{sent}-{sent + len(chunk) - 1}",
            }
            try:
                answer = self._calls.ask("PATCH", place, repository, content=chunk, headers=headers)
                sent, failures = sent + len(chunk), 0
            except ServiceUnavailableError as error:
                failures += 1
                if failures >= self._persistence.attempts:
                    raise
                self._calls.wait(failures, error)
                answer = self._calls.ask("GET", place, repository)
                sent = _received(answer)
                log.info("The upload was cut; it goes on from byte %d of %d.", sent, size)
            place = _location(answer)
        return place

    def _stream(self, repository: str, digest: str) -> Iterator[bytes]:
        url = httpx.URL(self._url(repository, "blobs", digest))
        for _ in range(REDIRECTS):
            with self._calls.reporting(), self._calls.stream(url, repository) as answer:
                if answer.is_redirect:
                    url = _redirected(answer)
                    continue
                self._calls.refuse(answer, ())
                yield from answer.iter_bytes(READ_BYTES)
                return
        raise ServiceUnavailableError(f"{url.host} only ever points elsewhere.", HINT)

    def _url(self, repository: str, kind: str, reference: str) -> str:
        return f"{self.address.url}/v2/{repository}/{kind}/{reference}"


def referrers_tag(digest: str) -> str:
    """Return the tag under which older registries keep what refers to a manifest."""
    return digest.replace(":", "-")


def _verify_source(blob: Blob) -> None:
    """Tell bytes that were altered here from bytes that were altered on their way."""
    with blob.open() as source:
        found = hashlib.file_digest(source, "sha256").hexdigest()
    if f"sha256:{found}" != blob.digest:
        raise ArtefactError(
            f"{blob.digest} is altered on this machine: its bytes are sha256:{found}.",
            "The registry did not keep it. Make it anew: `make images` for a base, `lastmile package "
            "--force` for a model.",
        )


def _verify(expected: str, found: str) -> None:
    if expected != found:
        raise _not_what_it_says(expected, f"its bytes are {found}")


def _not_what_it_says(digest: str, why: str) -> ArtefactError:
    return ArtefactError(
        f"The registry gave something else for {digest}: {why}.",
        "It is not used. Somebody altered it, or the registry's storage is damaged.",
    )


def _location(answer: httpx.Response) -> httpx.URL:
    """Return where the upload goes on: the registry may say so anew with each answer."""
    if location := answer.headers.get("Location"):
        return answer.request.url.join(location)
    return answer.request.url


def _redirected(answer: httpx.Response) -> httpx.URL:
    url = answer.request.url.join(answer.headers.get("Location", ""))
    if answer.request.url.scheme == "https" and url.scheme != "https":
        raise ServiceUnavailableError(f"{answer.request.url.host} points to plain {url}.", HINT)
    return url


def _received(answer: httpx.Response) -> int:
    """Return how many bytes the registry has of an upload, from `Range: 0-<last>`."""
    last = answer.headers.get("Range", "").rpartition("-")[2]
    # `0-0` is what registries say of an upload that has nothing yet.
    return int(last) + 1 if last.isdigit() and int(last) > 0 else 0
