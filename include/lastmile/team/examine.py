"""Looks at every account that the team is told through, with harmless calls; changes and posts nothing."""

from collections.abc import Iterable, Iterator

from lastmile.clients.account import Finding
from lastmile.clients.kinds import CHATS, TRACKERS
from lastmile.clients.tracker import TrackerSettings
from lastmile.errors import SettingsError
from lastmile.pipeline.definition import Pipeline
from lastmile.settings import connection_url
from lastmile.team.events import Event, Kind
from lastmile.team.places import channels_of, kind_settings, parted, place_of
from lastmile.team.rules import TeamRules


def examine_accounts(rules: TeamRules, pipelines: Iterable[Pipeline]) -> Iterator[Finding]:
    """Yield what was found in each account, and in each place there that a pipeline names."""
    places = places_told(rules, pipelines)
    for kind, settings in kind_settings(rules.trackers, rules.chats).items():
        try:
            url = connection_url(kind)
        except SettingsError:
            # Nothing is silent without an account: so all is well.
            finding = "no account: messages go to the console"
            if kind in {TRACKERS[0], CHATS[0]} or places[kind]:
                yield Finding(settings.title, True, finding)
            continue
        try:
            account = settings.open(url)
        except SettingsError as error:
            yield Finding(settings.title, False, error.headline, error.hint)
            continue
        what = settings.ticket if isinstance(settings, TrackerSettings) else "message"
        if not places[kind]:
            yield Finding(settings.title, True, f"account given; no pipeline wants a {what} there")
        for place in places[kind] or [""]:
            title = f"{settings.title} {place}".rstrip()
            for found in account.examine(place):
                yield Finding(
                    f"{title}: {found.subject}", found.is_well, found.finding, found.remedy
                )


def places_told(rules: TeamRules, pipelines: Iterable[Pipeline]) -> dict[str, list[str]]:
    """Return where in each system somebody is told of these pipelines, by kind."""
    found: dict[str, list[str]] = {kind: [] for kind in (*TRACKERS, *CHATS)}
    for pipeline in pipelines:
        event = rules.routed(
            Event(
                kind=Kind.RELEASE,
                pipeline=pipeline.name,
                run_id="",
                headline="",
                owner=pipeline.owner,
                tracker=pipeline.team.tracker,
                channel=pipeline.team.channel,
            )
        )
        for kind in channels_of(event):
            found[kind].append(place_of(kind, event))
    if rules.escalation is not None and rules.escalation.channel is not None:
        kind, place = parted(rules.escalation.channel, CHATS)
        found[kind].append(place)
    return {kind: sorted({place for place in places if place}) for kind, places in found.items()}
