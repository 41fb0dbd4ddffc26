"""A strict stand-in for Slack's Web API, as its published documents have it.

It answers 200 with `ok: false` as the real one does, and refuses: missing or wrong tokens, missing
scopes, unknown and archived channels, arguments and block fields that do not exist, texts over their
limits, empty texts, threads that do not exist.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote

from fakes.service import Answer, Asked, FakeService, RefusedError

TOKEN = "xoxb-fake-t0ken"
POST_ARGUMENTS = {
    "channel", "text", "blocks", "attachments", "thread_ts", "reply_broadcast", "metadata", "mrkdwn", "parse",
    "link_names", "unfurl_links", "unfurl_media", "icon_emoji", "icon_url", "username", "as_user", "token",
}  # fmt: skip
UPDATE_ARGUMENTS = {
    "channel", "ts", "text", "blocks", "attachments", "metadata", "parse", "link_names", "reply_broadcast",
    "as_user", "file_ids", "token",
}  # fmt: skip
SCOPES = {
    "chat.postMessage": "chat:write", "chat.update": "chat:write", "conversations.info": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history", "conversations.list": "channels:read",
}  # fmt: skip


class FakeSlack(FakeService):
    """A workspace with the channels `risk-models`, `elsewhere` (the bot is not in it), `old` (archived)."""

    def __init__(self, token: str = TOKEN) -> None:
        super().__init__()
        self.token = token
        self.scopes = set(SCOPES.values())
        self.channels = {"C0RISK": "risk-models", "C0ELSE": "elsewhere", "C0OLD": "old"}
        self.private: set[str] = set()
        """Which of them are; listing those needs the scope `groups:read`."""
        self.messages: list[dict[str, Any]] = []

    @property
    def connection_url(self) -> str:
        return f"http://:{quote(self.token, safe='')}@127.0.0.1:{self.port}/api"

    def answer(self, asked: Asked) -> Answer:
        method = asked.path.removeprefix("/api/")
        routes = {
            "chat.postMessage": self._post, "conversations.history": self._history,
            "conversations.replies": self._replies, "conversations.list": self._list,
            "chat.update": self._update, "conversations.info": self._info,
            "auth.test": lambda _: {"user": "bot", "team": "Acme", "user_id": "U0BOT"},
        }  # fmt: skip
        if method not in routes:
            return _not_ok("unknown_method")
        arguments = _arguments(asked)
        given = asked.headers.get("authorization", "")
        if not given:
            return _not_ok("not_authed")
        if given != f"Bearer {self.token}":
            return _not_ok("invalid_auth")
        if (needed := SCOPES.get(method)) and needed not in self.scopes:
            return _not_ok("missing_scope", needed=needed, provided=",".join(sorted(self.scopes)))
        scopes = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        return Answer(200, {"ok": True} | routes[method](arguments), scopes)

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(arguments) - POST_ARGUMENTS:
            raise RefusedError(_not_ok("invalid_arguments", unknown=sorted(unknown)))
        channel = self._channel(arguments.get("channel"))
        content = _content(arguments)
        thread = arguments.get("thread_ts")
        if thread and not any(m["ts"] == thread and m["channel"] == channel for m in self.messages):
            raise RefusedError(_not_ok("thread_not_found"))
        ts = f"{1_800_000_000 + len(self.messages)}.000{100 + len(self.messages)}"
        if arguments.get("reply_broadcast") and not thread:
            raise RefusedError(_not_ok("cannot_reply_to_message"))
        aloud = bool(arguments.get("reply_broadcast"))
        message = {"ts": ts, "channel": channel, "thread_ts": thread, "aloud": aloud} | content
        self.messages.append(message)
        return {"channel": channel, "ts": ts, "message": message}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(arguments) - UPDATE_ARGUMENTS:
            raise RefusedError(_not_ok("invalid_arguments", unknown=sorted(unknown)))
        channel = self._channel(arguments.get("channel"), by_name=False)
        content = _content(arguments)
        for message in self.messages:
            if (message["channel"], message["ts"]) == (channel, arguments.get("ts")):
                message |= content | {"edits": message.get("edits", 0) + 1}
                return {"channel": channel, "ts": message["ts"], "text": message["text"]}
        raise RefusedError(_not_ok("message_not_found"))

    def _info(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = arguments.get("channel")
        if channel not in self.channels:
            raise RefusedError(_not_ok("channel_not_found"))
        name = self.channels[channel]
        flags = {"is_archived": name == "old", "is_member": name not in {"elsewhere", "old"}}
        return {"channel": {"id": channel, "name": name} | flags}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments.get("channel"), by_name=False)
        roots = [m for m in self.messages if m["channel"] == channel and not m["thread_ts"]]
        return self._page(roots[::-1], arguments)

    def _replies(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel, ts = self._channel(arguments.get("channel"), by_name=False), arguments.get("ts")
        found = [
            m for m in self.messages if m["channel"] == channel and ts in {m["ts"], m["thread_ts"]}
        ]
        if not found:
            raise RefusedError(_not_ok("thread_not_found"))
        return self._page(found, arguments)

    def _page(self, messages: list[dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
        """Two messages a page, so that whoever reads only the first one is found out."""
        start, with_metadata = (
            int(arguments.get("cursor") or 0),
            arguments.get("include_all_metadata"),
        )
        shown = [
            {k: v for k, v in m.items() if k != "metadata" or with_metadata in {True, "1", "true"}}
            for m in messages[start : start + 2]
        ]
        more = start + 2 < len(messages)
        cursor = {"response_metadata": {"next_cursor": str(start + 2)}} if more else {}
        return {"messages": shown, "has_more": more} | cursor

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        kinds = str(arguments.get("types", "public_channel")).split(",")
        if "private_channel" in kinds and "groups:read" not in self.scopes:
            raise RefusedError(_not_ok("missing_scope", needed="groups:read"))
        channels = [
            {"id": i, "name": n}
            for i, n in self.channels.items()
            if ("private_channel" if i in self.private else "public_channel") in kinds
        ]
        return {"channels": channels, "response_metadata": {"next_cursor": ""}}

    def _channel(self, given: Any, by_name: bool = True) -> str:
        if not isinstance(given, str) or not given:
            raise RefusedError(_not_ok("channel_not_found"))
        ids = {name: i for i, name in self.channels.items()} if by_name else {}
        channel = ids.get(given.removeprefix("#"), given)
        if channel not in self.channels:
            raise RefusedError(_not_ok("channel_not_found"))
        if self.channels[channel] == "elsewhere":
            raise RefusedError(_not_ok("not_in_channel"))
        if self.channels[channel] == "old":
            raise RefusedError(_not_ok("is_archived"))
        return channel


def _content(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a message says, as posting and updating take it."""
    text, blocks = arguments.get("text", ""), arguments.get("blocks", [])
    if not text and not blocks:
        raise RefusedError(_not_ok("no_text"))
    if len(text) > 40_000:
        raise RefusedError(_not_ok("msg_too_long"))
    if fault := blocks_fault(blocks):
        raise RefusedError(_not_ok("invalid_blocks", response_metadata={"messages": [fault]}))
    if len(json.dumps(blocks)) > 13_200:  # slackapi/bolt-js#2509
        raise RefusedError(_not_ok("msg_blocks_too_long"))
    metadata = arguments.get("metadata", {})
    if metadata and set(metadata) != {"event_type", "event_payload"}:
        raise RefusedError(_not_ok("invalid_metadata_format"))
    return {"text": text, "blocks": blocks, "metadata": metadata}


