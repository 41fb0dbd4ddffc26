"""From a request's body to a JSON value. Everything a client may send ends as a value or a refusal."""

import codecs
import json
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from flask import Request

from lastmile.serve.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's window bits per content encoding: 31 expects gzip's header, 15 zlib's."""


def read_json(request: Request, max_bytes: int) -> Any:
    """Read the body as JSON.

    Raises:
        RequestError: Wrong content type, too large, no UTF-8, no JSON.
    """
    content_type = request.environ.get("CONTENT_TYPE")
    if content_type not in ("application/json", None, ""):
        media = content_type.partition(";")[0].strip().lower()
        if media != "application/json" and not media.endswith("+json"):
            raise RequestError(
                f"The body is declared as {media[:80] or 'nothing'}, not as JSON.",
                "Send it with the header Content-Type: application/json.",
                status=415,
            )
    return parse_json(read_body(request, max_bytes))


def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body, unpacked where it came packed.

    Raises:
        RequestError: Too large, cut short or packed in a way that cannot be unpacked.
    """
    environ = request.environ
    try:
        content = _receive(environ, max_bytes)
    except RequestError:
        raise
    except BlockingIOError as error:  # the socket's own time limit
        raise RequestError("The body did not come in time.", status=408) from error
    except Exception as error:  # the HTTP server's own, when chunks are malformed, or the socket's
        raise RequestError(f"The body cannot be read: {error}.") from error
    packing = environ.get("HTTP_CONTENT_ENCODING")
    return content if not packing else _unpack(content, packing.strip().lower(), max_bytes)


def _receive(environ: "WSGIEnvironment", max_bytes: int) -> bytes:
    declared = environ.get("CONTENT_LENGTH")
    if declared:  # the HTTP server has seen to it that this is a number
        length = int(declared)
        if length > max_bytes:
            _refuse_size(max_bytes)
        content: bytes = environ["wsgi.input"].read(length)
        if len(content) < length:
            raise RequestError(f"The body ended after {len(content)} of {length} bytes.")
        return content
    if not environ.get("wsgi.input_terminated"):
        return b""
    content = environ["wsgi.input"].read(max_bytes + 1)  # sent in chunks, of unknown length
    if len(content) > max_bytes:
        _refuse_size(max_bytes)
    return content


def _unpack(content: bytes, packing: str, max_bytes: int) -> bytes:
    if packing == "identity":
        return content
    if packing not in _WINDOW:
        raise RequestError(
            f"The content encoding {packing[:40]!r} is not known.",
            f"There are {', '.join(_WINDOW)}, or none.",
            status=415,
        )
    unpacker = zlib.decompressobj(_WINDOW[packing])
    try:
        unpacked = unpacker.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise RequestError(f"The body is no sound {packing}: {error}.") from error
    if len(unpacked) > max_bytes:
        _refuse_size(max_bytes)
    if not unpacker.eof:
        raise RequestError(f"The body is no sound {packing}: it ends half way.")
    return unpacked


def parse_json(content: bytes) -> Any:
    """Parse JSON as its standard has it: UTF-8, no key twice.

    NaN and Infinity are let through: the columns' own rules refuse them with row and column.

    Raises:
        RequestError: It is no such JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return _DECODER.decode(content.decode())
    except UnicodeDecodeError as error:
        raise RequestError(
            f"The body is not UTF-8: byte {error.start} is {content[error.start]:#04x}."
        ) from error
    except json.JSONDecodeError as error:
        if content.startswith(codecs.BOM_UTF8):
            return parse_json(content[len(codecs.BOM_UTF8) :])
        raise RequestError(
            f"The body is no JSON: line {error.lineno}, column {error.colno}: {error.msg}."
            if content
            else "The body is empty.",
            'Send a JSON object such as {"instances": [{"column": 1.5}]}.',
        ) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise RequestError("The JSON holds a number that is too long.") from error


def _refuse_size(max_bytes: int) -> NoReturn:
    raise RequestError(
        f"The body is larger than {max_bytes} bytes.",
        "Send fewer records per request, or let the server take more: LASTMILE_SERVE_MAX_BODY_BYTES.",
        status=413,
    )


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"The key {twice[:80]!r} stands twice in one object.")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_to_object)
