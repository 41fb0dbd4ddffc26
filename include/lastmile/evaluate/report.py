"""`report.html`: the verdict on one self-contained page. No script, no font, nothing fetched."""

from html import escape

from lastmile.artefacts.verdict import Check, Decision, Metric, Outcome, Verdict
from lastmile.evaluate.charts import (
    confusion_matrix,
    errors,
    metric_bar,
    predicted_against_true,
    roc_curve,
)
from lastmile.evaluate.metrics import Predictions

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--page:#f6f7f9;--card:#fff;
--blue:#2f6fde;--good:#15803d;--bad:#c2410c;--unsure:#a16207;--old:#8b98a8}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a3b3;--line:#2c3440;--page:#12161c;
--card:#1a2028;--blue:#6ea3ff;--good:#4ade80;--bad:#fb923c;--unsure:#facc15;--old:#7c8999}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 20px 60px}
h1{font-size:26px;margin:0;letter-spacing:-.01em}h2{font-size:17px;margin:36px 0 12px}
h2 .soft{font-size:13px;font-weight:400}
p{margin:6px 0}.soft{color:var(--soft)}
.PROMOTE,.pass{color:var(--good)}.REJECT,.fail{color:var(--bad)}
.NEEDS_HUMAN,.unsure{color:var(--unsure)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;
overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:8px 14px 8px 0;border-bottom:1px solid var(--line);vertical-align:middle}
tbody tr:last-child>*{border-bottom:0}th{font-weight:600;color:var(--soft);font-size:13px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.sign{font-weight:700;width:24px}.bar{width:38%;min-width:220px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:12px}
.charts h3{font-size:15px;margin:0 0 10px}.charts svg{max-width:420px}
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.axis{stroke:var(--line);fill:none}.candidate{fill:var(--blue)}
.interval{stroke:var(--ink);stroke-width:1.4;fill:none}
.baseline{stroke:var(--old);stroke-width:2;stroke-dasharray:3 2}
.champion{stroke:var(--good);stroke-width:2}
.chance{stroke:var(--old);stroke-dasharray:4 3;fill:none}
.curve{stroke:var(--blue);stroke-width:2;fill:none}.dot{fill:var(--blue);opacity:.45}
.matrix{width:auto}.matrix th{padding-left:14px}
.matrix td{padding:10px 16px;
background:color-mix(in srgb,var(--blue) var(--share),transparent);border:1px solid var(--line)}
.key{display:inline-block;width:16px;margin:0 5px 3px 14px;border-top:2px solid var(--good)}
.key.dash{border-top:2px dashed var(--old)}.key.whisker{border-color:var(--ink)}
"""

WORDS = {
    Decision.PROMOTE: "may go into service",
    Decision.REJECT: "does not go into service",
    Decision.NEEDS_HUMAN: "needs a human to decide",
}
SIGNS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.UNSURE: "?"}


def render(
    verdict: Verdict, predictions: Predictions | None, classes: tuple[str, ...] | None
) -> str:
    """Return the page of a verdict.

    Args:
        verdict: What to show.
        predictions: The candidate's answers, for the pictures; None where there are none.
        classes: How the classes are called; None for a regression.
    """
    title = f"Verdict on {escape(verdict.pipeline)}"
    body = "\n".join(
        [
            f'<h1>{title}: <span class="{verdict.decision}">{verdict.decision}</span></h1>',
            f"<p>The candidate {WORDS[verdict.decision]}. {escape(verdict.summary)}</p>",
            f'<p class="soft">{_what_was_judged(verdict)}</p>',
            "<h2>Checks</h2>",
            _checks(verdict.checks),
            '<h2>Metrics <span class="soft"><i class="key whisker"></i>95 % interval'
            '<i class="key dash"></i>baseline<i class="key"></i>champion</span></h2>',
            _metrics(verdict),
            _charts(verdict, predictions, classes),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _what_was_judged(verdict: Verdict) -> str:
    champion = verdict.champion[:12] if verdict.champion else "none yet"
    return (
        f"Bundle {verdict.bundle[:12]}, on {verdict.rows} test rows of dataset "
        f"{verdict.dataset[:12]}. Champion: {champion}."
    )


def _checks(checks: tuple[Check, ...]) -> str:
    rows = "".join(
        f'<tr><td class="sign {check.outcome}" title="{check.outcome}">{SIGNS[check.outcome]}</td>'
        f"<td>{escape(check.name)}</td>"
        f'<td class="n">{_figure(check.value)}</td><td class="n">{_figure(check.threshold)}</td>'
        f"<td>{escape(check.reason)}</td></tr>"
        for check in checks
    )
    head = (
        '<th></th><th>check</th><th class="n">value</th><th class="n">threshold</th><th>reason</th>'
    )
    return f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _metrics(verdict: Verdict) -> str:
    rows = "".join(
        f'<tr><td>{escape(metric.name)}</td><td class="n"><b>{_figure(metric.value)}</b></td>'
        f'<td class="n">{_interval(metric)}</td><td class="bar">{metric_bar(metric)}</td>'
        f'<td class="n">{_figure(metric.baseline)}</td>'
        f'<td class="n">{_figure(metric.champion)}</td></tr>'
        for metric in verdict.metrics
    )
    head = (
        '<th>metric</th><th class="n">value</th><th class="n">95 % interval</th><th></th>'
        '<th class="n">baseline</th><th class="n">champion</th>'
    )
    skipped = (
        f"; {verdict.skipped_resamples} more were left out, because a class did not occur in them"
        if verdict.skipped_resamples
        else ""
    )
    return (
        f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="soft">Intervals: percentiles over {verdict.resamples} resamples of the test '
        f"rows{skipped}. Baseline: a model that ignores its input.</p>"
    )


def _charts(
    verdict: Verdict, predictions: Predictions | None, classes: tuple[str, ...] | None
) -> str:
    if predictions is None:
        return ""
    found: list[tuple[str, str]] = []
    if classes is None:
        found += [("Predicted over true values", predicted_against_true(predictions))]
        found += [("Errors", errors(predictions))]
    else:
        if predictions.task == "binary":
            area = next((m.value for m in verdict.metrics if m.name == "roc_auc"), None)
            found += [("ROC curve", roc_curve(predictions, area))]
        found += [("Answers by class", confusion_matrix(predictions, classes))]
    cards = "".join(
        f'<div class="card"><h3>{name}</h3>{picture}</div>' for name, picture in found if picture
    )
    return f'<h2>Answers on the test rows</h2><div class="charts">{cards}</div>' if cards else ""


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "–"
    return f"{metric.low:.4g} to {metric.high:.4g}"