def _not_ok(error: str, **more: Any) -> Answer:
    return Answer(200, {"ok": False, "error": error} | more)


def _arguments(asked: Asked) -> dict[str, Any]:
    kind = asked.headers.get("content-type", "")
    if kind.startswith("application/json") and asked.body:
        body = json.loads(asked.body)
        if not isinstance(body, dict):
            raise RefusedError(_not_ok("json_not_object"))
        return body
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(asked.body.decode()))
    if asked.body and not kind.startswith("application/json"):
        raise RefusedError(_not_ok("invalid_post_type"))
    return {}


# Block Kit: https://docs.slack.dev/reference/block-kit/blocks
def blocks_fault(blocks: Any) -> str | None:
    """Say what is wrong with blocks, or None."""
    if not isinstance(blocks, list) or len(blocks) > 50:
        return "no more than 50 items allowed [json-pointer:/blocks]"
    for number, block in enumerate(blocks):
        if fault := _block_fault(block):
            return f"{fault} [json-pointer:/blocks/{number}]"
    return None


def _block_fault(block: Any) -> str | None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        return _keys(block, {"type", "text"}) or _plain_fault(block.get("text"), 150)
    if kind == "context":
        elements = block.get("elements")
        if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
            return "context takes 1 to 10 elements"
        return _keys(block, {"type", "elements"}) or _first(_plain_fault(e, 3000) for e in elements)
    if kind == "rich_text":
        elements = block.get("elements")
        if not isinstance(elements, list) or not elements:
            return "must provide elements"
        return _keys(block, {"type", "elements"}) or _first(map(_rich_fault, elements))
    return f"unsupported type: {kind}"


def _rich_fault(element: Any) -> str | None:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in {"rich_text_section", "rich_text_list"}:
        return f"unsupported type: {kind}"
    inner = element.get("elements")
    if not isinstance(inner, list) or not inner:
        return "must provide elements"
    if kind == "rich_text_list":
        if element.get("style") not in {"bullet", "ordered"}:
            return "must provide style"
        if any(e.get("type") != "rich_text_section" for e in inner):
            return "a list holds sections"
        return _keys(element, {"type", "style", "elements", "indent"}) or _first(
            map(_rich_fault, inner)
        )
    return _keys(element, {"type", "elements"}) or _first(map(_inline_fault, inner))


def _inline_fault(element: Any) -> str | None:
    if element.get("type") == "text":
        if not isinstance(element.get("text"), str) or not element["text"]:
            return "must be more than 0 characters"
        return _keys(element, {"type", "text", "style"})
    if element.get("type") == "link":
        if not str(element.get("url", "")).startswith(("http://", "https://", "mailto:")):
            return "must be a valid url"
        return _keys(element, {"type", "url", "text", "style", "unsafe"})
    if element.get("type") == "user":
        if not re.fullmatch(r"[UW][A-Z0-9]+", str(element.get("user_id"))):
            return "must be a valid user id"
        return _keys(element, {"type", "user_id", "style"})
    return f"unsupported type: {element.get('type')}"


def _plain_fault(text: Any, longest: int) -> str | None:
    if not isinstance(text, dict) or text.get("type") != "plain_text":
        return "must be plain_text"
    if not isinstance(text.get("text"), str) or not 1 <= len(text["text"]) <= longest:
        return f"must be 1 to {longest} characters"
    return _keys(text, {"type", "text", "emoji"})


def _keys(value: dict[str, Any], known: set[str]) -> str | None:
    unknown = set(value) - known
    return f"additional property: {sorted(unknown)}" if unknown else None


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault), None)
