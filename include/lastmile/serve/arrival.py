"""The bytes of a request, from the first one to the last. Knows no socket and no gunicorn."""

_CHUNK_LINE = 4096
"""Longer lines between chunks are for the HTTP server to refuse."""


class Arrival:
    """Collects a request until a thread can read it without waiting for its client.

    That is when header and body are there, or when so much is there, or it is so malformed, that it will
    be refused by what is there.
    """

    __slots__ = ("_at", "_body_bytes", "_chunked", "_header_end", "_max_body", "_max_header", "_needed",
                 "content", "wants_continue", "whole")  # fmt: skip

    def __init__(self, max_header: int, max_body: int) -> None:
        self._max_header = max_header
        self._max_body = max_body
        self.content = bytearray()
        self.whole = False
        """Whether all of it is there: another request may follow."""
        self.wants_continue = False
        """Whether the client waits to be told that it may send the body."""
        self._header_end = -1
        self._needed = 0
        self._chunked = False
        self._at = 0  # how far the header was searched, then where the next chunk begins
        self._body_bytes = 0

    def add(self, data: bytes) -> bool:
        """Take more bytes; return whether a thread may have the request."""
        self.content += data
        if self._header_end < 0 and not self._find_header():
            return len(self.content) > self._max_header
        self.whole = self._walk_chunks() if self._chunked else len(self.content) >= self._needed
        return self.whole or self._is_refused()

    def _find_header(self) -> bool:
        end = self.content.find(b"\r\n\r\n", self._at)
        if end < 0:
            self._at = max(len(self.content) - 3, 0)
            return False
        self._header_end = self._at = self._needed = end + 4
        head = bytes(self.content[: end + 2]).lower()
        self.wants_continue = b"\r\nexpect:" in head
        if b"\r\ntransfer-encoding:" in head:
            self._chunked = True
        elif (at := head.find(b"\r\ncontent-length:")) >= 0:
            length = head[at + 17 : head.find(b"\r\n", at + 17)].strip()
            if length.isdigit() and len(length) < 20:
                self._body_bytes = int(length)
                self._needed += self._body_bytes
            else:
                self._body_bytes = self._max_body + 1  # the HTTP server refuses it
        return True

    def _walk_chunks(self) -> bool:
        """Step from chunk to chunk; return whether the last one is there."""
        content = self.content
        while 0 <= self._at <= len(content):
            end = content.find(b"\r\n", self._at)
            if end < 0:
                if len(content) - self._at > _CHUNK_LINE:
                    self._at = -1
                return False
            digits = bytes(content[self._at : end]).partition(b";")[0].strip()
            try:
                size = int(digits, 16) if digits.isalnum() and len(digits) <= 16 else -1
            except ValueError:
                size = -1
            if size < 0:
                self._at = -1  # not the size of a chunk
            elif size == 0:
                return content.find(b"\r\n\r\n", end) >= 0  # the end, or the end of the trailers
            elif self._body_bytes + min(size, len(content) - end - 2) > self._max_body:
                self._body_bytes = self._max_body + 1
                return False
            elif end + size + 4 > len(content):
                return False
            else:
                self._body_bytes += size
                self._at = end + size + 4
        return False

    def _is_refused(self) -> bool:
        if self._body_bytes > self._max_body or self._at < 0:
            return True
        # Many small chunks, or endless trailers: six bytes for each that counts are the most.
        most = self._header_end + 6 * self._max_body + self._max_header
        return self._chunked and len(self.content) > most
