"""`report.html`: what preparing did, on one self-contained page. No script, no font, nothing fetched."""

from collections.abc import Iterable
from html import escape
from typing import Any

COUNTED = ("changed", "filled", "clipped", "flagged")
WIDTH, HEIGHT, LABEL_ROW = 300, 92, 15
MOST_SHOWN = 60
BLANKS = {ord(" "): "␣", 0xA0: "⍽", ord("\t"): "⇥", ord("\n"): "↵", ord("\r"): "↵"}

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--page:#f6f7f9;
--card:#fff;--before:#c3ccd8;--after:#2f6fde;--bad:#c2410c}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a3b3;--line:#2c3440;--page:#12161c;
--card:#1a2028;--before:#46525f;--after:#6ea3ff;--bad:#fb923c}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 20px 60px}
h1{font-size:26px;margin:0;letter-spacing:-.01em}h2{font-size:17px;margin:36px 0 12px}
p{margin:6px 0}.soft{color:var(--soft)}.bad{color:var(--bad)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin-top:22px}
.facts b{display:block;font-size:24px;font-variant-numeric:tabular-nums;line-height:1.2}
.bar{display:flex;height:12px;border-radius:6px;overflow:hidden;margin:4px 0 12px}
.table{overflow-x:auto;padding:4px 16px}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:8px 14px 8px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}th{font-weight:600;color:var(--soft);font-size:13px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.columns{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:12px}
.columns h3{font-size:15px;margin:0;overflow-wrap:anywhere}
.columns .soft,.columns p{font-size:13px}svg{width:100%;height:auto;display:block;margin:8px 0 4px}
svg text{font:10px system-ui,sans-serif;fill:var(--soft)}
.b{fill:var(--before)}.a{fill:var(--after)}.key{display:inline-block;width:10px;height:10px;
border-radius:2px;margin:0 5px 0 12px}
"""
CLASS_COLOURS = (
    "#2f6fde",
    "#e0803a",
    "#3a9c78",
    "#a15bc4",
    "#c9a227",
    "#d0517c",
    "#5b7a99",
    "#8a8f35",
)


def page(report: dict[str, Any]) -> str:
    """Return the page of a report (`lastmile.prepare.report.make_report`)."""
    title = f"Dataset of {escape(report['pipeline'])}"
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="soft">{_sources(report["sources"])}. Task: {escape(report["task"])}.</p>',
            *(f'<p class="bad">{escape(warning)}</p>' for warning in report["warnings"]),
            _facts(report["rows"]),
            "<h2>Splits</h2>",
            _splits(report["splits"]),
            "<h2>Steps</h2>",
            _steps(report["steps"]),
            '<h2>Columns <span class="soft"><i class="key" style="background:var(--before)"></i>before'
            '<i class="key" style="background:var(--after)"></i>after cleaning</span></h2>',
            _columns(report["columns"]),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _sources(sources: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{escape(source['name'])} ({escape(source['kind'])}, {_count(source['rows'])} rows)"
        for source in sources
    )


def _facts(rows: dict[str, int]) -> str:
    shown = [
        ("raw_rows", "rows came in"),
        ("added", "added by joins"),
        ("dropped", "dropped by steps"),
        ("quarantined", "in quarantine"),
        ("rows", "rows in the dataset"),
    ]
    cards = "".join(
        f'<div class="card"><b>{_count(rows[name])}</b><span class="soft">{words}</span></div>'
        for name, words in shown
        if rows[name] or name != "added"
    )
    return f'<div class="facts">{cards}</div>'


def _splits(splits: dict[str, Any]) -> str:
    parts = []
    for name, split in splits.items():
        if classes := split.get("classes"):
            told = ", ".join(f"{escape(label)} {_count(n)}" for label, n in classes.items())
            bar = _class_bar(classes, split["rows"])
        else:
            target = split["target"]
            told = f"{_number(target['min'])} to {_number(target['max'])}, mean {_number(target['mean'])}"
            bar = _class_bar({"": split["rows"]}, split["rows"])
        parts.append(
            f'<div><b>{name}</b> {_count(split["rows"])} rows <span class="soft">{told}</span></div>'
            f"{bar}"
        )
    return f'<div class="card">{"".join(parts)}</div>'


def _class_bar(classes: dict[str, int], rows: int) -> str:
    parts = "".join(
        f'<i title="{escape(label)}" style="width:{100 * n / rows:.2f}%;'
        f'background:{CLASS_COLOURS[i % len(CLASS_COLOURS)]}"></i>'
        for i, (label, n) in enumerate(classes.items())
    )
    return f'<div class="bar">{parts}</div>'


def _steps(steps: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><b>{escape(step['step'])}</b></td><td>{_did(step)}</td>"
        f'<td class="n">{_count(step["rows_in"])}</td><td class="n">{_count(step["rows_out"])}</td></tr>'
        for step in steps
    )
    return (
        '<div class="card table"><table><thead><tr><th>Step</th><th>What it did</th>'
        f'<th class="n">Rows in</th><th class="n">Rows out</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _did(step: dict[str, Any]) -> str:
    lines = [f'<span class="soft">{escape(step["about"])}</span>'] if step["about"] else []
    if step["dropped"]:
        lines.append(f"dropped {_count(step['dropped'])}")
    lines += [
        f'<span class="bad">quarantined {_count(n)}</span>: {escape(reason)}'
        for reason, n in step["quarantined"].items()
    ]
    for verb in COUNTED:
        if some := {name: n for name, n in step[verb].items() if n}:
            told = ", ".join(f"{escape(name)} {_count(n)}" for name, n in some.items())
            lines.append(f"{verb} {told}")
    if step["fitted"]:
        told = ", ".join(f"{escape(n)} {escape(_fitted(v))}" for n, v in step["fitted"].items())
        lines.append(f'<span class="soft">fitted on train: {told}</span>')
    lines += [f'<span class="soft">{escape(note)}</span>' for note in step["notes"]]
    return "<br>".join(lines) or '<span class="soft">nothing to do</span>'


def _fitted(value: Any) -> str:
    if isinstance(value, list):
        return f"{_number(value[0])} to {_number(value[1])}"
    return _number(value) if isinstance(value, float) else repr(value)


def _columns(columns: list[dict[str, Any]]) -> str:
    cards = "".join(_column(column) for column in columns[:MOST_SHOWN])
    more = len(columns) - MOST_SHOWN
    rest = f'<p class="soft">{more} more columns are in report.json.</p>' if more > 0 else ""
    return f'<div class="columns">{cards}</div>{rest}'


def _column(column: dict[str, Any]) -> str:
    before, after = column["before"], column["after"]
    chart = _histogram(column) if column["edges"] else _bars(column)
    notes = [f"missing {_change(before['missing'], after['missing'])}"]
    if before["wrong"]:
        notes.append(f"of a wrong type {_change(before['wrong'], after['wrong'])}")
    if column["edges"] and (_beyond(before) or _beyond(after)):
        notes.append(f"beyond the picture {_change(_beyond(before), _beyond(after))}")
    elif not column["edges"] and (before["above"] or after["above"]):
        notes.append(f"other categories {_change(before['above'], after['above'])}")
    if {"median", "mean"} <= before["statistics"].keys() & after["statistics"].keys():
        for name in ("median", "mean"):
            pair = _number(before["statistics"][name]), _number(after["statistics"][name])
            notes.append(f"{name} {pair[0] if pair[0] == pair[1] else ' → '.join(pair)}")
    return (
        f'<div class="card"><h3>{escape(column["column"])} <span class="soft">{column["kind"]}</span>'
        f'</h3>{chart}<p class="soft">{" · ".join(notes)}</p></div>'
    )


def _beyond(counts: dict[str, Any]) -> int:
    return int(counts["below"] + counts["above"])


def _histogram(column: dict[str, Any]) -> str:
    before, after = column["before"]["bars"], column["after"]["bars"]
    top = max([*before, *after, 1])
    step = WIDTH / len(before)
    bars = [_rect("b", i * step, step - 1, n / top) for i, n in enumerate(before)]
    bars += [_rect("a", i * step + step * 0.22, step * 0.56, n / top) for i, n in enumerate(after)]
    half = 0.5 if column["kind"] == "integer" else 0.0  # whole numbers stand in their bins' middle
    low, high = _number(column["edges"][0] + half), _number(column["edges"][-1] - half)
    return _svg(
        HEIGHT + 14,
        [
            *bars,
            f'<text x="0" y="{HEIGHT + 12}">{low}</text>',
            f'<text x="{WIDTH}" y="{HEIGHT + 12}" text-anchor="end">{high}</text>',
        ],
        column["column"],
    )


def _rect(kind: str, x: float, width: float, share: float) -> str:
    height = share * HEIGHT
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{max(width, 0.6):.1f}" '
        f'height="{height:.1f}"/>'
    )


def _bars(column: dict[str, Any]) -> str:
    before, after = column["before"]["bars"], column["after"]["bars"]
    top = max([*before, *after, 1])
    room, left = WIDTH - 150, 104
    lines = []
    for i, label in enumerate(column["labels"]):
        y = i * LABEL_ROW
        shown = _with_blanks(label)
        shown = shown if len(shown) <= 17 else f"{shown[:16]}…"
        lines += [
            f'<text x="0" y="{y + 10}">{escape(shown)}<title>{escape(label)}</title></text>',
            f'<rect class="b" x="{left}" y="{y + 1}" width="{before[i] / top * room:.1f}" height="11"/>',
            f'<rect class="a" x="{left}" y="{y + 4}" width="{after[i] / top * room:.1f}" height="5"/>',
            f'<text x="{WIDTH}" y="{y + 10}" text-anchor="end">{_count(after[i])}</text>',
        ]
    return _svg(max(len(column["labels"]) * LABEL_ROW, 10), lines, column["column"])


def _with_blanks(text: str) -> str:
    """Return a text whose blanks show where they are not just between words: " a" is not "a"."""
    return text if text == " ".join(text.split()) and text else f'"{text.translate(BLANKS)}"'


def _svg(height: int, parts: Iterable[str], name: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Values of {escape(name)} before and after cleaning">{"".join(parts)}</svg>'
    )


def _change(before: int, after: int) -> str:
    return _count(before) if before == after else f"{_count(before)} → {_count(after)}"


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
