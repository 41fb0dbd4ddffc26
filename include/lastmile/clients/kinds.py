"""The trackers and chats there are: the one list. A further kind is one file and one field here."""

from lastmile.clients.jira import JiraSettings
from lastmile.clients.slack import SlackSettings
from lastmile.pipeline.base import Strict


class Trackers(Strict):
    """What is said of each tracker. The connection that holds its account has the kind's name."""

    jira: JiraSettings = JiraSettings()
    """Jira, Cloud or Data Center."""


class Chats(Strict):
    """What is said of each chat. The connection that holds its account has the kind's name."""

    slack: SlackSettings = SlackSettings()
    """Slack."""


TRACKERS = tuple(Trackers.model_fields)
CHATS = tuple(Chats.model_fields)
